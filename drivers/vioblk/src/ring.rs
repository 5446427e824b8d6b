//! One request queue: the ring, what waits for room in it, and the memory that its requests may borrow.
//!
//! Everything here happens under the queue's lock and ends before the lock is released; requests are completed by the
//! caller, afterwards.
#![forbid(unsafe_code)]

mod end;
mod open;
mod process;
mod through;

pub use process::{More, Progress};
pub use through::Through;

use crate::chain;
use crate::config::Config;
use crate::ffi::bounce;
use crate::ffi::dma::region;
use crate::ffi::extension::{RequestBox, Token};
use crate::ffi::list::{Counted, List};
use crate::ffi::lock::Free;
use crate::limits::Limits;
use crate::pool::Pool;
use crate::ranges;
use crate::request::{
    Extra, HEAD_LEN, ID_OFFSET, NO_STATUS, Operation, Outcome, Request, STATUS_OFFSET, Stage,
};
use crate::short;
use crate::statistics::Counters;
use storport::{Adapter, Dma, Srb};
use virtio_core::ring::{AddError, IndirectChain, Kick, Queue, QueueMemory, Rejected, Tables};
use virtio_core::spec::blk::RequestStatus;
use virtio_core::spec::features::Features;
use virtio_core::transport::Doorbell;
use zerocopy::{FromBytes, Unaligned};

/// The ring of a queue, with the request as token.
pub type RequestQueue = Queue<'static, Token>;

/// Most requests that wait in one queue. More than StorPort is told that the adapter takes, so only a bound.
const MAX_WAITING: u32 = 8192;

/// What a queue needs to know of the device.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Names the adapter to StorPort.
    pub adapter: Adapter,
    /// Limits of a request.
    pub limits: Limits,
    /// What was negotiated.
    pub features: Features,
    /// How indirect tables are written, if there may be any.
    pub tables: Option<Tables>,
    /// The checked configuration; the capacity is that of the start.
    pub config: Config,
    /// Sectors of a logical block, as the configuration has it.
    pub sectors_per_block: u64,
    /// Bytes of a request's extension that the device may be given.
    pub room: u32,
    /// Where the device finds a page that it may write anything to.
    pub scratch: u64,
    /// Windows remaps the device's DMA.
    pub remapped: bool,
    /// How a transfer is described that goes the short way, and how long it may be.
    pub short: short::Table,
    /// Completions are looked for by the dump stack ([`crate::dump`]); nobody takes interrupts.
    pub polled: bool,
}

impl Rules {
    /// Chains may lie in indirect tables.
    pub const fn indirect(&self) -> bool {
        self.tables.is_some()
    }

    /// The block that StorPort is told when it is asked where a block's extension lies: itself where DMA is remapped, or none.
    ///
    /// MS: nf-storport-storportgetphysicaladdress: for all but data and sense buffer it "must be NULL". Where DMA is remapped the
    /// block is needed, says io.c of Microsoft's sample StorAhci, the model of storport-miniport-dma-remapping-support.
    #[inline(always)] // part of HwStartIo
    pub const fn owner<'a>(&self, block: &'a Srb) -> Option<&'a Srb> {
        if self.remapped { Some(block) } else { None }
    }
}

/// Why a request did not go to the device.
enum Refused {
    /// There is no room now.
    Wait(RequestBox),
    /// It never will; the outcome is set.
    Never(RequestBox),
}

/// Whether a request has the memory that it needs.
enum Borrowed {
    /// It has.
    Ready,
    /// There is none left now.
    Wait,
    /// Its data cannot be copied into the page: it would write what another request left there.
    Never,
}

/// What the device has to be told, once the lock is released.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// Where.
    pub doorbell: Option<Doorbell>,
    /// Whether.
    pub kick: Kick,
}

/// What became of a request.
#[derive(Debug)]
pub enum Submitted {
    /// The device has it.
    Sent(Notice),
    /// It waits in the queue.
    Waits,
    /// There is no room now.
    NoRoom(RequestBox),
    /// It cannot be sent at all; the outcome says why.
    Refused(RequestBox),
}

/// The state of a queue.
#[derive(Debug)]
pub struct Ring {
    /// Whether requests can go the short way, by [`Self::settle`]: the queue is open, nothing waits, and writes are not flushed.
    free: Free,
    queue: Option<RequestQueue>,
    /// The queue's memory while there is no queue.
    memory: Option<QueueMemory<'static, Token>>,
    doorbell: Option<Doorbell>,
    /// Whether the device may be given requests.
    open: bool,
    /// The device cannot be used any more; how requests end from now on.
    ended: Option<Outcome>,
    /// A request for a reset waits here.
    wish: bool,
    /// Writes that are flushed.
    through: Through,
    backlog: Counted,
    /// Requests may have been added that the device has not been shown.
    unseen: bool,
    /// Heads and tables for requests whose extension is not contiguous for the device.
    slots: Pool,
    /// Pages for data that does not fit the device's limits as it lies.
    pages: Pool,
    counters: Counters,
}

impl Ring {
    /// A queue that has not been set up.
    pub const fn new(memory: QueueMemory<'static, Token>, slots: Pool, pages: Pool) -> Self {
        Self {
            free: Free::Slow,
            queue: None,
            memory: Some(memory),
            doorbell: None,
            open: false,
            ended: None,
            wish: false,
            through: Through::None,
            backlog: Counted::EMPTY,
            unseen: false,
            slots,
            pages,
            counters: Counters::ZERO,
        }
    }

    /// How the queue is found once it is unlocked.
    #[inline(always)] // part of HwStartIo and a DPC
    pub const fn free(&self) -> Free {
        self.free
    }

    /// Sends a request that was described as `chain`, if requests can go the short way. Gives it back, if it cannot be sent at once.
    #[inline(always)] // part of HwStartIo
    pub fn submit_now(&mut self, request: Token, chain: IndirectChain) -> Result<Notice, Token> {
        let Some(queue) = &mut self.queue else {
            return Err(request);
        };
        match queue.submit_indirect(request, chain) {
            Ok(kick) => Ok(Notice {
                doorbell: self.doorbell,
                kick,
            }),
            Err(rejected) => Err(rejected.token),
        }
    }

    /// Sends a request, unless others wait already.
    #[cold]
    #[inline(never)] // used twice
    pub fn submit(&mut self, rules: &Rules, mut request: RequestBox) -> Submitted {
        if let Some(outcome) = self.ended {
            request.outcome = outcome;
            return Submitted::Refused(request);
        }
        if !self.open || !self.backlog.is_empty() {
            self.counters.full = self.counters.full.wrapping_add(1);
            return Submitted::NoRoom(request);
        }
        match self.add(rules, request) {
            Ok(()) => Submitted::Sent(self.publish()),
            Err(Refused::Wait(request)) => {
                self.counters.full = self.counters.full.wrapping_add(1);
                Submitted::NoRoom(request)
            }
            Err(Refused::Never(request)) => Submitted::Refused(request),
        }
    }

    /// Sends a request, or lets it wait until the queue has room.
    ///
    /// Both are one step under the lock: a queue without room has requests in flight, and it is their completion that sends
    /// what waits. (A queue that is closed is looked at when it opens again.)
    pub fn submit_or_wait(&mut self, rules: &Rules, request: RequestBox) -> Submitted {
        match self.submit(rules, request) {
            Submitted::NoRoom(request) if self.backlog.len() < MAX_WAITING => {
                self.backlog.push_back(request);
                self.counters.waited = self.counters.waited.wrapping_add(1);
                Submitted::Waits
            }
            other => other,
        }
    }

    #[cold]
    #[inline(never)] // few requests are sent by a DPC, or by the second look at a queue
    fn publish(&mut self) -> Notice {
        self.unseen = false;
        Notice {
            doorbell: self.doorbell,
            kick: self.queue.as_mut().map_or(Kick::NONE, Queue::publish),
        }
    }

    #[cold]
    #[inline(never)] // used twice
    fn send_backlog(&mut self, rules: &Rules, done: &mut List) {
        while let Some(request) = self.backlog.pop_front() {
            match self.add(rules, request) {
                Ok(()) => {}
                Err(Refused::Never(request)) => done.push_back(request),
                Err(Refused::Wait(request)) => {
                    self.backlog.push_front(request);
                    return;
                }
            }
        }
    }

    /// Judges a completion. A write that must reach the medium goes on with its flush, an operation on ranges with its next step.
    #[cold]
    #[inline(never)] // as few requests come here
    fn completed(&mut self, rules: &Rules, mut request: RequestBox, written: u32, done: &mut List) {
        let status = self.read(&request, STATUS_OFFSET).unwrap_or(NO_STATUS);
        request.outcome = request.judge(RequestStatus(status), written);
        let done_well = request.outcome == Outcome::Done;
        if done_well
            && (ranges::goes_on(rules, &mut request)
                || self.through != Through::None && self.must_flush(&mut request))
        {
            request.chain = None;
            match self.add(rules, request) {
                Ok(()) => {}
                Err(Refused::Wait(request)) => self.backlog.push_back(request),
                Err(Refused::Never(request)) => self.finish(request, done),
            }
        } else {
            self.finish(request, done);
        }
    }

    /// Takes out of the shared memory what is still needed of it, and gives back what was borrowed.
    fn finish(&mut self, mut request: RequestBox, done: &mut List) {
        if matches!(request.outcome, Outcome::Failed(_)) {
            self.counters.failed = self.counters.failed.wrapping_add(1);
        }
        if matches!(request.operation, Operation::Identify | Operation::Lifetime) {
            request.extra = Extra::Answer(self.read(&request, ID_OFFSET).unwrap_or_default());
        }
        if let Some(page) = request.bounce
            && request.operation == Operation::Read
            && request.outcome == Outcome::Done
        {
            let page = self.pages.piece(page);
            if !page.is_some_and(|page| bounce::copy_in(&mut request, page)) {
                request.outcome = Outcome::Invalid;
            }
        }
        self.give_back(&mut request);
        done.push_back(request);
    }

    fn give_back(&mut self, request: &mut Request) {
        if let Some(slot) = request.slot.take() {
            self.slots.give(slot);
        }
        if let Some(page) = request.bounce.take() {
            self.pages.give(page);
        }
    }

    /// Reads from the request's head.
    fn read<T: FromBytes + Unaligned>(&self, request: &Request, offset: usize) -> Option<T> {
        region(self.place(request)?)?.read(offset).ok()
    }

    /// Where the request's head and table lie now.
    fn place(&self, request: &Request) -> Option<Dma> {
        match request.slot {
            Some(slot) => self.slots.piece(slot),
            None => request.memory,
        }
    }

    /// Adds a request to the ring, without showing it to the device yet.
    ///
    /// A request that is refused keeps nothing that it borrowed: others may need it to finish.
    #[cold]
    #[inline(never)] // used for all but plain transfers
    fn add(&mut self, rules: &Rules, mut request: RequestBox) -> Result<(), Refused> {
        // What has its table lies where it needs nothing.
        let borrowed = match request.chain {
            Some(_) => Borrowed::Ready,
            None => self.borrow(rules, &mut request),
        };
        match borrowed {
            Borrowed::Ready => {}
            Borrowed::Wait => {
                self.give_back(&mut request);
                return Err(Refused::Wait(request));
            }
            Borrowed::Never => {
                self.give_back(&mut request);
                request.outcome = Outcome::Invalid;
                return Err(Refused::Never(request));
            }
        }
        let place = self.place(&request);
        let (moved, copied) = (request.slot.is_some(), request.bounce.is_some());
        match self.add_at(rules, place, request) {
            Ok(()) => {
                self.unseen = true;
                self.counters.moved = self.counters.moved.wrapping_add(moved.into());
                self.counters.copied = self.counters.copied.wrapping_add(copied.into());
                Ok(())
            }
            Err(rejected) => Err(self.rejected(rejected)),
        }
    }

    /// The queue did not take a request.
    #[cold]
    #[inline(never)] // as few requests come here
    fn rejected(&mut self, rejected: Rejected<Token>) -> Refused {
        let Rejected { token, error } = rejected;
        let mut request = token.open();
        self.give_back(&mut request);
        match error {
            AddError::Full | AddError::Closed => Refused::Wait(request),
            // It contradicts the promise, or the memory it lies in.
            _ => {
                request.outcome = Outcome::Invalid;
                Refused::Never(request)
            }
        }
    }

    fn add_at(
        &mut self,
        rules: &Rules,
        place: Option<Dma>,
        request: RequestBox,
    ) -> Result<(), Rejected<Token>> {
        let reject = |request: RequestBox, error| {
            Err(Rejected {
                token: request.into(),
                error,
            })
        };
        let Some(queue) = &mut self.queue else {
            return reject(request, AddError::Closed);
        };
        // The table is written already, unless there was no place for it.
        let chain = match (request.chain, request.slot) {
            (Some(chain), None) => chain,
            _ => {
                let page = request.bounce.and_then(|page| self.pages.piece(page));
                let Some((chain, mut table)) =
                    place.and_then(|place| chain::start(rules, &request, place, page))
                else {
                    return reject(request, AddError::Region);
                };
                let (readable, writable) = chain.sides();
                if !rules.indirect() || !chain::table_fits(&request, table.len()) {
                    return queue.add_direct(request.into(), readable, writable);
                }
                match IndirectChain::write(&mut table, rules.features, readable, writable) {
                    Ok(chain) => chain,
                    Err(error) => return reject(request, error),
                }
            }
        };
        queue.add_indirect(request.into(), chain)
    }

    /// Borrows a slot and a page if the request needs them.
    #[cold]
    #[inline(never)] // as above
    fn borrow(&mut self, rules: &Rules, request: &mut Request) -> Borrowed {
        let room = request
            .memory
            .map(|memory| memory.len().saturating_sub(HEAD_LEN));
        let suits = room.is_some_and(|room| chain::fits(rules, request, room));
        if !suits && request.slot.is_none() {
            request.slot = self.slots.take();
            // Without a slot the chain can still lie in the ring itself, if what it points to has its place at least.
            let head = room.is_some_and(|room| room >= request.ranges_len());
            if request.slot.is_none() && !head {
                return Borrowed::Wait;
            }
        }
        if request.needs_bounce && request.stage == Stage::Operation && request.bounce.is_none() {
            request.bounce = self.pages.take();
            let Some(page) = request.bounce.and_then(|page| self.pages.piece(page)) else {
                return Borrowed::Wait;
            };
            let bytes = match request.operation {
                Operation::Repeat => rules.config.block_size,
                _ => request.bytes,
            };
            if request.operation != Operation::Read && !bounce::copy_out(request, bytes, page) {
                return Borrowed::Never;
            }
        }
        Borrowed::Ready
    }
}
