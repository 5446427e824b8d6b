//! The split ring: descriptor table, available ring and used ring. // Virtio 1.3 §2.7
//!
//! ```text
//!   slots (private)                 ring (shared)
//!   token writable next last …      descriptors     available ring        used ring
//!   ┌─────┬───┬───┬───┬───┐         ┌────────────┐  ┌─────┬─────┬───────┐  ┌─────┬─────┬──────────┐
//!   │     │   │   │   │   │ ◄─ id ─ │ addr len … │  │flags│ idx │ heads │  │flags│ idx │ id, len  │
//!   └─────┴───┴───┴───┴───┘         └────────────┘  └─────┴─────┴───────┘  └─────┴─────┴──────────┘
//! ```
//!
//! Slot and descriptor have the same index, and a buffer is named by its first. With IN_ORDER the slots' circle is the order
//! of the table, as that feature demands. // Virtio 1.3 §2.7.5.2
#![forbid(unsafe_code)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::transmute;

use super::chain::{self, Chain, DESCRIPTOR, IndirectChain, Place, Table, TableFormat, WriteError};
use super::engine;
use super::event::passed;
use super::format::{Closed, Format};
use super::slots::{Buffer, Links, Slots, Used};
use super::{AddError, Part, QueueError, RingAddresses};
use crate::mem::{DeviceWord, DmaRegion, DriverWord, Order, SplitDescriptors, SplitMemory};
use crate::spec::ring::{
    AVAIL_F_NO_INTERRUPT, Descriptor, DescriptorFlags, USED_F_NO_NOTIFY, UsedElem,
};
use crate::sync::Ordering;

/// Where things lie in a split ring.
#[derive(Debug)]
pub(super) struct Split {
    memory: SplitMemory,
    /// Entries of the used ring that are known to be there, `slots.taken()` or further.
    seen: u16,
    event_idx: bool,
}

impl Split {
    pub(super) const fn new(memory: SplitMemory, event_idx: bool) -> Self {
        Self {
            memory,
            seen: 0,
            event_idx,
        }
    }

    /// The descriptor of a buffer that lies in a table.
    #[inline(always)]
    fn write_indirect(&mut self, id: u32, number: u32, chain: IndirectChain) {
        // Virtio 1.3 §2.7.5.3.1: never INDIRECT and NEXT together.
        let descriptor = Descriptor {
            addr: U64::new(chain.table.0),
            len: U32::new(u32::from(chain.parts).wrapping_mul(DESCRIPTOR as u32)),
            flags: U16::new(DescriptorFlags::INDIRECT.bits()),
            next: U16::ZERO,
        };
        self.memory.descriptors().write(id, descriptor);
        self.memory.write_available(number as u16, id as u16);
    }

    /// Looks how far the device has come; whether there is anything to take.
    #[inline(always)]
    fn look<T>(&mut self, slots: &mut Slots<'_, T>, order: Order) -> Result<bool, Closed> {
        // Acquire orders the loads of used elements and of the buffers' data after this one; it pairs with the device's
        // release of `idx`. Relaxed would let those loads run ahead and see what was there before. Virtio 1.3 §2.7.14
        let used = self.memory.load(DeviceWord::Idx, Ordering::Acquire);
        order.acquire();
        let (last_used, in_flight) = (slots.taken(), slots.in_flight());
        if used.wrapping_sub(last_used) > in_flight {
            slots.close(QueueError::UsedIndexJump {
                used,
                last_used,
                in_flight,
            });
            return Err(Closed);
        }
        self.seen = used;
        Ok(used != last_used)
    }
}

impl Format for Split {
    const CHAINED: bool = true;
    const TABLES: TableFormat = TableFormat::Split;
    /// How many buffers were added before it.
    type Alone = u16;
    /// How many buffers were taken back before it.
    type Next = u16;

    #[inline(always)]
    fn add_direct<T>(
        &mut self,
        slots: &Slots<'_, T>,
        readable: impl Iterator<Item = Part>,
        writable: impl Iterator<Item = Part>,
    ) -> Result<Buffer, WriteError> {
        let head = slots.head();
        let mut table = Own {
            descriptors: self.memory.descriptors(),
            links: slots.links(),
            last: head,
            after: head,
        };
        let Chain { count, writable } = chain::write(&mut table, slots.free(), readable, writable)?;
        let Own { last, after, .. } = table;
        let number = slots.number();
        self.memory.write_available(number as u16, head as u16);
        Ok(Buffer {
            number,
            first: head,
            ends: (last, after),
            count,
            writable,
        })
    }

    #[inline(always)]
    fn add_indirect<T>(
        &mut self,
        slots: &Slots<'_, T>,
        chain: IndirectChain,
    ) -> Result<Buffer, AddError> {
        let head = slots.head();
        let after = slots.links().next(head)?;
        let number = slots.number();
        self.write_indirect(head, number, chain);
        Ok(Buffer {
            number,
            first: head,
            ends: (head, after),
            count: 1,
            writable: chain.writable,
        })
    }

    #[inline(always)]
    fn put_alone(
        &mut self,
        id: u32,
        number: u32,
        chain: IndirectChain,
        before_show: impl FnOnce(),
    ) -> u16 {
        self.write_indirect(id, number, chain);
        let alone = number as u16;
        before_show();
        // Release: as in `show`.
        self.memory
            .store(DriverWord::Idx, alone.wrapping_add(1), Ordering::Release);
        alone
    }

    #[inline(always)]
    fn wants_kick_alone(&self, alone: u16) -> bool {
        if self.event_idx {
            self.memory.load(DeviceWord::AvailEvent, Ordering::Relaxed) == alone
        } else {
            self.memory.load(DeviceWord::Flags, Ordering::Relaxed) & USED_F_NO_NOTIFY == 0
        }
    }

    #[inline(always)]
    fn position_behind(&self, alone: u16) -> u16 {
        alone.wrapping_add(1)
    }

    #[inline(always)]
    fn show<T>(&mut self, slots: &Slots<'_, T>) {
        // Release orders the descriptors and ring entries written before it before the index that shows them; it pairs
        // with the device's acquire of `idx`. Relaxed would let the device see the index first and read stale
        // descriptors. Virtio 1.3 §2.7.13.3.1
        self.memory
            .store(DriverWord::Idx, slots.added(), Ordering::Release);
    }

    #[inline(always)]
    fn wants_kick<T>(&mut self, slots: &Slots<'_, T>, position: u16) -> bool {
        if self.event_idx {
            let event = self.memory.load(DeviceWord::AvailEvent, Ordering::Relaxed);
            passed(event, slots.published(), position)
        } else {
            self.memory.load(DeviceWord::Flags, Ordering::Relaxed) & USED_F_NO_NOTIFY == 0
        }
    }

    #[inline(always)]
    fn position<T>(&self, slots: &Slots<'_, T>) -> u16 {
        slots.added()
    }

    #[inline(always)]
    fn used<T>(&mut self, slots: &mut Slots<'_, T>, order: Order) -> Result<Option<Used>, Closed> {
        let position = slots.taken();
        if position == self.seen && !self.look(slots, order)? {
            return Ok(None);
        }
        // Read once, then checked: the device may change the element at any time.
        let used: UsedElem = transmute!(self.memory.read_used(position));
        Ok(Some(Used {
            id: used.id.get(),
            written: used.len.get(),
            flags: DescriptorFlags::WRITE.bits(),
        }))
    }

    #[inline(always)]
    fn limit<T>(&self, slots: &Slots<'_, T>) -> u16 {
        self.seen.wrapping_sub(slots.taken())
    }

    #[inline(always)]
    fn took<T>(&mut self, slots: &Slots<'_, T>, _count: u16) -> u16 {
        slots.taken()
    }

    #[inline(always)]
    fn knows_of(&self, next: u16) -> bool {
        self.seen != next
    }

    #[inline(always)]
    fn ask_for(&mut self, next: u16) {
        // Virtio 1.3 §2.7.7.1: as in `ask`.
        self.memory
            .store(DriverWord::UsedEvent, next, Ordering::Relaxed);
    }

    #[inline(always)]
    fn has_used(&self, next: u16) -> bool {
        self.memory.load(DeviceWord::Idx, Ordering::Relaxed) != next
    }

    #[inline(always)]
    fn ask<T>(&mut self, slots: &Slots<'_, T>, delay: Option<u16>) {
        // Virtio 1.3 §2.7.7.1: with EVENT_IDX flags stay 0 and used_event names the entry to interrupt at.
        let (word, value) = match (self.event_idx, delay) {
            (true, Some(delay)) => (DriverWord::UsedEvent, slots.taken().wrapping_add(delay)),
            // The entry just behind is the last one that the device's index will come to.
            (true, None) => (DriverWord::UsedEvent, slots.taken().wrapping_sub(1)),
            (false, Some(_)) => (DriverWord::Flags, 0),
            (false, None) => (DriverWord::Flags, AVAIL_F_NO_INTERRUPT),
        };
        self.memory.store(word, value, Ordering::Relaxed);
    }

    #[inline(always)]
    fn delay<T>(&self, slots: &Slots<'_, T>) -> u16 {
        engine::delay(self.event_idx, slots.in_flight())
    }

    #[inline(always)]
    fn passed<T>(&self, slots: &Slots<'_, T>, delay: u16) -> bool {
        let used = self.memory.load(DeviceWord::Idx, Ordering::Relaxed);
        used.wrapping_sub(slots.taken()) > delay
    }

    fn addresses(&self) -> RingAddresses {
        self.memory.addresses()
    }

    fn into_region(self) -> DmaRegion {
        self.memory.into_region()
    }
}

/// The queue's own descriptors, linked as its slots are.
struct Own<'a, T> {
    descriptors: SplitDescriptors<'a>,
    links: Links<'a, T>,
    /// The one that was written last.
    last: u32,
    /// The one after it.
    after: u32,
}

impl<T> Table for Own<'_, T> {
    #[inline(always)]
    fn put(&mut self, _place: Place, part: Part, flags: DescriptorFlags) -> Result<(), AddError> {
        let at = self.after;
        let next = self.links.next(at)?;
        self.descriptors
            .write(at, chain::descriptor(part, flags, next as u16));
        self.last = at;
        self.after = next;
        Ok(())
    }
}
