//! Block device. // Virtio 1.3 §5.2
#![forbid(unsafe_code)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::assert_layout;
use super::features::Features;

/// Virtio device id. // Virtio 1.3 §5.2.1
pub const DEVICE_ID: u16 = 2;
/// Unit of `sector` and `capacity`, in bytes, whatever the block size. // Virtio 1.3 §5.2.4
pub const SECTOR_SIZE: u32 = 512;
/// Length of the answer to [`RequestType::GET_ID`], in bytes, padded with NUL. // Virtio 1.3 §5.2.6
pub const ID_LEN: usize = 20;

/// `VIRTIO_BLK_F_SIZE_MAX`: `size_max` bounds the bytes of one segment. // Virtio 1.3 §5.2.3
pub const F_SIZE_MAX: Features = Features::from_bits_retain(1 << 1);
/// `VIRTIO_BLK_F_SEG_MAX`: `seg_max` bounds the segments of one request.
pub const F_SEG_MAX: Features = Features::from_bits_retain(1 << 2);
/// `VIRTIO_BLK_F_GEOMETRY`: `geometry` is valid.
pub const F_GEOMETRY: Features = Features::from_bits_retain(1 << 4);
/// `VIRTIO_BLK_F_RO`: the device is read-only.
pub const F_RO: Features = Features::from_bits_retain(1 << 5);
/// `VIRTIO_BLK_F_BLK_SIZE`: `blk_size` is valid.
pub const F_BLK_SIZE: Features = Features::from_bits_retain(1 << 6);
/// `VIRTIO_BLK_F_FLUSH`: the device takes flush requests.
pub const F_FLUSH: Features = Features::from_bits_retain(1 << 9);
/// `VIRTIO_BLK_F_TOPOLOGY`: `topology` is valid.
pub const F_TOPOLOGY: Features = Features::from_bits_retain(1 << 10);
/// `VIRTIO_BLK_F_CONFIG_WCE`: `writeback` can be read and written.
pub const F_CONFIG_WCE: Features = Features::from_bits_retain(1 << 11);
/// `VIRTIO_BLK_F_MQ`: `num_queues` is valid.
pub const F_MQ: Features = Features::from_bits_retain(1 << 12);
/// `VIRTIO_BLK_F_DISCARD`: the device takes discard requests.
pub const F_DISCARD: Features = Features::from_bits_retain(1 << 13);
/// `VIRTIO_BLK_F_WRITE_ZEROES`: the device takes write-zeroes requests.
pub const F_WRITE_ZEROES: Features = Features::from_bits_retain(1 << 14);
/// `VIRTIO_BLK_F_LIFETIME`: the device tells how worn it is.
pub const F_LIFETIME: Features = Features::from_bits_retain(1 << 15);
/// `VIRTIO_BLK_F_SECURE_ERASE`: the device takes secure-erase requests.
pub const F_SECURE_ERASE: Features = Features::from_bits_retain(1 << 16);
/// `VIRTIO_BLK_F_ZONED`: the device is zoned.
pub const F_ZONED: Features = Features::from_bits_retain(1 << 17);

/// `struct virtio_blk_config`; all but `capacity` depends on a feature bit. // Virtio 1.3 §5.2.4
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Config {
    /// Size of the device in sectors of 512 bytes.
    pub capacity: U64,
    /// Largest segment in bytes ([`F_SIZE_MAX`]).
    pub size_max: U32,
    /// Most segments in a request ([`F_SEG_MAX`]).
    pub seg_max: U32,
    /// Cylinders ([`F_GEOMETRY`]).
    pub cylinders: U16,
    /// Heads ([`F_GEOMETRY`]).
    pub heads: u8,
    /// Sectors per track ([`F_GEOMETRY`]).
    pub sectors: u8,
    /// Block size in bytes ([`F_BLK_SIZE`]).
    pub blk_size: U32,
    /// Logical blocks per physical block, log2 ([`F_TOPOLOGY`]).
    pub physical_block_exp: u8,
    /// First aligned logical block ([`F_TOPOLOGY`]).
    pub alignment_offset: u8,
    /// Smallest good transfer in blocks ([`F_TOPOLOGY`]).
    pub min_io_size: U16,
    /// Best transfer in blocks ([`F_TOPOLOGY`]).
    pub opt_io_size: U32,
    /// 1 for a write-back cache, 0 for write-through ([`F_CONFIG_WCE`]).
    pub writeback: u8,
    /// Unused.
    pub unused0: u8,
    /// Number of request queues ([`F_MQ`]).
    pub num_queues: U16,
    /// Most sectors of a discard segment ([`F_DISCARD`]).
    pub max_discard_sectors: U32,
    /// Most segments of a discard request ([`F_DISCARD`]).
    pub max_discard_seg: U32,
    /// Alignment of a discard in sectors ([`F_DISCARD`]).
    pub discard_sector_alignment: U32,
    /// Most sectors of a write-zeroes segment ([`F_WRITE_ZEROES`]).
    pub max_write_zeroes_sectors: U32,
    /// Most segments of a write-zeroes request ([`F_WRITE_ZEROES`]).
    pub max_write_zeroes_seg: U32,
    /// Whether write-zeroes may unmap ([`F_WRITE_ZEROES`]).
    pub write_zeroes_may_unmap: u8,
    /// Unused.
    pub unused1: [u8; 3],
    /// Most sectors of a secure-erase segment ([`F_SECURE_ERASE`]).
    pub max_secure_erase_sectors: U32,
    /// Most segments of a secure-erase request ([`F_SECURE_ERASE`]).
    pub max_secure_erase_seg: U32,
    /// Alignment of a secure erase in sectors ([`F_SECURE_ERASE`]).
    pub secure_erase_sector_alignment: U32,
    /// Sectors of a zone ([`F_ZONED`]).
    pub zone_sectors: U32,
    /// Most open zones, 0 for any number ([`F_ZONED`]).
    pub max_open_zones: U32,
    /// Most active zones, 0 for any number ([`F_ZONED`]).
    pub max_active_zones: U32,
    /// Most sectors of a zone append ([`F_ZONED`]).
    pub max_append_sectors: U32,
    /// Alignment of writes to sequential zones in bytes ([`F_ZONED`]).
    pub write_granularity: U32,
    /// [`ZoneModel`] ([`F_ZONED`]).
    pub zone_model: u8,
    /// Unused.
    pub unused2: [u8; 3],
}
assert_layout!(Config, 96, {
    capacity: 0, size_max: 8, seg_max: 12, cylinders: 16, heads: 18, sectors: 19, blk_size: 20, physical_block_exp: 24,
    alignment_offset: 25, min_io_size: 26, opt_io_size: 28, writeback: 32, unused0: 33, num_queues: 34,
    max_discard_sectors: 36, max_discard_seg: 40, discard_sector_alignment: 44, max_write_zeroes_sectors: 48,
    max_write_zeroes_seg: 52, write_zeroes_may_unmap: 56, unused1: 57, max_secure_erase_sectors: 60,
    max_secure_erase_seg: 64, secure_erase_sector_alignment: 68, zone_sectors: 72, max_open_zones: 76,
    max_active_zones: 80, max_append_sectors: 84, write_granularity: 88, zone_model: 92, unused2: 93,
});

/// `VIRTIO_BLK_Z_*`: how the disk is zoned; open, as a device may write anything. // Virtio 1.3 §5.2.4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ZoneModel(pub u8);

impl ZoneModel {
    /// Not zoned, as far as the driver can tell.
    pub const NONE: Self = Self(0);
    /// Some zones take sequential writes only.
    pub const HOST_MANAGED: Self = Self(1);
    /// Takes all writes; sequential ones are faster.
    pub const HOST_AWARE: Self = Self(2);
}

/// `VIRTIO_BLK_T_*`: what a request asks for; open, as devices may know more. // Virtio 1.3 §5.2.6
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct RequestType(pub u32);

impl RequestType {
    /// Read sectors.
    pub const IN: Self = Self(0);
    /// Write sectors.
    pub const OUT: Self = Self(1);
    /// Commit the write cache.
    pub const FLUSH: Self = Self(4);
    /// Read the identifier, [`ID_LEN`] bytes.
    pub const GET_ID: Self = Self(8);
    /// Read the wear.
    pub const GET_LIFETIME: Self = Self(10);
    /// Discard ranges.
    pub const DISCARD: Self = Self(11);
    /// Zero ranges.
    pub const WRITE_ZEROES: Self = Self(13);
    /// Erase ranges beyond recovery.
    pub const SECURE_ERASE: Self = Self(14);
}

/// The device-readable head of `struct virtio_blk_req`. // Virtio 1.3 §5.2.6
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RequestHeader {
    /// [`RequestType`].
    pub request_type: U32,
    /// Zero.
    pub reserved: U32,
    /// First sector of 512 bytes; 0 when the request has none.
    pub sector: U64,
}
assert_layout!(RequestHeader, 16, { request_type: 0, reserved: 4, sector: 8 });

impl RequestHeader {
    /// A header for `request_type` at `sector` (512-byte units; 0 for requests that have none).
    #[must_use]
    pub const fn new(request_type: RequestType, sector: u64) -> Self {
        Self {
            request_type: U32::new(request_type.0),
            reserved: U32::ZERO,
            sector: U64::new(sector),
        }
    }
}

/// `VIRTIO_BLK_S_*`: the byte the device writes last; open, as a device may write anything. // Virtio 1.3 §5.2.6
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct RequestStatus(pub u8);

impl RequestStatus {
    /// Success.
    pub const OK: Self = Self(0);
    /// Device or driver error.
    pub const IOERR: Self = Self(1);
    /// The device does not know the request.
    pub const UNSUPP: Self = Self(2);
}

/// `struct virtio_blk_discard_write_zeroes`. // Virtio 1.3 §5.2.6
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DiscardWriteZeroes {
    /// First sector of 512 bytes.
    pub sector: U64,
    /// Number of sectors.
    pub num_sectors: U32,
    /// Bit 0: write-zeroes may unmap.
    pub flags: U32,
}
assert_layout!(DiscardWriteZeroes, 16, { sector: 0, num_sectors: 8, flags: 12 });

impl DiscardWriteZeroes {
    /// A segment; `unmap` only for [`RequestType::WRITE_ZEROES`]. // Virtio 1.3 §5.2.6.1
    #[must_use]
    pub fn new(sector: u64, num_sectors: u32, unmap: bool) -> Self {
        Self {
            sector: U64::new(sector),
            num_sectors: U32::new(num_sectors),
            flags: U32::new(u32::from(unmap)),
        }
    }
}

/// `struct virtio_blk_lifetime`, the answer to [`RequestType::GET_LIFETIME`]. // Virtio 1.3 §5.2.6
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Lifetime {
    /// How much of the reserve is used up: 1 under 80 %, 2 80 %, 3 90 %; 0 not known.
    pub pre_eol_info: U16,
    /// Wear of SLC cells in tenths, 1 to 10; 11 when worn out; 0 not known.
    pub device_lifetime_est_typ_a: U16,
    /// Wear of MLC cells, likewise.
    pub device_lifetime_est_typ_b: U16,
}
assert_layout!(Lifetime, 6, { pre_eol_info: 0, device_lifetime_est_typ_a: 2, device_lifetime_est_typ_b: 4 });
