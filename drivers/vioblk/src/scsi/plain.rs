//! READ and WRITE without a copy of the command: nearly every command is one of them.
#![forbid(unsafe_code)]

use super::cdb::Extent;

/// READ or WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainTransfer {
    /// Where.
    pub extent: Extent,
    /// WRITE.
    pub write: bool,
    /// The data must be on the medium before the command completes.
    pub force_unit_access: bool,
}

/// READ and WRITE of ten and of sixteen bytes, as [`super::decode`] decodes them. `None` if it is another one or not well formed.
///
/// `len` is the length of the command, at most the sixteen bytes that there are.
#[inline(always)] // part of HwBuildIo
pub fn plain_transfer(cdb: &[u8; 16], len: u8) -> Option<PlainTransfer> {
    const UNSUPPORTED: u8 = 0xe0;
    const FUA: u8 = 0x08;
    const NACA: u8 = 0x04;
    const WRITE: u8 = 0x02;
    let [operation, flags, ..] = *cdb;
    let (extent, control) = match operation & !WRITE {
        0x28 if len >= 10 => {
            let [_, _, a, b, c, d, _, e, f, control, ..] = *cdb;
            let extent = Extent {
                lba: u64::from(u32::from_be_bytes([a, b, c, d])),
                blocks: u32::from(u16::from_be_bytes([e, f])),
            };
            (extent, control)
        }
        0x88 if len >= 16 => {
            let [_, _, a, b, c, d, e, f, g, h, i, j, k, l, _, control] = *cdb;
            let extent = Extent {
                lba: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                blocks: u32::from_be_bytes([i, j, k, l]),
            };
            (extent, control)
        }
        _ => return None,
    };
    let write = operation & WRITE != 0;
    (flags & UNSUPPORTED == 0 && control & NACA == 0).then_some(PlainTransfer {
        extent,
        write,
        force_unit_access: write && flags & FUA != 0,
    })
}

#[cfg(test)]
mod tests;
