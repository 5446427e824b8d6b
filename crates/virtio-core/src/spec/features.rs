//! Feature bits: those that belong to every device, and the set type that the device types share.
#![forbid(unsafe_code)]

use bitflags::bitflags;

bitflags! {
    /// A set of feature bits 0 to 63. // Virtio 1.3 §2.2, §6
    ///
    /// Bits 0 to 23 and 50 up belong to the device type (for example [`super::blk::F_RO`]); a set holds any bit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        /// `VIRTIO_F_NOTIFY_ON_EMPTY`, legacy only: an interrupt at the last buffer, wanted or not. // Virtio 1.3 §6.3
        const NOTIFY_ON_EMPTY = 1 << 24;
        /// `VIRTIO_F_ANY_LAYOUT`, legacy only: the device does not care how a request is cut into parts. // Virtio 1.3 §6.3
        const ANY_LAYOUT = 1 << 27;
        /// `VIRTIO_F_INDIRECT_DESC`: chains may lie in a table outside the ring.
        const INDIRECT_DESC = 1 << 28;
        /// `VIRTIO_F_EVENT_IDX`: each side names the index at which it wants a notification.
        const EVENT_IDX = 1 << 29;
        /// `VIRTIO_F_VERSION_1`: not a legacy device.
        const VERSION_1 = 1 << 32;
        /// `VIRTIO_F_ACCESS_PLATFORM`: addresses are the platform's DMA addresses, not physical ones.
        const ACCESS_PLATFORM = 1 << 33;
        /// `VIRTIO_F_RING_PACKED`: packed ring layout.
        const RING_PACKED = 1 << 34;
        /// `VIRTIO_F_IN_ORDER`: buffers are used in the order in which they were made available.
        const IN_ORDER = 1 << 35;
        /// `VIRTIO_F_ORDER_PLATFORM`: memory is ordered as for a hardware device.
        const ORDER_PLATFORM = 1 << 36;
        /// `VIRTIO_F_SR_IOV`: the device has virtual functions.
        const SR_IOV = 1 << 37;
        /// `VIRTIO_F_NOTIFICATION_DATA`: a notification carries the ring position.
        const NOTIFICATION_DATA = 1 << 38;
        /// `VIRTIO_F_NOTIF_CONFIG_DATA`: the device chooses what identifies a queue in a notification.
        const NOTIF_CONFIG_DATA = 1 << 39;
        /// `VIRTIO_F_RING_RESET`: a queue can be reset alone.
        const RING_RESET = 1 << 40;
        /// `VIRTIO_F_ADMIN_VQ`: the device has administration queues.
        const ADMIN_VQ = 1 << 41;
        /// Every other bit: a device may offer any.
        const _ = !0;
    }
}

impl Features {
    /// The ring and transport bits that this crate implements; a driver accepts no other bit from 24 to 49.
    ///
    /// [`Features::ACCESS_PLATFORM`] is among them because this crate knows device addresses only; the transport shows it
    /// to drivers whose addresses are translated.
    pub const IMPLEMENTED: Self = Self::INDIRECT_DESC
        .union(Self::EVENT_IDX)
        .union(Self::VERSION_1)
        .union(Self::ACCESS_PLATFORM)
        .union(Self::RING_PACKED)
        .union(Self::IN_ORDER)
        .union(Self::ORDER_PLATFORM)
        .union(Self::NOTIFICATION_DATA)
        .union(Self::NOTIF_CONFIG_DATA)
        .union(Self::RING_RESET);

    /// The bits that are not the device type's own. // Virtio 1.3 §2.2: 24 to 41, and 42 to 49
    pub const RESERVED: Self = Self::from_bits_retain(((1 << 50) - 1) & !((1 << 24) - 1));
}
