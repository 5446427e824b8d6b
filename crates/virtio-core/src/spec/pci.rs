//! Virtio over PCI: capabilities and the common configuration. // Virtio 1.3 §4.1
#![forbid(unsafe_code)]

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::assert_layout;

/// PCI vendor id of every virtio device. // Virtio 1.3 §4.1.2
pub const VENDOR_ID: u16 = 0x1af4;
/// `VIRTIO_MSI_NO_VECTOR`: no MSI-X vector is mapped. // Virtio 1.3 §4.1.5.1.2
pub const MSI_NO_VECTOR: u16 = 0xffff;
/// PCI capability id of a vendor-specific capability, which all of virtio's are. // Virtio 1.3 §4.1.4
pub const CAP_ID_VENDOR: u8 = 0x09;
/// PCI capability id of MSI-X. // PCI 3.0 §6.8.2
pub const CAP_ID_MSIX: u8 = 0x11;
/// Largest MSI-X vector that an event can be mapped to. // Virtio 1.3 §4.1.5.1.2
pub const MSI_MAX_VECTOR: u16 = 0x7ff;

/// `VIRTIO_PCI_CAP_*_CFG` in `cfg_type`. // Virtio 1.3 §4.1.4
pub mod cfg_type {
    /// Common configuration.
    pub const COMMON: u8 = 1;
    /// Notifications.
    pub const NOTIFY: u8 = 2;
    /// ISR status.
    pub const ISR: u8 = 3;
    /// Device-specific configuration.
    pub const DEVICE: u8 = 4;
    /// Access to BARs through configuration space.
    pub const PCI: u8 = 5;
    /// Shared memory region.
    pub const SHARED_MEMORY: u8 = 8;
    /// Vendor-specific data.
    pub const VENDOR: u8 = 9;
}

/// `struct virtio_pci_cap`. // Virtio 1.3 §4.1.4
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Cap {
    /// [`CAP_ID_VENDOR`].
    pub cap_vndr: u8,
    /// Offset of the next capability in configuration space.
    pub cap_next: u8,
    /// Length of this capability in bytes, extra data included.
    pub cap_len: u8,
    /// [`cfg_type`].
    pub cfg_type: u8,
    /// BAR number, 0 to 5.
    pub bar: u8,
    /// Tells apart several capabilities of one type.
    pub id: u8,
    /// Padding.
    pub padding: [u8; 2],
    /// Offset in the BAR, in bytes.
    pub offset: U32,
    /// Length of the structure, in bytes.
    pub length: U32,
}
assert_layout!(Cap, 16, { cap_vndr: 0, cap_next: 1, cap_len: 2, cfg_type: 3, bar: 4, id: 5, padding: 6, offset: 8, length: 12 });

/// `struct virtio_pci_notify_cap`. // Virtio 1.3 §4.1.4.4
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NotifyCap {
    /// The common part.
    pub cap: Cap,
    /// Multiplier for `queue_notify_off`, in bytes.
    pub notify_off_multiplier: U32,
}
assert_layout!(NotifyCap, 20, { cap: 0, notify_off_multiplier: 16 });

/// `struct virtio_pci_common_cfg`; 64-bit fields are two dwords, as they have to be accessed. // Virtio 1.3 §4.1.4.3
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct CommonCfg {
    /// Which 32 bits `device_feature` shows.
    pub device_feature_select: U32,
    /// Features the device offers.
    pub device_feature: U32,
    /// Which 32 bits `driver_feature` holds.
    pub driver_feature_select: U32,
    /// Features the driver accepts.
    pub driver_feature: U32,
    /// MSI-X vector of configuration changes.
    pub config_msix_vector: U16,
    /// Number of queues.
    pub num_queues: U16,
    /// [`Status`].
    pub device_status: u8,
    /// Changes when the device configuration does.
    pub config_generation: u8,
    /// Which queue the fields below are about.
    pub queue_select: U16,
    /// Number of descriptors; 0 when there is no such queue.
    pub queue_size: U16,
    /// MSI-X vector of the queue.
    pub queue_msix_vector: U16,
    /// 1 when the queue works.
    pub queue_enable: U16,
    /// Where to notify, in units of the notify capability's multiplier.
    pub queue_notify_off: U16,
    /// Device address of the descriptor area, low and high.
    pub queue_desc: [U32; 2],
    /// Device address of the driver area, low and high.
    pub queue_driver: [U32; 2],
    /// Device address of the device area, low and high.
    pub queue_device: [U32; 2],
    /// With NOTIF_CONFIG_DATA: what to write to notify.
    pub queue_notif_config_data: U16,
    /// With RING_RESET: resets the queue.
    pub queue_reset: U16,
    /// With ADMIN_VQ: first administration queue.
    pub admin_queue_index: U16,
    /// With ADMIN_VQ: number of administration queues.
    pub admin_queue_num: U16,
}
assert_layout!(CommonCfg, 64, {
    device_feature_select: 0, device_feature: 4, driver_feature_select: 8, driver_feature: 12, config_msix_vector: 16,
    num_queues: 18, device_status: 20, config_generation: 21, queue_select: 22, queue_size: 24, queue_msix_vector: 26,
    queue_enable: 28, queue_notify_off: 30, queue_desc: 32, queue_driver: 40, queue_device: 48,
    queue_notif_config_data: 56, queue_reset: 58, admin_queue_index: 60, admin_queue_num: 62,
});

/// The registers of a legacy device in BAR 0, with MSI-X enabled. // Virtio 1.3 §4.1.4.10
///
/// Without MSI-X the last two do not exist, and the device configuration begins where they are.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LegacyCfg {
    /// Features 0 to 31 that the device offers.
    pub device_features: U32,
    /// Features 0 to 31 that the driver accepts.
    pub driver_features: U32,
    /// Physical address of the selected queue's ring, in units of [`LEGACY_QUEUE_ALIGN`]; 0 when it has none.
    pub queue_address: U32,
    /// Number of descriptors; 0 when there is no such queue.
    pub queue_size: U16,
    /// Which queue `queue_address`, `queue_size` and `queue_msix_vector` are about.
    pub queue_select: U16,
    /// Index of the queue that the device is to look at.
    pub queue_notify: U16,
    /// [`Status`].
    pub device_status: u8,
    /// [`Isr`].
    pub isr: u8,
    /// MSI-X vector of configuration changes.
    pub config_msix_vector: U16,
    /// MSI-X vector of the selected queue.
    pub queue_msix_vector: U16,
}
assert_layout!(LegacyCfg, 24, {
    device_features: 0, driver_features: 4, queue_address: 8, queue_size: 12, queue_select: 14, queue_notify: 16,
    device_status: 18, isr: 19, config_msix_vector: 20, queue_msix_vector: 22,
});
/// Bytes before a legacy device's configuration while MSI-X is not enabled. // Virtio 1.3 §4.1.4.10
pub const LEGACY_HEADER_LEN: u32 = core::mem::offset_of!(LegacyCfg, config_msix_vector) as u32;
/// Bytes before a legacy device's configuration while MSI-X is enabled. // Virtio 1.3 §4.1.4.10
pub const LEGACY_MSIX_HEADER_LEN: u32 = size_of::<LegacyCfg>() as u32;
/// Alignment of a legacy ring, and unit of its address. // Virtio 1.3 §4.1.5.1.3.1
pub const LEGACY_QUEUE_ALIGN: u64 = 4096;

bitflags! {
    /// Device status. // Virtio 1.3 §2.1
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u8 {
        /// The guest has found the device.
        const ACKNOWLEDGE = 1;
        /// The guest can drive the device.
        const DRIVER = 2;
        /// The driver is set up.
        const DRIVER_OK = 4;
        /// Feature negotiation is complete.
        const FEATURES_OK = 8;
        /// The device has met an error that only a reset cures.
        const DEVICE_NEEDS_RESET = 64;
        /// The guest has given up on the device.
        const FAILED = 128;
        const _ = !0;
    }
}

bitflags! {
    /// ISR status, for line interrupts. // Virtio 1.3 §4.1.4.5
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Isr: u8 {
        /// A queue has used buffers.
        const QUEUE = 1;
        /// The device configuration has changed.
        const CONFIG = 2;
        const _ = !0;
    }
}
