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

use super::chain::{self, DESCRIPTOR, IndirectChain, Place, Table, TableFormat, WriteError};
use super::engine;
use super::event::{passed_in_lap, passed_packed};
use super::format::{Closed, Format};
use super::slots::{Buffer, Slots, Used};
use super::{AddError, Part, RingAddresses};
use crate::mem::{Alone, DmaRegion, Order, PackedMemory, PackedWriter, UsedPlace};
use crate::spec::ring::{
    DescriptorFlags, RING_EVENT_FLAGS_DESC, RING_EVENT_FLAGS_DISABLE, RING_EVENT_FLAGS_ENABLE,
};
use crate::sync::Ordering;

/// Where things lie in a packed ring.
#[derive(Debug)]
pub(super) struct Packed {
    memory: PackedMemory,
    event_idx: bool,
}

/// Value of an event suppression structure: position in the lower half, flags in the upper. // Virtio 1.3 §2.8.14
const fn event(position: u16, flags: u16) -> u32 {
    (flags as u32) << 16 | position as u32
}

const DISABLE: u32 = event(0, RING_EVENT_FLAGS_DISABLE);
const ENABLE: u32 = event(0, RING_EVENT_FLAGS_ENABLE);
const DESC: u32 = event(0, RING_EVENT_FLAGS_DESC);

impl Packed {
    pub(super) const fn new(memory: PackedMemory, event_idx: bool) -> Self {
        Self { memory, event_idx }
    }

    /// Descriptors that are not shown yet.
    #[inline(always)]
    fn pending<T>(&self, slots: &Slots<'_, T>) -> u16 {
        if slots.all_published() {
            0
        } else {
            self.memory.pending().0
        }
    }
}

impl Format for Packed {
    const CHAINED: bool = false;
    const TABLES: TableFormat = TableFormat::Packed;
    type Alone = Alone;
    type Next = UsedPlace;

    #[inline(always)]
    fn add_direct<T>(
        &mut self,
        slots: &Slots<'_, T>,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<Buffer, WriteError> {
        let (number, id) = (slots.number(), slots.head());
        let mut table = Own {
            writer: self.memory.writer(id as u16),
            first: slots.all_published(),
        };
        let chain = chain::write(&mut table, slots.free(), readable, writable)?;
        table.writer.finish();
        Ok(Buffer {
            number,
            first: id,
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
        let (number, id) = (slots.number(), slots.head());
        let mut table = Own {
            writer: self.memory.writer(id as u16),
            first: slots.all_published(),
        };
        let len = u32::from(chain.parts).wrapping_mul(DESCRIPTOR as u32);
        table.put(
            Place::First,
            Part::new(chain.table, len),
            DescriptorFlags::INDIRECT,
        )?;
        table.writer.finish();
        Ok(Buffer {
            number,
            first: id,
            ends: (id, id),
            count: 1,
            writable: chain.writable,
        })
    }

    #[inline(always)]
    fn put_alone(
        &mut self,
        id: u32,
        _number: u32,
        chain: IndirectChain,
        before_show: impl FnOnce(),
    ) -> Alone {
        let len = u32::from(chain.parts).wrapping_mul(DESCRIPTOR as u32);
        let descriptor = (chain.table, len, DescriptorFlags::INDIRECT.bits());
        // Release: as in `show`.
        self.memory
            .put_alone(id as u16, descriptor, Ordering::Release, before_show)
    }

    #[inline(always)]
    fn wants_kick_alone(&self, alone: Alone) -> bool {
        // Both words at once: they belong together.
        let event = self.memory.load_event(Ordering::Relaxed) & self::event(u16::MAX, 3);
        // That of a single descriptor is passed if it is its own.
        if self.event_idx && event == self::event(alone.bits(), RING_EVENT_FLAGS_DESC) {
            return true;
        }
        match event & self::event(0, 3) {
            DISABLE => false,
            DESC => !self.event_idx,
            _ => true,
        }
    }

    #[inline(always)]
    fn position_behind(&self, alone: Alone) -> u16 {
        alone.behind()
    }

    #[inline(always)]
    fn show<T>(&mut self, _slots: &Slots<'_, T>) {
        // Release orders all descriptors written before it before the flags that show them; it pairs with the device's
        // acquire of these flags. Relaxed would let the device see the flags first and read stale descriptors.
        // Virtio 1.3 §2.8.21.1.1
        self.memory.show(Ordering::Release);
    }

    #[inline(always)]
    fn wants_kick<T>(&mut self, slots: &Slots<'_, T>, position: u16) -> bool {
        // Both words at once: they belong together.
        let event = self.memory.load_event(Ordering::Relaxed);
        match event & self::event(0, 3) {
            DISABLE => false,
            DESC if self.event_idx => match self.memory.pending() {
                (count, true) => passed_in_lap(event as u16, position, count),
                (count, false) => passed_packed(event as u16, position, count, slots.size()),
            },
            // What has no meaning counts as ENABLE: a notification too many does no harm.
            _ => true,
        }
    }

    #[inline(always)]
    fn position<T>(&self, _slots: &Slots<'_, T>) -> u16 {
        self.memory.next_avail_bits()
    }

    #[inline(always)]
    fn used<T>(&mut self, _slots: &mut Slots<'_, T>, order: Order) -> Result<Option<Used>, Closed> {
        let used = self.memory.used(order);
        Ok(used.map(|(id, len, flags)| Used {
            id: u32::from(id),
            // Virtio 1.3 §2.8.4 gives the length no meaning without WRITE, yet QEMU never sets that flag and means the length
            // (hw/virtio/virtio.c, virtqueue_packed_fill_desc).
            written: len,
            flags,
        }))
    }

    #[inline(always)]
    fn limit<T>(&self, slots: &Slots<'_, T>) -> u16 {
        slots.in_flight()
    }

    #[inline(always)]
    fn took<T>(&mut self, _slots: &Slots<'_, T>, count: u16) -> UsedPlace {
        self.memory.took(count)
    }

    #[inline(always)]
    fn knows_of(&self, next: UsedPlace) -> bool {
        self.memory.is_used(next)
    }

    #[inline(always)]
    fn ask_for(&mut self, next: UsedPlace) {
        let wish = event(next.bits as u16, RING_EVENT_FLAGS_DESC);
        self.memory.store_event(wish, Ordering::Relaxed);
    }

    #[inline(always)]
    fn has_used(&self, next: UsedPlace) -> bool {
        self.memory.is_used(next)
    }

    #[inline(always)]
    fn ask<T>(&mut self, slots: &Slots<'_, T>, delay: Option<u16>) {
        let wish = match (delay, self.event_idx) {
            (None, _) => DISABLE,
            (Some(_), false) => ENABLE,
            (Some(0), true) => return self.ask_for(self.memory.used_place()),
            (Some(delay), true) => {
                let at = self
                    .memory
                    .used_place()
                    .position()
                    .advance(delay, slots.size());
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
        self.memory.is_used(self.memory.used_place())
    }

    fn addresses(&self) -> RingAddresses {
        self.memory.addresses()
    }

    fn into_region(self) -> DmaRegion {
        self.memory.into_region()
    }
}

/// The descriptors of a buffer.
struct Own<'a> {
    writer: PackedWriter<'a>,
    /// Whether the buffer is the first that is not shown yet: the device may be looking at its first descriptor.
    first: bool,
}

impl Table for Own<'_> {
    #[inline(always)]
    fn put(&mut self, place: Place, part: Part, flags: DescriptorFlags) -> Result<(), AddError> {
        let Part { address, len } = part;
        match (place, self.first) {
            (Place::First, true) => self.writer.write_unseen(address, len, flags.bits()),
            // The device looks here only after the first descriptor of the batch. // Virtio 1.3 §2.8.2
            _ => self.writer.write(address, len, flags.bits()),
        }
        Ok(())
    }
}
