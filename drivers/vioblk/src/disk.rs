//! The disk: what every routine that StorPort calls shares.
#![forbid(unsafe_code)]

use crate::events::{Event, Journal};
use crate::ffi::extension::{RequestBox, Token};
use crate::ffi::list::{Front, Succeeded, Success};
use crate::ffi::lock::{Held, Locks, Once, QueueCell};
use crate::identity::{Place, Serial};
use crate::request::{Operation, Outcome};
use crate::ring::{More, Notice, Progress, Rules};
use crate::scsi::{self, Command, Reply, Unit};
use crate::state::{self, State};
use crate::statistics::History;
use crate::trace::{self, Happened};
use core::hint::cold_path;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use nt::irql::Dispatch;
use storport::{Adapter, Dpc, Sense, Srb, SrbStatus};
use virtio_core::mmio::MmioWindow;
use virtio_core::ring::{Armed, Completion};
use virtio_core::spec::blk::{self, Lifetime};
use virtio_core::transport::Transport;
use zerocopy::FromBytes;

/// Completions that one DPC takes before it lets others run.
const BUDGET: u32 = 128;

/// Work for the service DPC, as bits.
pub mod work {
    /// StorPort wants the device reset.
    pub const RESET: u32 = 1;
    /// The device configuration may have changed.
    pub const CONFIG: u32 = 2;
    /// The device has been removed.
    pub const REMOVED: u32 = 4;
    /// The device broke the protocol.
    pub const BROKEN: u32 = 8;
    /// A late reset may be over.
    pub const LOOK: u32 = 16;
}

/// What StorPort knows of changes. It takes one at a time.
pub mod notice {
    /// All.
    pub const NONE: u8 = 0;
    /// It is looking.
    pub const TOLD: u8 = 1;
    /// It is looking, and has to look again.
    pub const AGAIN: u8 = 2;
}

/// Who sets the device up.
pub mod setup {
    /// Nobody.
    pub const NOBODY: u32 = 0;

    /// What runs on this processor. Any IRQL; below DISPATCH_LEVEL it may move to another one and keeps the name.
    pub fn here() -> u32 {
        nt::cpu::current_index().saturating_add(1)
    }
}

/// What a command wanted of the write cache.
pub mod cache {
    /// Nothing: it is as the device has it.
    pub const AS_IT_IS: u8 = 0;
    /// Off.
    pub const OFF: u8 = 1;
    /// On.
    pub const ON: u8 = 2;
}

/// The disk and its device.
#[derive(Debug)]
pub struct Disk {
    /// Names the adapter to StorPort.
    pub adapter: Adapter,
    /// The device's registers.
    pub transport: Transport<MmioWindow>,
    /// What requests have to obey.
    pub rules: Rules,
    /// Where the device is plugged in.
    pub place: Place,
    /// Descriptors of each queue.
    pub queue_size: u16,
    /// The queues.
    pub queues: &'static [QueueCell],
    /// Runs what must not run in an interrupt.
    pub service: Dpc,
    /// Bits of [`work`].
    pub work: AtomicU32,
    /// Who sets the device up or down: a value of [`setup`]. Nobody else may.
    pub in_setup: AtomicU32,
    /// What each request looks at.
    pub state: State,
    /// Looks at a reset that is late; 0: none is.
    pub late: AtomicU32,
    /// Resets that the device caused since it last finished a request.
    pub troubles: AtomicU32,
    /// Most interrupt messages that the administrator wants used.
    pub most_messages: u32,
    /// Interrupt messages; 0: line interrupt.
    pub messages: AtomicU32,
    /// Logical blocks, which may change while the system runs.
    pub blocks: AtomicU64,
    /// How far StorPort is with the last change that the class driver has to know: a value of [`notice`].
    pub notice: AtomicU8,
    /// What a command wants the write cache to be: a value of [`cache`].
    pub cache: AtomicU8,
    /// The serial number, once it was asked for.
    pub serial: Once<Serial>,
    /// Keeps the event log short.
    pub journal: Journal,
    /// What the adapter has been through.
    pub history: History,
    /// HwInitialize could not start the device.
    pub failed: AtomicBool,
}

impl Disk {
    /// The disk as SCSI sees it now.
    pub fn unit(&self) -> Unit<'_> {
        Unit {
            config: &self.rules.config,
            blocks: self.blocks.load(Ordering::Relaxed),
            max_transfer: self.rules.limits.max_transfer,
            read_only: self.state.is(state::READ_ONLY),
            flushes: self.rules.features.contains(blk::F_FLUSH),
            write_cache: self.state.is(state::WRITE_CACHE),
            stopped: !self.state.is(state::RUNNING),
            place: self.place,
        }
    }

    /// What the next command has to be answered with instead of being executed, if anything has changed. Once.
    pub fn take_attention(&self) -> Option<Sense> {
        let changes = [
            (state::CAPACITY_CHANGED, Sense::CAPACITY_CHANGED),
            (state::MODE_CHANGED, Sense::MODE_PARAMETERS_CHANGED),
        ];
        changes
            .into_iter()
            .find(|(bit, _)| self.state.is(*bit) && self.state.take(*bit))
            .map(|(_, sense)| sense)
    }

    /// Writes an entry to the event log, if it is not one of many.
    pub fn report(&self, event: Event) {
        if self.rules.polled {
            return; // above DISPATCH_LEVEL, and nobody could read it
        }
        self.journal.report(self.adapter, event);
    }

    /// Tells event tracing what happened. IRQL <= DISPATCH_LEVEL
    pub fn record(&self, happened: Happened, values: [u64; 2]) {
        if !self.rules.polled {
            trace::record(self.adapter, happened, values);
        }
    }

    /// Takes what the device has finished on a queue and sends what waits. The DPC of the queue.
    #[inline] // with the routine that calls it
    pub fn process(&self, at: Dispatch, locks: Locks, cell: &'static QueueCell) {
        let Some(mut held) = cell.hold_swift(locks) else {
            return self.process_slow(at, cell);
        };
        let (first, armed) = match held.ring().take_alone() {
            (Some(first), Armed::Idle) => match Success::of(first) {
                Ok(success) => {
                    drop(held);
                    if self.troubles.load(Ordering::Relaxed) != 0 {
                        cold_path();
                        self.troubles.store(0, Ordering::Relaxed);
                    }
                    return success.complete(locks.adapter());
                }
                Err(first) => (Some(first), Armed::Idle),
            },
            other => other,
        };
        self.process_held(at, cell, held, first, armed);
    }

    /// The same of a queue that is locked, from what was taken `first`.
    #[inline(never)] // apart from what is done for an interrupt that comes for each request
    fn process_held(
        &self,
        at: Dispatch,
        cell: &'static QueueCell,
        mut held: Held<'_>,
        first: Option<Completion<Token>>,
        armed: Armed,
    ) {
        let mut front = Front::uninit();
        let mut done = Succeeded::new(&mut front);
        let ring = held.ring();
        let more = ring.process(&self.rules, BUDGET, (first, armed), &mut done);
        drop(held);
        if self.troubles.load(Ordering::Relaxed) != 0 && !done.is_empty() {
            self.troubles.store(0, Ordering::Relaxed);
        }
        done.complete(self.adapter);
        if let Some(more) = more {
            self.process_more(at, cell, more);
        }
    }

    /// [`Self::process`] in the dump stack, which has one queue.
    pub fn process_polled(&self, at: Dispatch) {
        if let Some(cell) = self.queues.first() {
            self.process_slow(at, cell);
        }
    }

    /// The same of a queue where requests may not go the short way.
    #[cold]
    #[inline(never)] // used twice
    fn process_slow(&self, at: Dispatch, cell: &'static QueueCell) {
        let more = cell.with(at, |ring| ring.process_any(&self.rules, BUDGET));
        self.process_more(at, cell, more);
    }

    /// What is left to do when a queue was looked at.
    #[cold]
    #[inline(never)] // as few interrupts come here
    fn process_more(&self, at: Dispatch, cell: &'static QueueCell, more: More) {
        if let Some(notice) = more.notice {
            self.notify(notice);
        }
        let mut done = more.done;
        if !done.is_empty() {
            self.troubles.store(0, Ordering::Relaxed);
        }
        while let Some(request) = done.pop_front() {
            self.end(at, request);
        }
        match more.progress {
            Progress::Idle => {}
            Progress::More => self.issue_queue(cell),
            Progress::Broken => self.broken(at, cell),
        }
    }

    /// A queue on which the device has broken the protocol: reports it and has the device reset.
    #[cold]
    #[inline(never)] // as said
    fn broken(&self, at: Dispatch, cell: &QueueCell) {
        // Nothing, if somebody else has reset the device meanwhile.
        if let Some(error) = cell.with(at, |ring| ring.fault()) {
            let index = self.queues.iter().position(|one| core::ptr::eq(one, cell));
            self.report(Event::QueueBroken {
                queue: index.map_or(u16::MAX, |index| index as u16),
                code: crate::events::code::queue(&error),
            });
            self.want(work::BROKEN);
        }
    }

    /// Tells the device what was published. No lock is held.
    #[inline(always)] // part of HwStartIo
    pub fn notify(&self, notice: Notice) {
        if let Some(doorbell) = notice.doorbell {
            self.transport.ring(&doorbell, notice.kick);
        }
    }

    /// Completes a request whose outcome is known: the one place where an outcome becomes an SRB status, but for
    /// [`Succeeded::complete`].
    #[cold]
    #[inline(never)] // as few requests come here
    pub fn end(&self, at: Dispatch, request: RequestBox) {
        let (operation, outcome, bytes) = (request.operation, request.outcome, request.bytes);
        match (operation, outcome) {
            (Operation::Identify, Outcome::Done) => {
                let serial = Serial::new(&request.answer());
                return self.identified(at, request, serial);
            }
            // A device that knows no such request has no serial number.
            (Operation::Identify, Outcome::Failed(Sense::INVALID_OPCODE)) => {
                return self.identified(at, request, Serial::EMPTY);
            }
            (Operation::Lifetime, Outcome::Done) => {
                let answer = request.answer();
                return self.worn(request, &answer);
            }
            (Operation::Lifetime, Outcome::Failed(Sense::INVALID_OPCODE)) => {
                return self.fail_with(request, &Sense::INVALID_FIELD);
            }
            (Operation::Flush { stop: true }, Outcome::Done) => {
                self.state.set(state::RUNNING, false);
            }
            _ => {}
        }
        let Some(mut srb) = request.finish() else {
            return;
        };
        match outcome {
            Outcome::Done => {
                // The buffer may be longer than what the command moves.
                let (_, available) = srb.data();
                let moved = match operation {
                    // What says what to do was taken whole.
                    Operation::Discard | Operation::Zero { .. } | Operation::Repeat => available,
                    Operation::Verify => 0,
                    _ => bytes,
                };
                if moved != available {
                    srb.set_transferred(moved);
                }
                self.adapter.complete(srb, SrbStatus::Success);
            }
            Outcome::Failed(sense) => {
                self.history.refusals.fetch_add(1, Ordering::Relaxed);
                srb.set_sense(&sense);
                self.adapter.complete_as_set(srb);
            }
            Outcome::Reset => self.adapter.complete(srb, SrbStatus::BusReset),
            Outcome::Gone => self.adapter.complete(srb, SrbStatus::NoDevice),
            Outcome::Busy => self.adapter.complete(srb, SrbStatus::Busy),
            Outcome::Invalid => self.adapter.complete(srb, SrbStatus::InvalidRequest),
        }
    }

    fn fail_with(&self, request: RequestBox, sense: &Sense) {
        if let Some(mut srb) = request.finish() {
            self.history.refusals.fetch_add(1, Ordering::Relaxed);
            srb.set_sense(sense);
            self.adapter.complete_as_set(srb);
        }
    }

    /// LOG SENSE can be answered now.
    fn worn(&self, request: RequestBox, answer: &[u8]) {
        let Some(srb) = request.finish() else { return };
        let Ok((lifetime, _)) = Lifetime::read_from_prefix(answer) else {
            return self.adapter.complete(srb, SrbStatus::Error);
        };
        let allocation = match scsi::decode(srb.cdb()) {
            Ok(Command::LogSense { allocation, .. }) => allocation,
            _ => 0,
        };
        let mut reply = Reply::EMPTY;
        scsi::wear(&lifetime, &mut reply);
        reply.truncate(allocation);
        self.reply(srb, &reply);
    }

    /// The command that wanted the serial number can be answered now.
    fn identified(&self, at: Dispatch, mut request: RequestBox, serial: Serial) {
        if self.serial.get().is_none() && serial.may_be_cut() {
            self.report(Event::SerialMayBeCut);
        }
        self.serial.set(serial);
        request.operation = Operation::None;
        self.emulate(at, request);
    }

    /// Answers a command that needs no device: success, with data.
    pub fn reply(&self, mut srb: Srb, reply: &Reply) {
        let written = crate::ffi::data::write(&mut srb, reply.bytes());
        srb.set_transferred(written);
        self.adapter.complete(srb, SrbStatus::Success);
    }
}
