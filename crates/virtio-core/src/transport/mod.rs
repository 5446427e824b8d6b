//! Reaching a device over PCI: find it, negotiate with it, give it queues, notify it, stop it. // Virtio 1.3 §3.1, §4.1
//!
//! ```text
//!   Interface::find ─► Transport::new ─► reset ─► DeviceStopped ─► acknowledge ─► accept ─► enable_queue… ─► driver_ok
//!                                          ▲            │                                                      │
//!                                          └── failure ─┴─► Queue::drain, Queue::into_memory ◄─ QueueStopped ◄─ reset_queue
//!                                                                                                  └─► enable_queue_again
//! ```
//!
//! [`Interface::find`] prefers the modern interface; a device that has only the legacy one is driven by the same methods.
//! What differs: a legacy device has 32 feature bits and no VERSION_1, its queues have the one size that it says
//! ([`Transport::queue_size`] gives it), their rings start on a page below 16 TiB ([`crate::ring::Layout::align`]), and no
//! queue can be reset alone.
//!
//! Set-up goes through registers that select what others show, so one caller at a time may use it; [`Transport::ring`],
//! [`Transport::isr`] and [`Transport::status`] need no selection and may be used from anywhere. Steps out of their order
//! are refused ([`TransportError::OutOfOrder`]).
//!
//! Only the two resets wait, each up to a deadline that the caller sets: a device may take its time to stop. All other
//! registers have to show at once what was written to them, and are read back once.
//!
//! # Example
//!
//! Bringing up a block device with one queue; `map` is the platform's way to map registers, `dma` its way to lend memory.
//!
//! ```
//! use core::mem::offset_of;
//! use virtio_core::{Clock, mem::Dma, mmio::Registers, spec::blk, spec::features::Features};
//! use virtio_core::ring::{Queue, QueueMemory};
//! use virtio_core::transport::{Doorbell, Interface, Location, Transport, TransportError};
//!
//! const RESET_TIMEOUT_US: u64 = 1_000_000;
//!
//! fn start<'m, R: Registers>(
//!     interface: &Interface,
//!     map: impl FnMut(Location) -> Option<R>,
//!     clock: &impl Clock,
//!     dma: &impl Dma,
//!     memory: impl FnOnce(u16, Features) -> QueueMemory<'m, u32>,
//! ) -> Result<(Transport<R>, Queue<'m, u32>, Doorbell), TransportError> {
//!     let device = Transport::new(interface, dma, map)?;
//!     let stopped = device.reset(clock, RESET_TIMEOUT_US)?;
//!     let known = Features::IMPLEMENTED | blk::F_FLUSH;
//!     let features = device.acknowledge(stopped)? & known;
//!     let capacity = device.read_config(|config| config.u64(offset_of!(blk::Config, capacity)));
//!     assert!(capacity.is_ok(), "a real driver refuses the device");
//!     device.accept(features).inspect_err(|_| device.fail())?;
//!     let size = device.queue_size(0, 128)?;
//!     let queue = Queue::new(size, features, memory(size, features)).expect("memory made to measure");
//!     let doorbell = device.enable_queue(0, &queue, Some(1))?;
//!     device.driver_ok()?;
//!     Ok((device, queue, doorbell))
//! }
//! ```
#![forbid(unsafe_code)]

mod capability;
mod config;
mod doorbell;
mod error;
mod interface;
#[cfg(feature = "legacy")]
mod legacy;
mod modern;
mod progress;
mod stopped;
#[cfg(test)]
mod tests;
mod wait;

pub use config::ConfigView;
pub use doorbell::Doorbell;
pub use error::{CapabilityError, ConfigError, TransportError};
pub use interface::{CONFIG_LEN, Interface, LegacyLocation, Location, Locations, Msix};
#[cfg(feature = "legacy")]
pub use legacy::Legacy;
pub use modern::Modern;
pub use stopped::{ConfigSpace, DeviceStopped, How, QueueStopped, Stopped, stop_bus_mastering};

use crate::Clock;
use crate::mem::Dma;
use crate::mmio::Registers;
use crate::ring::{Kick, Queue};
use crate::spec::features::Features;
use crate::spec::pci::{Isr, MSI_MAX_VECTOR, Status};
use progress::{Phase, StatusRegister};

/// Features that change how ring and device understand each other.
const RING_FEATURES: Features = Features::VERSION_1
    .union(Features::RING_PACKED)
    .union(Features::IN_ORDER)
    .union(Features::EVENT_IDX)
    .union(Features::INDIRECT_DESC)
    .union(Features::ORDER_PLATFORM);

/// A device's registers, of either interface.
#[derive(Debug)]
#[non_exhaustive]
pub enum Transport<R> {
    /// A device that follows version 1 of the specification, over PCI.
    Modern(Modern<R>),
    /// A device that follows a version before it. With the crate's feature `legacy`: a driver without it carries none of the code.
    #[cfg(feature = "legacy")]
    Legacy(Legacy<R>),
}

/// Does the same on either interface.
macro_rules! on {
    ($self:expr, $transport:ident => $what:expr) => {
        match $self {
            Transport::Modern($transport) => $what,
            #[cfg(feature = "legacy")]
            Transport::Legacy($transport) => $what,
        }
    };
}

impl<R: Registers> Transport<R> {
    /// Maps the registers of a device. The device itself is not touched.
    ///
    /// `dma` is what the device will be given memory by. Where it translates addresses, the device has to offer
    /// ACCESS_PLATFORM; where the addresses are not the platform's, it is neither shown nor accepted (§6.1). `map` maps `len` bytes
    /// at `offset` of a BAR, which for the legacy interface is an I/O BAR.
    ///
    /// # Errors
    ///
    /// [`TransportError::Map`] when `map` gives nothing, or a window of another length; [`TransportError::NotModern`] for a
    /// legacy interface without the crate's feature `legacy`.
    pub fn new(
        interface: &Interface,
        dma: &impl Dma,
        map: impl FnMut(Location) -> Option<R>,
    ) -> Result<Self, TransportError> {
        match interface {
            Interface::Modern(locations) => Self::modern(locations, dma, map),
            #[cfg(feature = "legacy")]
            Interface::Legacy(location) => {
                Legacy::new(location, dma.translates(), map).map(Self::Legacy)
            }
            #[cfg(not(feature = "legacy"))]
            Interface::Legacy(_) => Err(TransportError::NotModern),
        }
    }

    /// Maps the structures of a modern device; as [`Transport::new`].
    ///
    /// # Errors
    ///
    /// [`TransportError::Map`].
    pub fn modern(
        locations: &Locations,
        dma: &impl Dma,
        map: impl FnMut(Location) -> Option<R>,
    ) -> Result<Self, TransportError> {
        Modern::new(locations, dma, map).map(Self::Modern)
    }

    /// Whether the device is driven by the legacy interface.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        !matches!(self, Self::Modern(_))
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
        on!(self, transport => transport.reset(clock, timeout_us))
    }

    /// Goes on waiting for a reset that took longer than its deadline, without another one.
    ///
    /// # Errors
    ///
    /// As [`Transport::reset`]; [`TransportError::OutOfOrder`] if the device has been set up since.
    pub fn wait_for_reset(
        &self,
        clock: &impl Clock,
        timeout_us: u64,
    ) -> Result<DeviceStopped, TransportError> {
        on!(self, transport => transport.wait_for_reset(clock, timeout_us))
    }

    /// Steps 2, 3 and the first half of 4: tells the device that it has a driver, and reads which features it offers.
    ///
    /// ACCESS_PLATFORM is shown only to a driver whose addresses are the platform's. Device configuration may
    /// be read from here on, to decide what to accept. // Virtio 1.3 §3.1.1
    ///
    /// # Errors
    ///
    /// [`TransportError`] says what is wrong with the device's status, or that it is gone.
    pub fn acknowledge(&self, stopped: DeviceStopped) -> Result<Features, TransportError> {
        on!(self, transport => transport.acknowledge(&stopped))
    }

    /// The second half of step 4, and steps 5 and 6: accepts features, and checks that the device agrees.
    ///
    /// The legacy interface has no steps 5 and 6; ANY_LAYOUT is accepted there whenever it is offered. // Virtio 1.3 §6.3
    ///
    /// # Errors
    ///
    /// [`TransportError`] says which features are not offered, not implemented here (see [`Features::IMPLEMENTED`]), or
    /// refused; the driver then calls [`Transport::fail`].
    pub fn accept(&self, features: Features) -> Result<(), TransportError> {
        on!(self, transport => transport.accept(features))
    }

    /// Reads device configuration as one consistent snapshot. // Virtio 1.3 §2.5.1
    ///
    /// `read` is called again when the device changed its configuration meanwhile, up to a bound; on a legacy device, which
    /// does not tell, until two calls give the same (§2.5.4). A field that depends on a feature may only be read when the
    /// feature is offered.
    ///
    /// # Errors
    ///
    /// What `read` returns, [`ConfigError::Unstable`] or [`ConfigError::DeviceGone`].
    pub fn read_config<V: PartialEq>(
        &self,
        read: impl Fn(&ConfigView<'_, R>) -> Result<V, ConfigError>,
    ) -> Result<V, ConfigError> {
        on!(self, transport => transport.read_config(read))
    }

    /// Writes an 8-bit field of the device configuration; from [`Transport::accept`] on.
    ///
    /// There is one call for each width, as each field takes accesses of its own width only. // Virtio 1.3 §4.1.3.1
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`] or [`ConfigError::TooEarly`].
    pub fn write_config_u8(&self, offset: usize, value: u8) -> Result<(), ConfigError> {
        self.writable_config()?.write_u8(offset, value)
    }

    /// Writes a 16-bit field of the device configuration; as [`Transport::write_config_u8`].
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`] or [`ConfigError::TooEarly`].
    pub fn write_config_u16(&self, offset: usize, value: u16) -> Result<(), ConfigError> {
        self.writable_config()?.write_u16(offset, value)
    }

    /// Writes a 32-bit field of the device configuration, or one half of a 64-bit field; as [`Transport::write_config_u8`].
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`] or [`ConfigError::TooEarly`].
    pub fn write_config_u32(&self, offset: usize, value: u32) -> Result<(), ConfigError> {
        self.writable_config()?.write_u32(offset, value)
    }

    /// Number of queues that the device has. // Virtio 1.3 §4.1.4.3
    ///
    /// It is what the device says: whether a queue is there, only [`Transport::queue_max_size`] shows. A legacy device does
    /// not say it, so that up to 1024 queues are looked for.
    ///
    /// # Errors
    ///
    /// [`TransportError::DeviceGone`].
    pub fn queue_count(&self) -> Result<u16, TransportError> {
        on!(self, transport => transport.queue_count())
    }

    /// Largest size of a queue, in descriptors, for the negotiated ring format. // Virtio 1.3 §4.1.5.1.3
    ///
    /// A driver may set up a smaller one, except on a legacy device: see [`Transport::queue_size`].
    ///
    /// # Errors
    ///
    /// [`TransportError::NoQueue`], [`TransportError::QueueSize`] or [`TransportError::DeviceGone`].
    pub fn queue_max_size(&self, queue: u16) -> Result<u16, TransportError> {
        on!(self, transport => transport.queue_max_size(queue))
    }

    /// The size to set a queue up with, in descriptors, when the driver has room for `most`.
    ///
    /// The largest that is not larger than `most` and that the negotiated ring format can have; on a legacy device the only
    /// one that there is. // Virtio 1.3 §4.1.5.1.3.1
    ///
    /// # Errors
    ///
    /// As [`Transport::queue_max_size`], and [`TransportError::QueueSizeRefused`] when there is none.
    pub fn queue_size(&self, queue: u16, most: u16) -> Result<u16, TransportError> {
        let device = self.queue_max_size(queue)?;
        let features = on!(self, transport => transport.progress().features());
        let possible = match self {
            #[cfg(feature = "legacy")]
            Self::Legacy(_) if device > most => 0,
            _ if features.contains(Features::RING_PACKED) => device.min(most),
            // A power of two. // Virtio 1.3 §2.7
            _ => match device.min(most).checked_ilog2() {
                Some(bits) => 1 << bits,
                None => 0,
            },
        };
        match possible {
            0 => Err(TransportError::QueueSizeRefused {
                queue,
                size: most,
                device,
            }),
            size => Ok(size),
        }
    }

    /// Maps configuration changes to an MSI-X vector, or to none. // Virtio 1.3 §4.1.5.1.2
    ///
    /// # Errors
    ///
    /// [`TransportError::NoSuchVector`] or [`TransportError::VectorRefused`].
    pub fn set_config_vector(&self, vector: Option<u16>) -> Result<(), TransportError> {
        on!(self, transport => transport.set_config_vector(vector))
    }

    /// Step 7, for one queue: gives the device its ring and its MSI-X vector, and enables it. // Virtio 1.3 §4.1.5.1.3
    ///
    /// Step 7 lies between [`Transport::accept`] and [`Transport::driver_ok`].
    ///
    /// # Errors
    ///
    /// [`TransportError`] says what the device did not take, or why the ring does not fit; the queue is then not to be used.
    pub fn enable_queue<T>(
        &self,
        index: u16,
        queue: &Queue<'_, T>,
        vector: Option<u16>,
    ) -> Result<Doorbell, TransportError> {
        self.give_ring(index, queue, vector, Phase::Negotiated)
    }

    /// Resets one queue and waits until it is. // Virtio 1.3 §2.6.1.1
    ///
    /// `queue` has to be the one that was enabled as `index`; the proof is for it alone, and lets it be drained while the
    /// others go on.
    ///
    /// # Errors
    ///
    /// [`TransportError::QueueResetTimeout`] after `timeout_us` microseconds: the device may still use the queue, and only
    /// [`Transport::reset`] helps. [`TransportError::NotNegotiated`] without RING_RESET, which a legacy device never has;
    /// [`TransportError::QueueNotEnabled`], [`TransportError::OutOfOrder`] or [`TransportError::DeviceGone`].
    pub fn reset_queue<T>(
        &self,
        index: u16,
        queue: &Queue<'_, T>,
        clock: &impl Clock,
        timeout_us: u64,
    ) -> Result<QueueStopped, TransportError> {
        let descriptor = queue.addresses().descriptor;
        match self {
            Self::Modern(transport) => transport.reset_queue(index, descriptor, clock, timeout_us),
            #[cfg(feature = "legacy")]
            Self::Legacy(_) => Err(TransportError::NotNegotiated(Features::RING_RESET)),
        }
    }

    /// Gives a queue that was reset a ring again, as [`Transport::enable_queue`] does. // Virtio 1.3 §2.6.1.2
    ///
    /// `queue` is a new one, perhaps of another size, in the same memory or elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Transport::enable_queue`]. The proof is gone all the same: what the device then has, only a reset tells.
    pub fn enable_queue_again<T>(
        &self,
        stopped: QueueStopped,
        queue: &Queue<'_, T>,
        vector: Option<u16>,
    ) -> Result<Doorbell, TransportError> {
        match self {
            Self::Modern(_) => self.give_ring(stopped.index(), queue, vector, Phase::Live),
            #[cfg(feature = "legacy")]
            Self::Legacy(_) => Err(TransportError::NotNegotiated(Features::RING_RESET)),
        }
    }

    /// Step 8: the device is live. // Virtio 1.3 §3.1.1
    ///
    /// # Errors
    ///
    /// [`TransportError::NeedsReset`], [`TransportError::StatusMismatch`] or [`TransportError::DeviceGone`].
    pub fn driver_ok(&self) -> Result<(), TransportError> {
        on!(self, transport => transport.driver_ok())
    }

    /// Tells the device that the driver has given up on it; a reset comes next. // Virtio 1.3 §2.1.1, §3.1.1
    pub fn fail(&self) {
        on!(self, transport => transport.fail());
    }

    /// Device status; [`Status::DEVICE_NEEDS_RESET`] is to be looked for after a configuration interrupt.
    ///
    /// # Errors
    ///
    /// [`TransportError::DeviceGone`].
    pub fn status(&self) -> Result<Status, TransportError> {
        on!(self, transport => transport.status())
    }

    /// Causes of a line interrupt, which reading them acknowledges. // Virtio 1.3 §4.1.4.5
    ///
    /// Empty when the interrupt was not this device's. Not to be called with MSI-X.
    ///
    /// # Errors
    ///
    /// [`TransportError::DeviceGone`].
    pub fn isr(&self) -> Result<Isr, TransportError> {
        on!(self, transport => transport.isr())
    }

    /// Notifies the device of what was published, if it wants to know: one register write. // Virtio 1.3 §4.1.5.2
    ///
    /// Call it without the queue's lock; a notification more or less late or often does no harm, except between a reset and
    /// [`Transport::driver_ok`], where the device must get none and this does nothing: a kick from before is kept for then.
    /// // Virtio 1.3 §3.1.1
    #[inline]
    pub fn ring(&self, doorbell: &Doorbell, kick: Kick) {
        if kick.needed() {
            on!(self, transport => if transport.progress().is_live() {
                doorbell.ring(transport.notify_registers(), kick.position());
            });
        }
    }

    /// Device configuration, once it may be written. // Virtio 1.3 §3.1.1 step 4
    fn writable_config(&self) -> Result<ConfigView<'_, R>, ConfigError> {
        on!(self, transport => match transport.progress().may_write_config() {
            true => Ok(transport.config()),
            false => Err(ConfigError::TooEarly),
        })
    }

    /// Enables a queue in this phase of the set-up, if its ring was made for the features that were negotiated.
    fn give_ring<T>(
        &self,
        index: u16,
        queue: &Queue<'_, T>,
        vector: Option<u16>,
        phase: Phase,
    ) -> Result<Doorbell, TransportError> {
        let progress = on!(self, transport => transport.progress());
        progress.expect(phase)?;
        let (size, addresses) = (queue.size(), queue.addresses());
        if (queue.features() ^ progress.features()).intersects(RING_FEATURES) {
            return Err(TransportError::RingMismatch {
                queue: index,
                address: addresses.descriptor.0,
            });
        }
        on!(self, transport => transport.enable_queue(index, size, addresses, vector))
    }
}

/// An error that names the features, if there are any.
fn none_of(
    features: Features,
    error: impl FnOnce(Features) -> TransportError,
) -> Result<(), TransportError> {
    if features.is_empty() {
        Ok(())
    } else {
        Err(error(features))
    }
}

/// Refuses a vector that a table of `vectors` does not have. // Virtio 1.3 §4.1.5.1.2.2
fn check_vector(vector: u16, vectors: u16) -> Result<(), TransportError> {
    if vector < vectors && vector <= MSI_MAX_VECTOR {
        Ok(())
    } else {
        Err(TransportError::NoSuchVector { vector, vectors })
    }
}
