//! The disk as SCSI sees it.
#![forbid(unsafe_code)]

use super::cdb::Extent;
use crate::config::{SECTOR, Topology};
use crate::identity::Place;
use storport::Sense;

/// One moment's view of the disk.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Logical block in bytes: a power of two, 512 to 4096.
    pub block_size: u32,
    /// Logical blocks. Zero: an empty disk.
    pub blocks: u64,
    /// Alignment hints.
    pub topology: Topology,
    /// Longest transfer in bytes.
    pub max_transfer: u32,
    /// Writes fail.
    pub read_only: bool,
    /// There is a volatile cache that SYNCHRONIZE CACHE empties.
    pub write_cache: bool,
    /// A command stopped the disk.
    pub stopped: bool,
    /// For disks without serial number.
    pub place: Place,
}

/// A transfer in the device's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// First sector of 512 bytes.
    pub sector: u64,
    /// Length in bytes: whole logical blocks.
    pub bytes: u32,
}

impl Unit {
    /// Whether commands that need the medium can be executed.
    pub fn ready(&self) -> Result<(), Sense> {
        if self.blocks == 0 {
            Err(Sense::NO_MEDIUM)
        } else if self.stopped {
            Err(Sense::STOPPED)
        } else {
            Ok(())
        }
    }

    /// Address of the last block.
    pub fn last_block(&self) -> Result<u64, Sense> {
        self.blocks.checked_sub(1).ok_or(Sense::NO_MEDIUM)
    }

    /// Checks that the extent lies on the disk.
    pub fn contains(&self, extent: Extent) -> Result<(), Sense> {
        match extent.lba.checked_add(u64::from(extent.blocks)) {
            Some(end) if end <= self.blocks => Ok(()),
            _ => Err(Sense::LBA_OUT_OF_RANGE),
        }
    }

    /// Converts an extent to sectors and bytes. `available` is the length of the data buffer.
    pub fn transfer(&self, extent: Extent, available: u32) -> Result<Transfer, Sense> {
        self.ready()?;
        self.contains(extent)?;
        let bytes = extent
            .blocks
            .checked_mul(self.block_size)
            .filter(|bytes| *bytes <= available)
            .ok_or(Sense::INVALID_FIELD)?;
        let shift = self
            .block_size
            .trailing_zeros()
            .saturating_sub(SECTOR.trailing_zeros());
        // Cannot overflow: the block lies on a disk whose capacity in sectors has 64 bits.
        let sector = extent.lba << shift;
        Ok(Transfer { sector, bytes })
    }
}
