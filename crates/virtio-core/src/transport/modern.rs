//! The modern virtio-pci interface: common configuration, notifications, ISR status, device configuration.
#![forbid(unsafe_code)]

use core::mem::offset_of;

use super::{
    ConfigError, ConfigView, DeviceStopped, Doorbell, How, Location, Locations, TransportError,
};
use crate::Clock;
use crate::mem::DeviceAddress;
use crate::mmio::Registers;
use crate::ring::RingAddresses;
use crate::spec::features::Features;
use crate::spec::pci::{CommonCfg, Isr, MSI_NO_VECTOR, Status};
use crate::spec::ring::MAX_QUEUE_SIZE;

/// First wait between two looks at a status that should become 0, in microseconds; it doubles up to the longest.
const RESET_POLL_FIRST_US: u32 = 10;
/// Longest wait between two looks, in microseconds.
const RESET_POLL_LONGEST_US: u32 = 1000;
/// How often a configuration snapshot is tried before the device is taken for broken.
const CONFIG_TRIES: u32 = 16;

/// Byte offset of a field of the common configuration.
macro_rules! at {
    ($field:ident) => {
        offset_of!(CommonCfg, $field)
    };
}

/// A modern device; used through [`super::Transport`].
#[derive(Debug)]
pub struct Modern<R> {
    common: R,
    notify: R,
    notify_off_multiplier: u32,
    isr: R,
    device: Option<R>,
}

impl<R: Registers> Modern<R> {
    pub(super) fn new(
        locations: &Locations,
        mut map: impl FnMut(Location) -> Option<R>,
    ) -> Result<Self, TransportError> {
        let mut map = |location: Location| match map(location) {
            Some(window) if window.len() == location.len as usize => Ok(window),
            _ => Err(TransportError::Map { location }),
        };
        Ok(Self {
            common: map(locations.common)?,
            notify: map(locations.notify)?,
            notify_off_multiplier: locations.notify_off_multiplier,
            isr: map(locations.isr)?,
            device: match locations.device {
                Some(location) => Some(map(location)?),
                None => None,
            },
        })
    }

    pub(super) fn reset(
        &self,
        clock: &impl Clock,
        timeout_us: u64,
    ) -> Result<DeviceStopped, TransportError> {
        // Virtio 1.3 §3.1.1 step 1.
        self.common.write8(at!(device_status), 0);
        let deadline = clock.now_us().saturating_add(timeout_us);
        let mut wait = RESET_POLL_FIRST_US;
        loop {
            // The clock comes first: a late look at the status after a long pause still counts.
            let late = clock.now_us() >= deadline;
            // Virtio 1.3 §2.4.2, §4.1.4.3.2: the reset is complete when the status reads 0.
            match self.common.read8(at!(device_status)) {
                0 => return Ok(DeviceStopped::new(How::Reset)),
                u8::MAX if self.gone() => return Ok(DeviceStopped::new(How::Gone)),
                status if late => return Err(TransportError::ResetTimeout { status, timeout_us }),
                _ => clock.wait_us(wait),
            }
            wait = wait.saturating_mul(2).min(RESET_POLL_LONGEST_US);
        }
    }

    pub(super) fn acknowledge(&self, stopped: DeviceStopped) -> Result<Features, TransportError> {
        if stopped.how() == How::Gone {
            return Err(TransportError::DeviceGone);
        }
        // Virtio 1.3 §3.1.1 steps 2 and 3.
        self.add_status(Status::ACKNOWLEDGE)?;
        self.add_status(Status::DRIVER)?;
        // Step 4, first half.
        let offered = self.offered();
        self.status()?;
        Ok(offered)
    }

    pub(super) fn accept(&self, features: Features) -> Result<(), TransportError> {
        let check = |excess: Features, error: fn(Features) -> TransportError| match excess {
            none if none.is_empty() => Ok(()),
            some => Err(error(some)),
        };
        // Virtio 1.3 §2.2.1: nothing that is not offered, nothing that is not supported.
        check(
            features.difference(self.offered()),
            TransportError::NotOffered,
        )?;
        check(
            (features & Features::RESERVED).difference(Features::IMPLEMENTED),
            TransportError::NotImplemented,
        )?;
        if !features.contains(Features::VERSION_1) {
            return Err(TransportError::NotModern);
        }
        // Virtio 1.3 §3.1.1 step 4, second half.
        for (select, half) in [
            (0, features.bits() as u32),
            (1, (features.bits() >> 32) as u32),
        ] {
            self.common.write32(at!(driver_feature_select), select);
            self.common.write32(at!(driver_feature), half);
        }
        // Steps 5 and 6.
        self.add_status(Status::FEATURES_OK)?;
        if !self.status()?.contains(Status::FEATURES_OK) {
            return Err(TransportError::FeaturesRefused(features));
        }
        Ok(())
    }

    pub(super) fn read_config<V>(
        &self,
        read: impl Fn(&ConfigView<'_, R>) -> Result<V, ConfigError>,
    ) -> Result<V, ConfigError> {
        let view = ConfigView::new(self.device.as_ref());
        // Virtio 1.3 §2.5.1; bounded, as a device may change its configuration for ever.
        for _ in 0..CONFIG_TRIES {
            let before = self.common.read8(at!(config_generation));
            let value = read(&view)?;
            let after = self.common.read8(at!(config_generation));
            if after == u8::MAX && self.gone() {
                return Err(ConfigError::DeviceGone);
            }
            if before == after {
                return Ok(value);
            }
        }
        Err(ConfigError::Unstable {
            tries: CONFIG_TRIES,
        })
    }

    pub(super) fn write_config_u8(&self, offset: usize, value: u8) -> Result<(), ConfigError> {
        ConfigView::new(self.device.as_ref()).write_u8(offset, value)
    }

    pub(super) fn queue_count(&self) -> Result<u16, TransportError> {
        match self.common.read16(at!(num_queues)) {
            u16::MAX if self.gone() => Err(TransportError::DeviceGone),
            count => Ok(count),
        }
    }

    pub(super) fn queue_max_size(&self, queue: u16) -> Result<u16, TransportError> {
        self.common.write16(at!(queue_select), queue);
        match self.common.read16(at!(queue_size)) {
            0 => Err(TransportError::NoQueue { queue }),
            u16::MAX if self.gone() => Err(TransportError::DeviceGone),
            // Virtio 1.3 §4.1.4.3.1: without RING_PACKED always a power of two.
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
        // Virtio 1.3 §4.1.5.1.3 steps 1 and 2.
        let max = self.queue_max_size(queue)?;
        if size > max {
            return Err(TransportError::QueueSizeRefused {
                queue,
                size,
                device: max,
            });
        }
        match self.common.read16(at!(queue_enable)) {
            0 => {}
            u16::MAX if self.gone() => return Err(TransportError::DeviceGone),
            _ => return Err(TransportError::QueueEnabled { queue }),
        }
        // Step 3.
        self.common.write16(at!(queue_size), size);
        let device = self.common.read16(at!(queue_size));
        if device != size {
            return Err(TransportError::QueueSizeRefused {
                queue,
                size,
                device,
            });
        }
        // Step 5; step 4 is the ring's own.
        self.set_vector(at!(queue_msix_vector), vector)?;
        let doorbell = self.doorbell(queue)?;
        self.write_address(at!(queue_desc), addresses.descriptor);
        self.write_address(at!(queue_driver), addresses.driver);
        self.write_address(at!(queue_device), addresses.device);
        // Virtio 1.3 §4.1.4.3.2: everything else comes before this.
        self.common.write16(at!(queue_enable), 1);
        Ok(doorbell)
    }

    pub(super) fn driver_ok(&self) -> Result<(), TransportError> {
        self.add_status(Status::DRIVER_OK)?;
        let status = self.status()?;
        if status.contains(Status::DEVICE_NEEDS_RESET) {
            return Err(TransportError::NeedsReset {
                status: status.bits(),
            });
        }
        Ok(())
    }

    pub(super) fn fail(&self) {
        // A device that is gone needs no telling.
        let _ = self.add_status(Status::FAILED);
    }

    pub(super) fn status(&self) -> Result<Status, TransportError> {
        match self.common.read8(at!(device_status)) {
            u8::MAX => Err(TransportError::DeviceGone),
            bits => Ok(Status::from_bits_retain(bits)),
        }
    }

    pub(super) fn isr(&self) -> Result<Isr, TransportError> {
        match self.isr.read8(0) {
            u8::MAX => Err(TransportError::DeviceGone),
            bits => Ok(Isr::from_bits_retain(bits)),
        }
    }

    #[inline]
    pub(super) fn notify(&self, doorbell: &Doorbell) {
        self.notify.write16(doorbell.offset, doorbell.value);
    }

    /// The features that the device offers now.
    fn offered(&self) -> Features {
        let half = |select| {
            self.common.write32(at!(device_feature_select), select);
            u64::from(self.common.read32(at!(device_feature)))
        };
        Features::from_bits_retain(half(0) | half(1) << 32)
    }

    /// Sets a status bit and clears none. // Virtio 1.3 §2.1.1
    fn add_status(&self, bit: Status) -> Result<(), TransportError> {
        let status = self.status()?.union(bit);
        self.common.write8(at!(device_status), status.bits());
        Ok(())
    }

    /// Maps an event to a vector, and checks that the device has done it. // Virtio 1.3 §4.1.5.1.2.2
    fn set_vector(&self, register: usize, vector: Option<u16>) -> Result<(), TransportError> {
        self.common
            .write16(register, vector.unwrap_or(MSI_NO_VECTOR));
        let Some(vector) = vector else {
            return Ok(());
        };
        match self.common.read16(register) {
            MSI_NO_VECTOR if self.gone() => Err(TransportError::DeviceGone),
            read if read == vector && read != MSI_NO_VECTOR => Ok(()),
            read => Err(TransportError::VectorRefused { vector, read }),
        }
    }

    /// Where the selected queue is notified. // Virtio 1.3 §4.1.4.4
    fn doorbell(&self, queue: u16) -> Result<Doorbell, TransportError> {
        let steps = u64::from(self.common.read16(at!(queue_notify_off)));
        let offset = steps.saturating_mul(u64::from(self.notify_off_multiplier));
        let len = self.notify.len();
        let end = offset.saturating_add(size_of::<u16>() as u64);
        match usize::try_from(offset) {
            Ok(offset) if end <= len as u64 => Ok(Doorbell {
                offset,
                value: queue,
            }),
            _ => Err(TransportError::NotifyOutside { queue, offset, len }),
        }
    }

    /// Writes a 64-bit address as two dwords. // Virtio 1.3 §4.1.3
    fn write_address(&self, register: usize, address: DeviceAddress) {
        let (low, high) = (address.0 as u32, (address.0 >> 32) as u32);
        self.common.write32(register, low);
        self.common.write32(register.wrapping_add(4), high);
    }

    /// Whether the device has been removed: no device shows all ones where only 0 or 1 was ever written.
    fn gone(&self) -> bool {
        self.common.read32(at!(device_feature_select)) == u32::MAX
    }
}
