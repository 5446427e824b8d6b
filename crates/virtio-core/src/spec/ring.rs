//! The split and the packed virtqueue as they lie in memory. // Virtio 1.3 §2.7, §2.8
#![forbid(unsafe_code)]

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::assert_layout;

/// Largest queue size, in descriptors. // Virtio 1.3 §2.7, §2.8
pub const MAX_QUEUE_SIZE: u16 = 32768;

/// `struct virtq_desc`: one element of a buffer. // Virtio 1.3 §2.7.5
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Descriptor {
    /// Device address of the element.
    pub addr: U64,
    /// Length in bytes.
    pub len: U32,
    /// [`DescriptorFlags`].
    pub flags: U16,
    /// Index of the next element, if [`DescriptorFlags::NEXT`] is set.
    pub next: U16,
}
assert_layout!(Descriptor, 16, { addr: 0, len: 8, flags: 12, next: 14 });

bitflags! {
    /// `VIRTQ_DESC_F_*`. // Virtio 1.3 §2.7.5, §2.8
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DescriptorFlags: u16 {
        /// The buffer goes on in the descriptor that `next` names.
        const NEXT = 1;
        /// The device writes the element; otherwise it reads it.
        const WRITE = 2;
        /// The element is a table of descriptors.
        const INDIRECT = 4;
        /// Packed ring: equals the driver's wrap counter when the descriptor is made available. // Virtio 1.3 §2.8.1
        const AVAIL = 1 << 7;
        /// Packed ring: equals the device's wrap counter when the descriptor is marked used. // Virtio 1.3 §2.8.1
        const USED = 1 << 15;
    }
}

/// `struct virtq_used_elem`: one buffer that the device has finished. // Virtio 1.3 §2.7.8
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct UsedElem {
    /// Index of the first descriptor of the chain.
    pub id: U32,
    /// Bytes that the device wrote.
    pub len: U32,
}
assert_layout!(UsedElem, 8, { id: 0, len: 4 });

/// `VIRTQ_AVAIL_F_NO_INTERRUPT`, in `flags` of the available ring. // Virtio 1.3 §2.7.6
pub const AVAIL_F_NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY`, in `flags` of the used ring. // Virtio 1.3 §2.7.8
pub const USED_F_NO_NOTIFY: u16 = 1;

/// `struct pvirtq_desc`: a descriptor of a packed ring or of its indirect tables. // Virtio 1.3 §2.8.13
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PackedDescriptor {
    /// Device address of the element; nothing in a used descriptor.
    pub addr: U64,
    /// Length in bytes; in a used descriptor the bytes that the device wrote.
    pub len: U32,
    /// Names the buffer.
    pub id: U16,
    /// [`DescriptorFlags`].
    pub flags: U16,
}
assert_layout!(PackedDescriptor, 16, { addr: 0, len: 8, id: 12, flags: 14 });

/// `struct pvirtq_event_suppress`. // Virtio 1.3 §2.8.14
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EventSuppress {
    /// Offset of a descriptor in bits 0 to 14, wrap counter in bit 15.
    pub desc: U16,
    /// `RING_EVENT_FLAGS_*` in bits 0 and 1, the others reserved.
    pub flags: U16,
}
assert_layout!(EventSuppress, 4, { desc: 0, flags: 2 });

/// `RING_EVENT_FLAGS_ENABLE`: notify of every buffer. // Virtio 1.3 §2.8.10
pub const RING_EVENT_FLAGS_ENABLE: u16 = 0;
/// `RING_EVENT_FLAGS_DISABLE`: do not notify. // Virtio 1.3 §2.8.10
pub const RING_EVENT_FLAGS_DISABLE: u16 = 1;
/// `RING_EVENT_FLAGS_DESC`: notify when the named descriptor is reached; only with EVENT_IDX. // Virtio 1.3 §2.8.10
pub const RING_EVENT_FLAGS_DESC: u16 = 2;
