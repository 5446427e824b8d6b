//! Reaching a device over PCI: find it, negotiate with it, give it queues, notify it, stop it. // Virtio 1.3 §3.1, §4.1
//!
//! ```text
//!   Locations::find ─► Transport::modern ─► reset ─► DeviceStopped ─► acknowledge ─► accept ─► enable_queue… ─► driver_ok
//!                                             ▲            │
//!                                             └── failure ─┴─► Queue::drain, Queue::into_memory
//! ```
//!
//! Set-up goes through registers that select what others show, so one caller at a time may use it; [`Transport::ring`],
//! [`Transport::isr`] and [`Transport::status`] are single accesses and may be used from anywhere.
//!
//! # Example
//!
//! Bringing up a block device with one queue; `map` is the platform's way to map registers.
//!
//! ```
//! use core::mem::offset_of;
//! use virtio_core::{Clock, mmio::Registers, spec::blk, spec::features::Features};
//! use virtio_core::ring::{Queue, QueueMemory};
//! use virtio_core::transport::{Doorbell, Location, Locations, Transport, TransportError};
//!
//! const RESET_TIMEOUT_US: u64 = 1_000_000;
//!
//! fn start<'m, R: Registers>(
//!     locations: &Locations,
//!     map: impl FnMut(Location) -> Option<R>,
//!     clock: &impl Clock,
//!     memory: impl FnOnce(u16, Features) -> QueueMemory<'m, u32>,
//! ) -> Result<(Transport<R>, Queue<'m, u32>, Doorbell), TransportError> {
//!     let device = Transport::modern(locations, map)?;
//!     let stopped = device.reset(clock, RESET_TIMEOUT_US)?;
//!     let known = Features::VERSION_1 | Features::EVENT_IDX | Features::INDIRECT_DESC | blk::F_FLUSH;
//!     let features = device.acknowledge(stopped)? & known;
//!     let capacity = device.read_config(|config| config.u64(offset_of!(blk::Config, capacity)));
//!     assert!(capacity.is_ok(), "a real driver refuses the device");
//!     device.accept(features).inspect_err(|_| device.fail())?;
//!     let size = device.queue_max_size(0)?.min(128);
//!     let queue = Queue::new(size, features, memory(size, features)).expect("memory made to measure");
//!     let doorbell = device.enable_queue(0, &queue, Some(1))?;
//!     device.driver_ok()?;
//!     Ok((device, queue, doorbell))
//! }
//! ```
#![forbid(unsafe_code)]

mod capability;
mod config;
mod error;
mod modern;
mod stopped;
#[cfg(test)]
mod tests;

pub use capability::{CONFIG_LEN, Location, Locations};
pub use config::ConfigView;
pub use error::{CapabilityError, ConfigError, TransportError};
pub use modern::Modern;
pub use stopped::{ConfigSpace, DeviceStopped, How, stop_bus_mastering};

use crate::Clock;
use crate::mmio::Registers;
use crate::ring::{Kick, Queue};
use crate::spec::features::Features;
use crate::spec::pci::{Isr, Status};

/// Where and with what to notify the device of one queue. // Virtio 1.3 §4.1.5.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// In the notify structure, in bytes; checked against its length.
    offset: usize,
    /// What to write.
    value: u16,
}

/// A device's registers, of any kind.
#[derive(Debug)]
#[non_exhaustive]
pub enum Transport<R> {
    /// A device that follows version 1 of the specification, over PCI.
    Modern(Modern<R>),
}

impl<R: Registers> Transport<R> {
    /// Maps the structures of a modern device.
    ///
    /// `map` maps `len` bytes at `offset` of a BAR. The device itself is not touched.
    ///
    /// # Errors
    ///
    /// [`TransportError::Map`] when `map` gives nothing, or a window of another length.
    pub fn modern(
        locations: &Locations,
        map: impl FnMut(Location) -> Option<R>,
    ) -> Result<Self, TransportError> {
        Modern::new(locations, map).map(Self::Modern)
    }

    /// Step 1: resets the device and waits until it is. // Virtio 1.3 §3.1.1, §2.4
    ///
    /// A device that is gone is stopped as well: [`DeviceStopped::how`] tells.
    ///
    /// # Errors
    ///
    /// [`TransportError::ResetTimeout`] after `timeout_us` microseconds: the device may still write to memory, and only
    /// [`stop_bus_mastering`] helps.
    pub fn reset(
        &self,
        clock: &impl Clock,
        timeout_us: u64,
    ) -> Result<DeviceStopped, TransportError> {
        let Self::Modern(transport) = self;
        transport.reset(clock, timeout_us)
    }

    /// Steps 2, 3 and the first half of 4: tells the device that it has a driver, and reads which features it offers.
    ///
    /// Device configuration may be read from here on, to decide what to accept. // Virtio 1.3 §3.1.1
    ///
    /// # Errors
    ///
    /// [`TransportError::DeviceGone`].
    pub fn acknowledge(&self, stopped: DeviceStopped) -> Result<Features, TransportError> {
        let Self::Modern(transport) = self;
        transport.acknowledge(stopped)
    }

    /// The second half of step 4, and steps 5 and 6: accepts features, and checks that the device agrees.
    ///
    /// # Errors
    ///
    /// [`TransportError`] says which features are not offered, not implemented here (see [`Features::IMPLEMENTED`]), or
    /// refused; the driver then calls [`Transport::fail`].
    pub fn accept(&self, features: Features) -> Result<(), TransportError> {
        let Self::Modern(transport) = self;
        transport.accept(features)
    }

    /// Reads device configuration as one consistent snapshot. // Virtio 1.3 §2.5.1
    ///
    /// `read` is called again when the device changed its configuration meanwhile, up to a bound. A field that depends
    /// on a feature may only be read when the feature is offered.
    ///
    /// # Errors
    ///
    /// What `read` returns, [`ConfigError::Unstable`] or [`ConfigError::DeviceGone`].
    pub fn read_config<V>(
        &self,
        read: impl Fn(&ConfigView<'_, R>) -> Result<V, ConfigError>,
    ) -> Result<V, ConfigError> {
        let Self::Modern(transport) = self;
        transport.read_config(read)
    }

    /// Writes an 8-bit field of the device configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn write_config_u8(&self, offset: usize, value: u8) -> Result<(), ConfigError> {
        let Self::Modern(transport) = self;
        transport.write_config_u8(offset, value)
    }

    /// Number of queues that the device has. // Virtio 1.3 §4.1.4.3
    ///
    /// # Errors
    ///
    /// [`TransportError::DeviceGone`].
    pub fn queue_count(&self) -> Result<u16, TransportError> {
        let Self::Modern(transport) = self;
        transport.queue_count()
    }

    /// Largest size of a queue, in descriptors; a driver may set up a smaller one. // Virtio 1.3 §4.1.5.1.3
    ///
    /// # Errors
    ///
    /// [`TransportError::NoQueue`], [`TransportError::QueueSize`] or [`TransportError::DeviceGone`].
    pub fn queue_max_size(&self, queue: u16) -> Result<u16, TransportError> {
        let Self::Modern(transport) = self;
        transport.queue_max_size(queue)
    }

    /// Maps configuration changes to an MSI-X vector, or to none. // Virtio 1.3 §4.1.5.1.2
    ///
    /// # Errors
    ///
    /// [`TransportError::VectorRefused`].
    pub fn set_config_vector(&self, vector: Option<u16>) -> Result<(), TransportError> {
        let Self::Modern(transport) = self;
        transport.set_config_vector(vector)
    }

    /// Step 7, for one queue: gives the device its ring and its MSI-X vector, and enables it. // Virtio 1.3 §4.1.5.1.3
    ///
    /// Step 7 lies between [`Transport::accept`] and [`Transport::driver_ok`].
    ///
    /// # Errors
    ///
    /// [`TransportError`] says what the device did not take; the queue is then not enabled.
    pub fn enable_queue<T>(
        &self,
        index: u16,
        queue: &Queue<'_, T>,
        vector: Option<u16>,
    ) -> Result<Doorbell, TransportError> {
        let Self::Modern(transport) = self;
        transport.enable_queue(index, queue.size(), queue.addresses(), vector)
    }

    /// Step 8: the device is live. // Virtio 1.3 §3.1.1
    ///
    /// # Errors
    ///
    /// [`TransportError::NeedsReset`] or [`TransportError::DeviceGone`].
    pub fn driver_ok(&self) -> Result<(), TransportError> {
        let Self::Modern(transport) = self;
        transport.driver_ok()
    }

    /// Tells the device that the driver has given up on it; a reset comes next. // Virtio 1.3 §2.1.1, §3.1.1
    pub fn fail(&self) {
        let Self::Modern(transport) = self;
        transport.fail();
    }

    /// Device status; [`Status::DEVICE_NEEDS_RESET`] is to be looked for after a configuration interrupt.
    ///
    /// # Errors
    ///
    /// [`TransportError::DeviceGone`].
    pub fn status(&self) -> Result<Status, TransportError> {
        let Self::Modern(transport) = self;
        transport.status()
    }

    /// Reads and acknowledges the cause of a line interrupt. // Virtio 1.3 §4.1.4.5
    ///
    /// Empty when the interrupt was not this device's. Not to be called with MSI-X.
    ///
    /// # Errors
    ///
    /// [`TransportError::DeviceGone`].
    pub fn isr(&self) -> Result<Isr, TransportError> {
        let Self::Modern(transport) = self;
        transport.isr()
    }

    /// Notifies the device of what was published, if it wants to know: one register write. // Virtio 1.3 §4.1.5.2
    ///
    /// Call it without the queue's lock; a notification more or less late or often does no harm.
    #[inline]
    pub fn ring(&self, doorbell: &Doorbell, kick: Kick) {
        let Self::Modern(transport) = self;
        if kick.needed() {
            transport.notify(doorbell);
        }
    }
}
