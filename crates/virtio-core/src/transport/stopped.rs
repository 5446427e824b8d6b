//! The proofs that a device no longer touches memory, and the ways to get one.
#![forbid(unsafe_code)]

use super::TransportError;
use crate::mem::DeviceAddress;

/// A proof that the device has let go of queues: [`DeviceStopped`] of all, [`QueueStopped`] of one.
///
/// Only with one does a queue give up what the device had in flight ([`crate::ring::Queue::drain`]).
pub trait Stopped: sealed::Sealed {
    /// Whether the proof speaks of the queue whose descriptor area the device sees at `descriptor`.
    fn covers(&self, descriptor: DeviceAddress) -> bool;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::DeviceStopped {}
    impl Sealed for super::QueueStopped {}
}

/// The device has let go of every queue and buffer: it was reset, cut off from the bus, or removed.
///
/// A proof speaks of the device it was got from, and of that time: a driver of several keeps each with its device. Starting
/// the device again takes a proof away ([`super::Transport::acknowledge`]); a driver that has reset the device twice and
/// holds two gives both up before it goes on.
#[derive(Debug)]
#[must_use = "the device is stopped: drain the queues, then start it again or leave it"]
pub struct DeviceStopped {
    how: How,
}

/// Why the device is known to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its status reads 0. // Virtio 1.3 §2.4.1
    Reset,
    /// Bus mastering is off, and reads back as off.
    BusMasterOff,
    /// Its registers read all ones.
    Gone,
}

impl DeviceStopped {
    pub(super) const fn new(how: How) -> Self {
        Self { how }
    }

    /// Why the device is known to be stopped.
    #[must_use]
    pub const fn how(&self) -> How {
        self.how
    }
}

impl Stopped for DeviceStopped {
    fn covers(&self, _: DeviceAddress) -> bool {
        true
    }
}

/// The device has let go of one queue and its buffers: the queue was reset. // Virtio 1.3 §2.6.1
///
/// It is bound to the queue by the address of its ring, which no other queue of a device can have. Enabling the queue
/// again takes the proof away ([`super::Transport::enable_queue_again`]); after a reset of the whole device it says nothing
/// any more.
#[derive(Debug)]
#[must_use = "the queue is stopped: drain it, then enable it again or leave it"]
pub struct QueueStopped {
    index: u16,
    descriptor: DeviceAddress,
}

impl QueueStopped {
    pub(super) const fn new(index: u16, descriptor: DeviceAddress) -> Self {
        Self { index, descriptor }
    }

    /// Index of the queue.
    #[must_use]
    pub const fn index(&self) -> u16 {
        self.index
    }
}

impl Stopped for QueueStopped {
    fn covers(&self, descriptor: DeviceAddress) -> bool {
        self.descriptor == descriptor
    }
}

/// PCI configuration space of one function.
pub trait ConfigSpace {
    /// Reads 16 bits at an even offset; all ones when the device is gone.
    fn read16(&self, offset: u16) -> u16;
    /// Writes 16 bits at an even offset.
    fn write16(&self, offset: u16, value: u16);
}

/// Offset of the PCI command register; its bit 2 lets the device be bus master.
const PCI_COMMAND: u16 = 0x04;
const PCI_COMMAND_MASTER: u16 = 1 << 2;

/// Cuts the device off from memory, for when it does not finish a reset.
///
/// The device cannot be driven any more after this, unless the platform enables it anew and it then lets itself be reset.
///
/// # Errors
///
/// [`TransportError::BusMasterStuck`] when the bit reads back set: the device must then be taken for alive.
pub fn stop_bus_mastering(config: &impl ConfigSpace) -> Result<DeviceStopped, TransportError> {
    let command = config.read16(PCI_COMMAND);
    if command != u16::MAX {
        config.write16(PCI_COMMAND, command & !PCI_COMMAND_MASTER);
    }
    match config.read16(PCI_COMMAND) {
        u16::MAX => Ok(DeviceStopped::new(How::Gone)),
        command if command & PCI_COMMAND_MASTER == 0 => Ok(DeviceStopped::new(How::BusMasterOff)),
        command => Err(TransportError::BusMasterStuck { command }),
    }
}
