//! The split virtqueue as it lies in memory. // Virtio 1.3 §2.7
#![forbid(unsafe_code)]

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::assert_layout;

/// Largest queue size of a split ring, in descriptors. // Virtio 1.3 §2.7
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
    /// `VIRTQ_DESC_F_*`. // Virtio 1.3 §2.7.5
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DescriptorFlags: u16 {
        /// The buffer goes on in the descriptor that `next` names.
        const NEXT = 1;
        /// The device writes the element; otherwise it reads it.
        const WRITE = 2;
        /// The element is a table of descriptors.
        const INDIRECT = 4;
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
