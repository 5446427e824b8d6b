//! Resets: who wants one, and what becomes of the requests.
#![forbid(unsafe_code)]

use crate::disk::{Disk, setup, work};
use crate::events::{Event, code};
use crate::ffi::extension::RequestBox;
use crate::ffi::list::List;
use crate::ffi::lock::Level;
use crate::lifecycle::RESET_TIMEOUT_US;
use crate::request::{Operation, Outcome};
use crate::ring::Ring;
use crate::state;
use crate::trace::Happened;
use core::sync::atomic::Ordering;
use nt::irql::Dispatch;
use storport::SrbStatus;
use virtio_core::spec::pci::Status;
use virtio_core::transport::{DeviceStopped, How, TransportError};

/// Resets that the device may cause without finishing a request in between.
const MAX_TROUBLES: u32 = 8;

/// How long a device that was late may take at each further look, in microseconds.
const LOOK_US: u64 = 1000;

/// Time between two such looks, in microseconds.
const LOOK_EVERY_US: u32 = 100_000;

/// Looks at a late reset before what waits ends: with the timer's alone some seconds, fewer than the initiators wait. In the dump stack
/// each poll is one.
const MAX_LOOKS: u32 = 50;

/// Looks, when what waits has ended.
const GIVEN_UP: u32 = MAX_LOOKS + 1;

/// Time between two looks after that, in microseconds, as long as it takes: only a device that has stopped gives back what it has.
const LOOK_ON_EVERY_US: u32 = 1_000_000;

impl Disk {
    /// HwResetBus. Whether the bus was reset: then all that the device had is completed. MS: nc-storport-hw_reset_bus
    pub fn reset_bus(&self, at: Dispatch) -> bool {
        if self.rules.polled {
            // MS: "Restrictions on Miniport Drivers that Manage the Boot Drive": disregard requests to reset the bus.
            return true;
        }
        if self.claim_setup() {
            return self.reset_claimed(at, Level::Dispatch(at));
        }
        self.want(work::RESET);
        false
    }

    /// A request to reset a bus, a device or a unit, which are all the same here. It ends when the device has been reset, or is given
    /// up: by the service DPC, as a device may take its time to stop, and HwStartIo must not wait (MS: StorPortStartIo rule).
    pub fn reset_for(&self, at: Dispatch, mut request: RequestBox) {
        // As in HwResetBus; and of a stopped adapter nothing is outstanding, and the restart resets the device.
        if self.rules.polled || self.state.is(state::HALTED) {
            let gone = self.state.is(state::GONE);
            let status = if gone {
                SrbStatus::NoDevice
            } else {
                SrbStatus::Success
            };
            return self.complete(request, status);
        }
        request.operation = Operation::Reset;
        if let Some(cell) = self.queues.last() {
            cell.with(at, |ring| ring.wait(request));
            self.want(work::RESET);
        }
    }

    /// Resets the device and starts it again, and releases the set-up. What the device had, and what waited, ends as
    /// [`Outcome::Reset`], but not before the device has let go of it: if it takes long, the queues stay closed, and the timer has
    /// it looked at again, at last without what waits. Whether the disk can be used afterwards.
    #[inline(never)] // used twice or more
    fn reset_claimed(&self, at: Dispatch, level: Level) -> bool {
        let mut ended = List::EMPTY;
        if self.state.is(state::HALTED) && !self.state.is(state::GONE) {
            // Nothing is outstanding, and the restart resets the device.
            self.release_setup();
            return true;
        }
        self.each(level, Ring::close);
        let late = self.late.load(Ordering::Relaxed);
        let stopped = match late {
            0 => self.stop_device(RESET_TIMEOUT_US),
            _ if self.asks_anew() => self.stop_device(LOOK_US),
            _ => self.transport.wait_for_reset(&self.clock(), LOOK_US),
        };
        let usable = match stopped {
            Ok(stopped) => {
                self.late.store(0, Ordering::Relaxed);
                let usable = self.start_again(level, stopped, &mut ended);
                let resets = self.history.resets.load(Ordering::Relaxed);
                self.record(Happened::Reset, [resets, usable.into()]);
                usable
            }
            Err(_) if late < MAX_LOOKS => {
                self.late.store(late.saturating_add(1), Ordering::Relaxed);
                self.look_later(LOOK_EVERY_US);
                false
            }
            Err(error) => {
                if late == MAX_LOOKS {
                    self.report(Event::ResetFailed {
                        code: code::transport(&error),
                    });
                }
                self.late.store(GIVEN_UP, Ordering::Relaxed);
                self.end_queues(level, Outcome::Reset, &mut ended);
                self.look_later(LOOK_ON_EVERY_US);
                false
            }
        };
        self.state.set(state::RUNNING, true);
        if self.state.is(state::HALTED) {
            // StorPort stopped the adapter meanwhile (`stop`).
            let _ = self.stop_device(RESET_TIMEOUT_US);
        }
        // Before the release: a command that wants a reset and waits for this one is answered after what this one ended.
        let mut wishes = List::EMPTY;
        while let Some(mut request) = ended.pop_front() {
            if request.operation != Operation::Reset {
                self.end(at, request);
                continue;
            }
            if usable {
                request.outcome = Outcome::Done;
            }
            wishes.push_back(request);
        }
        while let Some(request) = wishes.pop_front() {
            self.end(at, request);
        }
        self.release_setup();
        self.look_at_queues();
        usable
    }

    /// Has a late reset looked at again. In the dump stack, which has no timer, each poll does ([`Self::polled`]).
    fn look_later(&self, microseconds: u32) {
        if !self.rules.polled {
            crate::ffi::entry::look_later(self.adapter, microseconds);
        }
    }

    /// The time for another look at a late reset has come, unless it is over, or StorPort has stopped the adapter: then the restart looks.
    pub fn time_to_look(&self) {
        if self.late.load(Ordering::Relaxed) != 0 && !self.state.is(state::HALTED) {
            self.want(work::LOOK);
        }
    }

    /// Whether the device has come out of a reset and already asks for the next. Virtio 1.3 §2.1
    fn asks_anew(&self) -> bool {
        matches!(self.transport.status(), Ok(status) if status == Status::DEVICE_NEEDS_RESET)
    }

    fn start_again(&self, level: Level, stopped: DeviceStopped, ended: &mut List) -> bool {
        self.history.resets.fetch_add(1, Ordering::Relaxed);
        let gone = stopped.how() == How::Gone || self.state.is(state::GONE);
        let outcome = if gone { Outcome::Gone } else { Outcome::Reset };
        self.each(level, |ring| ring.drain(&stopped, outcome, ended));
        if gone {
            self.record(Happened::Gone, [0; 2]);
            self.state.set(state::GONE, true);
            self.end_queues(level, Outcome::Gone, ended);
            return false;
        }
        match self.start_device(stopped, level) {
            Ok(()) => true,
            Err(failure) => {
                let asks = needs_reset(self.transport.status());
                self.give_up();
                self.report(failure.event());
                if asks {
                    self.count_trouble();
                }
                // One that asked for another reset meanwhile gets it, unless it asks too often.
                let outcome = if asks && !self.state.is(state::GONE) {
                    self.want(work::RESET);
                    Outcome::Reset
                } else {
                    Outcome::Gone
                };
                self.end_queues(level, outcome, ended);
                false
            }
        }
    }

    /// Ends what waits, and what comes, as nothing will be sent any more. Any IRQL.
    pub(crate) fn end_waiting(&self, level: Level) {
        let mut ended = List::EMPTY;
        self.end_queues(level, Outcome::Gone, &mut ended);
        while let Some(request) = ended.pop_front() {
            self.complete(request, SrbStatus::NoDevice);
        }
    }

    #[inline(never)] // used twice or more
    fn end_queues(&self, level: Level, outcome: Outcome, ended: &mut List) {
        self.each(level, |ring| ring.end(outcome, ended));
    }

    /// Does something with each queue that is in reach, as all are at the level of a reset.
    ///
    /// The last queue, where requests for resets wait, comes first: whatever waited elsewhere before a request that is taken out of it is
    /// taken out after it.
    pub(crate) fn each(&self, level: Level, mut body: impl FnMut(&mut Ring)) {
        for cell in self.queues.iter().rev() {
            cell.try_with(self.adapter, level, &mut body);
        }
    }

    /// Keeps wishes for when whoever has the set-up releases it.
    fn put_back(&self, bits: u32) {
        // SeqCst, both: see `release_setup`.
        self.work.fetch_or(bits, Ordering::SeqCst);
        if self.in_setup.load(Ordering::SeqCst) == setup::NOBODY {
            self.issue_service();
        }
    }

    /// The service DPC.
    pub fn service(&self, at: Dispatch) {
        let wanted = self.work.swap(0, Ordering::AcqRel);
        if self.state.is(state::HALTED) && wanted & work::REMOVED == 0 {
            return;
        }
        let status = self.transport.status();
        let asks = needs_reset(status);
        // The reset finds a device that is gone, and ends everything.
        let trouble = asks || status.is_err() || wanted & work::BROKEN != 0;
        let reset = trouble || wanted & (work::RESET | work::REMOVED) != 0;
        if reset || wanted & work::LOOK != 0 {
            if self.take_setup().is_err() {
                // The status is looked at again then.
                return self.put_back(wanted | work::CONFIG);
            }
            let late = self.late.load(Ordering::Relaxed) != 0;
            if asks {
                self.report(Event::DeviceNeedsReset);
            }
            // One that is late has not had its reset yet.
            if trouble && !late {
                self.count_trouble();
            }
            if reset || late {
                self.reset_claimed(at, Level::Dispatch(at));
                return;
            }
            // Whoever had the set-up since has seen the device stop.
            self.release_setup();
        }
        if wanted & work::CONFIG != 0 {
            let before = self.blocks.load(Ordering::Relaxed);
            self.look_at_capacity();
            let now = self.blocks.load(Ordering::Relaxed);
            if now != before {
                let block = self.rules.config.block_size.into();
                self.record(Happened::CapacityChanged, [now, block]);
            }
        }
    }

    /// A device that does nothing but ask for resets is not served for ever: after some of them it counts as gone.
    fn count_trouble(&self) {
        let before = self.troubles.fetch_add(1, Ordering::Relaxed);
        if before >= MAX_TROUBLES && !self.state.set(state::GONE, true) {
            self.report(Event::GivenUp {
                resets: MAX_TROUBLES,
            });
        }
    }
}

/// Whether the device asks for a reset. Virtio 1.3 §2.1
fn needs_reset(status: Result<Status, TransportError>) -> bool {
    matches!(status, Ok(status) if status.contains(Status::DEVICE_NEEDS_RESET))
}
