//! The modern virtio-pci interface: common configuration, notifications, ISR status, device configuration.
#![forbid(unsafe_code)]

mod queues;

use core::mem::offset_of;

use super::config::CONFIG_TRIES;
use super::progress::{Phase, Progress, StatusRegister};
use super::{ConfigError, ConfigView, DeviceStopped, Location, Locations, Msix, TransportError};
use crate::mem::Dma;
use crate::mmio::Registers;
use crate::spec::features::Features;
use crate::spec::pci::{CommonCfg, Isr, Status};

/// Byte offset of a field of the common configuration.
macro_rules! at {
    ($field:ident) => {
        offset_of!(CommonCfg, $field)
    };
}
use at;

/// A modern device; used through [`super::Transport`].
#[derive(Debug)]
pub struct Modern<R> {
    common: R,
    notify: R,
    notify_off_multiplier: u32,
    /// Offset of the notify structure in its BAR, whose alignment that of the BAR's start never falls below.
    notify_start: u32,
    isr: R,
    device: Option<R>,
    msix: Option<Msix>,
    /// Whether device addresses are translated by the platform.
    translated: bool,
    /// Whether they come from the platform's DMA interface.
    platforms: bool,
    progress: Progress,
}

impl<R: Registers> StatusRegister for Modern<R> {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn read_status(&self) -> u8 {
        self.common.read8(at!(device_status))
    }

    fn write_status(&self, value: u8) {
        self.common.write8(at!(device_status), value);
    }

    fn gone(&self) -> bool {
        // No device shows all ones where only 0 or 1 was ever written.
        self.common.read32(at!(device_feature_select)) == u32::MAX
    }
}

impl<R: Registers> Modern<R> {
    /// Status bits after step 3, and after step 5. // Virtio 1.3 §3.1.1
    const FOUND: Status = Status::ACKNOWLEDGE.union(Status::DRIVER);
    const AGREED: Status = Self::FOUND.union(Status::FEATURES_OK);

    pub(super) fn new(
        locations: &Locations,
        dma: &impl Dma,
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
            notify_start: locations.notify.offset,
            isr: map(locations.isr)?,
            device: match locations.device {
                Some(location) => Some(map(location)?),
                None => None,
            },
            msix: locations.msix,
            translated: dma.translates(),
            platforms: dma.is_platforms(),
            progress: Progress::new(),
        })
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
        // Virtio 1.3 §2.2.1: nothing that is not offered, nothing that is not supported.
        super::none_of(features.difference(offered), TransportError::NotOffered)?;
        super::none_of(
            (features & Features::RESERVED).difference(Features::IMPLEMENTED),
            TransportError::NotImplemented,
        )?;
        if !features.contains(Features::VERSION_1) {
            return Err(TransportError::NotModern);
        }
        if self.translated && !features.contains(Features::ACCESS_PLATFORM) {
            return Err(TransportError::Untranslated);
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
        self.add_status(Self::FOUND, Status::FEATURES_OK)
            .map_err(|error| match error {
                TransportError::StatusMismatch { status, set }
                    if set == Self::AGREED.bits() && status & set == Self::FOUND.bits() =>
                {
                    TransportError::FeaturesRefused(features)
                }
                error => error,
            })?;
        self.progress.negotiated(features);
        Ok(())
    }

    pub(super) fn driver_ok(&self) -> Result<(), TransportError> {
        self.set_driver_ok(Self::AGREED)
    }

    pub(super) fn read_config<V>(
        &self,
        read: impl Fn(&ConfigView<'_, R>) -> Result<V, ConfigError>,
    ) -> Result<V, ConfigError> {
        let view = self.config();
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

    pub(super) const fn config(&self) -> ConfigView<'_, R> {
        ConfigView::new(self.device.as_ref(), 0)
    }

    pub(super) fn isr(&self) -> Result<Isr, TransportError> {
        match self.isr.read8(0) {
            u8::MAX if self.gone() => Err(TransportError::DeviceGone),
            bits => Ok(Isr::from_bits_retain(bits)),
        }
    }

    pub(super) const fn notify_registers(&self) -> &R {
        &self.notify
    }

    /// The features that the device offers now and that can be meant: no feature whose register the device does not have,
    /// and ACCESS_PLATFORM only where addresses are the platform's.
    fn offered(&self) -> Features {
        let half = |select| {
            self.common.write32(at!(device_feature_select), select);
            u64::from(self.common.read32(at!(device_feature)))
        };
        let offered = Features::from_bits_retain(half(0) | half(1) << 32);
        let mut impossible = Features::empty();
        for (feature, register) in [
            (Features::NOTIF_CONFIG_DATA, at!(queue_notif_config_data)),
            (Features::RING_RESET, at!(queue_reset)),
        ] {
            if self.common.len() < register.wrapping_add(size_of::<u16>()) {
                impossible |= feature;
            }
        }
        if !self.platforms {
            impossible |= Features::ACCESS_PLATFORM;
        }
        offered.difference(impossible)
    }
}
