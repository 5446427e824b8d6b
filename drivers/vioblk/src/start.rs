//! HwStartIo: what each request asks for, and which queue it goes to.
#![forbid(unsafe_code)]

use crate::chain;
use crate::disk::{Disk, cache};
use crate::ffi::data::SrbData;
use crate::ffi::extension::{Given, Place, RequestBox};
use crate::ffi::lock::QueueCell;
use crate::ranges;
use crate::request::{Operation, Outcome, Request};
use crate::ring::{Submitted, Through};
use crate::scsi::{self, Command, Plan, Reply};
use crate::state;
use core::sync::atomic::Ordering;
use nt::irql::Dispatch;
use storport::srb::Address;
use storport::{Adapter, Function, Sense, Srb, SrbStatus};

impl Disk {
    /// HwStartIo of all that does not go the [short way](Self::start_short).
    pub fn start_any(&self, at: Dispatch, block: Given<'_>) {
        let request = self.request_for(block);
        // That requests come only after the passive-initialisation routine, Microsoft says nowhere. It may be what was interrupted here,
        // with a queue that this would wait for.
        if self.state.is(state::NO_DPCS) && !self.rules.polled {
            return self.complete(request, SrbStatus::Busy);
        }
        if request.operation != Operation::None {
            return self.execute(at, request);
        }
        let Some(srb) = &request.srb else { return };
        match srb.function() {
            Function::ExecuteScsi => match addressee(srb) {
                Ok(()) => self.execute(at, request),
                Err(status) => self.complete(request, status),
            },
            Function::Flush | Function::Shutdown => {
                self.carry_out(at, request, scsi::flush(&self.unit()))
            }
            Function::DumpPointers => self.dump_pointers(request),
            Function::FreeDumpPointers => self.complete(request, SrbStatus::Success),
            Function::ResetBus | Function::ResetDevice | Function::ResetLogicalUnit => {
                self.reset_for(at, request);
            }
            // Nothing to do: the disk has no power states of its own, and adapter control stops and starts the device.
            Function::Power => self.complete(request, SrbStatus::Success),
            Function::Pnp => self.plug_and_play(request),
            Function::IoControl => self.io_control(at, request),
            Function::Wmi => self.complete(request, SrbStatus::InvalidRequest),
            Function::AbortCommand | Function::Other(_) => {
                self.complete(request, SrbStatus::BadFunction)
            }
        }
    }

    /// The request of a block, described to the device if it is a transfer.
    #[inline(never)] // for the stack
    fn request_for(&self, block: Given<'_>) -> RequestBox {
        let srb = block.srb();
        let (operation, sector, bytes) = self.transfer(srb);
        let mut request = Request::new(operation, sector, bytes);
        if request.operation != Operation::None {
            chain::prepare(&self.rules, srb, block.place(), &mut request);
        }
        block.put(request)
    }

    /// The transfer that a block asks for, or [`Operation::None`]; its first sector and its bytes.
    #[inline]
    fn transfer(&self, srb: &Srb) -> (Operation, u64, u32) {
        const OTHER: (Operation, u64, u32) = (Operation::None, 0, 0);
        if srb.function() != Function::ExecuteScsi || addressee(srb).is_err() {
            return OTHER;
        }
        let Ok(command) = scsi::decode(srb.cdb()) else {
            return OTHER;
        };
        let (_, available) = srb.data();
        match scsi::plan_transfer(&command, &self.unit(), available) {
            Some(Ok(Plan::Read(transfer))) => (Operation::Read, transfer.sector, transfer.bytes),
            Some(Ok(Plan::Write {
                transfer,
                force_unit_access,
            })) => (
                Operation::Write { force_unit_access },
                transfer.sector,
                transfer.bytes,
            ),
            _ => OTHER,
        }
    }

    /// Completes a request that was not with the device.
    pub fn complete(&self, request: RequestBox, status: SrbStatus) {
        if let Some(srb) = request.finish() {
            self.adapter.complete(srb, status);
        }
    }

    fn execute(&self, at: Dispatch, mut request: RequestBox) {
        if self.state.is(state::GONE) {
            return self.complete(request, SrbStatus::NoDevice);
        }
        if request.operation == Operation::None {
            return self.emulate(at, request);
        }
        if let Some(sense) = self.take_attention() {
            request.outcome = Outcome::Failed(sense);
        }
        match request.outcome {
            Outcome::Done => self.send(at, request),
            _ => self.end(at, request),
        }
    }

    /// Executes a command that is no transfer.
    pub fn emulate(&self, at: Dispatch, mut request: RequestBox) {
        let Some(srb) = &request.srb else { return };
        let mut reply = Reply::EMPTY;
        let plan = scsi::decode(srb.cdb()).and_then(|command| self.plan(&command, srb, &mut reply));
        match plan {
            Ok(Plan::Reply) => {
                if let Some(srb) = request.finish() {
                    self.reply(srb, &reply);
                }
            }
            Ok(plan) => self.carry_out(at, request, plan),
            Err(sense) => {
                request.outcome = Outcome::Failed(sense);
                self.end(at, request);
            }
        }
    }

    fn take_attention_unless(&self, silent: bool) -> Option<Sense> {
        if silent { None } else { self.take_attention() }
    }

    fn plan(&self, command: &Command, srb: &Srb, reply: &mut Reply) -> Result<Plan, Sense> {
        // SAM-6 §5.14: these do not report what changed.
        let silent = matches!(
            command,
            Command::Inquiry { .. } | Command::ReportLuns { .. } | Command::RequestSense { .. }
        );
        match self.take_attention_unless(silent) {
            Some(sense) => Err(sense),
            None => {
                let serial = self.serial.get();
                scsi::plan(command, &self.unit(), serial, &SrbData(srb), reply)
            }
        }
    }

    fn carry_out(&self, at: Dispatch, mut request: RequestBox, plan: Plan) {
        let mut work = 0;
        let operation = match plan {
            Plan::Done | Plan::Reply => return self.end(at, request),
            Plan::Taken => {
                request.bytes = request.srb.as_ref().map_or(0, |srb| srb.data().1);
                return self.end(at, request);
            }
            Plan::Start | Plan::Stop => {
                self.state.set(state::RUNNING, matches!(plan, Plan::Start));
                return self.end(at, request);
            }
            Plan::Flush => Operation::Flush { stop: false },
            Plan::FlushAndStop => Operation::Flush { stop: true },
            Plan::Identify => Operation::Identify,
            Plan::Lifetime => Operation::Lifetime,
            Plan::Unmap { count } => {
                work = count;
                Operation::Discard
            }
            Plan::Zero { span, unmap } => {
                request.sector = span.sector;
                work = span.blocks;
                Operation::Zero { unmap }
            }
            Plan::Repeat(span) | Plan::Verify(span) => {
                request.sector = span.sector;
                work = span.blocks;
                if matches!(plan, Plan::Repeat(_)) {
                    Operation::Repeat
                } else {
                    Operation::Verify
                }
            }
            Plan::SetCache(on) => {
                request.bytes = request.srb.as_ref().map_or(0, |srb| srb.data().1);
                if !self.set_cache(at, on) {
                    request.outcome = Outcome::Failed(Sense::TARGET_FAILURE);
                }
                // What is in the cache that is now off has to reach the medium. SBC-4 §6.5.5
                if on || request.outcome != Outcome::Done {
                    return self.end(at, request);
                }
                Operation::Flush { stop: false }
            }
            // It was no transfer when `transfer` looked (the disk was stopped, or shorter): StorPort may try again.
            Plan::Read(_) | Plan::Write { .. } => {
                request.outcome = Outcome::Busy;
                return self.end(at, request);
            }
        };
        request.operation = operation;
        request.memory = request
            .srb
            .as_ref()
            .and_then(|srb| Place::of(srb)?.memory(&self.rules, srb));
        if work > 0 && !self.prepare_ranges(&mut request, work) {
            return self.end(at, request);
        }
        self.send(at, request);
    }

    /// Chooses the first step of an operation on ranges of blocks. False: there is none, or the outcome says why not.
    fn prepare_ranges(&self, request: &mut Request, work: u32) -> bool {
        match request.operation {
            Operation::Discard | Operation::Zero { .. } => {
                ranges::begin_segments(&self.rules, request, work)
            }
            Operation::Repeat => {
                let Some(srb) = request.srb.take() else {
                    return false;
                };
                chain::prepare_repeat(&self.rules, &srb, request);
                request.srb = Some(srb);
                request.outcome == Outcome::Done && ranges::begin(&self.rules, request, work)
            }
            _ => ranges::begin(&self.rules, request, work),
        }
    }

    #[inline(never)] // used twice
    fn write_through(&self, at: Dispatch, through: Through) {
        for cell in self.queues {
            cell.with(at, |ring| ring.write_through(through));
        }
    }

    /// Has the device write through, or not. Whether it does.
    fn set_cache(&self, at: Dispatch, on: bool) -> bool {
        let wanted = if on { cache::ON } else { cache::OFF };
        self.cache.store(wanted, Ordering::Relaxed);
        // A write that the device takes while it turns its cache off may end up in it. Virtio 1.3 §5.2.6.2
        self.write_through(at, Through::All);
        let through = self.settle_cache();
        self.write_through(at, through);
        self.state.is(state::WRITE_CACHE) == on
    }

    /// Gives a request to the device, or lets it wait. No lock is held.
    #[cold]
    #[inline(never)] // as few requests come here
    fn send(&self, at: Dispatch, request: RequestBox) {
        let first = match &request.srb {
            Some(srb) => self.queue_of(self.adapter, srb),
            None => 0,
        };
        let first = first.checked_rem(self.queues.len()).unwrap_or(0);
        self.send_from(at, first, request);
    }

    /// The same, first to the queue `first`.
    #[cold]
    #[inline(never)] // used twice
    pub fn send_from(&self, at: Dispatch, first: usize, request: RequestBox) {
        let (before, from) = self
            .queues
            .split_at_checked(first)
            .unwrap_or((&[], self.queues));
        let Some(own) = from.first() else {
            return;
        };
        let mut result = Submitted::NoRoom(request);
        // A full queue spills to the others; if all are full, the request waits where it should have gone.
        let submit =
            |cell: &QueueCell, request| cell.with(at, |ring| ring.submit(&self.rules, request));
        for cell in from.iter().chain(before) {
            match result {
                Submitted::NoRoom(again) => result = submit(cell, again),
                _ => break,
            }
        }
        if let Submitted::NoRoom(again) = result {
            result = own.with(at, |ring| ring.submit_or_wait(&self.rules, again));
        }
        match result {
            Submitted::Sent(notice) => self.notify(notice),
            Submitted::Waits => {}
            Submitted::Refused(request) => self.end(at, request),
            Submitted::NoRoom(mut request) => {
                self.adapter.busy(1);
                request.outcome = Outcome::Busy;
                self.end(at, request);
            }
        }
    }

    /// The queue for a request, modulo the number of queues: the one whose interrupt StorPort prefers, or this processor's.
    #[inline(always)] // part of HwStartIo
    pub fn queue_of(&self, adapter: Adapter, srb: &Srb) -> usize {
        let by_message = self.state.now().by_message();
        if !by_message && self.queues.len() < 2 {
            return 0;
        }
        let message = if by_message {
            adapter.start_io_message(srb).ok()
        } else {
            None
        };
        let number = match message {
            // Message 0 is the configuration's; no queue has the number that it becomes.
            Some(message) => message.wrapping_sub(1),
            None => nt::cpu::current_index(),
        };
        number as usize
    }
}

/// Whether a block is for the one unit that there is.
pub fn addressee(srb: &Srb) -> Result<(), SrbStatus> {
    match srb.address() {
        Some(Address { path: 1.., .. }) => Err(SrbStatus::InvalidPath),
        Some(Address { target: 1.., .. }) => Err(SrbStatus::InvalidTarget),
        Some(Address { lun: 1.., .. }) => Err(SrbStatus::InvalidLun),
        Some(_) => Ok(()),
        None => Err(SrbStatus::InvalidRequest),
    }
}
