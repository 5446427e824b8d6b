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

/// READ or WRITE of ten or of sixteen bytes.
#[derive(Clone, Copy, Debug)]
pub struct PlainCommand<'a>(&'a [u8; 16]);

impl<'a> PlainCommand<'a> {
    /// The command, if it is one and nothing else is in those bits of its first two bytes that `look` has.
    #[inline(always)] // part of HwBuildIo
    pub fn new(cdb: &'a [u8; 16], look: u16) -> Option<Self> {
        let [first, second, ..] = *cdb;
        let found = u16::from_le_bytes([first, second]) & look;
        (found == TEN || found == SIXTEEN).then_some(Self(cdb))
    }

    /// As [`super::decode`] decodes it. `None` if it is not well formed.
    ///
    /// `len` is the length of the command, at most the sixteen bytes that there are.
    #[inline(always)] // part of HwBuildIo
    pub fn transfer(self, len: u8) -> Option<PlainTransfer> {
        const NACA: u8 = 0x04;
        let write = u16::from(self.0[0]) & WRITES != 0;
        let transfer = |control: u8, whole, extent| {
            (whole && control & NACA == 0).then_some(PlainTransfer { extent, write })
        };
        if u16::from(self.0[0]) & (TEN ^ SIXTEEN) & TEN != 0 {
            let [_, _, a, b, c, d, _, e, f, control, ..] = *self.0;
            let extent = Extent {
                lba: u64::from(u32::from_be_bytes([a, b, c, d])),
                blocks: u32::from(u16::from_be_bytes([e, f])),
            };
            transfer(control, len >= 10, extent)
        } else {
            let [_, _, a, b, c, d, e, f, g, h, i, j, k, l, _, control] = *self.0;
            let extent = Extent {
                lba: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                blocks: u32::from_be_bytes([i, j, k, l]),
            };
            transfer(control, len >= 16, extent)
        }
    }
}

#[cfg(test)]
mod tests;
