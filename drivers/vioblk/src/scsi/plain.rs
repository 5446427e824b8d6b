//! READ and WRITE without a copy of the command: nearly every command is one of them.
#![forbid(unsafe_code)]

use super::cdb::Extent;

/// READ or WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainTransfer {
    /// Where.
    pub extent: Extent,
    /// The block behind.
    pub end: u64,
    /// WRITE.
    pub write: bool,
}

/// The bits of a command's first two bytes, the lower one first, that are always looked at: all of the operation but those below, and
/// the flags for protection information, which the disk has none of. SBC-4 §5.11
pub const PLAIN: u16 = 0xe0f5;
/// The bit that makes a READ a WRITE. Looked at where no command may write.
pub const WRITES: u16 = 0x0002;
/// Set in READ and WRITE. Not looked at where no command may be carried out, so that none is found.
pub const STARTED: u16 = 0x0008;
/// FUA: the data must be on the medium before the command completes. Looked at where that takes more than the command alone.
pub const FORCED: u16 = 0x0800;

/// READ(10) and READ(16).
const TEN: u16 = 0x28;
const SIXTEEN: u16 = 0x88;

impl PlainTransfer {
    /// The transfer that a command of `len` bytes asks for, as [`super::decode`] decodes it. `None` if it is none of ten or of sixteen
    /// bytes, if it is not well formed, or if there is anything else in those bits of its first two bytes that `look` has.
    #[inline(always)] // part of HwStartIo
    pub fn new(cdb: &[u8; 16], look: u16, len: u8) -> Option<Self> {
        const NACA: u8 = 0x04;
        let [first, second, ..] = *cdb;
        let (extent, end) = match u16::from_le_bytes([first, second]) & look {
            TEN => {
                let [_, _, a, b, c, d, _, e, f, control, ..] = *cdb;
                if len < 10 || control & NACA != 0 {
                    return None;
                }
                let extent = Extent {
                    lba: u64::from(u32::from_be_bytes([a, b, c, d])),
                    blocks: u32::from(u16::from_be_bytes([e, f])),
                };
                // Neither has more than 32 bits.
                (extent, extent.lba.wrapping_add(u64::from(extent.blocks)))
            }
            SIXTEEN => {
                let [_, _, a, b, c, d, e, f, g, h, i, j, k, l, _, control] = *cdb;
                if len < 16 || control & NACA != 0 {
                    return None;
                }
                let extent = Extent {
                    lba: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                    blocks: u32::from_be_bytes([i, j, k, l]),
                };
                (extent, extent.lba.checked_add(u64::from(extent.blocks))?)
            }
            _ => return None,
        };
        let write = u16::from(first) & WRITES != 0;
        Some(Self { extent, end, write })
    }
}

#[cfg(test)]
mod tests;
