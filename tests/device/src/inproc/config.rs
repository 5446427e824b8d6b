//! What the in-process device is to be: every feature and limit, and the faults it has.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::lies::Lie;

/// Status byte: done. // Virtio 1.3 §5.2.6
pub const STATUS_OK: u8 = 0;
/// Status byte: the device or the driver made an error.
pub const STATUS_IOERR: u8 = 1;
/// Status byte: the device does not support the request.
pub const STATUS_UNSUPP: u8 = 2;

/// The configuration of a device in this process. All of it can be given as `KEY=VALUE` ([`Config::set`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Decides order and delay of completions.
    pub seed: u64,
    /// The raw image behind the disk.
    pub image: PathBuf,
    /// Capacity in 512-byte sectors; none: the image's length.
    pub capacity: Option<u64>,
    /// Offer RO and refuse writes.
    pub read_only: bool,
    /// Request queues; offered as MQ when more than one.
    pub queues: u16,
    /// What is counted as written to a request's buffer.
    pub used: Used,
    /// Entries of each queue at most; a power of two unless it is meant to be broken.
    pub queue_size: u16,
    /// MSI-X vectors; 0: no MSI-X capability.
    pub vectors: u16,
    /// Offer EVENT_IDX.
    pub event_idx: bool,
    /// Offer INDIRECT_DESC.
    pub indirect: bool,
    /// Offer RING_PACKED.
    pub packed: bool,
    /// Offer IN_ORDER, and give requests back in order to a driver that takes it.
    pub in_order: bool,
    /// Offer FLUSH.
    pub flush: bool,
    /// Offer CONFIG_WCE.
    pub config_wce: bool,
    /// The `writeback` field.
    pub writeback: bool,
    /// Offer SIZE_MAX with this value, bytes.
    pub size_max: Option<u32>,
    /// Offer SEG_MAX with this value.
    pub seg_max: Option<u32>,
    /// Offer BLK_SIZE with this value, bytes.
    pub blk_size: Option<u32>,
    /// Offer TOPOLOGY with this physical block exponent.
    pub physical_block_exp: Option<u8>,
    /// `alignment_offset` of TOPOLOGY: the first logical block that begins a physical one.
    pub alignment_offset: u8,
    /// `min_io_size` of TOPOLOGY, logical blocks.
    pub min_io_size: u16,
    /// `opt_io_size` of TOPOLOGY, logical blocks.
    pub opt_io_size: u32,
    /// Offer DISCARD.
    pub discard: Option<Ranges>,
    /// Offer WRITE_ZEROES.
    pub write_zeroes: Option<Ranges>,
    /// Offer LIFETIME; the wear of both kinds of cells.
    pub lifetime: Option<u16>,
    /// Offer ZONED with this model; host-managed (1) needs a driver that takes it.
    pub zoned: Option<u8>,
    /// The status that flushes end with.
    pub flush_status: u8,
    /// Whether the function has PCI power management, and so D3.
    pub power: bool,
    /// After so many resets the disk is read-only.
    pub protect_after: Option<u32>,
    /// Requests that are taken and never answered: so many after the first `hang_after`.
    pub hang: u64,
    /// See `hang`.
    pub hang_after: u64,
    /// Set NEEDS_RESET instead of answering each so-manieth request; 0: never.
    pub needs_reset_every: u64,
    /// After the n-th request the disk has so many sectors.
    pub resize: Option<(u64, u64)>,
    /// The `num_queues` field, where it is to differ from the queues there are.
    pub num_queues_field: Option<u16>,
    /// Offer VERSION_1. A modern device must.
    pub version_1: bool,
    /// Offer ACCESS_PLATFORM, and refuse FEATURES_OK to a driver that does not take it.
    pub access_platform: bool,
    /// Refuse FEATURES_OK whatever the driver takes.
    pub refuse_features: bool,
    /// Bytes between the places where two queues are notified. // Virtio 1.3 §4.1.4.4
    pub notify_multiplier: u32,
    /// At this DRIVER_OK, counted from 1, the device gives a buffer back that there is none of; 0: at none.
    pub early_used: u32,
    /// At this DRIVER_OK the device writes over the device areas of its rings; 0: at none.
    pub early_area: u32,
    /// At this reset, counted from 1, the device writes over its rings before it has done; 0: at none.
    pub late_ring: u32,
    /// When the driver has written to this register of the common configuration, the device is gone.
    pub gone_after_write: Option<u16>,
    /// Bits of the ISR status that read as ones whatever has happened. // Virtio 1.3 §4.1.4.5
    pub isr_ones: u8,
    /// Feature bits that are offered besides, and mean nothing to the device.
    pub more_features: u64,
    /// Bytes of device-specific configuration that exist.
    pub config_len: u16,
    /// Number of device status reads after which a reset is done; none: never.
    pub reset_reads: Option<u32>,
    /// The reset of this number, from 1, is done after so many reads instead.
    pub slow_reset: Option<(u32, u32)>,
    /// After so many resets no further one is ever done.
    pub most_resets: Option<u32>,
    /// The answer to GET_ID, at most 20 bytes.
    pub serial: String,
    /// Work units per poll at most. More means less reordering.
    pub pace: u32,
    /// Requests that fail.
    pub faults: Vec<Fault>,
    /// Bytes of PCI configuration space that are not as they should be.
    pub pci: Vec<(u8, u8)>,
    /// What the device does that the specification forbids.
    pub lies: Vec<Lie>,
}

/// What the device says of requests that name ranges of sectors. // Virtio 1.3 §5.2.4
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// Most sectors of a segment.
    pub sectors: u32,
    /// Most segments of a request.
    pub segments: u32,
    /// `discard_sector_alignment`, or `write_zeroes_may_unmap`.
    pub extra: u32,
}

/// What is counted as written to a request's buffer, as devices have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// All that was, with the status byte. // Virtio 1.3 §2.7.8.2
    Whole,
    /// What was read from the disk, without the status byte; the answer to GET_ID is the serial number's bytes alone, and not
    /// counted. Cloud Hypervisor before 52 (its pull request 8066)
    Data,
    /// As [`Used::Whole`], but the answer to GET_ID is the serial number's bytes alone. Cloud Hypervisor from 52 on
    Serial,
}

/// Requests that fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which requests.
    pub when: When,
    /// The status byte that they end with.
    pub status: u8,
}

/// Which requests a [`Fault`] hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The n-th request that the device takes, from 1.
    Nth(u64),
    /// Every n-th request.
    Every(u64),
    /// Reads and writes that touch this 512-byte sector.
    Sector(u64),
}

impl Config {
    /// Reads of the status after which the reset of this number, from 1, is done.
    pub(super) fn reads_of_reset(&self, number: u32) -> u32 {
        match self.slow_reset {
            Some((slow, reads)) if slow == number => reads,
            _ => self.reset_reads.unwrap_or(u32::MAX),
        }
    }

    /// A healthy modern disk on `image`: one queue of 128, two MSI-X vectors, FLUSH, 512-byte blocks.
    #[must_use]
    pub fn new(image: &Path) -> Self {
        Self {
            seed: 1,
            image: image.to_owned(),
            capacity: None,
            read_only: false,
            queues: 1,
            used: Used::Whole,
            queue_size: 128,
            vectors: 2,
            event_idx: true,
            indirect: true,
            packed: false,
            in_order: false,
            flush: true,
            config_wce: false,
            writeback: true,
            size_max: None,
            seg_max: Some(126),
            blk_size: Some(512),
            physical_block_exp: None,
            alignment_offset: 0,
            min_io_size: 0,
            opt_io_size: 0,
            discard: None,
            write_zeroes: None,
            lifetime: None,
            zoned: None,
            flush_status: STATUS_OK,
            power: false,
            protect_after: None,
            hang: 0,
            hang_after: 0,
            needs_reset_every: 0,
            resize: None,
            num_queues_field: None,
            version_1: true,
            access_platform: false,
            refuse_features: false,
            notify_multiplier: super::function::NOTIFY_MULTIPLIER,
            early_used: 0,
            early_area: 0,
            late_ring: 0,
            gone_after_write: None,
            isr_ones: 0,
            more_features: 0,
            config_len: super::blk::CONFIG_LEN,
            reset_reads: Some(1),
            slow_reset: None,
            most_resets: None,
            serial: "winpv-inproc".to_owned(),
            pace: 4,
            faults: Vec::new(),
            pci: Vec::new(),
            lies: Vec::new(),
        }
    }

    /// The keys that [`Config::set`] knows.
    pub const KEYS: &'static str = "seed, used, capacity, read-only, queues, queue-size, vectors, event-idx, indirect, packed, in-order, flush, config-wce, \
        writeback, size-max, seg-max, blk-size, physical-block-exp, alignment-offset, min-io-size, opt-io-size, discard, write-zeroes, lifetime, zoned, flush-status, protect-after, hang,
        hang-after, needs-reset-every, resize, num-queues-field, version-1, access-platform, refuse-features, \
        notify-multiplier, early-used, early-area, late-ring, gone-after-write, isr-ones, more-features, config-len, reset-reads, slow-reset, most-resets, serial, pace, fail-nth, fail-every, fail-sector, pci, lie";

    /// Sets one property: numbers decimal or 0x…, switches on/off, `none` where a property can be absent;
    /// `discard=SECTORS:SEGMENTS:ALIGNMENT`, `write-zeroes=SECTORS:SEGMENTS:MAY_UNMAP`;
    /// `used=whole|data|serial` ([`Used`]);
    /// `pci=PLACE:BYTES`, hexadecimal, `fail-nth=N[:STATUS]`, `fail-every=N[:STATUS]`, `fail-sector=N[:STATUS]` and `lie=…` ([`Lie::parse`]) may be given more than once.
    ///
    /// # Errors
    /// An unknown key or a value that it cannot have; the error says which there are.
    pub fn set(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        match key {
            "seed" => self.seed = number(value)?,
            "capacity" => self.capacity = optional(value)?,
            "read-only" => self.read_only = switch(value)?,
            "queues" => self.queues = number(value)?,
            "used" => {
                self.used = match value {
                    "whole" => Used::Whole,
                    "data" => Used::Data,
                    "serial" => Used::Serial,
                    _ => bail!("{value:?} is none of whole, data, serial"),
                };
            }
            "queue-size" => self.queue_size = number(value)?,
            "vectors" => self.vectors = number(value)?,
            "event-idx" => self.event_idx = switch(value)?,
            "indirect" => self.indirect = switch(value)?,
            "packed" => self.packed = switch(value)?,
            "in-order" => self.in_order = switch(value)?,
            "flush" => self.flush = switch(value)?,
            "config-wce" => self.config_wce = switch(value)?,
            "writeback" => self.writeback = switch(value)?,
            "size-max" => self.size_max = optional(value)?,
            "seg-max" => self.seg_max = optional(value)?,
            "blk-size" => self.blk_size = optional(value)?,
            "physical-block-exp" => self.physical_block_exp = optional(value)?,
            "alignment-offset" => self.alignment_offset = number(value)?,
            "min-io-size" => self.min_io_size = number(value)?,
            "opt-io-size" => self.opt_io_size = number(value)?,
            "discard" => self.discard = Some(ranges(value)?),
            "write-zeroes" => self.write_zeroes = Some(ranges(value)?),
            "lifetime" => self.lifetime = optional(value)?,
            "zoned" => self.zoned = optional(value)?,
            "flush-status" => self.flush_status = number(value)?,
            "power" => self.power = switch(value)?,
            "protect-after" => self.protect_after = optional(value)?,
            "hang" => self.hang = number(value)?,
            "hang-after" => self.hang_after = number(value)?,
            "needs-reset-every" => self.needs_reset_every = number(value)?,
            "resize" => {
                let (at, sectors) = value.split_once(':').context("resize=REQUEST:SECTORS")?;
                self.resize = Some((number(at)?, number(sectors)?));
            }
            "num-queues-field" => self.num_queues_field = optional(value)?,
            "version-1" => self.version_1 = switch(value)?,
            "access-platform" => self.access_platform = switch(value)?,
            "refuse-features" => self.refuse_features = switch(value)?,
            "notify-multiplier" => self.notify_multiplier = number(value)?,
            "early-used" => self.early_used = number(value)?,
            "early-area" => self.early_area = number(value)?,
            "late-ring" => self.late_ring = number(value)?,
            "gone-after-write" => self.gone_after_write = optional(value)?,
            "isr-ones" => self.isr_ones = number(value)?,
            "more-features" => self.more_features = number(value)?,
            "config-len" => self.config_len = number(value)?,
            "most-resets" => self.most_resets = optional(value)?,
            "reset-reads" => self.reset_reads = optional(value)?,
            "slow-reset" => {
                let (reset, reads) = value
                    .split_once(':')
                    .with_context(|| format!("slow-reset takes RESET:READS, got {value:?}"))?;
                self.slow_reset = Some((number(reset)?, number(reads)?));
            }
            "serial" => value.clone_into(&mut self.serial),
            "pace" => self.pace = number(value)?,
            "fail-nth" => self.faults.push(fault(value, When::Nth)?),
            "fail-every" => self.faults.push(fault(value, When::Every)?),
            "fail-sector" => self.faults.push(fault(value, When::Sector)?),
            "pci" => {
                let (place, bytes) = value
                    .split_once(':')
                    .context("pci=PLACE:BYTES, hexadecimal")?;
                let place = u8::from_str_radix(place, 16)?;
                for at in 0..bytes.len().div_ceil(2) {
                    let digits = bytes.get(2 * at..bytes.len().min(2 * at + 2));
                    let byte = u8::from_str_radix(digits.unwrap_or_default(), 16)?;
                    let place = usize::from(place) + at;
                    let place = u8::try_from(place).context("behind configuration space")?;
                    self.pci.push((place, byte));
                }
            }
            "lie" => self.lies.push(Lie::parse(value)?),
            _ => bail!(
                "unknown property {key:?} of the in-process device; there are: {}",
                Self::KEYS
            ),
        }
        Ok(())
    }
}

fn number<T: TryFrom<u64>>(value: &str) -> anyhow::Result<T> {
    let parsed = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    let parsed = parsed.with_context(|| format!("{value:?} is not a number"))?;
    T::try_from(parsed)
        .ok()
        .with_context(|| format!("{parsed} is too large"))
}

fn optional<T: TryFrom<u64>>(value: &str) -> anyhow::Result<Option<T>> {
    if value == "none" {
        return Ok(None);
    }
    number(value).map(Some)
}

fn switch(value: &str) -> anyhow::Result<bool> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => bail!("{value:?} is neither on nor off"),
    }
}

fn ranges(value: &str) -> anyhow::Result<Ranges> {
    let mut parts = value.split(':');
    let mut next = || {
        number(
            parts
                .next()
                .context("three numbers belong between the colons")?,
        )
    };
    Ok(Ranges {
        sectors: next()?,
        segments: next()?,
        extra: next()?,
    })
}

fn fault(value: &str, when: fn(u64) -> When) -> anyhow::Result<Fault> {
    let (which, status) = value.split_once(':').unwrap_or((value, "1"));
    Ok(Fault {
        when: when(number(which)?),
        status: number(status)?,
    })
}
