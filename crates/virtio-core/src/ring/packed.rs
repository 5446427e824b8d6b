//! The packed ring: one ring of descriptors that both sides write. // Virtio 1.3 §2.8
//!
//! ```text
//!   slots (private)            ring (shared)
//!   token writable count …     descriptors            events
//!   ┌─────┬───┬───┐            ┌──────────────────┐   ┌────────┬────────┐
//!   │     │   │   │ ◄─── id ── │ addr len id flags│   │ driver │ device │
//!   └─────┴───┴───┘            └──────────────────┘   └────────┴────────┘
//! ```
//!
//! A buffer takes one slot, whose index is its id, and as many descriptors as it has parts, one after the other in the ring.
//! The device marks one descriptor used for each buffer and skips the others; how many, only the slot says.
#![forbid(unsafe_code)]

use zerocopy::little_endian::{U16, U32, U64};

use super::chain::{self, DESCRIPTOR, IndirectChain, Table, WriteError};
use super::engine::{self, Format};
use super::event::passed_packed;
use super::position::Position;
use super::slots::{Buffer, Slots, Used};
use super::{Part, QueueError, RingAddresses};
use crate::mem::{DmaRegion, Order, PackedMemory};
use crate::spec::ring::{
    DescriptorFlags, PackedDescriptor, RING_EVENT_FLAGS_DESC, RING_EVENT_FLAGS_DISABLE,
    RING_EVENT_FLAGS_ENABLE,
};
use crate::sync::Ordering;

/// Where things lie in a packed ring.
#[derive(Debug)]
pub(super) struct Packed {
    memory: PackedMemory,
    /// Where the next buffer goes.
    next_avail: Position,
    /// Where the device marks the next used buffer.
    next_used: Position,
    /// First descriptor of the first buffer that is not shown yet, if `pending` is not 0.
    batch: Position,
    /// Its flags; to store them shows everything behind it.
    batch_flags: u16,
    /// Descriptors that are not shown yet.
    pending: u16,
    /// Flags of the first descriptor of the buffer that is being written.
    head_flags: u16,
    event_idx: bool,
}

/// Value of an event suppression structure: position in the lower half, flags in the upper. // Virtio 1.3 §2.8.14
const fn event(position: u16, flags: u16) -> u32 {
    (flags as u32) << 16 | position as u32
}

impl Packed {
    pub(super) const fn new(memory: PackedMemory, event_idx: bool) -> Self {
        Self {
            memory,
            next_avail: Position::START,
            next_used: Position::START,
            batch: Position::START,
            batch_flags: 0,
            pending: 0,
            head_flags: 0,
            event_idx,
        }
    }

    /// Descriptors that the device has.
    #[inline(always)]
    fn in_flight<T>(&self, slots: &Slots<'_, T>) -> u16 {
        slots
            .size()
            .wrapping_sub(slots.free())
            .wrapping_sub(self.pending)
    }
}

impl Format for Packed {
    #[inline(always)]
    fn write_direct<T>(
        &mut self,
        slots: &Slots<'_, T>,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<Buffer, WriteError> {
        let (id, first) = (slots.head(), self.next_avail);
        let mut table = Own {
            memory: &mut self.memory,
            first,
            head_flags: 0,
            id,
        };
        let chain = chain::write(&mut table, first, slots.free(), readable, writable)?;
        self.head_flags = table.head_flags;
        Ok(Buffer {
            last: id,
            after: slots.next(id),
            count: chain.count,
            writable: chain.writable,
        })
    }

    #[inline(always)]
    fn write_indirect<T>(&mut self, slots: &Slots<'_, T>, chain: IndirectChain) -> Buffer {
        let (id, at) = (slots.head(), self.next_avail);
        self.head_flags = at.available() | DescriptorFlags::INDIRECT.bits();
        let descriptor = PackedDescriptor {
            addr: U64::new(chain.table.0),
            len: U32::new(u32::from(chain.parts).wrapping_mul(DESCRIPTOR as u32)),
            id: U16::new(id),
            flags: U16::ZERO,
        };
        self.memory.write_head(at.index(), descriptor);
        Buffer {
            last: id,
            after: slots.next(id),
            count: 1,
            writable: chain.writable,
        }
    }

    #[inline(always)]
    fn push<T>(&mut self, slots: &Slots<'_, T>, _head: u16, buffer: Buffer) {
        let at = self.next_avail;
        if self.pending == 0 {
            self.batch = at;
            self.batch_flags = self.head_flags;
        } else {
            // The device looks here only after the first descriptor of the batch. // Virtio 1.3 §2.8.2
            self.memory
                .store_flags(at.index(), self.head_flags, Ordering::Relaxed);
        }
        self.pending = self.pending.wrapping_add(buffer.count);
        self.next_avail = at.advance(buffer.count, slots.size());
    }

    #[inline(always)]
    fn show<T>(&mut self, _slots: &Slots<'_, T>) {
        // Release orders all descriptors written before it before the flags that show them; it pairs with the device's
        // acquire of these flags. Relaxed would let the device see the flags first and read stale descriptors.
        // Virtio 1.3 §2.8.21.1.1
        self.memory
            .store_flags(self.batch.index(), self.batch_flags, Ordering::Release);
    }

    #[inline(always)]
    fn wants_kick<T>(&mut self, slots: &Slots<'_, T>) -> bool {
        let count = core::mem::take(&mut self.pending);
        // Both words at once: they belong together.
        let event = self.memory.load_event(Ordering::Relaxed);
        match (event >> 16) as u16 & 3 {
            RING_EVENT_FLAGS_DISABLE => false,
            RING_EVENT_FLAGS_DESC if self.event_idx => {
                passed_packed(event as u16, self.next_avail.bits(), count, slots.size())
            }
            // What has no meaning counts as ENABLE: a notification too many does no harm.
            _ => true,
        }
    }

    #[inline(always)]
    fn position<T>(&self, _slots: &Slots<'_, T>) -> u16 {
        self.next_avail.bits()
    }

    #[inline(always)]
    fn used<T>(&mut self, slots: &Slots<'_, T>, order: Order) -> Result<Option<Used>, QueueError> {
        let at = self.next_used;
        // Acquire orders the loads of id, length and of the buffer's data after this one; it pairs with the device's
        // release of the flags. Relaxed would let those loads run ahead and see what was there before. Virtio 1.3 §2.8.22
        let flags = self.memory.load_flags(at.index(), Ordering::Acquire);
        order.acquire();
        if !at.is_used(flags) {
            return Ok(None);
        }
        // Read once, then checked: the device may change the descriptor at any time.
        let (id, len) = self.memory.read_used(at.index());
        let limit = slots.in_flight();
        if limit == 0 {
            return Err(QueueError::NothingInFlight { id });
        }
        // Virtio 1.3 §2.8.4: without WRITE the length has no meaning.
        let wrote = flags & DescriptorFlags::WRITE.bits() != 0;
        Ok(Some(Used {
            id: u32::from(id),
            written: if wrote { len } else { 0 },
            limit,
        }))
    }

    #[inline(always)]
    fn took<T>(&mut self, slots: &Slots<'_, T>, count: u16) {
        self.next_used = self.next_used.advance(count, slots.size());
    }

    #[inline(always)]
    fn ask<T>(&mut self, slots: &Slots<'_, T>, delay: Option<u16>) {
        let wish = match (delay, self.event_idx) {
            (None, _) => event(0, RING_EVENT_FLAGS_DISABLE),
            (Some(_), false) => event(0, RING_EVENT_FLAGS_ENABLE),
            (Some(delay), true) => {
                let at = self.next_used.advance(delay, slots.size());
                event(at.bits(), RING_EVENT_FLAGS_DESC)
            }
        };
        self.memory.store_event(wish, Ordering::Relaxed);
    }

    #[inline(always)]
    fn delay<T>(&self, slots: &Slots<'_, T>) -> u16 {
        engine::delay(self.event_idx, self.in_flight(slots))
    }

    #[inline(always)]
    fn passed<T>(&self, _slots: &Slots<'_, T>, _delay: u16) -> bool {
        // Where the device will have marked a buffer is not known further on, so that the first one decides.
        let at = self.next_used;
        at.is_used(self.memory.load_flags(at.index(), Ordering::Relaxed))
    }

    fn addresses(&self) -> RingAddresses {
        self.memory.addresses()
    }

    fn into_region(self) -> DmaRegion {
        self.memory.into_region()
    }
}

/// The descriptors from `first` on.
struct Own<'a> {
    memory: &'a mut PackedMemory,
    first: Position,
    /// Flags of the first descriptor, which the device may be looking at: they are not written yet.
    head_flags: u16,
    id: u16,
}

impl Table for Own<'_> {
    type At = Position;

    #[inline(always)]
    fn next(&self, at: Position) -> Position {
        at.advance(1, self.memory.size())
    }

    #[inline(always)]
    fn write(
        &mut self,
        at: Position,
        _next: Position,
        part: Part,
        flags: DescriptorFlags,
    ) -> Result<(), WriteError> {
        let flags = at.available() | flags.bits();
        let descriptor = chain::packed_descriptor(part, flags, self.id);
        if at == self.first {
            self.head_flags = flags;
            self.memory.write_head(at.index(), descriptor);
        } else {
            self.memory.write_descriptor(at.index(), descriptor);
        }
        Ok(())
    }

    /// Descriptors with the flags of available ones must not stay behind where a shorter chain may go.
    #[cold]
    fn undo(&mut self, count: u16) {
        let mut at = self.first;
        for _ in 1..count {
            at = self.next(at);
            self.memory
                .store_flags(at.index(), at.stale(), Ordering::Relaxed);
        }
    }
}
