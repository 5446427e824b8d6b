//! Device configuration, checked once before anything relies on it.
//!
//! The device wrote every byte of it, so each field is either proven usable or the device is refused with a
//! reason that the event log can show.
#![forbid(unsafe_code)]

use core::mem::offset_of;
use virtio_core::mmio::Registers;
use virtio_core::spec::blk;
use virtio_core::spec::features::Features;
use virtio_core::transport::{ConfigError, ConfigView};

/// Size of a sector, the unit of every address on the wire, in bytes.
pub const SECTOR: u32 = blk::SECTOR_SIZE;

/// Largest logical block that Windows can use: one page.
const MAX_BLOCK: u32 = 4096;

/// READ CAPACITY(16) has four bits for it. SBC-4 §5.20.2
const MAX_PHYSICAL_BLOCK_EXP: u8 = 15;

/// Most segments of a discard or write-zeroes request, whatever the device would take: they lie in the request's memory.
pub const MAX_RANGES: u32 = 32;

/// Why a device is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `blk_size` is not a power of two between one sector and one page.
    BlockSize(u32),
    /// `num_queues` is zero although the device offers several queues.
    QueueCount,
    /// The zones take sequential writes only, which Windows does not keep to.
    HostManagedZones,
    /// The segments of one request cannot hold one page, the smallest transfer that Windows may send.
    PageDoesNotFit {
        /// Segments of a request.
        segments: u32,
        /// Bytes of a segment.
        size_max: u32,
    },
    /// A queue has too few descriptors for header, one data segment and status.
    QueueTooSmall(u16),
}

/// The fields as the device wrote them. `None`: the feature that gives the field its meaning was not accepted.
/// Virtio 1.3 §5.2.4
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Sectors on the disk.
    pub capacity: u64,
    /// `VIRTIO_BLK_F_SIZE_MAX`
    pub size_max: Option<u32>,
    /// `VIRTIO_BLK_F_SEG_MAX`
    pub seg_max: Option<u32>,
    /// `VIRTIO_BLK_F_BLK_SIZE`
    pub blk_size: Option<u32>,
    /// `VIRTIO_BLK_F_TOPOLOGY`
    pub topology: Option<Topology>,
    /// `VIRTIO_BLK_F_MQ`
    pub num_queues: Option<u16>,
    /// `VIRTIO_BLK_F_DISCARD`
    pub discard: Option<Ranges>,
    /// `VIRTIO_BLK_F_WRITE_ZEROES`
    pub write_zeroes: Option<Ranges>,
}

/// What the device says of requests that name ranges of sectors. The meaning of the last field depends on the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Most sectors of a segment.
    pub sectors: u32,
    /// Most segments of a request.
    pub segments: u32,
    /// `discard_sector_alignment`, or `write_zeroes_may_unmap`.
    pub extra: u32,
}

impl Raw {
    /// Reads the fields that the accepted features give a meaning.
    pub fn read<R: Registers>(
        view: &ConfigView<'_, R>,
        features: Features,
    ) -> Result<Self, ConfigError> {
        let has = |feature: Features| features.contains(feature);
        let u32_if = |feature, offset| has(feature).then(|| view.u32(offset)).transpose();
        let topology = || {
            Ok(Topology {
                physical_block_exp: view.u8(offset_of!(blk::Config, physical_block_exp))?,
                alignment_offset: view.u8(offset_of!(blk::Config, alignment_offset))?,
                min_io_size: view.u16(offset_of!(blk::Config, min_io_size))?,
                opt_io_size: view.u32(offset_of!(blk::Config, opt_io_size))?,
            })
        };
        let discard = || {
            Ok(Ranges {
                sectors: view.u32(offset_of!(blk::Config, max_discard_sectors))?,
                segments: view.u32(offset_of!(blk::Config, max_discard_seg))?,
                extra: view.u32(offset_of!(blk::Config, discard_sector_alignment))?,
            })
        };
        let write_zeroes = || {
            Ok(Ranges {
                sectors: view.u32(offset_of!(blk::Config, max_write_zeroes_sectors))?,
                segments: view.u32(offset_of!(blk::Config, max_write_zeroes_seg))?,
                extra: view
                    .u8(offset_of!(blk::Config, write_zeroes_may_unmap))?
                    .into(),
            })
        };
        Ok(Self {
            capacity: view.u64(offset_of!(blk::Config, capacity))?,
            size_max: u32_if(blk::F_SIZE_MAX, offset_of!(blk::Config, size_max))?,
            seg_max: u32_if(blk::F_SEG_MAX, offset_of!(blk::Config, seg_max))?,
            blk_size: u32_if(blk::F_BLK_SIZE, offset_of!(blk::Config, blk_size))?,
            topology: has(blk::F_TOPOLOGY).then(topology).transpose()?,
            num_queues: has(blk::F_MQ)
                .then(|| view.u16(offset_of!(blk::Config, num_queues)))
                .transpose()?,
            discard: has(blk::F_DISCARD).then(discard).transpose()?,
            write_zeroes: has(blk::F_WRITE_ZEROES).then(write_zeroes).transpose()?,
        })
    }
}

/// How the device wants requests aligned. Zero means that it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Logical blocks per physical block, as a power of two. At most 15, the most that SCSI can say.
    pub physical_block_exp: u8,
    /// First logical block that starts a physical block.
    pub alignment_offset: u8,
    /// Smallest efficient request in logical blocks.
    pub min_io_size: u16,
    /// Best request in logical blocks.
    pub opt_io_size: u32,
}

/// Limits of requests that name ranges of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// Most blocks of a segment. Not zero.
    pub blocks: u32,
    /// Most segments of a request: 1 to [`MAX_RANGES`].
    pub segments: u32,
    /// A range that has to be cut is best cut at a multiple of so many blocks. Zero: the device does not say.
    pub alignment: u32,
}

/// A checked configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Logical block in bytes: a power of two, 512 to 4096.
    pub block_size: u32,
    /// Whole logical blocks on the disk. Zero: an empty disk.
    pub blocks: u64,
    /// Largest data segment in bytes, if the device limits it. Never zero.
    pub size_max: Option<u32>,
    /// Most data segments of a request, if the device limits them. Never zero.
    pub seg_max: Option<u32>,
    /// Alignment hints.
    pub topology: Topology,
    /// Request queues of the device. Never zero.
    pub queues: u16,
    /// The device takes discards.
    pub discard: Option<RangeLimits>,
    /// The device writes zeroes.
    pub write_zeroes: Option<RangeLimits>,
    /// The device may give up blocks that it writes zeroes to.
    pub zeroes_unmap: bool,
    /// The device tells how worn it is.
    pub lifetime: bool,
    /// The cache can be switched to write through.
    pub cache_mode: bool,
}

impl Config {
    /// The device may give blocks up, by discarding them or by writing zeroes: logical block provisioning management is enabled.
    pub fn provisioned(&self) -> bool {
        self.discard.is_some() || self.zeroes_unmap
    }

    /// Sectors in one logical block: 1 to 8.
    pub fn sectors_per_block(&self) -> u32 {
        self.block_size >> SECTOR.trailing_zeros()
    }

    /// First sector of a block. On a disk with that block it cannot wrap: the capacity in sectors has 64 bits.
    pub fn sector(&self, block: u64) -> u64 {
        block << self.sectors_per_block().trailing_zeros()
    }

    /// Checks every field that has a meaning.
    pub fn check(raw: &Raw) -> Result<Self, Refusal> {
        let block_size = raw.blk_size.unwrap_or(SECTOR);
        if !block_size.is_power_of_two() || !(SECTOR..=MAX_BLOCK).contains(&block_size) {
            return Err(Refusal::BlockSize(block_size));
        }
        let queues = raw.num_queues.unwrap_or(1);
        if queues == 0 {
            return Err(Refusal::QueueCount);
        }
        let mut topology = raw.topology.unwrap_or_default();
        topology.physical_block_exp = topology.physical_block_exp.min(MAX_PHYSICAL_BLOCK_EXP);
        let alignment = raw.discard.map_or(0, |discard| match discard.extra {
            // Where nobody chose a granularity, some versions of QEMU. virtio-win: 346ea4b6
            u32::MAX => 1,
            sectors => sectors,
        });
        let mut config = Self {
            block_size,
            blocks: 0,
            // qemu-storage-daemon says 0 for want of a limit (10.0), and Linux takes it so. Linux: block/blk-settings.c,
            // blk_validate_limits
            size_max: raw.size_max.filter(|&bytes| bytes > 0),
            // Devices that say 0 exist; they take one. Linux: drivers/block/virtio_blk.c, virtblk_probe
            seg_max: raw.seg_max.map(|segments| segments.max(1)),
            topology,
            queues,
            discard: None,
            write_zeroes: None,
            zeroes_unmap: raw.write_zeroes.is_some_and(|zeroes| zeroes.extra != 0),
            lifetime: false,
            cache_mode: false,
        };
        config.discard = raw
            .discard
            .and_then(|ranges| config.range_limits(ranges, alignment));
        config.write_zeroes = raw
            .write_zeroes
            .and_then(|ranges| config.range_limits(ranges, alignment));
        config.zeroes_unmap &= config.write_zeroes.is_some();
        config.set_capacity(raw.capacity);
        Ok(config)
    }

    /// Takes what does not lie in the configuration but in the accepted features.
    #[must_use]
    pub fn with_features(mut self, features: Features) -> Self {
        self.lifetime = features.contains(blk::F_LIFETIME);
        // Virtio 1.3 §5.2.5.2: a device that offers CONFIG_WCE offers FLUSH; without it there is nothing to switch.
        self.cache_mode = features.contains(blk::F_CONFIG_WCE.union(blk::F_FLUSH));
        self
    }

    /// Limits in whole blocks. `None`: the device takes nothing by its own words, so nothing is sent.
    fn range_limits(&self, raw: Ranges, alignment: u32) -> Option<RangeLimits> {
        let shift = self.sectors_per_block().trailing_zeros();
        let limits = RangeLimits {
            blocks: raw.sectors >> shift,
            segments: raw.segments.min(MAX_RANGES),
            alignment: alignment.div_ceil(self.sectors_per_block()),
        };
        (limits.blocks > 0 && limits.segments > 0).then_some(limits)
    }

    /// Takes a capacity in sectors. A last block that is not whole cannot be addressed and is left out.
    pub fn set_capacity(&mut self, sectors: u64) {
        self.blocks = sectors >> self.sectors_per_block().trailing_zeros();
    }
}

#[cfg(test)]
mod tests;
