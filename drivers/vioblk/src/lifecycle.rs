//! Bringing the device up and down: start, stop, restart, reset, removal.
#![forbid(unsafe_code)]

use crate::disk::{Disk, change, notice, work};
use crate::events::{Event, code};
use crate::ffi::lock::Level;
use crate::request::{List, Outcome};
use crate::ring::Ring;
use core::cell::Cell;
use core::sync::atomic::Ordering;
use nt::irql::{Device, Dispatch};
use storport::{Adapter, Dpc};
use virtio_core::Clock;
use virtio_core::spec::blk;
use virtio_core::spec::pci::Status;
use virtio_core::transport::{DeviceStopped, How, TransportError};

/// How long a device may take to stop, in microseconds. Spent spinning at or above DISPATCH_LEVEL, up to three times in a reset and
/// six times in a start, with the wait for a reset on another processor: less than a second in all. Windows stops for what takes "an
/// extended period", far above the 100 microseconds that it wishes for (MS: "Bug Check 0x133"). A device that takes its time to stop
/// keeps the processor at the write that tells it to, not here; and StorPort tries again.
const RESET_TIMEOUT_US: u64 = 150_000;

/// The same at PASSIVE_LEVEL, where other threads take their turns meanwhile.
pub const PASSIVE_RESET_TIMEOUT_US: u64 = 10_000_000;

/// How long a routine above DISPATCH_LEVEL waits for a reset on another processor, in microseconds: longer than that takes, which
/// may stop the device three times.
const SETUP_TIMEOUT_US: u64 = 4 * RESET_TIMEOUT_US;

/// Resets that the device may cause without finishing a request in between.
const MAX_TROUBLES: u32 = 8;

/// Nobody knows whether there are interrupt messages.
const UNKNOWN_MESSAGES: u32 = u32::MAX;

/// Counts the time that it spins itself: enough for deadlines, at any IRQL.
pub struct StallClock {
    adapter: Adapter,
    waited_us: Cell<u64>,
}

impl StallClock {
    /// Starts at zero.
    pub const fn new(adapter: Adapter) -> Self {
        Self {
            adapter,
            waited_us: Cell::new(0),
        }
    }
}

impl Clock for StallClock {
    fn now_us(&self) -> u64 {
        self.waited_us.get()
    }

    fn wait_us(&self, us: u32) {
        self.adapter.stall(us);
        self.waited_us
            .set(self.waited_us.get().saturating_add(u64::from(us)));
    }
}

/// A start that failed: the step of Virtio 1.3 §3.1.1 and a number of [`code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    step: u16,
    code: u32,
}

impl Failure {
    fn at(step: u16) -> impl Fn(TransportError) -> Self {
        move |error| Self {
            step,
            code: code::transport(&error),
        }
    }

    const fn own(step: u16, code: u32) -> Self {
        Self { step, code }
    }

    fn event(self) -> Event {
        Event::InitializationFailed {
            step: u32::from(self.step),
            code: self.code,
        }
    }

    /// For [`Disk::failure`]; never zero.
    fn packed(self) -> u32 {
        u32::from(self.step) << 16 | self.code
    }

    fn unpacked(packed: u32) -> Option<Self> {
        let [high, low] = [packed >> 16, packed & 0xffff];
        (packed != 0).then_some(Self {
            step: u16::try_from(high).unwrap_or(0),
            code: low,
        })
    }
}

impl Disk {
    fn clock(&self) -> StallClock {
        StallClock::new(self.adapter)
    }

    fn stop_device(&self) -> Result<DeviceStopped, TransportError> {
        self.transport.reset(&self.clock(), RESET_TIMEOUT_US)
    }

    /// Starts a device that has stopped, with the queues' memory as it is.
    fn start_device(&self, stopped: DeviceStopped, level: Level) -> Result<(), Failure> {
        let transport = &self.transport;
        let offered = transport.acknowledge(stopped).map_err(Failure::at(4))?;
        // All that was agreed at first has to stand, but whether the disk is read-only may have changed.
        let features = self.rules.features.difference(blk::F_RO);
        if !offered.contains(features) {
            return Err(Failure::own(
                4,
                code::transport(&TransportError::NotOffered(features)),
            ));
        }
        let features = features.union(offered.intersection(blk::F_RO));
        transport.accept(features).map_err(Failure::at(6))?;
        let read_only = features.contains(blk::F_RO);
        if self.read_only.swap(read_only, Ordering::Relaxed) != read_only {
            self.changed(change::MODE);
        }
        self.settle_cache();
        self.look_at_capacity();
        let messages = self.messages.load(Ordering::Relaxed);
        if messages == UNKNOWN_MESSAGES {
            // A device whose interrupts go nowhere would be found out by time-outs.
            return Err(Failure::own(7, code::INTERRUPTS));
        }
        let config_vector = (messages > 0).then_some(0);
        transport
            .set_config_vector(config_vector)
            .map_err(Failure::at(7))?;
        for (index, cell) in (0u16..).zip(self.queues) {
            let vector = queue_message(u32::from(index), messages)
                .and_then(|vector| u16::try_from(vector).ok());
            cell.try_with(self.adapter, level, |ring| {
                ring.set_up(self.queue_size, features, |queue| {
                    transport.enable_queue(index, queue, vector)
                })
            })
            .ok_or(Failure::own(7, code::LOCKED))?
            .ok_or(Failure::own(7, code::MEMORY))?
            .map_err(Failure::at(7))?;
        }
        transport.driver_ok().map_err(Failure::at(8))?;
        for cell in self.queues {
            cell.try_with(self.adapter, level, Ring::open)
                .ok_or(Failure::own(8, code::LOCKED))?;
        }
        Ok(())
    }

    /// Gives up a device that could not be started: it may be half set up, and must not use what it was given.
    fn give_up(&self) {
        self.transport.fail();
        // Virtio 1.3 §2.1.1: what was given up is reset before anything else. If it does not stop, nothing was in flight, and the
        // rings stay where they are.
        let _ = self.stop_device();
    }

    /// Claims the set-up, above DISPATCH_LEVEL. False: somebody else keeps it.
    ///
    /// The wait is bounded because the owner may be a DPC that waits itself, interrupted, for the interrupt lock that the caller
    /// holds.
    fn claim_setup(&self) -> bool {
        const POLL_US: u32 = 10;
        let clock = self.clock();
        // Acquire orders what follows after the last owner's work; it pairs with the release below. Relaxed would let the
        // registers be read as they were before.
        while self.in_setup.swap(true, Ordering::Acquire) {
            if clock.now_us() >= SETUP_TIMEOUT_US {
                return false;
            }
            clock.wait_us(POLL_US);
        }
        true
    }

    fn release_setup(&self) {
        self.in_setup.store(false, Ordering::Release);
    }

    /// Stops the device if it runs and starts it; nothing is in flight. From HwInitialize and ScsiRestartAdapter.
    fn start_at_device_level(&self, at: Device) -> Result<(), Failure> {
        if !self.claim_setup() {
            return Err(Failure::own(1, code::LOCKED));
        }
        let result = self.start_claimed(Level::Device(at));
        match result {
            // Whatever it was before, it is there now and has done nothing wrong yet.
            Ok(()) => {
                self.gone.store(false, Ordering::Relaxed);
                self.troubles.store(0, Ordering::Relaxed);
                // StorPort may have forgotten what it was told before it stopped the adapter.
                self.notice.store(notice::NONE, Ordering::Relaxed);
            }
            Err(_) => self.give_up(),
        }
        self.release_setup();
        result
    }

    fn start_claimed(&self, level: Level) -> Result<(), Failure> {
        self.halted.store(false, Ordering::Relaxed);
        let stopped = self.stop_device().map_err(Failure::at(1))?;
        let mut ended = List::EMPTY;
        for cell in self.queues {
            cell.try_with(self.adapter, level, |ring| {
                ring.drain(&stopped, Outcome::Reset, &mut ended)
            })
            .ok_or(Failure::own(1, code::LOCKED))?;
        }
        self.start_device(stopped, level)
    }

    /// HwInitialize. Whether the device is live; [`Disk::passive`] says why not.
    pub fn initialize(&self, at: Device) -> bool {
        if !self.rules.polled {
            self.agree_on_interrupts();
        }
        let result = self.start_at_device_level(at);
        if let Err(failure) = result {
            self.failure.store(failure.packed(), Ordering::Relaxed);
        }
        result.is_ok()
    }

    fn agree_on_interrupts(&self) {
        use storport::perf::{Options, Request};
        let queues = u32::try_from(self.queues.len()).unwrap_or(u32::MAX);
        let most = queues.saturating_add(1).min(self.most_messages);
        let messages = self.adapter.message_count(most).unwrap_or(UNKNOWN_MESSAGES);
        self.messages.store(messages, Ordering::Relaxed);
        let mut options = Options::DPC_REDIRECTION;
        if queues > 1 {
            options |= Options::CONCURRENT_CHANNELS;
        }
        // Message 0 is for configuration changes, so requests have messages of their own only if there are two.
        if messages > 1 {
            options |= Options::INTERRUPT_MESSAGE_RANGES;
        }
        let granted = self.adapter.negotiate_performance(&mut Request {
            options,
            channels: queues,
            messages: (1, messages.saturating_sub(1).max(1)),
            targets: &mut [],
        });
        // With fewer messages than queues, StorPort's choice would leave queues unused.
        let by_message = messages > queues
            && granted.is_ok_and(|granted| granted.contains(Options::INTERRUPT_MESSAGE_RANGES));
        self.by_message.store(by_message, Ordering::Relaxed);
    }

    /// The passive part of the start, once the DPCs are initialised. PASSIVE_LEVEL. Whether the device is live.
    pub fn passive(&self) -> bool {
        self.dpcs_ready.store(true, Ordering::Release);
        match Failure::unpacked(self.failure.swap(0, Ordering::Relaxed)) {
            None => {
                // A configuration change before this moment found no DPC.
                if self.work.load(Ordering::Relaxed) != 0 {
                    self.issue(&self.service, 0);
                }
                true
            }
            Some(failure) => {
                self.report(failure.event());
                false
            }
        }
    }

    /// ScsiStopAdapter, above DISPATCH_LEVEL: StorPort has nothing outstanding.
    pub fn stop(&self) {
        self.halted.store(true, Ordering::Relaxed);
        // A reset that is under way on another processor stops the device itself when it finds `halted`. A device that does not
        // stop is reset again at the restart; StorPort takes no failure here.
        if self.claim_setup() {
            let _ = self.stop_device();
            self.release_setup();
        }
    }

    /// ScsiRestartAdapter, above DISPATCH_LEVEL.
    pub fn restart(&self, at: Device) -> bool {
        self.stopped.store(false, Ordering::Relaxed);
        self.start_at_device_level(at).is_ok()
    }

    /// Resets the device and starts it again. What it had, and what waited, ends as [`Outcome::Reset`], but not before the
    /// device has let go of it. Whether the disk can be used afterwards.
    pub fn reset(&self, at: Dispatch) -> bool {
        if self.in_setup.swap(true, Ordering::Acquire) {
            // The reset that is under way does all that this one should.
            return true;
        }
        if self.halted.load(Ordering::Relaxed) && !self.gone.load(Ordering::Relaxed) {
            // Nothing is outstanding, and the restart resets the device.
            self.release_setup();
            return true;
        }
        for cell in self.queues {
            cell.with(self.adapter, at, Ring::close);
        }
        let mut ended = List::EMPTY;
        let usable = match self.stop_device() {
            Ok(stopped) => self.start_again(at, stopped, &mut ended),
            Err(error) => {
                self.report(Event::ResetFailed {
                    code: code::transport(&error),
                });
                self.end_queues(at, Outcome::Reset, &mut ended);
                false
            }
        };
        self.stopped.store(false, Ordering::Relaxed);
        if self.halted.load(Ordering::Relaxed) {
            // StorPort stopped the adapter meanwhile (`stop`).
            let _ = self.stop_device();
        }
        self.release_setup();
        self.end_all(at, &mut ended);
        // What came in meanwhile waits for the first look at its queue.
        for (index, cell) in self.queues.iter().enumerate() {
            self.issue(&cell.dpc, index);
        }
        usable
    }

    fn start_again(&self, at: Dispatch, stopped: DeviceStopped, ended: &mut List) -> bool {
        let gone = stopped.how() == How::Gone || self.gone.load(Ordering::Relaxed);
        let outcome = if gone { Outcome::Gone } else { Outcome::Reset };
        for cell in self.queues {
            cell.with(self.adapter, at, |ring| {
                ring.drain(&stopped, outcome, ended)
            });
        }
        if gone {
            self.gone.store(true, Ordering::Relaxed);
            self.end_queues(at, Outcome::Gone, ended);
            return false;
        }
        match self.start_device(stopped, Level::Dispatch(at)) {
            Ok(()) => true,
            Err(failure) => {
                self.give_up();
                self.report(failure.event());
                self.end_queues(at, Outcome::Gone, ended);
                false
            }
        }
    }

    fn end_queues(&self, at: Dispatch, outcome: Outcome, ended: &mut List) {
        for cell in self.queues {
            cell.with(self.adapter, at, |ring| ring.end(outcome, ended));
        }
    }

    /// Asks the service DPC to do something. Any IRQL.
    pub fn want(&self, bits: u32) {
        self.work.fetch_or(bits, Ordering::AcqRel);
        self.issue(&self.service, 0);
    }

    /// Queues a DPC, once there are any, unless StorPort stopped the adapter: an interrupt may come all the same, but a DPC would
    /// find memory that StorPort has taken away. Any IRQL.
    pub fn issue(&self, dpc: &Dpc, argument: usize) {
        // Relaxed: `stop` sets it with the interrupt locks held, so an interrupt routine that runs later sees it.
        let halted = self.halted.load(Ordering::Relaxed);
        if !halted && self.dpcs_ready.load(Ordering::Acquire) {
            crate::ffi::dpc::issue(dpc, self.adapter, argument);
        }
    }

    /// The service DPC.
    pub fn service(&self, at: Dispatch) {
        let wanted = self.work.swap(0, Ordering::AcqRel);
        if self.halted.load(Ordering::Relaxed) && wanted & work::REMOVED == 0 {
            return;
        }
        let needs_reset = match self.transport.status() {
            Ok(status) if status.contains(Status::DEVICE_NEEDS_RESET) => {
                self.report(Event::DeviceNeedsReset);
                true
            }
            Ok(_) => false,
            // The reset finds the device gone, and ends everything.
            Err(_) => true,
        };
        if needs_reset || wanted & work::BROKEN != 0 {
            self.count_trouble();
        }
        if needs_reset || wanted & (work::RESET | work::BROKEN | work::REMOVED) != 0 {
            self.reset(at);
        } else if wanted & work::CONFIG != 0 {
            self.look_at_capacity();
        }
    }

    /// A device that does nothing but ask for resets is not served for ever: after some of them it counts as gone.
    fn count_trouble(&self) {
        let before = self.troubles.fetch_add(1, Ordering::Relaxed);
        if before >= MAX_TROUBLES && !self.gone.swap(true, Ordering::Relaxed) {
            self.report(Event::GivenUp {
                resets: MAX_TROUBLES,
            });
        }
    }

    /// The device has been removed, says Windows; what it had ends when the service DPC has seen that it let go.
    pub fn removed(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.want(work::REMOVED);
    }

    /// An interrupt message. DIRQL.
    pub fn message(&self, message: u32) {
        let messages = self.messages.load(Ordering::Relaxed);
        if message == 0 {
            self.want(work::CONFIG);
        }
        // The inverse of `queue_message`.
        let (first, step) = match (message, messages) {
            (0, 1) => (0, 1),
            (0, _) => return,
            _ => (message.saturating_sub(1), messages.saturating_sub(1).max(1)),
        };
        let mut index = first as usize;
        while let Some(cell) = self.queues.get(index) {
            self.issue(&cell.dpc, index);
            index = index.saturating_add(step as usize);
        }
    }

    /// A line interrupt. DIRQL. Whether it was this device's.
    pub fn interrupt(&self) -> bool {
        use virtio_core::spec::pci::Isr;
        if self.messages.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let Ok(isr) = self.transport.isr() else {
            return false;
        };
        if isr.contains(Isr::CONFIG) {
            self.want(work::CONFIG);
        }
        if isr.contains(Isr::QUEUE) {
            for (index, cell) in self.queues.iter().enumerate() {
                self.issue(&cell.dpc, index);
            }
        }
        !isr.is_empty()
    }
}

/// The interrupt message of a queue: 0 is for configuration changes, the others are dealt round; a single one is shared.
fn queue_message(queue: u32, messages: u32) -> Option<u32> {
    match messages {
        0 => None,
        1 => Some(0),
        _ => queue
            .checked_rem(messages.saturating_sub(1))
            .map(|turn| turn.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests;
