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
    let [
        operation,
        flags,
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        j,
        k,
        l,
        _,
        last,
    ] = *cdb;
    let (extent, control) = match operation {
        0x28 | 0x2a if len >= 10 => {
            let extent = Extent {
                lba: u64::from(u32::from_be_bytes([a, b, c, d])),
                blocks: u32::from(u16::from_be_bytes([f, g])),
            };
            (extent, h)
        }
        0x88 | 0x8a if len >= 16 => {
            let extent = Extent {
                lba: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                blocks: u32::from_be_bytes([i, j, k, l]),
            };
            (extent, last)
        }
        _ => return None,
    };
    let write = operation & 0x02 != 0;
    (flags & UNSUPPORTED == 0 && control & NACA == 0).then_some(PlainTransfer {
        extent,
        write,
        force_unit_access: write && flags & FUA != 0,
    })
}

#[cfg(test)]
mod tests;
