//! Bringing the device up and down: start, stop, restart, reset, removal.
#![forbid(unsafe_code)]

use crate::disk::{Disk, notice, setup, work};
use crate::events::{Event, code};
use crate::ffi::dpc;
use crate::ffi::lock::{Level, QueueCell};
use crate::ring::Ring;
use crate::state;
use crate::trace::Happened;
use core::cell::Cell;
use core::sync::atomic::Ordering;
use nt::irql::Device;
use storport::Adapter;
use virtio_core::Clock;
use virtio_core::spec::blk;
use virtio_core::transport::{DeviceStopped, TransportError};

/// How long a device may take to stop, in microseconds. Spent spinning at or above DISPATCH_LEVEL, up to three times in a reset and
/// six times in a start, with the wait for a reset on another processor: about a second in all. Windows stops for what takes "an
/// extended period", far above the 100 microseconds that it wishes for (MS: "Bug Check 0x133"). A device that takes its time to stop
/// keeps the processor at the write that tells it to, not here; and StorPort tries again.
pub(crate) const RESET_TIMEOUT_US: u64 = 150_000;

/// The same at PASSIVE_LEVEL, where other threads take their turns meanwhile.
pub const PASSIVE_RESET_TIMEOUT_US: u64 = 10_000_000;

/// How long it may take when StorPort stops the adapter, which may take the memory away afterwards.
const STOP_TIMEOUT_US: u64 = 2 * RESET_TIMEOUT_US;

/// How long a routine at or above DISPATCH_LEVEL waits for a reset on another processor, in microseconds: longer than that takes,
/// which may stop the device three times. Only a device that does not answer takes so long; StorPort calls HwResetBus when requests
/// have timed out after many seconds. Microsoft's own storahci waits up to half a second in HwResetBus, with the interrupt lock held, for
/// a port that does not stop (AhciPortReset, P_NotRunning).
const SETUP_TIMEOUT_US: u64 = 4 * RESET_TIMEOUT_US;

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

    pub(crate) fn event(self) -> Event {
        Event::InitializationFailed {
            step: u32::from(self.step),
            code: self.code,
        }
    }
}

impl Disk {
    pub(crate) fn clock(&self) -> StallClock {
        StallClock::new(self.adapter)
    }

    #[inline(never)] // used twice or more
    pub(crate) fn stop_device(&self, timeout_us: u64) -> Result<DeviceStopped, TransportError> {
        self.transport.reset(&self.clock(), timeout_us)
    }

    /// Starts a device that has stopped, with the queues' memory as it is.
    #[inline(never)] // used twice or more
    pub(crate) fn start_device(&self, stopped: DeviceStopped, level: Level) -> Result<(), Failure> {
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
        if self.state.set(state::READ_ONLY, read_only) != read_only {
            self.changed(state::MODE_CHANGED);
        }
        let through = self.settle_cache();
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
            let open = cell
                .try_with(self.adapter, level, |ring| {
                    ring.write_through(through);
                    ring.open()
                })
                .ok_or(Failure::own(8, code::LOCKED))?;
            if !open {
                // Whoever set the device up looks at this when it releases the set-up.
                self.work.fetch_or(work::RESET, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// Gives up a device that could not be started: it may be half set up, and must not use what it was given.
    #[inline(never)] // used twice or more
    pub(crate) fn give_up(&self) {
        self.transport.fail();
        // Virtio 1.3 §2.1.1: what was given up is reset before anything else. If it does not stop, nothing was in flight, and the
        // rings stay where they are.
        let _ = self.stop_device(RESET_TIMEOUT_US);
    }

    /// Takes the set-up if nobody has it. Any IRQL.
    ///
    /// # Errors
    /// Who has it.
    #[inline(never)] // used twice or more
    pub(crate) fn take_setup(&self) -> Result<(), u32> {
        // Acquire orders what follows after the last owner's work; it pairs with the release in `release_setup`. Relaxed would let
        // the registers be read as they were before.
        self.in_setup
            .compare_exchange(
                setup::NOBODY,
                setup::here(),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .map(|_| ())
    }

    /// Claims the set-up, at any IRQL. False: somebody else keeps it.
    ///
    /// An owner on this processor is below on this stack: it was interrupted, or it completes a request and StorPort called back from
    /// there. It does not go on before the caller has returned. One on another processor is waited for, as what it does is what most
    /// callers want done: HwResetBus has to end in itself what the bus had (MS: nc-storport-hw_reset_bus; "Multi-Tier Reset in
    /// Storport": a synchronous callback routine). The wait is bounded because that owner may be a DPC that waits itself, interrupted,
    /// for the interrupt lock that the caller holds.
    #[inline(never)] // used twice or more
    pub(crate) fn claim_setup(&self) -> bool {
        const POLL_US: u32 = 10;
        let clock = self.clock();
        loop {
            match self.take_setup() {
                Ok(()) => return true,
                Err(owner) if owner == setup::here() => return false,
                Err(_) if clock.now_us() >= SETUP_TIMEOUT_US => return false,
                Err(_) => clock.wait_us(POLL_US),
            }
        }
    }

    /// Release orders the owner's work before this; it pairs with the acquire in `take_setup`.
    #[inline(never)] // used twice or more
    pub(crate) fn release_setup(&self) {
        // SeqCst, both, as in `put_back`: anything weaker lets each side miss the other's store, and a wish for a reset would stay
        // where it is.
        self.in_setup.store(setup::NOBODY, Ordering::SeqCst);
        if self.work.load(Ordering::SeqCst) != 0 {
            self.issue_service();
        }
    }

    /// Stops the device if it runs and starts it. From HwInitialize, the passive-initialisation routine and ScsiRestartAdapter.
    #[inline(never)] // used twice or more
    fn start_up(&self, level: Level, timeout_us: u64) -> Result<(), Failure> {
        if !self.claim_setup() {
            return Err(Failure::own(1, code::LOCKED));
        }
        let result = self.start_claimed(level, timeout_us);
        match result {
            // It has done nothing wrong yet.
            Ok(()) => {
                self.troubles.store(0, Ordering::Relaxed);
                self.late.store(0, Ordering::Relaxed);
                // StorPort may have forgotten what it was told before it stopped the adapter.
                self.notice.store(notice::NONE, Ordering::Relaxed);
            }
            // It was given its time, and is still in the reset. One that nobody could reset has that still before it.
            Err(ref failure) if failure.step == 1 => {
                let late = u32::from(failure.code != code::LOCKED);
                self.late.store(late, Ordering::Relaxed);
            }
            // StorPort is told so and may take the memory away: nothing that the device still asks for may start it again.
            Err(_) => {
                self.give_up();
                self.late.store(0, Ordering::Relaxed);
                self.state.set(state::GONE, true);
                self.state.set(state::HALTED, true);
                self.end_waiting(level);
            }
        }
        self.release_setup();
        if result.is_ok() {
            self.look_at_queues();
        }
        result
    }

    fn start_claimed(&self, level: Level, timeout_us: u64) -> Result<(), Failure> {
        self.state.set(state::HALTED, false);
        // Whatever it was before, it may be there now.
        self.state.set(state::GONE, false);
        self.each(level, Ring::revive);
        let stopped = self.stop_device(timeout_us).map_err(Failure::at(1))?;
        for cell in self.queues {
            // StorPort has nothing outstanding, unless a reset was late when it stopped the adapter.
            cell.try_with(self.adapter, level, |ring| ring.take_back(&stopped))
                .ok_or(Failure::own(1, code::LOCKED))?;
        }
        self.start_device(stopped, level)
    }

    /// What waits in a queue that was opened waits for the first look at it.
    #[inline(never)] // used twice or more
    pub(crate) fn look_at_queues(&self) {
        for cell in self.queues {
            self.issue_queue(cell);
        }
    }

    /// HwInitialize. Whether the device is live; if not, [`Disk::passive`] tries again.
    pub fn initialize(&self, at: Device) -> bool {
        if !self.rules.polled {
            self.agree_on_interrupts();
        }
        let live = self.start_up(Level::Device(at), RESET_TIMEOUT_US).is_ok();
        self.failed.store(!live, Ordering::Relaxed);
        live
    }

    fn agree_on_interrupts(&self) {
        use storport::perf::{Options, Request};
        let queues = u32::try_from(self.queues.len()).unwrap_or(u32::MAX);
        let most = queues.saturating_add(1).min(self.most_messages);
        let messages = self.adapter.message_count(most).unwrap_or(UNKNOWN_MESSAGES);
        self.messages.store(messages, Ordering::Relaxed);
        self.state
            .set(state::MESSAGES_SHARED, messages <= self.queues.len() as u32);
        // With one queue, too: HwStartIo prepares requests before it locks a queue. A StorPort without channels holds its StartIo lock
        // meanwhile. MS: nc-storport-hw_startio
        let mut options = Options::DPC_REDIRECTION | Options::CONCURRENT_CHANNELS;
        // Message 0 is for configuration changes, so requests have messages of their own only if there are two.
        if messages > 1 {
            options |= Options::INTERRUPT_MESSAGE_RANGES;
        }
        let granted = self.adapter.negotiate_performance(&Request {
            options,
            // Calls of HwStartIo, of which each processor may make one at a time. MS: ns-storport-_perf_configuration_data
            channels: nt::cpu::active_count(),
            messages: (1, messages.saturating_sub(1).max(1)),
        });
        // With fewer messages than queues, StorPort's choice would leave queues unused.
        let by_message = queues > 1
            && messages > queues
            && granted.is_ok_and(|granted| granted.contains(Options::INTERRUPT_MESSAGE_RANGES));
        self.state.set(state::BY_MESSAGE, by_message);
    }

    /// The passive part of the start, once the DPCs are initialised. PASSIVE_LEVEL. Whether the device is live.
    ///
    /// A device that could not be started at HwInitialize's IRQL gets all the time here that it may need.
    pub fn passive(&self) -> bool {
        // Before there are DPCs: one that interrupted this thread would wait for ever for the queue that it has.
        if self.failed.swap(false, Ordering::Relaxed)
            && let Err(failure) = self.start_up(Level::Passive, PASSIVE_RESET_TIMEOUT_US)
        {
            self.report(failure.event());
            return false;
        }
        let queues = self.queues.len() as u64;
        self.record(Happened::Started, [self.rules.features.bits(), queues]);
        // SeqCst, and so is the look for wishes below, as in `want` and `State::dpcs_may_run`: anything weaker lets each side miss the other's
        // store, and a change of the configuration before this moment would go unnoticed.
        self.state.let_dpcs_run();
        if self.work.load(Ordering::SeqCst) != 0 {
            self.issue_service();
        }
        true
    }

    /// ScsiStopAdapter, above DISPATCH_LEVEL: StorPort has nothing outstanding.
    pub fn stop(&self) {
        self.state.set(state::HALTED, true);
        // A reset that is under way on another processor stops the device itself when it finds `HALTED`. A device that does not
        // stop is reset again at the restart; StorPort takes no failure here.
        if self.claim_setup() {
            let _ = self.stop_device(STOP_TIMEOUT_US);
            self.release_setup();
        }
    }

    /// ScsiRestartAdapter, above DISPATCH_LEVEL. A device that takes long to stop is started by the service DPC, which has more time:
    /// requests end as [`crate::request::Outcome::Reset`] until then.
    pub fn restart(&self, at: Device) -> bool {
        self.state.set(state::RUNNING, true);
        match self.start_up(Level::Device(at), RESET_TIMEOUT_US) {
            Err(failure) if failure.step == 1 => {
                // Also if somebody else has the set-up all the time, so that whoever it is starts the device.
                self.state.set(state::HALTED, false);
                self.state.set(state::GONE, false);
                self.want(work::RESET);
                true
            }
            result => result.is_ok(),
        }
    }

    /// Asks the service DPC to do something. Any IRQL.
    pub fn want(&self, bits: u32) {
        // See `passive`.
        self.work.fetch_or(bits, Ordering::SeqCst);
        self.issue_service();
    }

    /// Queues the DPC of a queue, once there are any, unless StorPort stopped the adapter: an interrupt may come all the same, but a DPC
    /// would find memory that StorPort has taken away. Any IRQL.
    pub fn issue_queue(&self, cell: &'static QueueCell) {
        if self.state.dpcs_may_run() {
            dpc::issue_queue(cell, self.adapter);
        }
    }

    /// The same for the service DPC.
    pub fn issue_service(&self) {
        if self.state.dpcs_may_run() {
            dpc::issue_service(&self.service, self.adapter);
        }
    }

    /// The device has been removed, says Windows; what it had ends when the service DPC has seen that it let go.
    pub fn removed(&self) {
        self.state.set(state::GONE, true);
        self.want(work::REMOVED);
    }

    /// An interrupt message. DIRQL.
    #[inline(always)] // its only caller
    pub fn message(&self, adapter: Adapter, message: u32) {
        // The inverse of `queue_message`.
        let index = (message as usize).wrapping_sub(1);
        match self.queues.get(index) {
            Some(cell) if self.state.queue_message_is_simple() => dpc::issue_queue(cell, adapter),
            _ => self.any_message(message),
        }
    }

    /// Any message: also that of the configuration, or one that queues may share.
    #[cold]
    #[inline(never)] // few devices have fewer messages than queues
    fn any_message(&self, message: u32) {
        let messages = self.messages.load(Ordering::Relaxed) as usize;
        if message == 0 {
            self.want(work::CONFIG);
        }
        let (first, step) = match (message, messages) {
            (0, 1) => (0, 1),
            (0, _) => return,
            _ => (message.saturating_sub(1), messages.saturating_sub(1).max(1)),
        };
        let mut index = first as usize;
        while let Some(cell) = self.queues.get(index) {
            self.issue_queue(cell);
            index = index.saturating_add(step);
        }
    }

    /// A line interrupt. DIRQL. Whether it was this device's (MS: nc-srb-phw_interrupt).
    pub fn interrupt(&self) -> bool {
        use virtio_core::spec::pci::Isr;
        let messages = self.messages.load(Ordering::Relaxed);
        // Where StorPort did not say, the start fails, and till then a device with a line holds it until its ISR is read.
        // Virtio 1.3 §4.1.4.5
        if messages > 0 && messages != UNKNOWN_MESSAGES {
            return false;
        }
        let Ok(isr) = self.transport.isr() else {
            return false;
        };
        if isr.contains(Isr::CONFIG) {
            self.want(work::CONFIG);
        }
        if isr.contains(Isr::QUEUE) {
            for cell in self.queues {
                self.issue_queue(cell);
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
