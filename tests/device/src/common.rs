//! The common configuration structure of virtio-pci. // Virtio 1.3 §4.1.4.3

pub(crate) const DEVICE_FEATURE_SELECT: u64 = 0x00;
pub(crate) const DEVICE_FEATURE: u64 = 0x04;
pub(crate) const DRIVER_FEATURE_SELECT: u64 = 0x08;
pub(crate) const DRIVER_FEATURE: u64 = 0x0c;
pub(crate) const CONFIG_MSIX_VECTOR: u64 = 0x10;
pub(crate) const NUM_QUEUES: u64 = 0x12;
pub(crate) const DEVICE_STATUS: u64 = 0x14;
pub(crate) const CONFIG_GENERATION: u64 = 0x15;
pub(crate) const QUEUE_SELECT: u64 = 0x16;
pub(crate) const QUEUE_SIZE: u64 = 0x18;
pub(crate) const QUEUE_MSIX_VECTOR: u64 = 0x1a;
pub(crate) const QUEUE_ENABLE: u64 = 0x1c;
pub(crate) const QUEUE_NOTIFY_OFF: u64 = 0x1e;
pub(crate) const QUEUE_DESC: u64 = 0x20;
pub(crate) const QUEUE_DRIVER: u64 = 0x28;
pub(crate) const QUEUE_DEVICE: u64 = 0x30;
/// Bytes of the structure up to and including `queue_device`.
pub(crate) const LEN: u64 = 0x38;

// Device status. // Virtio 1.3 §2.1
pub(crate) const ACKNOWLEDGE: u8 = 1;
pub(crate) const DRIVER: u8 = 2;
pub(crate) const DRIVER_OK: u8 = 4;
pub(crate) const FEATURES_OK: u8 = 8;
pub(crate) const NEEDS_RESET: u8 = 64;
pub(crate) const FAILED: u8 = 128;

// Feature bits of every device. // Virtio 1.3 §6
pub(crate) const INDIRECT_DESC: u64 = 1 << 28;
pub(crate) const EVENT_IDX: u64 = 1 << 29;
pub(crate) const VERSION_1: u64 = 1 << 32;
pub(crate) const ACCESS_PLATFORM: u64 = 1 << 33;
pub(crate) const RING_PACKED: u64 = 1 << 34;
pub(crate) const IN_ORDER: u64 = 1 << 35;

/// Replaces `width` bytes at byte `offset` of `value`, as a partial register write does.
pub(crate) fn merge(value: u64, offset: u64, width: u8, new: u64) -> u64 {
    let shift = offset.min(7) * 8;
    let mask = crate::all_ones(width) << shift;
    value & !mask | new << shift & mask
}
