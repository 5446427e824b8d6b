//! What the specification forbids the driver to do, and the device's own misuse of this crate.

use thiserror::Error;

use crate::Unreachable;

/// The driver broke a rule; the ring is not usable any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// Not a size that the format allows. // Virtio 1.3 §2.7, §2.8
    #[error("queue size {size} is not allowed")]
    Size {
        /// In descriptors.
        size: u16,
    },
    /// A part of the ring is not aligned as it has to be. // Virtio 1.3 §2.7.1, §2.8.11
    #[error("ring part at {address:#x} is not a multiple of {align}")]
    Misaligned {
        /// Device address.
        address: u64,
        /// Bytes.
        align: u64,
    },
    /// The ring did not start as zeros. // Virtio 1.3 §2.7.10.1, §2.8.13
    #[error("ring memory at {address:#x} is not zero at the start")]
    NotZero {
        /// Device address.
        address: u64,
    },
    /// An address that the device cannot reach.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// More was made available than the ring holds, or the index went back. // Virtio 1.3 §2.7.6.1, §2.8.17
    #[error("{available} made available with {outstanding} outstanding in a queue of {size}")]
    Overrun {
        /// Chains (split) or descriptors (packed) newly available.
        available: u16,
        /// Chains or descriptors that the device holds.
        outstanding: u16,
        /// Queue size.
        size: u16,
    },
    /// A head or next field names a descriptor that the table does not have. // Virtio 1.3 §2.7.5
    #[error("descriptor index {index} is outside the table")]
    IndexOutOfTable {
        /// What the driver wrote.
        index: u16,
    },
    /// A descriptor of a buffer that the device still holds was used again. // Virtio 1.3 §2.7.13.1, §2.8.16
    #[error("descriptor {index} belongs to a buffer in flight")]
    DescriptorInUse {
        /// Place in the table or ring.
        index: u16,
    },
    /// A descriptor or table was changed while the device had it. // Virtio 1.3 §2.8.16
    #[error("memory at {address:#x} was changed while the device had buffer {id}")]
    Changed {
        /// Device address of the descriptor.
        address: u64,
        /// The buffer that was used.
        id: u16,
    },
    /// A buffer id names a buffer in flight already. // Virtio 1.3 §2.8.21.1
    #[error("buffer id {id} is in flight already")]
    IdInUse {
        /// The id.
        id: u16,
    },
    /// Longer than the queue, or a loop. // Virtio 1.3 §2.7.5.3.1, §2.8.17
    #[error("buffer has more than {max} parts")]
    ChainTooLong {
        /// Queue size.
        max: u16,
    },
    /// A chain's first descriptor was available before a later one. // Virtio 1.3 §2.8.17
    #[error("descriptor {index} of a chain is not available though the first one is")]
    PartialChain {
        /// Place in the ring.
        index: u16,
    },
    /// Longer than 2³² bytes. // Virtio 1.3 §2.7.5.2
    #[error("buffer is longer than 4 GiB")]
    TooManyBytes,
    /// A part without bytes.
    #[error("buffer has a part of zero bytes")]
    EmptyPart,
    /// A readable part behind a writable one. // Virtio 1.3 §2.7.4.2, §2.8.17
    #[error("readable part behind a writable one")]
    ReadableAfterWritable,
    /// INDIRECT without the feature. // Virtio 1.3 §2.7.5.3.1, §2.8.19
    #[error("indirect descriptor, but INDIRECT_DESC was not negotiated")]
    IndirectNotNegotiated,
    /// INDIRECT together with NEXT, or in a list linked by NEXT. // Virtio 1.3 §2.7.5.3.1, §2.8.19
    #[error("indirect descriptor in a chain")]
    IndirectInChain,
    /// A table whose length is not that of descriptors. // Virtio 1.3 §2.7.5.3, §2.8.7
    #[error("indirect table of {len} bytes")]
    TableLength {
        /// Bytes.
        len: u32,
    },
    /// Flag bits that no descriptor of this kind may have. // Virtio 1.3 §2.7.5, §2.8.19
    #[error("descriptor flags {flags:#06x} have bits that are not allowed here")]
    Flags {
        /// As read.
        flags: u16,
    },
    /// Descriptors not in ring order with IN_ORDER. // Virtio 1.3 §2.7.5, §2.7.5.2, §2.7.5.3.1
    #[error("descriptor {found} where IN_ORDER asks for {expected}")]
    OutOfOrder {
        /// What the driver wrote.
        found: u16,
        /// The next in ring order.
        expected: u16,
    },
    /// The driver's wish for interrupts is none that it may express. // Virtio 1.3 §2.7.7.1, §2.8.14
    #[error("driver's event suppression of {words:?} is not allowed")]
    EventSuppression {
        /// The two words of the structure; of a split ring flags and used_event.
        words: [u16; 2],
    },
    /// The device itself uses a buffer that it does not hold, or out of order with IN_ORDER.
    #[error("this device must not use buffer {id} now")]
    NotHeld {
        /// What it was told to use.
        id: u16,
    },
}
