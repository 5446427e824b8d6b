//! The split ring: descriptor table, available ring and used ring. // Virtio 1.3 §2.7
//!
//! ```text
//!   slots (private)                 ring (shared)
//!   token writable next last count  descriptors     available ring        used ring
//!   ┌─────┬───┬───┬───┬───┐         ┌────────────┐  ┌─────┬─────┬───────┐  ┌─────┬─────┬──────────┐
//!   │     │   │   │   │   │ ◄─ id ─ │ addr len … │  │flags│ idx │ heads │  │flags│ idx │ id, len  │
//!   └─────┴───┴───┴───┴───┘         └────────────┘  └─────┴─────┴───────┘  └─────┴─────┴──────────┘
//! ```
//!
//! Free descriptors are linked through `next` in the slots. A chain is cut off the head of that list, so the links of the
//! free list are the links of the chain, and a finished chain goes back whole by its head and its last descriptor.
#![forbid(unsafe_code)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::transmute;

use super::chain::{self, Chain, DESCRIPTOR, IndirectChain, Table, WriteError};
use super::event::passed;
use super::{
    AddError, Armed, Completion, Kick, Layout, Part, QueueError, QueueMemory, Rejected,
    RingAddresses, SetupError, Slot,
};
use crate::mem::{DeviceWord, DriverWord, SplitMemory};
use crate::spec::features::Features;
use crate::spec::ring::{
    AVAIL_F_NO_INTERRUPT, Descriptor, DescriptorFlags, USED_F_NO_NOTIFY, UsedElem,
};
use crate::sync::{Ordering, fence};
use crate::transport::DeviceStopped;

/// A split virtqueue; used through [`super::Queue`].
#[derive(Debug)]
pub struct Split<'m, T> {
    memory: SplitMemory,
    slots: &'m mut [Slot<T>],
    /// First descriptor of the free list, if `free` is not 0.
    free_head: u16,
    /// Length of the free list.
    free: u16,
    /// Where the next chain goes in the available ring.
    next_avail: u16,
    /// Value of `idx` that the device sees in the available ring.
    published: u16,
    /// Entries of the used ring that were taken.
    last_used: u16,
    /// Entries of the used ring that are known to be there: `last_used` or up to `in_flight` further.
    seen_used: u16,
    event_idx: bool,
    indirect: bool,
    armed: bool,
    closed: Option<QueueError>,
    /// Slots that `drain` has passed.
    drained: usize,
}

impl<'m, T> Split<'m, T> {
    pub(super) fn new(
        layout: Layout,
        features: Features,
        memory: QueueMemory<'m, T>,
    ) -> Result<Self, SetupError> {
        let QueueMemory { ring, slots } = memory;
        let size = layout.size();
        let (len, needed) = (slots.len(), usize::from(size));
        if len < needed {
            return Err(SetupError::TooFewSlots { len, needed });
        }
        if let Some(index) = slots.iter().position(|slot| slot.token.is_some()) {
            return Err(SetupError::SlotInUse { index });
        }
        for (slot, next) in slots.iter_mut().zip(1..=size) {
            slot.next = next;
        }
        let memory = SplitMemory::new(ring, &layout).map_err(|ring| {
            let (len, needed) = (ring.len(), layout.len());
            if len < needed {
                SetupError::RingTooSmall { len, needed }
            } else {
                SetupError::RingMisaligned
            }
        })?;
        Ok(Self {
            memory,
            slots,
            free_head: 0,
            free: size,
            next_avail: 0,
            published: 0,
            last_used: 0,
            seen_used: 0,
            event_idx: features.contains(Features::EVENT_IDX),
            indirect: features.contains(Features::INDIRECT_DESC),
            armed: true,
            closed: None,
            drained: 0,
        })
    }

    #[inline(always)]
    pub(super) fn add_direct(
        &mut self,
        token: T,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<(), Rejected<T>> {
        if self.closed.is_some() {
            return Err(Rejected {
                token,
                error: AddError::Closed,
            });
        }
        match self.write_direct(readable, writable) {
            Ok(chain) => self.make_available(token, chain),
            Err(error) => Err(Rejected { token, error }),
        }
    }

    #[inline]
    pub(super) fn add_indirect(
        &mut self,
        token: T,
        chain: IndirectChain,
    ) -> Result<(), Rejected<T>> {
        match self.write_indirect(chain) {
            Ok(chain) => self.make_available(token, chain),
            Err(error) => Err(Rejected { token, error }),
        }
    }

    /// Writes a chain into the descriptors at the head of the free list, which stay free for now.
    #[inline(always)]
    fn write_direct(
        &mut self,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<Chain, AddError> {
        let mut table = Own {
            memory: &mut self.memory,
            slots: self.slots,
        };
        chain::write(&mut table, self.free_head, self.free, readable, writable).map_err(|error| {
            match error {
                WriteError::NoRoom { parts } if parts <= usize::from(self.size()) => AddError::Full,
                WriteError::NoRoom { parts } => self.too_long(parts),
                WriteError::Refused(error) => error,
            }
        })
    }

    /// Writes the one descriptor of an indirect chain at the head of the free list, which stays free for now.
    #[inline]
    fn write_indirect(&mut self, chain: IndirectChain) -> Result<Chain, AddError> {
        let IndirectChain {
            table,
            parts,
            writable,
        } = chain;
        if self.closed.is_some() {
            return Err(AddError::Closed);
        }
        if !self.indirect {
            return Err(AddError::IndirectNotNegotiated);
        }
        if parts > self.size() {
            return Err(self.too_long(usize::from(parts)));
        }
        if self.free == 0 {
            return Err(AddError::Full);
        }
        // Virtio 1.3 §2.7.5.3.1: never INDIRECT and NEXT together.
        let head = Descriptor {
            addr: U64::new(table.0),
            len: U32::new(u32::from(parts).wrapping_mul(DESCRIPTOR as u32)),
            flags: U16::new(DescriptorFlags::INDIRECT.bits()),
            next: U16::ZERO,
        };
        let at = self.free_head;
        self.memory.write_descriptor(at, transmute!(head));
        Ok(Chain {
            last: at,
            after: next_of(self.slots, at),
            count: 1,
            writable,
        })
    }

    /// A chain of more parts than the queue has descriptors. // Virtio 1.3 §2.7.5.3.1
    #[cold]
    fn too_long(&self, parts: usize) -> AddError {
        AddError::ChainTooLong {
            parts,
            max: self.size(),
        }
    }

    /// Takes the chain at the head of the free list out of it and puts its head into the available ring.
    #[inline(always)]
    fn make_available(&mut self, token: T, chain: Chain) -> Result<(), Rejected<T>> {
        let head = self.free_head;
        let Some(slot) = self.slots.get_mut(usize::from(head)) else {
            return Err(Rejected {
                token,
                error: AddError::Region,
            });
        };
        slot.token = Some(token);
        slot.writable = chain.writable;
        slot.last = chain.last;
        slot.count = chain.count;
        self.memory.write_available(self.next_avail, head);
        self.free_head = chain.after;
        self.free = self.free.wrapping_sub(chain.count);
        self.next_avail = self.next_avail.wrapping_add(1);
        Ok(())
    }

    #[inline]
    pub(super) fn publish(&mut self) -> Kick {
        let (old, new) = (self.published, self.next_avail);
        if old == new || self.closed.is_some() {
            return Kick::NONE;
        }
        // Release orders the descriptors and ring entries written above before the index that shows them; it pairs with
        // the device's acquire of `idx`. Relaxed would let the device see the index first and read stale descriptors.
        // Virtio 1.3 §2.7.13.3.1
        self.memory.store(DriverWord::Idx, new, Ordering::Release);
        self.published = new;
        // Orders the store of `idx` before the load of what the device wants to be told; it pairs with the full fence
        // between the device's store of that wish and its last look at `idx`. A release store and an acquire load may
        // change places, so that each side misses the other's word and the device sleeps with work before it: only a
        // full fence keeps them apart. Virtio 1.3 §2.7.13.4.1
        fence(Ordering::SeqCst);
        let needed = if self.event_idx {
            let event = self.memory.load(DeviceWord::AvailEvent, Ordering::Relaxed);
            passed(event, old, new)
        } else {
            self.memory.load(DeviceWord::Flags, Ordering::Relaxed) & USED_F_NO_NOTIFY == 0
        };
        Kick { needed }
    }

    #[inline]
    pub(super) fn completed(&mut self) -> Result<Option<Completion<T>>, QueueError> {
        if self.last_used == self.seen_used && !self.look()? {
            return Ok(None);
        }
        let used: UsedElem = transmute!(self.memory.read_used(self.last_used));
        // Read once, then checked: the device may change the element at any time.
        let (id, written) = (used.id.get(), used.len.get());
        let Some(slot) = self.slots.get(id as usize) else {
            return Err(self.bad_id(id));
        };
        if slot.token.is_none() {
            return Err(self.bad_id(id));
        }
        let &Slot {
            writable,
            last,
            count,
            ..
        } = slot;
        // Virtio 1.3 §2.7.8: bytes written into the device-writable portion.
        if written > writable {
            return Err(self.close(QueueError::WrittenTooLong {
                id: id as u16,
                written,
                writable,
            }));
        }
        // The whole chain goes back to the head of the free list, by its own links.
        let Some(tail) = self.slots.get_mut(usize::from(last)) else {
            return Err(self.close(QueueError::Region));
        };
        tail.next = self.free_head;
        self.free_head = id as u16;
        self.free = self.free.wrapping_add(count);
        self.last_used = self.last_used.wrapping_add(1);
        let token = self
            .slots
            .get_mut(id as usize)
            .and_then(|slot| slot.token.take());
        Ok(token.map(|token| Completion { token, written }))
    }

    /// Looks how far the device has come; whether there is anything to take.
    #[inline]
    fn look(&mut self) -> Result<bool, QueueError> {
        if self.closed.is_some() {
            return Ok(false);
        }
        // Acquire orders the loads of used elements and of the buffers' data after this one; it pairs with the device's
        // release of `idx`. Relaxed would let those loads run ahead and see what was there before. Virtio 1.3 §2.7.14
        let used = self.memory.load(DeviceWord::Idx, Ordering::Acquire);
        let in_flight = self.in_flight();
        let last_used = self.last_used;
        if used.wrapping_sub(last_used) > in_flight {
            return Err(self.close(QueueError::UsedIndexJump {
                used,
                last_used,
                in_flight,
            }));
        }
        self.seen_used = used;
        Ok(used != last_used)
    }

    #[inline]
    pub(super) fn arm(&mut self) -> Armed {
        if self.closed.is_some() {
            return Armed::Idle;
        }
        self.armed = true;
        // Virtio 1.3 §2.7.7.1: with EVENT_IDX flags stay 0 and used_event names the entry to interrupt at.
        let (word, value) = if self.event_idx {
            (DriverWord::UsedEvent, self.last_used)
        } else {
            (DriverWord::Flags, 0)
        };
        self.memory.store(word, value, Ordering::Relaxed);
        // Orders the wish above before the last look at the used index; it pairs with the full fence between the
        // device's store of that index and its load of the wish. Anything weaker lets the look pass the wish, so that
        // the device sees no wish, we see no work, and neither moves again. Virtio 1.3 §2.7.14
        fence(Ordering::SeqCst);
        if self.memory.load(DeviceWord::Idx, Ordering::Relaxed) == self.last_used {
            Armed::Idle
        } else {
            Armed::WorkPending
        }
    }

    #[inline]
    pub(super) fn disarm(&mut self) {
        if !self.armed {
            return;
        }
        self.armed = false;
        let (word, value) = if self.event_idx {
            // The entry just behind is the last one that the device's index will come to.
            (DriverWord::UsedEvent, self.last_used.wrapping_sub(1))
        } else {
            (DriverWord::Flags, AVAIL_F_NO_INTERRUPT)
        };
        // Only a hint: nothing depends on when the device sees it.
        self.memory.store(word, value, Ordering::Relaxed);
    }

    pub(super) const fn closed(&self) -> Option<QueueError> {
        self.closed
    }

    pub(super) const fn size(&self) -> u16 {
        self.memory.size()
    }

    pub(super) const fn free(&self) -> u16 {
        self.free
    }

    #[inline]
    pub(super) const fn in_flight(&self) -> u16 {
        self.published.wrapping_sub(self.last_used)
    }

    pub(super) fn addresses(&self) -> RingAddresses {
        self.memory.addresses()
    }

    pub(super) fn drain(&mut self, _proof: &DeviceStopped) -> Option<T> {
        if self.closed.is_none() {
            self.close(QueueError::Drained);
        }
        let rest = self.slots.get_mut(self.drained..).unwrap_or_default();
        for slot in rest {
            self.drained = self.drained.wrapping_add(1);
            if let Some(token) = slot.token.take() {
                return Some(token);
            }
        }
        None
    }

    pub(super) fn into_memory(self, _proof: &DeviceStopped) -> Result<QueueMemory<'m, T>, Self> {
        if self.slots.iter().any(|slot| slot.token.is_some()) {
            return Err(self);
        }
        Ok(QueueMemory {
            ring: self.memory.into_region(),
            slots: self.slots,
        })
    }

    /// Closes the queue for good, with the reason that it returns.
    #[cold]
    fn close(&mut self, error: QueueError) -> QueueError {
        self.closed = Some(error);
        self.seen_used = self.last_used;
        error
    }

    /// Closes the queue because of a used id that heads no outstanding chain.
    #[cold]
    fn bad_id(&mut self, id: u32) -> QueueError {
        let size = self.size();
        self.close(match u16::try_from(id) {
            Ok(id) if id < size => QueueError::IdNotOutstanding { id },
            _ => QueueError::IdOutOfRange { id, size },
        })
    }
}

/// The queue's own descriptors, linked as its free list is.
struct Own<'a, T> {
    memory: &'a mut SplitMemory,
    slots: &'a [Slot<T>],
}

impl<T> Table for Own<'_, T> {
    #[inline(always)]
    fn next(&self, at: u16) -> u16 {
        next_of(self.slots, at)
    }

    #[inline(always)]
    fn write(&mut self, at: u16, descriptor: Descriptor) -> Result<(), AddError> {
        self.memory.write_descriptor(at, transmute!(descriptor));
        Ok(())
    }
}

/// The descriptor after `at` in its list. Indices come from the list itself, so that none is out of range.
#[inline]
fn next_of<T>(slots: &[Slot<T>], at: u16) -> u16 {
    slots.get(usize::from(at)).map_or(0, |slot| slot.next)
}
