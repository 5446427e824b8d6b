//! Writes a .res file with a driver's version information and its event-log messages.
//!
//! The formats are those of winuser.h and verrsrc.h as Microsoft documents them under "Resource File Formats",
//! "VS_VERSIONINFO" and "MESSAGE_RESOURCE_DATA".

mod messages;
mod version;

#[cfg(test)]
mod tests;

pub use messages::Messages;
pub use version::{FileKind, VersionInfo};

/// `RT_MESSAGETABLE` (winuser.h).
const RT_MESSAGETABLE: u16 = 11;
/// `RT_VERSION` (winuser.h).
const RT_VERSION: u16 = 16;
/// US English (winnt.h: LANG_ENGLISH, SUBLANG_ENGLISH_US).
const LANGUAGE: u16 = 0x0409;

/// Writes the .res file; an empty message table is left out.
pub fn write(version: &VersionInfo<'_>, messages: &Messages) -> Vec<u8> {
    // Every 32-bit .res file starts with an empty resource, which tells it from the 16-bit kind.
    let mut out = Vec::new();
    resource(&mut out, 0, 0, 0, &[]);
    resource(&mut out, RT_VERSION, 1, LANGUAGE, &version.encode());
    if !messages.is_empty() {
        resource(&mut out, RT_MESSAGETABLE, 1, LANGUAGE, &messages.encode());
    }
    out
}

/// Appends a `RESOURCEHEADER` and its data.
fn resource(out: &mut Vec<u8>, kind: u16, name: u16, language: u16, data: &[u8]) {
    const HEADER_LEN: u32 = 32;
    push_u32(out, data.len() as u32);
    push_u32(out, HEADER_LEN);
    for number in [kind, name] {
        // 0xffff says that a number follows instead of a string.
        push_u16(out, 0xffff);
        push_u16(out, number);
    }
    push_u32(out, 0); // DataVersion
    push_u16(out, 0); // MemoryFlags
    push_u16(out, language);
    push_u32(out, 0); // Version
    push_u32(out, 0); // Characteristics
    out.extend(data);
    align(out);
}

fn push_u16(out: &mut Vec<u8>, value: u16) {
    out.extend(value.to_le_bytes());
}

fn push_u32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_le_bytes());
}

/// UTF-16LE with its final zero.
fn push_text(out: &mut Vec<u8>, text: &str) {
    for unit in text.encode_utf16().chain([0]) {
        push_u16(out, unit);
    }
}

/// Pads to a multiple of four.
fn align(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}
