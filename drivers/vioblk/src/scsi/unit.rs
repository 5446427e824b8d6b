//! The disk as SCSI sees it.
#![forbid(unsafe_code)]

use super::cdb::Extent;
use crate::config::Config;
use crate::identity::Place;
use storport::Sense;

/// One moment's view of the disk.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// The device's configuration. Its capacity is that of the start.
    pub config: &'a Config,
    /// Logical blocks. Zero: an empty disk.
    pub blocks: u64,
    /// Longest transfer in bytes.
    pub max_transfer: u32,
    /// Writes fail.
    pub read_only: bool,
    /// The device takes flushes.
    pub flushes: bool,
    /// Writes may stay in a volatile cache.
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

/// Blocks in the device's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First sector of 512 bytes.
    pub sector: u64,
    /// Logical blocks.
    pub blocks: u32,
}

impl Unit<'_> {
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

    /// Whether commands that change the medium can be executed.
    pub fn writable(&self) -> Result<(), Sense> {
        if self.read_only {
            return Err(Sense::WRITE_PROTECTED);
        }
        self.ready()
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
        let Span { sector, blocks } = self.span(extent)?;
        let bytes = blocks
            .checked_mul(self.config.block_size)
            .filter(|bytes| *bytes <= available)
            .ok_or(Sense::INVALID_FIELD)?;
        Ok(Transfer { sector, bytes })
    }

    /// Converts an extent that lies on the disk.
    pub fn span(&self, extent: Extent) -> Result<Span, Sense> {
        self.contains(extent)?;
        Ok(Span {
            sector: self.config.sector(extent.lba),
            blocks: extent.blocks,
        })
    }
}
