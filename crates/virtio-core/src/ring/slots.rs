//! What a queue knows of its buffers, out of the device's reach: the same for every ring format.
//!
//! In a split ring a slot stands for a descriptor, in a packed ring for a buffer id. Free slots are linked in a circle. A
//! buffer's slots are cut off the head of the free list, so the links of the free list are the links of the buffer, and a
//! finished one goes back whole, by its first and its last slot. With IN_ORDER the circle is never cut: buffers come back in
//! the order in which they went, so the free list is what lies between the newest and the oldest.
#![forbid(unsafe_code)]

mod closing;
#[cfg(test)]
mod tests;

use core::hint::cold_path;

use super::{AddError, Completion, QueueError, Rejected, SetupError, Totals};
use crate::spec::ring::DescriptorFlags;

/// What the queue keeps for one descriptor or buffer id, out of the device's reach.
#[derive(Debug)]
pub struct Slot<T> {
    /// The caller's token while this slot is the first of an outstanding buffer.
    pub(super) token: Option<T>,
    /// Bytes that the device may write to the buffer.
    writable: u32,
    /// The next slot: of the buffer, or of the free list.
    next: u16,
    /// The buffer's last slot, if it can have several.
    last: u16,
    /// Descriptors of the buffer.
    count: u16,
    /// How many buffers were added before this one, modulo 2³².
    position: u32,
}

impl<T> Slot<T> {
    /// A slot with nothing in it; the caller fills the memory it lends with these.
    pub const EMPTY: Self = Self {
        token: None,
        writable: 0,
        next: 0,
        last: 0,
        count: 0,
        position: 0,
    };
}

/// A buffer that is written and not yet part of the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    /// How many were added before it, modulo 2³², and its first slot, the head of the free list: handed on, as the stores to
    /// its descriptors make the compiler look them up again.
    pub(super) number: u32,
    pub(super) first: u32,
    /// Its last slot and the one after that, if it can have several.
    pub(super) ends: (u32, u32),
    /// Its descriptors.
    pub(super) count: u16,
    /// Bytes that the device may write.
    pub(super) writable: u32,
}

/// What the device says of a buffer that it has used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// Which buffer.
    pub(super) id: u32,
    /// Bytes written.
    pub(super) written: u32,
    /// Flags of the used entry: WRITE in a format that has none.
    pub(super) flags: u16,
}

impl Used {
    /// The device did not say that it wrote anything, so that a length that cannot be is not held against it.
    #[inline(always)]
    const fn is_vague(self) -> bool {
        self.flags & DescriptorFlags::WRITE.bits() == 0
    }
}

/// How slots are linked: a copy of where they lie, so that it need not be looked up again after each store.
pub(super) struct Links<'a, T>(&'a [Slot<T>]);

impl<T> Links<'_, T> {
    /// The slot after `at`. Indices come from the slots themselves, so that none is out of range.
    #[inline(always)]
    pub(super) fn next(&self, at: u32) -> Result<u32, AddError> {
        match self.0.get(at as usize) {
            Some(slot) => Ok(u32::from(slot.next)),
            None => Err(AddError::Region),
        }
    }
}

/// The private state of a queue's buffers.
#[derive(Debug)]
pub(super) struct Slots<'m, T> {
    slots: &'m mut [Slot<T>],
    /// Queue size.
    size: u16,
    /// First free slot, if `free` is not 0.
    head: u32,
    /// Free descriptors; none in a closed queue, so that adding need not look whether it is one.
    free: u16,
    /// Buffers added, published and taken back since the start, modulo 2³².
    added: u32,
    published: u32,
    taken: u32,
    /// IN_ORDER: first slot of the oldest outstanding buffer.
    oldest: u16,
    /// IN_ORDER: buffers left of those that the last used entry stands for.
    batch: u16,
    /// IN_ORDER: bytes written to the last of these.
    batch_written: u32,
    /// A length that is too large is cut, not an error.
    lenient: bool,
    closed: Option<QueueError>,
    /// The caller has not been told of it.
    unreported: bool,
    /// Whether a used entry stands for the one buffer that it names: the queue is neither IN_ORDER nor closed.
    one_by_one: bool,
    /// The same, and EVENT_IDX was negotiated.
    plain: bool,
    /// Slots that `drain` has passed.
    drained: usize,
}

impl<'m, T> Slots<'m, T> {
    /// Makes all slots free.
    pub(super) fn new(
        slots: &'m mut [Slot<T>],
        size: u16,
        in_order: bool,
        event_idx: bool,
        lenient: bool,
    ) -> Result<Self, SetupError> {
        let (len, needed) = (slots.len(), usize::from(size));
        if len < needed {
            return Err(SetupError::TooFewSlots { len, needed });
        }
        if let Some(index) = slots.iter().position(|slot| slot.token.is_some()) {
            return Err(SetupError::SlotInUse { index });
        }
        for (slot, next) in slots.iter_mut().zip((1..size).chain([0])) {
            slot.next = next;
        }
        Ok(Self {
            slots,
            size,
            head: 0,
            free: size,
            added: 0,
            published: 0,
            taken: 0,
            oldest: 0,
            batch: 0,
            batch_written: 0,
            lenient,
            closed: None,
            unreported: false,
            one_by_one: !in_order,
            plain: !in_order && event_idx,
            drained: 0,
        })
    }

    #[inline(always)]
    pub(super) const fn size(&self) -> u16 {
        self.size
    }

    /// The first slot of the next buffer, if there is a free one.
    #[inline(always)]
    pub(super) const fn head(&self) -> u32 {
        self.head
    }

    #[inline(always)]
    pub(super) const fn free(&self) -> u16 {
        self.free
    }

    /// Buffers added, modulo 2³².
    #[inline(always)]
    pub(super) const fn number(&self) -> u32 {
        self.added
    }

    /// Buffers added, modulo 2¹⁶.
    #[inline(always)]
    pub(super) const fn added(&self) -> u16 {
        self.added as u16
    }

    /// Buffers published, modulo 2¹⁶.
    #[inline(always)]
    pub(super) const fn published(&self) -> u16 {
        self.published as u16
    }

    /// Buffers taken back, modulo 2¹⁶.
    #[inline(always)]
    pub(super) const fn taken(&self) -> u16 {
        self.taken as u16
    }

    /// Buffers that the device has.
    #[inline(always)]
    pub(super) const fn in_flight(&self) -> u16 {
        self.published.wrapping_sub(self.taken) as u16
    }

    /// Buffers published and taken back, modulo 2³².
    pub(super) const fn totals(&self) -> Totals {
        Totals {
            published: self.published,
            completed: self.taken,
        }
    }

    /// Whether everything that was added is published.
    #[inline(always)]
    pub(super) const fn all_published(&self) -> bool {
        self.added == self.published
    }

    /// Whether the last used entry stands for more buffers.
    #[inline(always)]
    pub(super) const fn in_batch(&self) -> bool {
        self.batch != 0
    }

    #[inline(always)]
    pub(super) const fn closed(&self) -> Option<QueueError> {
        self.closed
    }

    /// How the slots are linked.
    #[inline(always)]
    pub(super) const fn links(&self) -> Links<'_, T> {
        Links(self.slots)
    }

    /// Takes a buffer's slots out of the free list. `CHAINED` says that it may have several.
    #[inline(always)]
    pub(super) fn claim<const CHAINED: bool>(
        &mut self,
        token: T,
        buffer: Buffer,
    ) -> Result<(), Rejected<T>> {
        let Some(slot) = self.slots.get_mut(buffer.first as usize) else {
            return Err(Rejected {
                token,
                error: AddError::Region,
            });
        };
        let after = if CHAINED {
            slot.last = buffer.ends.0 as u16;
            buffer.ends.1
        } else {
            u32::from(slot.next)
        };
        slot.token = Some(token);
        slot.writable = buffer.writable;
        slot.count = buffer.count;
        slot.position = buffer.number;
        self.head = after;
        self.free = self.free.wrapping_sub(buffer.count);
        self.added = buffer.number.wrapping_add(1);
        Ok(())
    }

    /// Takes the first free slot for a buffer of one descriptor, which counts as published at once: nothing else waits for that, there
    /// is a free slot, and the caller shows it before it does anything else. Its index, and how many buffers were added before it.
    #[inline(always)]
    pub(super) fn claim_alone<const CHAINED: bool>(
        &mut self,
        token: T,
        writable: u32,
    ) -> Result<(u32, u32), Rejected<T>> {
        let (id, number) = (self.head, self.added);
        let Some(slot) = self.slots.get_mut(id as usize) else {
            return Err(Rejected {
                token,
                error: AddError::Region,
            });
        };
        if CHAINED {
            slot.last = id as u16;
        }
        slot.token = Some(token);
        slot.writable = writable;
        slot.count = 1;
        slot.position = number;
        self.head = u32::from(slot.next);
        self.free = self.free.wrapping_sub(1);
        let added = number.wrapping_add(1);
        (self.added, self.published) = (added, added);
        Ok((id, number))
    }

    /// All that was added is published.
    #[inline(always)]
    pub(super) const fn publish(&mut self) {
        self.published = self.added;
    }

    /// Whether a used entry stands for the one buffer that it names: the queue is neither IN_ORDER nor closed.
    #[inline(always)]
    pub(super) const fn one_by_one(&self) -> bool {
        self.one_by_one
    }

    /// The same of a queue with EVENT_IDX.
    #[inline(always)]
    pub(super) const fn is_plain(&self) -> bool {
        self.plain
    }

    /// Judges what the device says, and takes the buffer back, with its number of descriptors; closes the queue otherwise.
    ///
    /// Not for IN_ORDER. `CHAINED` says that a buffer may have several slots.
    #[inline(always)]
    pub(super) fn take<const CHAINED: bool>(&mut self, used: Used) -> Option<(Completion<T>, u16)> {
        let Used { id, written, .. } = used;
        // The slots' place is looked up once: every store could have changed it, for all that the compiler knows.
        let slots = &mut *self.slots;
        let Some(slot) = slots.get_mut(id as usize) else {
            return self.refuse(id, written, self.in_flight());
        };
        if self.added != self.published {
            cold_path();
            let unpublished = self.added.wrapping_sub(self.published);
            if slot.position.wrapping_sub(self.published) < unpublished {
                return self.refuse(id, written, self.in_flight());
            }
        }
        let Some(token) = slot.token.take() else {
            return self.refuse(id, written, self.in_flight());
        };
        let (last, count) = (slot.last, slot.count);
        let written = if written <= slot.writable {
            written
        } else if self.lenient || used.is_vague() {
            slot.writable
        } else {
            slot.token = Some(token);
            return self.refuse(id, written, self.in_flight());
        };
        // All of it goes back to the head of the free list, by its own links.
        if CHAINED {
            let Some(tail) = slots.get_mut(usize::from(last)) else {
                return self.inconsistent(id, token);
            };
            tail.next = self.head as u16;
        } else {
            slot.next = self.head as u16;
        }
        self.head = id;
        self.free = self.free.wrapping_add(count);
        self.taken = self.taken.wrapping_add(1);
        Some((Completion { token, written }, count))
    }

    /// IN_ORDER: judges what the device says, which is of all buffers up to the one that it names, at most `limit`; closes the
    /// queue otherwise.
    ///
    /// // Virtio 1.3 §2.7.9, §2.8.8
    #[inline(always)]
    pub(super) fn start_batch(&mut self, used: Used, limit: u16) -> Option<()> {
        let Used { id, written, .. } = used;
        self.start(id, written, used.is_vague(), limit)
    }

    /// The same; once for a batch, so that what takes each of its buffers is not made slower by it.
    #[inline(never)]
    fn start(&mut self, id: u32, written: u32, vague: bool, limit: u16) -> Option<()> {
        let slot = match self.slots.get(id as usize) {
            Some(slot)
                if slot.token.is_some() && (self.all_published() || !self.is_unpublished(id)) =>
            {
                slot
            }
            _ => return self.refuse(id, written, limit),
        };
        let batch = slot.position.wrapping_sub(self.taken).wrapping_add(1);
        let too_long = written > slot.writable && !self.lenient && !vague;
        if batch > u32::from(limit) || too_long {
            return self.refuse(id, written, limit);
        }
        self.batch_written = written.min(slot.writable);
        self.batch = batch as u16;
        Some(())
    }

    /// IN_ORDER: takes back the oldest of the buffers that the last used entry stands for.
    #[inline]
    pub(super) fn take_oldest<const CHAINED: bool>(&mut self) -> Option<(Completion<T>, u16)> {
        let id = self.oldest;
        let slots = &mut *self.slots;
        let slot = slots.get_mut(usize::from(id))?;
        let (last, count, writable) = (slot.last, slot.count, slot.writable);
        let token = slot.token.take()?;
        self.oldest = if CHAINED {
            let Some(tail) = slots.get(usize::from(last)) else {
                return self.inconsistent(u32::from(id), token);
            };
            tail.next
        } else {
            slot.next
        };
        self.batch = self.batch.wrapping_sub(1);
        // Virtio 1.3 §2.7.9, §2.8.8: skipped buffers are assumed to have been used completely.
        let written = if self.batch == 0 {
            self.batch_written
        } else {
            writable
        };
        self.free = self.free.wrapping_add(count);
        self.taken = self.taken.wrapping_add(1);
        Some((Completion { token, written }, count))
    }

    /// Whether there is no token left.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.token.is_none())
    }

    /// The slots again.
    pub(super) const fn into_inner(self) -> &'m mut [Slot<T>] {
        self.slots
    }
}
