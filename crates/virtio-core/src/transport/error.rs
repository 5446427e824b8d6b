//! What can go wrong between the driver and a device's registers.
#![forbid(unsafe_code)]

use thiserror::Error;

use super::Location;
use crate::spec::features::Features;

/// The capability list does not describe a device that can be driven. // Virtio 1.3 §4.1.4
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CapabilityError {
    /// Configuration space reads all ones: there is no device.
    #[error("no PCI device: configuration space reads all ones")]
    DeviceGone,
    /// The list names an offset below the header's end, or a capability that does not fit into the 256 bytes.
    #[error("capability pointer {offset:#x} leads outside the capability area")]
    BadPointer {
        /// Offset in configuration space.
        offset: u8,
    },
    /// The list comes back to a capability that it has already passed.
    #[error("capability list loops back to {offset:#x}")]
    Loop {
        /// Offset in configuration space.
        offset: u8,
    },
    /// A virtio capability is shorter than its type demands.
    #[error(
        "capability of type {cfg_type} at {offset:#x} has {cap_len} bytes, too few for its type"
    )]
    TooShort {
        /// Offset in configuration space.
        offset: u8,
        /// [`crate::spec::pci::cfg_type`].
        cfg_type: u8,
        /// Length that it claims, in bytes.
        cap_len: u8,
    },
    /// A structure does not lie wholly inside its BAR.
    #[error("structure of type {cfg_type} does not fit BAR of {bar_len} bytes: {location:?}")]
    OutsideBar {
        /// [`crate::spec::pci::cfg_type`].
        cfg_type: u8,
        /// Where it claims to lie.
        location: Location,
        /// Length of the BAR in bytes.
        bar_len: u64,
    },
    /// A structure is shorter than its fields, or not aligned as they need.
    #[error("structure of type {cfg_type} is too small or misaligned: {location:?}")]
    Unusable {
        /// [`crate::spec::pci::cfg_type`].
        cfg_type: u8,
        /// Where it lies.
        location: Location,
    },
    /// `notify_off_multiplier` is neither 0 nor an even power of two. // Virtio 1.3 §4.1.4.4.1
    #[error("notify multiplier {multiplier} is neither 0 nor an even power of two")]
    NotifyMultiplier {
        /// What the device says, in bytes.
        multiplier: u32,
    },
    /// There is no usable structure of a type that every modern device has; a legacy device has none at all.
    #[error("no usable capability of type {cfg_type}: not a modern virtio device")]
    Missing {
        /// [`crate::spec::pci::cfg_type`].
        cfg_type: u8,
    },
    /// A device without virtio capabilities has no I/O BAR 0 that the driver can use. // Virtio 1.3 §4.1.4.10
    #[error("legacy device without a usable I/O BAR 0: its length is {len:?}")]
    LegacyBar {
        /// Length of BAR 0 in bytes, if it is for I/O ports and the driver can use it.
        len: Option<u64>,
    },
}

/// The device could not be brought where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransportError {
    /// Registers read all ones: the device has been removed.
    #[error("the device is gone: its registers read all ones")]
    DeviceGone,
    /// The platform could not map a structure.
    #[error("could not map {location:?}")]
    Map {
        /// Where it lies.
        location: Location,
    },
    /// The status did not become 0 in time. // Virtio 1.3 §2.4.2
    #[error("device still had status {status:#x} {timeout_us} µs after its reset was asked for")]
    ResetTimeout {
        /// Device status at the end.
        status: u8,
        /// How long it was waited for, in microseconds.
        timeout_us: u64,
    },
    /// Bus mastering stayed on although it was switched off.
    #[error("bus mastering stayed on: PCI command register reads {command:#x}")]
    BusMasterStuck {
        /// PCI command register.
        command: u16,
    },
    /// The call does not belong here: set-up has an order, and what needs a live device has to wait. // Virtio 1.3 §3.1.1
    #[error("out of order: the device has not come so far, or is past it")]
    OutOfOrder,
    /// The device's status is not what the driver has set. // Virtio 1.3 §2.1, §3.1.1
    #[error("device status reads {status:#x}, the driver set {set:#x}")]
    StatusMismatch {
        /// Device status.
        status: u8,
        /// Bits that the driver has set since the reset.
        set: u8,
    },
    /// Features were to be accepted that the device does not offer. // Virtio 1.3 §2.2.1
    #[error("features {0:?} are not offered by the device")]
    NotOffered(Features),
    /// Features were to be accepted that this crate does not implement.
    #[error("features {0:?} are not implemented by the driver's rings or transport")]
    NotImplemented(Features),
    /// VERSION_1 was not accepted or is not offered: the device is a legacy one. // Virtio 1.3 §6.1
    #[error("VERSION_1 is not accepted: the modern interface cannot be used without it")]
    NotModern,
    /// The call needs features that were not negotiated.
    #[error("features {0:?} were not negotiated")]
    NotNegotiated(Features),
    /// Addresses are translated for the device, but it does not say that it uses translated ones. // Virtio 1.3 §6.1
    #[error("ACCESS_PLATFORM is not accepted, but addresses are translated for the device")]
    Untranslated,
    /// The device refused the accepted features. // Virtio 1.3 §3.1.1 step 6
    #[error("device refused features {0:?}")]
    FeaturesRefused(Features),
    /// The device asks for a reset. // Virtio 1.3 §2.1.1
    #[error("device needs a reset, its status is {status:#x}")]
    NeedsReset {
        /// Device status.
        status: u8,
    },
    /// There is no such queue.
    #[error("queue {queue} does not exist: its size reads 0")]
    NoQueue {
        /// Queue index.
        queue: u16,
    },
    /// The device's queue size is over 32768 or, with a split ring, not a power of two. // Virtio 1.3 §4.1.4.3.1
    #[error("queue {queue} has the impossible size {size}")]
    QueueSize {
        /// Queue index.
        queue: u16,
        /// What the device says, in descriptors.
        size: u16,
    },
    /// The queue is larger than the device takes, or the device did not take its size.
    #[error("queue {queue} cannot have {size} descriptors: the device says {device}")]
    QueueSizeRefused {
        /// Queue index.
        queue: u16,
        /// Asked for, in descriptors.
        size: u16,
        /// What the device says.
        device: u16,
    },
    /// The queue is already enabled; only a reset disables it.
    #[error("queue {queue} is already enabled")]
    QueueEnabled {
        /// Queue index.
        queue: u16,
    },
    /// The queue is not enabled, or the device has another ring for it.
    #[error("queue {queue} is not the one that the device has enabled")]
    QueueNotEnabled {
        /// Queue index.
        queue: u16,
    },
    /// The ring was set up for other features, or lies where the device cannot find it.
    #[error("ring of queue {queue} at {address:#x} does not fit the negotiated interface")]
    RingMismatch {
        /// Queue index.
        queue: u16,
        /// Device address of its descriptor area.
        address: u64,
    },
    /// A legacy device did not take the ring's address. // Virtio 1.3 §4.1.4.10
    #[error("device did not take address {address:#x} for queue {queue}: it reads back {read:#x}")]
    AddressRefused {
        /// Queue index.
        queue: u16,
        /// In units of 4096 bytes.
        address: u32,
        /// What was read back.
        read: u32,
    },
    /// The queue was not reset in time. // Virtio 1.3 §4.1.4.3.2
    #[error(
        "queue {queue} still had reset {reset} and enable {enable} {timeout_us} µs after its reset was asked for"
    )]
    QueueResetTimeout {
        /// Queue index.
        queue: u16,
        /// `queue_reset` at the end.
        reset: u16,
        /// `queue_enable` at the end.
        enable: u16,
        /// How long it was waited for, in microseconds.
        timeout_us: u64,
    },
    /// The device has no such MSI-X vector. // Virtio 1.3 §4.1.5.1.2.2
    #[error("there is no MSI-X vector {vector}: the table has {vectors}")]
    NoSuchVector {
        /// Asked for.
        vector: u16,
        /// Entries of the device's table; 0 if MSI-X is not there or, of a legacy device, not enabled.
        vectors: u16,
    },
    /// The device did not map the MSI-X vector. // Virtio 1.3 §4.1.5.1.2.2
    #[error("device did not take MSI-X vector {vector}: it reads back {read:#x}")]
    VectorRefused {
        /// Asked for.
        vector: u16,
        /// What was read back.
        read: u16,
    },
    /// The queue's notify address lies outside the notify structure. // Virtio 1.3 §4.1.4.4.1
    #[error("queue {queue} is notified at offset {offset}, outside the structure of {len} bytes")]
    NotifyOutside {
        /// Queue index.
        queue: u16,
        /// In the notify structure, in bytes.
        offset: u64,
        /// Length of the structure in bytes.
        len: usize,
    },
    /// The queue's notify address is not aligned to the width of a notification. // Virtio 1.3 §4.1.4.4.1
    #[error("queue {queue} is notified at offset {offset}, which is not aligned")]
    NotifyMisaligned {
        /// Queue index.
        queue: u16,
        /// In the notify structure, in bytes.
        offset: u64,
    },
}

/// Device configuration could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The device has been removed.
    #[error("the device is gone: its registers read all ones")]
    DeviceGone,
    /// The device has no field there. // Virtio 1.3 §2.5.1
    #[error("device configuration of {len} bytes has no field of {width} bytes at offset {offset}")]
    TooShort {
        /// In the device configuration, in bytes.
        offset: usize,
        /// Width of the field in bytes.
        width: usize,
        /// Length of the device configuration in bytes; 0 if there is none.
        len: usize,
    },
    /// Before the features are negotiated, configuration may only be read. // Virtio 1.3 §3.1.1 step 4
    #[error("device configuration cannot be written before the features are negotiated")]
    TooEarly,
    /// The generation, or on a legacy device the value, changed during every try.
    #[error("device configuration did not stay the same during any of {tries} tries")]
    Unstable {
        /// How often it was tried.
        tries: u32,
    },
}
