//! How far the set-up of a device has come, by what the driver did and not by what the device says.
#![forbid(unsafe_code)]

use core::ops::ControlFlow;

use super::wait::{Late, until};
use super::{DeviceStopped, How, TransportError};
use crate::Clock;
use crate::spec::features::Features;
use crate::spec::pci::Status;
use crate::sync::{AtomicU8, AtomicU32, Ordering};

/// The steps of the set-up after which something else is allowed. // Virtio 1.3 §3.1.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before step 2.
    Stopped,
    /// After step 3.
    Acknowledged,
    /// After step 6, or on a legacy device after step 4.
    Negotiated,
    /// After step 8.
    Live,
    /// Given up: nothing but a reset leads on.
    Failed,
}

/// What the driver did so far. One caller at a time sets a device up; anybody may look.
#[derive(Debug)]
pub(super) struct Progress {
    /// A [`Phase`] as number.
    phase: AtomicU8,
    /// Lower and upper half: not every processor has atomics of 64 bits.
    features: [AtomicU32; 2],
}

impl Progress {
    pub(super) const fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Stopped as u8),
            features: [const { AtomicU32::new(0) }; 2],
        }
    }

    // Relaxed everywhere: no memory is handed over by these words, and set-up is one caller's.

    /// Makes sure that the set-up stands after `phase`.
    pub(super) fn expect(&self, phase: Phase) -> Result<(), TransportError> {
        if self.phase.load(Ordering::Relaxed) == phase as u8 {
            Ok(())
        } else {
            Err(TransportError::OutOfOrder)
        }
    }

    /// Whether the device may be notified. // Virtio 1.3 §3.1.1
    #[inline(always)]
    pub(super) fn is_live(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Live as u8
    }

    /// Whether device configuration may be written. // Virtio 1.3 §3.1.1 step 4
    pub(super) fn may_write_config(&self) -> bool {
        let phase = self.phase.load(Ordering::Relaxed);
        phase == Phase::Negotiated as u8 || phase == Phase::Live as u8
    }

    /// What was negotiated; nothing before.
    pub(super) fn features(&self) -> Features {
        let [low, high] = &self.features;
        let half = |word: &AtomicU32| u64::from(word.load(Ordering::Relaxed));
        Features::from_bits_retain(half(high) << 32 | half(low))
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn negotiated(&self, features: Features) {
        let [low, high] = &self.features;
        low.store(features.bits() as u32, Ordering::Relaxed);
        high.store((features.bits() >> 32) as u32, Ordering::Relaxed);
        self.set(Phase::Negotiated);
    }
}

/// Status bits that only the driver sets. // Virtio 1.3 §2.1
const DRIVERS: Status = Status::ACKNOWLEDGE
    .union(Status::DRIVER)
    .union(Status::FEATURES_OK)
    .union(Status::DRIVER_OK)
    .union(Status::FAILED);

/// The device status register of a transport, and what is built on it.
pub(super) trait StatusRegister {
    fn progress(&self) -> &Progress;
    fn read_status(&self) -> u8;
    fn write_status(&self, value: u8);
    /// Whether the device has been removed; asked when a register has read all ones.
    fn gone(&self) -> bool;

    fn status(&self) -> Result<Status, TransportError> {
        match self.read_status() {
            u8::MAX if self.gone() => Err(TransportError::DeviceGone),
            bits => Ok(Status::from_bits_retain(bits)),
        }
    }

    /// Virtio 1.3 §3.1.1 step 1.
    fn reset(&self, clock: &impl Clock, timeout_us: u64) -> Result<DeviceStopped, TransportError> {
        // From here on nothing can be said to be set up, whether the device stops or not.
        self.progress().negotiated(Features::empty());
        self.progress().set(Phase::Stopped);
        self.write_status(0);
        self.wait_for_reset(clock, timeout_us)
    }

    /// The rest of that step. // Virtio 1.3 §2.4.2
    fn wait_for_reset(
        &self,
        clock: &impl Clock,
        timeout_us: u64,
    ) -> Result<DeviceStopped, TransportError> {
        self.progress().expect(Phase::Stopped)?;
        until(clock, timeout_us, |late| {
            // Virtio 1.3 §2.4.2, §4.1.4.3.2: the reset is complete when the status reads 0.
            match (self.read_status(), late) {
                (0, _) => ControlFlow::Break(Ok(DeviceStopped::new(How::Reset))),
                (u8::MAX, _) if self.gone() => {
                    ControlFlow::Break(Ok(DeviceStopped::new(How::Gone)))
                }
                (_, Late::No(early)) => ControlFlow::Continue(early),
                (status, Late::Yes) => {
                    ControlFlow::Break(Err(TransportError::ResetTimeout { status, timeout_us }))
                }
            }
        })
    }

    /// Virtio 1.3 §3.1.1 steps 2 and 3.
    fn set_acknowledge_and_driver(&self, stopped: &DeviceStopped) -> Result<(), TransportError> {
        match stopped.how() {
            How::Reset => {}
            // Cut off from memory, but not reset.
            How::BusMasterOff => return Err(TransportError::OutOfOrder),
            How::Gone => return Err(TransportError::DeviceGone),
        }
        self.progress().expect(Phase::Stopped)?;
        self.add_status(Status::empty(), Status::ACKNOWLEDGE)?;
        self.add_status(Status::ACKNOWLEDGE, Status::DRIVER)?;
        self.progress().set(Phase::Acknowledged);
        Ok(())
    }

    /// Step 8, when the driver has set `before`.
    fn set_driver_ok(&self, before: Status) -> Result<(), TransportError> {
        self.progress().expect(Phase::Negotiated)?;
        self.add_status(before, Status::DRIVER_OK)?;
        self.progress().set(Phase::Live);
        Ok(())
    }

    /// Sets a bit beside those that the driver has set `before`, and reads back once that they all stand.
    fn add_status(&self, before: Status, bit: Status) -> Result<(), TransportError> {
        // Virtio 1.3 §2.1.1: no bit is cleared, not even one that the device has set.
        let status = self.check_status(before)?.union(bit);
        self.write_status(status.bits());
        self.check_status(before.union(bit)).map(drop)
    }

    /// The status, if it shows what the driver has `set` and no need for a reset.
    fn check_status(&self, set: Status) -> Result<Status, TransportError> {
        let status = self.status()?;
        let bits = status.bits();
        if status.contains(Status::DEVICE_NEEDS_RESET) {
            return Err(TransportError::NeedsReset { status: bits });
        }
        if status & DRIVERS != set {
            let set = set.bits();
            return Err(TransportError::StatusMismatch { status: bits, set });
        }
        Ok(status)
    }

    /// Virtio 1.3 §2.1.1: what was given up is reset before anything else.
    fn fail(&self) {
        self.progress().set(Phase::Failed);
        // A device that is gone needs no telling.
        if let Ok(status) = self.status() {
            self.write_status(status.union(Status::FAILED).bits());
        }
    }
}
