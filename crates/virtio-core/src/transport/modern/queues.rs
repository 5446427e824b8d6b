//! Queues of a modern device: sizes, vectors, addresses, reset. // Virtio 1.3 §4.1.4.3
#![forbid(unsafe_code)]

use core::mem::offset_of;
use core::ops::ControlFlow;

use super::{Modern, at};
use crate::Clock;
use crate::mem::DeviceAddress;
use crate::mmio::Registers;
use crate::ring::RingAddresses;
use crate::spec::features::Features;
use crate::spec::pci::{CommonCfg, MSI_NO_VECTOR};
use crate::spec::ring::MAX_QUEUE_SIZE;
use crate::transport::progress::{Phase, StatusRegister};
use crate::transport::wait::{Late, until};
use crate::transport::{Doorbell, Msix, QueueStopped, TransportError, check_vector};

impl<R: Registers> Modern<R> {
    pub(in crate::transport) fn queue_count(&self) -> Result<u16, TransportError> {
        match self.common.read16(at!(num_queues)) {
            u16::MAX if self.gone() => Err(TransportError::DeviceGone),
            count => Ok(count),
        }
    }

    pub(in crate::transport) fn queue_max_size(&self, queue: u16) -> Result<u16, TransportError> {
        self.common.write16(at!(queue_select), queue);
        let packed = self.progress.features().contains(Features::RING_PACKED);
        match self.common.read16(at!(queue_size)) {
            0 => Err(TransportError::NoQueue { queue }),
            u16::MAX if self.gone() => Err(TransportError::DeviceGone),
            // Virtio 1.3 §4.1.4.3.1: without RING_PACKED always a power of two.
            size if (packed || size.is_power_of_two()) && size <= MAX_QUEUE_SIZE => Ok(size),
            size => Err(TransportError::QueueSize { queue, size }),
        }
    }

    pub(in crate::transport) fn set_config_vector(
        &self,
        vector: Option<u16>,
    ) -> Result<(), TransportError> {
        self.set_vector(at!(config_msix_vector), vector)
    }

    pub(in crate::transport) fn enable_queue(
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

    pub(in crate::transport) fn reset_queue(
        &self,
        queue: u16,
        descriptor: DeviceAddress,
        clock: &impl Clock,
        timeout_us: u64,
    ) -> Result<QueueStopped, TransportError> {
        self.progress.expect(Phase::Live)?;
        super::super::none_of(
            Features::RING_RESET.difference(self.progress.features()),
            TransportError::NotNegotiated,
        )?;
        self.common.write16(at!(queue_select), queue);
        // The proof is about the ring that the device has, so it has to be the caller's.
        if self.common.read16(at!(queue_enable)) != 1
            || self.read_address(at!(queue_desc)) != descriptor
        {
            return Err(match self.gone() {
                true => TransportError::DeviceGone,
                false => TransportError::QueueNotEnabled { queue },
            });
        }
        // Virtio 1.3 §2.6.1.1.2, §4.1.4.3.2: done when reset and enable both read 0.
        self.common.write16(at!(queue_reset), 1);
        until(clock, timeout_us, |late| {
            let reset = self.common.read16(at!(queue_reset));
            let enable = self.common.read16(at!(queue_enable));
            match (reset, enable, late) {
                (0, 0, _) => ControlFlow::Break(Ok(QueueStopped::new(queue, descriptor))),
                (u16::MAX, u16::MAX, _) if self.gone() => {
                    ControlFlow::Break(Err(TransportError::DeviceGone))
                }
                (.., Late::No(early)) => ControlFlow::Continue(early),
                (.., Late::Yes) => ControlFlow::Break(Err(TransportError::QueueResetTimeout {
                    queue,
                    reset,
                    enable,
                    timeout_us,
                })),
            }
        })
    }

    /// Maps an event to a vector, and checks that the device has done it. // Virtio 1.3 §4.1.5.1.2.2
    fn set_vector(&self, register: usize, vector: Option<u16>) -> Result<(), TransportError> {
        if let Some(vector) = vector {
            check_vector(vector, self.msix.map_or(0, |Msix { vectors, .. }| vectors))?;
        }
        self.common
            .write16(register, vector.unwrap_or(MSI_NO_VECTOR));
        let Some(vector) = vector else {
            return Ok(());
        };
        match self.common.read16(register) {
            MSI_NO_VECTOR if self.gone() => Err(TransportError::DeviceGone),
            read if read == vector => Ok(()),
            read => Err(TransportError::VectorRefused { vector, read }),
        }
    }

    /// Where and with what the selected queue is notified. // Virtio 1.3 §4.1.4.4, §4.1.5.2
    fn doorbell(&self, queue: u16) -> Result<Doorbell, TransportError> {
        let features = self.progress.features();
        let wide = features.contains(Features::NOTIFICATION_DATA);
        let steps = u64::from(self.common.read16(at!(queue_notify_off)));
        let offset = steps.saturating_mul(u64::from(self.notify_off_multiplier));
        let width = Doorbell::width(wide);
        let len = self.notify.len();
        let at = match u32::try_from(offset) {
            Ok(at) if offset.saturating_add(width) <= len as u64 => at,
            _ => return Err(TransportError::NotifyOutside { queue, offset, len }),
        };
        // Virtio 1.3 §4.1.4.4.1: a misaligned write would not arrive.
        let start = u64::from(self.notify_start);
        if !start.saturating_add(offset).is_multiple_of(width) {
            return Err(TransportError::NotifyMisaligned { queue, offset });
        }
        let id = match features.contains(Features::NOTIF_CONFIG_DATA) {
            true => self.common.read16(at!(queue_notif_config_data)),
            false => queue,
        };
        Ok(Doorbell::new(at, id, wide))
    }

    /// Writes a 64-bit address as two dwords. // Virtio 1.3 §4.1.3
    fn write_address(&self, register: usize, address: DeviceAddress) {
        let (low, high) = (address.0 as u32, (address.0 >> 32) as u32);
        self.common.write32(register, low);
        self.common.write32(register.wrapping_add(4), high);
    }

    fn read_address(&self, register: usize) -> DeviceAddress {
        let low = u64::from(self.common.read32(register));
        let high = u64::from(self.common.read32(register.wrapping_add(4)));
        DeviceAddress(high << 32 | low)
    }
}
