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

use super::chain::{self, DESCRIPTOR, IndirectChain, Place, Table, Unwritten, WriteError};
use super::engine::{self, Format};
use super::event::passed_packed;
use super::position::Position;
use super::slots::{Buffer, Slots, Used};
use super::{AddError, Part, RingAddresses};
use crate::mem::{DmaRegion, Order, PackedDescriptors, PackedMemory};
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
    /// First descriptor of the first buffer that is not shown yet; `next_avail` if there is none.
    batch: Position,
    /// Its flags; to store them shows everything behind it.
    batch_flags: u16,
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
            event_idx,
        }
    }

    /// Takes back what there is of a chain: descriptors with the flags of available ones must not stay behind where a shorter
    /// chain may go.
    #[cold]
    fn retract(&mut self, unwritten: Unwritten) -> WriteError {
        let mut at = self.next_avail;
        let mut descriptors = self.memory.descriptors(at.index());
        // The flags of the first one were not written, so that the device was shown nothing: that a descriptor shall not change
        // once its AVAIL flag did (Virtio 1.3 §2.8.16) is about those that it may look at.
        for _ in 1..unwritten.begun {
            let wrapped = descriptors.advance();
            at = at.moved(descriptors.index(), wrapped);
            descriptors.store_flags(at.stale(), Ordering::Relaxed);
        }
        unwritten.why
    }

    /// Descriptors that are not shown yet.
    #[inline(always)]
    fn pending<T>(&self, slots: &Slots<'_, T>) -> u16 {
        if slots.all_published() {
            0
        } else {
            self.next_avail.since(self.batch, slots.size())
        }
    }
}

impl Format for Packed {
    const CHAINED: bool = false;

    #[inline(always)]
    fn add_direct<T>(
        &mut self,
        slots: &Slots<'_, T>,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<Buffer, WriteError> {
        let (id, first) = (slots.head(), self.next_avail);
        let table = Own {
            descriptors: self.memory.descriptors(first.index()),
            at: first,
            head_flags: 0,
            id,
        };
        let chain = match chain::write(table, slots.free(), readable, writable) {
            Ok(chain) => chain,
            Err(unwritten) => return Err(self.retract(unwritten)),
        };
        let Own {
            descriptors,
            at,
            head_flags,
            ..
        } = chain.table;
        self.next_avail = at;
        if !append(descriptors, head_flags, slots) {
            (self.batch, self.batch_flags) = (first, head_flags);
        }
        Ok(Buffer {
            ends: (id, id),
            count: chain.count,
            writable: chain.writable,
        })
    }

    #[inline(always)]
    fn add_indirect<T>(
        &mut self,
        slots: &Slots<'_, T>,
        chain: IndirectChain,
    ) -> Result<Buffer, AddError> {
        let (id, at) = (slots.head(), self.next_avail);
        let mut descriptors = self.memory.descriptors(at.index());
        descriptors.write(PackedDescriptor {
            addr: U64::new(chain.table.0),
            len: U32::new(u32::from(chain.parts).wrapping_mul(DESCRIPTOR as u32)),
            id: U16::new(id),
            flags: U16::ZERO,
        });
        let head_flags = at.available() | DescriptorFlags::INDIRECT.bits();
        self.next_avail = at.advance(1, slots.size());
        if !append(descriptors, head_flags, slots) {
            (self.batch, self.batch_flags) = (at, head_flags);
        }
        Ok(Buffer {
            ends: (id, id),
            count: 1,
            writable: chain.writable,
        })
    }

    #[inline(always)]
    fn show<T>(&mut self, _slots: &Slots<'_, T>) {
        // Release orders all descriptors written before it before the flags that show them; it pairs with the device's
        // acquire of these flags. Relaxed would let the device see the flags first and read stale descriptors.
        // Virtio 1.3 §2.8.21.1.1
        let mut descriptors = self.memory.descriptors(self.batch.index());
        descriptors.store_flags(self.batch_flags, Ordering::Release);
    }

    #[inline(always)]
    fn wants_kick<T>(&mut self, slots: &Slots<'_, T>) -> bool {
        let count = self.pending(slots);
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
    fn used<T>(&mut self, slots: &mut Slots<'_, T>, order: Order) -> Option<Used> {
        let at = self.next_used;
        let (id, len, flags) = self
            .memory
            .used(at.index(), order, |flags| at.is_used(flags))?;
        Some(Used {
            id: u32::from(id),
            // Virtio 1.3 §2.8.4 gives the length no meaning without WRITE, yet QEMU never sets that flag and means the length
            // (hw/virtio/virtio.c, virtqueue_packed_fill_desc).
            written: len,
            vague: flags & DescriptorFlags::WRITE.bits() == 0,
            limit: slots.in_flight(),
        })
    }

    #[inline(always)]
    fn took<T>(&mut self, slots: &Slots<'_, T>, count: u16) {
        self.next_used.step(count, slots.size());
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
        let in_flight = slots
            .size()
            .wrapping_sub(slots.free())
            .wrapping_sub(self.pending(slots));
        engine::delay(self.event_idx, in_flight)
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

/// Puts a written buffer, whose first descriptor gets `flags`, behind those that are shown next. False if it is the first of
/// them: to store its flags then shows them all.
#[inline(always)]
fn append<T>(mut descriptors: PackedDescriptors<'_>, flags: u16, slots: &Slots<'_, T>) -> bool {
    if slots.all_published() {
        return false;
    }
    // The device looks here only after the first descriptor of the batch. // Virtio 1.3 §2.8.2
    descriptors.store_first_flags(flags, Ordering::Relaxed);
    true
}

/// The descriptors of a buffer.
struct Own<'a> {
    descriptors: PackedDescriptors<'a>,
    at: Position,
    /// Flags of the first descriptor, which the device may be looking at: they are not written yet.
    head_flags: u16,
    id: u16,
}

impl Table for Own<'_> {
    #[inline(always)]
    fn put(&mut self, place: Place, part: Part, flags: DescriptorFlags) -> Result<(), AddError> {
        let flags = self.at.available() | flags.bits();
        self.descriptors
            .write(chain::packed_descriptor(part, flags, self.id));
        match place {
            Place::First => self.head_flags = flags,
            // The device looks here only after the first one.
            Place::Later => self.descriptors.store_flags(flags, Ordering::Relaxed),
        }
        let wrapped = self.descriptors.advance();
        self.at = self.at.moved(self.descriptors.index(), wrapped);
        Ok(())
    }
}
