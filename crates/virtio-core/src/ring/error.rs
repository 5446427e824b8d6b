//! What can go wrong with a queue: refusals that the driver can act on, and breakage by the device.
#![forbid(unsafe_code)]

use thiserror::Error;

/// A queue cannot be set up as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// Not from 1 to 32768, or not a power of two as a split ring needs. // Virtio 1.3 §2.7, §2.8
    #[error("queue size {size} is not from 1 to 32768, or no power of two for a split ring")]
    Size {
        /// Asked for, in descriptors.
        size: u16,
    },
    /// The legacy interface has neither packed nor in-order rings. // Virtio 1.3 §2.2.3
    #[error("packed and in-order rings need VERSION_1: do not accept these features without it")]
    Format,
    /// The ring memory is too small.
    #[error("ring memory of {len} bytes is too small: {needed} are needed")]
    RingTooSmall {
        /// Given, in bytes.
        len: usize,
        /// Needed, in bytes ([`super::Layout::len`]).
        needed: usize,
    },
    /// The ring memory does not start on a multiple of [`super::Layout::align`].
    #[error("ring memory is not aligned to {align} bytes")]
    RingMisaligned {
        /// Needed, in bytes.
        align: usize,
    },
    /// Fewer slots than descriptors.
    #[error("{len} slots are too few: {needed} are needed")]
    TooFewSlots {
        /// Given.
        len: usize,
        /// Needed: the queue size.
        needed: usize,
    },
    /// A slot still holds a token; a queue starts on empty slots.
    #[error("slot {index} still holds a token")]
    SlotInUse {
        /// The first such slot.
        index: usize,
    },
}

/// A chain was not added; the queue is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddError {
    /// There is no room now; there will be when buffers have been used.
    #[error("no room in the queue now")]
    Full,
    /// The chain has more parts than the queue has descriptors, and never fits. // Virtio 1.3 §2.7.5.3.1, §2.8.17
    #[error("chain of {parts} parts is longer than {max}, the queue size")]
    ChainTooLong {
        /// Parts of the chain.
        parts: usize,
        /// Queue size.
        max: u16,
    },
    /// The lent table is too short for the chain.
    #[error("chain of {parts} parts does not fit into a table of {entries} descriptors")]
    TableTooSmall {
        /// Parts of the chain.
        parts: usize,
        /// Descriptors that the table can hold.
        entries: usize,
    },
    /// The lent table does not start on a multiple of 8, for the processor or for the device.
    #[error("indirect table is not aligned to 8 bytes")]
    TableMisaligned,
    /// The chain has no part. // Virtio 1.3 §2.7.13.1
    #[error("chain has no parts")]
    EmptyChain,
    /// A part has no bytes: devices take that for an error of the driver.
    #[error("chain has a part of zero bytes")]
    EmptyPart,
    /// The chain is longer than 2³²−1 bytes. // Virtio 1.3 §2.7.5.2
    #[error("chain is longer than 4 GiB")]
    TooManyBytes,
    /// INDIRECT_DESC was not negotiated. // Virtio 1.3 §2.7.5.3.1, §2.8.19
    #[error("indirect descriptors were not negotiated")]
    IndirectNotNegotiated,
    /// The table was written for the other ring format.
    #[error("indirect table was written with other features than the queue's")]
    TableFormat,
    /// The queue is broken or has been drained.
    #[error("queue is closed: reset the device and set the queue up again")]
    Closed,
    /// The private state leads outside the slots; cannot happen, and is an error instead of a panic.
    #[error("private state of the queue is inconsistent")]
    Region,
}

/// A chain that was not added, with the token that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected<T> {
    /// The caller's token, handed back.
    pub token: T,
    /// Why.
    pub error: AddError,
}

/// The device broke the protocol. The first such violation closes the queue for good and is reported once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// The used index says that more buffers were used than are in flight.
    #[error("used index jumped to {used} from {last_used} with {in_flight} chains in flight")]
    UsedIndexJump {
        /// What the device wrote.
        used: u16,
        /// Position up to which the driver has taken used buffers.
        last_used: u16,
        /// Chains in flight.
        in_flight: u16,
    },
    /// A used element names a descriptor that the queue does not have.
    #[error("used id {id} is out of range for a queue of {size}")]
    IdOutOfRange {
        /// What the device wrote.
        id: u32,
        /// Queue size.
        size: u16,
    },
    /// A packed ring says that a buffer was used while the device has none.
    #[error("used descriptor with id {id}, but no buffer is in flight")]
    NothingInFlight {
        /// What the device wrote.
        id: u16,
    },
    /// A used element names a descriptor that is not the head of a published and outstanding chain, or a buffer id that
    /// is not one of such a chain.
    #[error("used id {id} is not the head of an outstanding chain")]
    IdNotOutstanding {
        /// What the device wrote.
        id: u16,
    },
    /// The device claims to have written more than it was given to write. // Virtio 1.3 §2.7.8
    #[error("device claims {written} bytes written to chain {id}, which has room for {writable}")]
    WrittenTooLong {
        /// Head of the chain, or its buffer id.
        id: u16,
        /// What the device wrote, in bytes.
        written: u32,
        /// Bytes that the chain offered.
        writable: u32,
    },
    /// The device promised to use buffers in order and then did not, or shows more of them than it says.
    ///
    /// // Virtio 1.3 §2.7.9, §2.8.8
    #[error("used id {id} completes {batch} chains in order, but only {limit} can be used")]
    BatchTooLong {
        /// What the device wrote.
        id: u16,
        /// Chains from the oldest up to that one.
        batch: u16,
        /// Chains that the used index or what was published allows.
        limit: u16,
    },
    /// The private state leads outside the slots; cannot happen, and is an error instead of a panic.
    #[error("private state of the queue is inconsistent")]
    Region,
    /// Not a fault: the queue was drained after the device had been stopped.
    #[error("queue has been drained")]
    Drained,
}
