//! A queue's behaviour, written once: when buffers are shown, taken back and announced. The formats say only how.
#![forbid(unsafe_code)]

use super::chain::{TableFormat, WriteError};
use super::format::{Closed, Format};
use super::slots::{Buffer, Slots, Used};
use super::{
    AddError, Armed, Completion, IndirectChain, Kick, Part, QueueError, Rejected, RingAddresses,
    Slot, Taken, Totals, event,
};
use crate::mem::{DeviceAddress, DmaRegion, Order};
use crate::sync::{Ordering, fence};

/// A queue of one format; used through [`super::Queue`].
#[derive(Debug)]
pub(super) struct Engine<'m, T, F> {
    slots: Slots<'m, T>,
    format: F,
    /// What indirect tables have to be written for.
    tables: TableFormat,
    order: Order,
    armed: bool,
}

impl<'m, T, F: Format> Engine<'m, T, F> {
    pub(super) const fn new(slots: Slots<'m, T>, format: F, indirect: bool, order: Order) -> Self {
        let tables = if indirect {
            F::TABLES
        } else {
            TableFormat::None
        };
        Self {
            slots,
            format,
            tables,
            order,
            armed: true,
        }
    }

    #[inline(always)]
    pub(super) fn add_direct(
        &mut self,
        token: T,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<(), Rejected<T>> {
        let error = match self.format.add_direct(&self.slots, readable, writable) {
            Ok(buffer) => return self.claim(token, buffer),
            Err(WriteError::NoRoom { parts }) => self.no_room(parts),
            Err(WriteError::Refused(error)) => error,
        };
        Err(Rejected { token, error })
    }

    #[inline(always)]
    fn claim(&mut self, token: T, buffer: Buffer) -> Result<(), Rejected<T>> {
        if F::CHAINED {
            self.slots.claim::<true>(token, buffer)
        } else {
            self.slots.claim::<false>(token, buffer)
        }
    }

    /// Why there is no room for a chain of so many parts.
    #[cold]
    const fn no_room(&self, parts: usize) -> AddError {
        if self.slots.closed().is_some() {
            AddError::Closed
        } else if parts <= self.size() as usize {
            AddError::Full
        } else {
            self.too_long(parts)
        }
    }

    #[inline]
    pub(super) fn add_indirect(
        &mut self,
        token: T,
        chain: IndirectChain,
    ) -> Result<(), Rejected<T>> {
        let buffer = match self.refuse_indirect(chain) {
            None => self.format.add_indirect(&self.slots, chain),
            Some(error) => Err(error),
        };
        match buffer {
            Ok(buffer) => self.claim(token, buffer),
            Err(error) => Err(Rejected { token, error }),
        }
    }

    /// Why a table cannot be added, if so.
    #[inline]
    fn refuse_indirect(&self, chain: IndirectChain) -> Option<AddError> {
        if self.slots.free() == 0 {
            Some(self.no_room(usize::from(chain.parts)))
        } else if self.tables != chain.format {
            Some(match self.tables {
                TableFormat::None => AddError::IndirectNotNegotiated,
                _ => AddError::TableFormat,
            })
        } else if chain.parts > self.size() {
            Some(self.too_long(usize::from(chain.parts)))
        } else {
            None
        }
    }

    /// A chain of more parts than the queue has descriptors. // Virtio 1.3 §2.7.5.3.1, §2.8.17
    #[cold]
    const fn too_long(&self, parts: usize) -> AddError {
        AddError::ChainTooLong {
            parts,
            max: self.size(),
        }
    }

    #[inline(always)]
    pub(super) fn submit_indirect(
        &mut self,
        token: T,
        chain: IndirectChain,
    ) -> Result<Kick, Rejected<T>> {
        if !self.slots.all_published() {
            let IndirectChain {
                table,
                parts,
                writable,
                format,
            } = chain;
            return self.submit_behind(token, table, parts, writable, format);
        }
        if let Some(error) = self.refuse_indirect(chain) {
            return Err(Rejected { token, error });
        }
        // As `add_indirect` and `show`, by what is known of a buffer that nothing else waits with.
        let (id, number) = if F::CHAINED {
            self.slots.claim_alone::<true>(token, chain.writable)?
        } else {
            self.slots.claim_alone::<false>(token, chain.writable)?
        };
        let order = self.order;
        let alone = self.format.put_alone(id, number, chain, || order.release());
        // As in `show`: orders the store that shows the buffer before the load of what the device wants to be told.
        fence(Ordering::SeqCst);
        self.order.full();
        Ok(Kick {
            needed: self.format.wants_kick_alone(alone),
            position: self.format.position_behind(alone),
        })
    }

    /// The same behind others that were not shown yet. It takes the chain's members, so that they need not be put together for it.
    #[cold]
    #[inline(never)]
    fn submit_behind(
        &mut self,
        token: T,
        table: DeviceAddress,
        parts: u16,
        writable: u32,
        format: TableFormat,
    ) -> Result<Kick, Rejected<T>> {
        let chain = IndirectChain {
            table,
            parts,
            writable,
            format,
        };
        self.add_indirect(token, chain)?;
        // A closed queue takes nothing.
        Ok(self.show())
    }

    #[inline]
    pub(super) fn publish(&mut self) -> Kick {
        if self.slots.all_published() || self.slots.closed().is_some() {
            return Kick::NONE;
        }
        self.show()
    }

    /// Shows the device what was added: something was, and the queue is not closed.
    #[inline(always)]
    fn show(&mut self) -> Kick {
        self.order.release();
        self.format.show(&self.slots);
        // Orders the store that shows the buffers before the load of what the device wants to be told; it pairs with the
        // full fence between the device's store of that wish and its last look for buffers. A release store and an
        // acquire load may change places, so that each side misses the other's word and the device sleeps with work
        // before it: only a full fence keeps them apart. Virtio 1.3 §2.7.13.4.1, §2.8.21.3.1
        fence(Ordering::SeqCst);
        self.order.full();
        let position = self.format.position(&self.slots);
        let needed = self.format.wants_kick(&self.slots, position);
        self.slots.publish();
        Kick { needed, position }
    }

    #[inline(always)]
    pub(super) fn completed(&mut self) -> Result<Option<Completion<T>>, QueueError> {
        let done = if self.slots.one_by_one() {
            self.next_used()
        } else {
            self.next_in_order()
        };
        match done {
            Some(done) => Ok(Some(done)),
            // The queue may have been closed on the way.
            None => match self.slots.report() {
                None => Ok(None),
                Some(error) => Err(error),
            },
        }
    }

    /// The buffer that the next used entry names.
    #[inline(always)]
    fn next_used(&mut self) -> Option<Completion<T>> {
        self.try_next_used().unwrap_or_default()
    }

    /// The same, telling a queue that has just been closed from one that has nothing.
    #[inline(always)]
    fn try_next_used(&mut self) -> Result<Option<Completion<T>>, Closed> {
        let Some(used) = self.format.used(&mut self.slots, self.order)? else {
            return Ok(None);
        };
        let (done, count) = self.take(used).ok_or(Closed)?;
        self.format.took(&self.slots, count);
        Ok(Some(done))
    }

    #[inline(always)]
    fn take(&mut self, used: Used) -> Option<(Completion<T>, u16)> {
        if F::CHAINED {
            self.slots.take::<true>(used)
        } else {
            self.slots.take::<false>(used)
        }
    }

    #[inline(always)]
    pub(super) fn take_alone(&mut self) -> (Option<Completion<T>>, Armed) {
        let used = match self.slots.is_plain() {
            // What closes the queue is told by whoever looks next.
            true => self
                .format
                .used(&mut self.slots, self.order)
                .unwrap_or_default(),
            false => None,
        };
        let Some((done, count)) = used.and_then(|used| self.take(used)) else {
            return (None, Armed::WorkPending);
        };
        let next = self.format.took(&self.slots, count);
        if self.format.knows_of(next) {
            return (Some(done), Armed::WorkPending);
        }
        (
            Some(done),
            self.arm_by(|f, _| f.ask_for(next), |f, _| f.has_used(next)),
        )
    }

    #[inline(always)]
    pub(super) fn take_all<R>(
        &mut self,
        budget: u32,
        mut each: impl FnMut(Completion<T>) -> Option<R>,
    ) -> Result<Taken<R>, QueueError> {
        let mut left = budget;
        if !self.slots.one_by_one() {
            while left != 0 {
                left = left.wrapping_sub(1);
                match self.completed_or_armed()? {
                    Ok(done) => {
                        if let Some(by) = each(done) {
                            return Ok(Taken::Stopped { by, left });
                        }
                    }
                    Err(Armed::Idle) => return Ok(Taken::Idle),
                    Err(Armed::WorkPending) => {}
                }
            }
        }
        while left != 0 {
            left = left.wrapping_sub(1);
            match self.try_next_used() {
                Ok(Some(done)) => {
                    if let Some(by) = each(done) {
                        return Ok(Taken::Stopped { by, left });
                    }
                }
                // It is not closed, and knows of no batch.
                Ok(None) => {
                    if self.arm_open(0) == Armed::Idle {
                        return Ok(Taken::Idle);
                    }
                }
                Err(Closed) => return self.slots.report().map_or(Ok(Taken::Idle), Err),
            }
        }
        Ok(Taken::OverBudget)
    }

    /// The next buffer of an IN_ORDER queue, or of a closed one; what arming it found, if there is none.
    #[cold]
    #[inline(never)]
    fn completed_or_armed(&mut self) -> Result<Result<Completion<T>, Armed>, QueueError> {
        Ok(self.completed()?.ok_or_else(|| self.arm()))
    }

    /// The same for an IN_ORDER queue, where it may name the last of several; nothing for a closed one.
    fn next_in_order(&mut self) -> Option<Completion<T>> {
        if self.slots.closed().is_some() {
            return None;
        }
        if !self.slots.in_batch() {
            let used = self.format.used(&mut self.slots, self.order).ok()??;
            self.slots
                .start_batch(used, self.format.limit(&self.slots))?;
        }
        let (done, count) = if F::CHAINED {
            self.slots.take_oldest::<true>()?
        } else {
            self.slots.take_oldest::<false>()?
        };
        self.format.took(&self.slots, count);
        Some(done)
    }

    #[inline]
    pub(super) fn arm(&mut self) -> Armed {
        self.arm_after(0)
    }

    #[inline]
    pub(super) fn arm_delayed(&mut self) -> Armed {
        self.arm_after(self.format.delay(&self.slots))
    }

    #[inline]
    fn arm_after(&mut self, delay: u16) -> Armed {
        if self.slots.closed().is_some() {
            return Armed::Idle;
        }
        match self.arm_open(delay) {
            Armed::Idle if self.slots.in_batch() => Armed::WorkPending,
            armed => armed,
        }
    }

    /// The same for a queue that is not closed, if the last used entry stands for no more buffers.
    #[inline(always)]
    fn arm_open(&mut self, delay: u16) -> Armed {
        self.arm_by(
            |f, slots| f.ask(slots, Some(delay)),
            |f, slots| f.passed(slots, delay),
        )
    }

    /// Arms the queue: states a wish, and looks whether the device has passed what it names.
    #[inline(always)]
    fn arm_by(
        &mut self,
        ask: impl FnOnce(&mut F, &Slots<'_, T>),
        passed: impl FnOnce(&F, &Slots<'_, T>) -> bool,
    ) -> Armed {
        self.armed = true;
        ask(&mut self.format, &self.slots);
        // Orders the wish above before the last look at what was used; it pairs with the full fence between the device's
        // store that shows a used buffer and its load of the wish. Anything weaker lets the look pass the wish, so that
        // the device sees no wish, we see no work, and neither moves again. Virtio 1.3 §2.7.14, §2.8.22
        fence(Ordering::SeqCst);
        self.order.full();
        if passed(&self.format, &self.slots) {
            Armed::WorkPending
        } else {
            Armed::Idle
        }
    }

    #[inline]
    pub(super) fn disarm(&mut self) {
        if self.armed {
            self.armed = false;
            // Only a hint: nothing depends on when the device sees it.
            self.format.ask(&self.slots, None);
        }
    }

    pub(super) const fn closed(&self) -> Option<QueueError> {
        self.slots.closed()
    }

    pub(super) const fn size(&self) -> u16 {
        self.slots.size()
    }

    pub(super) const fn free(&self) -> u16 {
        self.slots.free()
    }

    pub(super) const fn in_flight(&self) -> u16 {
        self.slots.in_flight()
    }

    pub(super) const fn totals(&self) -> Totals {
        self.slots.totals()
    }

    pub(super) fn addresses(&self) -> RingAddresses {
        self.format.addresses()
    }

    pub(super) fn drain(&mut self) -> Option<T> {
        self.slots.drain()
    }

    pub(super) fn into_parts(self) -> Result<(DmaRegion, &'m mut [Slot<T>]), Self> {
        if self.slots.is_empty() {
            Ok((self.format.into_region(), self.slots.into_inner()))
        } else {
            Err(self)
        }
    }
}

/// How long an interrupt may be delayed. // Virtio 1.3 §2.7.7.2, §2.8.10: by position only with EVENT_IDX
#[inline]
pub(super) const fn delay(event_idx: bool, in_flight: u16) -> u16 {
    if event_idx {
        event::delay(in_flight)
    } else {
        0
    }
}
