//! The `VS_VERSIONINFO` resource: what Explorer and Device Manager show of an image.

use super::{LANGUAGE, align, push_text, push_u16, push_u32};
use crate::version::Version;

/// Unicode, as the string table's name and the translation both say.
const CODE_PAGE: u16 = 1200;

/// What the file is: `dwFileType` and `dwFileSubtype` (verrsrc.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// VFT_DRV, VFT2_DRV_SYSTEM.
    Driver,
    /// VFT_APP.
    Program,
    /// VFT_DLL.
    Library,
}

impl FileKind {
    const fn codes(self) -> [u32; 2] {
        match self {
            FileKind::Driver => [3, 7],
            FileKind::Program => [1, 0],
            FileKind::Library => [2, 0],
        }
    }
}

/// What goes into the resource.
pub struct VersionInfo<'a> {
    /// File and product version; equal to the INF's DriverVer.
    pub version: Version,
    /// FileDescription.
    pub description: &'a str,
    /// InternalName and OriginalFilename.
    pub file_name: &'a str,
    /// What the file is.
    pub kind: FileKind,
    /// CompanyName and LegalCopyright's holder.
    pub company: &'a str,
}

impl VersionInfo<'_> {
    /// Encodes the resource's data.
    pub fn encode(&self) -> Vec<u8> {
        let version = self.version.to_string();
        let strings = [
            ("CompanyName", self.company),
            ("FileDescription", self.description),
            ("FileVersion", &version),
            ("InternalName", self.file_name),
            ("LegalCopyright", "MIT OR Apache-2.0"),
            ("OriginalFilename", self.file_name),
            ("ProductName", "WinPV"),
            ("ProductVersion", &version),
        ]
        .map(|(key, value)| text_block(key, value));
        let table = block(
            &format!("{LANGUAGE:04x}{CODE_PAGE:04x}"),
            &[],
            Value::Text,
            &strings,
        );
        let mut translation = Vec::new();
        push_u16(&mut translation, LANGUAGE);
        push_u16(&mut translation, CODE_PAGE);
        let translation = block("Translation", &translation, Value::Binary, &[]);
        let children = [
            block("StringFileInfo", &[], Value::Text, &[table]),
            block("VarFileInfo", &[], Value::Text, &[translation]),
        ];
        block("VS_VERSION_INFO", &self.fixed(), Value::Binary, &children)
    }

    /// `VS_FIXEDFILEINFO` (verrsrc.h).
    fn fixed(&self) -> Vec<u8> {
        const SIGNATURE: u32 = 0xfeef_04bd;
        const STRUCTURE_VERSION: u32 = 0x0001_0000;
        const VS_FFI_FILEFLAGSMASK: u32 = 0x3f;
        const VOS_NT_WINDOWS32: u32 = 0x0004_0004;
        let [file_type, subtype] = self.kind.codes();
        let [high, low] = self.version.halves();
        let mut out = Vec::new();
        for value in [
            SIGNATURE,
            STRUCTURE_VERSION,
            high,
            low,
            high,
            low,
            VS_FFI_FILEFLAGSMASK,
            0,
            VOS_NT_WINDOWS32,
            file_type,
            subtype,
            // No date: Windows ignores it, and it would differ between builds.
            0,
            0,
        ] {
            push_u32(&mut out, value);
        }
        out
    }
}

/// `wType` of a block.
#[derive(Clone, Copy)]
enum Value {
    Binary = 0,
    Text = 1,
}

fn text_block(key: &str, value: &str) -> Vec<u8> {
    let mut text = Vec::new();
    push_text(&mut text, value);
    block(key, &text, Value::Text, &[])
}

/// The one shape that all parts share: lengths, type, key, value, children, each aligned to four.
fn block(key: &str, value: &[u8], kind: Value, children: &[Vec<u8>]) -> Vec<u8> {
    // wValueLength counts words for text and bytes for everything else.
    let value_len = match kind {
        Value::Binary => value.len(),
        Value::Text => value.len() / 2,
    };
    let mut out = Vec::new();
    push_u16(&mut out, 0);
    push_u16(&mut out, value_len as u16);
    push_u16(&mut out, kind as u16);
    push_text(&mut out, key);
    align(&mut out);
    out.extend(value);
    for child in children {
        align(&mut out);
        out.extend(child);
    }
    let len = out.len() as u16;
    out[..2].copy_from_slice(&len.to_le_bytes());
    out
}
