//! Numbers for what a device did wrong, as event-log entries show them. A number is never given a second meaning.
#![forbid(unsafe_code)]

// Not inlined: each is a table, asked for at many places and hardly ever.

use virtio_core::ring::QueueError;
use virtio_core::transport::{CapabilityError, ConfigError, TransportError};

/// Number of a broken capability list: 1 to 19.
#[inline(never)]
pub const fn capability(error: &CapabilityError) -> u32 {
    match error {
        CapabilityError::DeviceGone => 1,
        CapabilityError::BadPointer { .. } => 2,
        CapabilityError::Loop { .. } => 3,
        CapabilityError::TooShort { .. } => 4,
        CapabilityError::OutsideBar { .. } => 5,
        CapabilityError::Unusable { .. } => 6,
        CapabilityError::NotifyMultiplier { .. } => 7,
        CapabilityError::Missing { .. } => 8,
        CapabilityError::LegacyBar { .. } => 9,
    }
}

/// Number of a failure to bring the device up or down: 20 to 49.
#[inline(never)]
pub const fn transport(error: &TransportError) -> u32 {
    match error {
        TransportError::DeviceGone => 20,
        TransportError::Map { .. } => 21,
        TransportError::ResetTimeout { .. } => 22,
        TransportError::BusMasterStuck { .. } => 23,
        TransportError::NotOffered(_) => 24,
        TransportError::NotImplemented(_) => 25,
        TransportError::NotModern => 26,
        TransportError::FeaturesRefused(_) => 27,
        TransportError::NeedsReset { .. } => 28,
        TransportError::NoQueue { .. } => 29,
        TransportError::QueueSize { .. } => 30,
        TransportError::QueueSizeRefused { .. } => 31,
        TransportError::QueueEnabled { .. } => 32,
        TransportError::VectorRefused { .. } => 33,
        TransportError::NotifyOutside { .. } => 34,
        TransportError::OutOfOrder => 35,
        TransportError::StatusMismatch { .. } => 36,
        TransportError::NotNegotiated(_) => 37,
        TransportError::Untranslated => 38,
        TransportError::QueueNotEnabled { .. } => 39,
        TransportError::RingMismatch { .. } => 40,
        TransportError::AddressRefused { .. } => 41,
        TransportError::QueueResetTimeout { .. } => 42,
        TransportError::NoSuchVector { .. } => 43,
        TransportError::NotifyMisaligned { .. } => 44,
    }
}

/// Number of an unreadable device configuration: 50 to 59.
#[inline(never)]
pub const fn config(error: &ConfigError) -> u32 {
    match error {
        ConfigError::DeviceGone => 50,
        ConfigError::TooShort { .. } => 51,
        ConfigError::Unstable { .. } => 52,
        ConfigError::TooEarly => 53,
    }
}

/// The driver found its own memory not as it should be.
pub const MEMORY: u32 = 60;
/// A lock was held that should have been free.
pub const LOCKED: u32 = 61;
/// StorPort does not say how interrupts arrive.
pub const INTERRUPTS: u32 = 62;

/// Number of a violation of the ring protocol: 70 to 79.
#[inline(never)]
pub const fn queue(error: &QueueError) -> u32 {
    match error {
        QueueError::UsedIndexJump { .. } => 70,
        QueueError::IdOutOfRange { .. } => 71,
        QueueError::IdNotOutstanding { .. } => 72,
        QueueError::WrittenTooLong { .. } => 73,
        QueueError::Region => 74,
        QueueError::Drained => 75,
        QueueError::NothingInFlight { .. } => 76,
        QueueError::BatchTooLong { .. } => 77,
    }
}
