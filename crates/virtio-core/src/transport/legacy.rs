//! The legacy virtio-pci interface: a few registers in I/O space, and rings known by their page. // Virtio 1.3 §4.1.4.10
//!
//! Its registers are little-endian as all of PCI is; device configuration and rings have the guest's order, which on every
//! machine that this crate is for is little-endian as well.
#![forbid(unsafe_code)]

use core::mem::offset_of;

use super::config::CONFIG_TRIES;
use super::progress::{Phase, Progress, StatusRegister};
use super::{
    ConfigError, ConfigView, DeviceStopped, Doorbell, LegacyLocation, Location, Msix,
    TransportError, check_vector, none_of,
};
use crate::mmio::Registers;
use crate::ring::{Layout, RingAddresses};
use crate::spec::features::Features;
use crate::spec::pci::{
    Isr, LEGACY_HEADER_LEN, LEGACY_MSIX_HEADER_LEN, LEGACY_QUEUE_ALIGN, LegacyCfg, MSI_NO_VECTOR,
    Status,
};
use crate::spec::ring::MAX_QUEUE_SIZE;

#[cfg(target_endian = "big")]
compile_error!(
    "the legacy interface has the guest's byte order, and only little-endian is implemented: build without the feature `legacy`"
);

/// Queues that are looked for; the interface does not say how many there are.
const QUEUES_MOST: u16 = 1024;
/// Features of this crate that the legacy interface has as well. // Virtio 1.3 §6.3
const IMPLEMENTED: Features = Features::INDIRECT_DESC
    .union(Features::EVENT_IDX)
    .union(Features::ANY_LAYOUT);
/// Status bits after step 3. // Virtio 1.3 §3.1.2: there is no FEATURES_OK
const FOUND: Status = Status::ACKNOWLEDGE.union(Status::DRIVER);

/// Byte offset of a register.
macro_rules! at {
    ($field:ident) => {
        offset_of!(LegacyCfg, $field)
    };
}

/// A legacy device, or a transitional one by its legacy interface; used through [`super::Transport`].
#[derive(Debug)]
pub struct Legacy<R> {
    registers: R,
    /// Entries of the MSI-X table; 0 while MSI-X is not enabled.
    vectors: u16,
    /// Whether device addresses are translated by the platform.
    translated: bool,
    progress: Progress,
}

impl<R: Registers> StatusRegister for Legacy<R> {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn read_status(&self) -> u8 {
        self.registers.read8(at!(device_status))
    }

    fn write_status(&self, value: u8) {
        self.registers.write8(at!(device_status), value);
    }

    fn gone(&self) -> bool {
        // No driver selects queue 65535, and no device offers every feature, bit 30 among them. // Virtio 1.3 §6.3
        self.registers.read16(at!(queue_select)) == u16::MAX
            && self.registers.read32(at!(device_features)) == u32::MAX
    }
}

impl<R: Registers> Legacy<R> {
    pub(super) fn new(
        location: &LegacyLocation,
        translated: bool,
        mut map: impl FnMut(Location) -> Option<R>,
    ) -> Result<Self, TransportError> {
        let place = location.registers;
        match map(place) {
            Some(registers) if registers.len() == place.len as usize => Ok(Self {
                registers,
                vectors: match location.msix {
                    Some(Msix {
                        vectors,
                        enabled: true,
                    }) => vectors,
                    _ => 0,
                },
                translated,
                progress: Progress::new(),
            }),
            _ => Err(TransportError::Map { location: place }),
        }
    }

    pub(super) fn acknowledge(&self, stopped: &DeviceStopped) -> Result<Features, TransportError> {
        // Virtio 1.3 §3.1.1 steps 2 and 3.
        self.set_acknowledge_and_driver(stopped)?;
        // Step 4, first half.
        let offered = self.offered();
        self.status()?;
        Ok(offered)
    }

    pub(super) fn accept(&self, features: Features) -> Result<(), TransportError> {
        self.progress.expect(Phase::Acknowledged)?;
        let offered = self.offered();
        // Virtio 1.3 §2.2.1.
        none_of(features.difference(offered), TransportError::NotOffered)?;
        none_of(
            (features & Features::RESERVED).difference(IMPLEMENTED),
            TransportError::NotImplemented,
        )?;
        // Virtio 1.3 §6.1: ACCESS_PLATFORM is bit 33, so that a legacy device takes physical addresses only.
        if self.translated {
            return Err(TransportError::Untranslated);
        }
        // Virtio 1.3 §6.3: accepted wherever it is offered.
        let features = features | offered & Features::ANY_LAYOUT;
        // Step 4, second half. Virtio 1.3 §3.1.2: steps 5 and 6 do not exist.
        self.registers
            .write32(at!(driver_features), features.bits() as u32);
        self.progress.negotiated(features);
        Ok(())
    }

    pub(super) fn driver_ok(&self) -> Result<(), TransportError> {
        self.set_driver_ok(FOUND)
    }

    pub(super) fn read_config<V: PartialEq>(
        &self,
        read: impl Fn(&ConfigView<'_, R>) -> Result<V, ConfigError>,
    ) -> Result<V, ConfigError> {
        let view = self.config();
        // Virtio 1.3 §2.5.4: until two reads agree; bounded, as a device may change its configuration for ever.
        let mut last = None;
        for _ in 0..CONFIG_TRIES {
            let value = read(&view)?;
            if self.read_status() == u8::MAX && self.gone() {
                return Err(ConfigError::DeviceGone);
            }
            if last.as_ref() == Some(&value) {
                return Ok(value);
            }
            last = Some(value);
        }
        Err(ConfigError::Unstable {
            tries: CONFIG_TRIES,
        })
    }

    pub(super) const fn config(&self) -> ConfigView<'_, R> {
        // Virtio 1.3 §4.1.4.10: it moves when MSI-X is enabled.
        let start = match self.vectors {
            0 => LEGACY_HEADER_LEN,
            _ => LEGACY_MSIX_HEADER_LEN,
        };
        ConfigView::new(Some(&self.registers), start as usize)
    }

    pub(super) fn queue_count(&self) -> Result<u16, TransportError> {
        let mut count = 0;
        while count < QUEUES_MOST {
            self.registers.write16(at!(queue_select), count);
            // A device may ignore what it has no queue for, and still show another one.
            let selected = self.registers.read16(at!(queue_select));
            match self.registers.read16(at!(queue_size)) {
                u16::MAX if self.gone() => return Err(TransportError::DeviceGone),
                0 => break,
                _ if selected != count => break,
                _ => count = count.wrapping_add(1),
            }
        }
        Ok(count)
    }

    pub(super) fn queue_max_size(&self, queue: u16) -> Result<u16, TransportError> {
        self.registers.write16(at!(queue_select), queue);
        match self.registers.read16(at!(queue_size)) {
            0 => Err(TransportError::NoQueue { queue }),
            u16::MAX if self.gone() => Err(TransportError::DeviceGone),
            // Virtio 1.3 §2.7: a power of two.
            size if size.is_power_of_two() && size <= MAX_QUEUE_SIZE => Ok(size),
            size => Err(TransportError::QueueSize { queue, size }),
        }
    }

    pub(super) fn set_config_vector(&self, vector: Option<u16>) -> Result<(), TransportError> {
        self.set_vector(at!(config_msix_vector), vector)
    }

    pub(super) fn enable_queue(
        &self,
        queue: u16,
        size: u16,
        addresses: RingAddresses,
        vector: Option<u16>,
    ) -> Result<Doorbell, TransportError> {
        let device = self.queue_max_size(queue)?;
        // Virtio 1.3 §4.1.5.1.3.1: the size is the device's, and cannot be changed.
        if size != device {
            return Err(TransportError::QueueSizeRefused {
                queue,
                size,
                device,
            });
        }
        let address = page(size, addresses).ok_or(TransportError::RingMismatch {
            queue,
            address: addresses.descriptor.0,
        })?;
        match self.registers.read32(at!(queue_address)) {
            0 => {}
            u32::MAX if self.gone() => return Err(TransportError::DeviceGone),
            _ => return Err(TransportError::QueueEnabled { queue }),
        }
        self.set_vector(at!(queue_msix_vector), vector)?;
        // The device uses the queue as soon as it has the address, so that this comes last.
        self.registers.write32(at!(queue_address), address);
        let read = self.registers.read32(at!(queue_address));
        if read != address {
            return Err(TransportError::AddressRefused {
                queue,
                address,
                read,
            });
        }
        Ok(Doorbell::new(at!(queue_notify) as u32, queue, false))
    }

    pub(super) fn isr(&self) -> Result<Isr, TransportError> {
        match self.registers.read8(at!(isr)) {
            u8::MAX if self.gone() => Err(TransportError::DeviceGone),
            bits => Ok(Isr::from_bits_retain(bits)),
        }
    }

    pub(super) const fn notify_registers(&self) -> &R {
        &self.registers
    }

    /// The features that the device offers now. // Virtio 1.3 §4.1.4.10: only 0 to 31
    fn offered(&self) -> Features {
        Features::from_bits_retain(self.registers.read32(at!(device_features)).into())
    }

    /// Maps an event to a vector, and checks that the device has done it. // Virtio 1.3 §4.1.5.1.2.2
    fn set_vector(&self, register: usize, vector: Option<u16>) -> Result<(), TransportError> {
        match vector {
            Some(vector) => check_vector(vector, self.vectors)?,
            // Without MSI-X, device configuration lies where the vectors would be.
            None if self.vectors == 0 => return Ok(()),
            None => {}
        }
        self.registers
            .write16(register, vector.unwrap_or(MSI_NO_VECTOR));
        let Some(vector) = vector else {
            return Ok(());
        };
        match self.registers.read16(register) {
            MSI_NO_VECTOR if self.gone() => Err(TransportError::DeviceGone),
            read if read == vector => Ok(()),
            read => Err(TransportError::VectorRefused { vector, read }),
        }
    }
}

/// What tells the device where a ring lies: its page, if that has a number and the ring is laid out as the device assumes.
fn page(size: u16, addresses: RingAddresses) -> Option<u32> {
    let layout = Layout::legacy(size).ok()?;
    let start = addresses.descriptor;
    let laid_out = start.checked_add(layout.driver() as u64) == Some(addresses.driver)
        && start.checked_add(layout.device() as u64) == Some(addresses.device);
    let page = start.0.checked_div(LEGACY_QUEUE_ALIGN)?;
    // Page 0 would take the queue away. // Virtio 1.3 §4.1.4.10
    let aligned = start.0.is_multiple_of(LEGACY_QUEUE_ALIGN) && page != 0;
    u32::try_from(page).ok().filter(|_| laid_out && aligned)
}
