//! The device's side of a split ring. // Virtio 1.3 §2.7

use super::{Bus, Taken, use_part};
use crate::mem::DeviceAddress;
use crate::rig::Case;
use crate::ring::RingAddresses;
use crate::sync::{Ordering, fence};

/// `VIRTQ_DESC_F_NEXT`, `_WRITE`, `_INDIRECT`.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const FLAGS: usize = 0;
const IDX: usize = 2;
const RING: usize = 4;

/// See [`super::Device`].
#[derive(Debug)]
pub struct Device {
    bus: Bus,
    case: Case,
    size: u16,
    at: RingAddresses,
    taken: u16,
    used: u16,
    /// Used index up to which the driver was interrupted if it wished.
    told: u16,
}

impl Device {
    pub(super) fn new(bus: Bus, case: Case, size: u16, at: RingAddresses) -> Self {
        // Every word that is ever accessed atomically is touched before there is a second thread (`access::share`).
        bus.load16(at.driver, FLAGS, Ordering::Relaxed);
        bus.load16(at.driver, IDX, Ordering::Relaxed);
        bus.load16(at.driver, RING + 2 * usize::from(size), Ordering::Relaxed);
        bus.load16(at.device, FLAGS, Ordering::Relaxed);
        bus.load16(at.device, IDX, Ordering::Relaxed);
        bus.load16(at.device, RING + 8 * usize::from(size), Ordering::Relaxed);
        Self {
            bus,
            case,
            size,
            at,
            taken: 0,
            used: 0,
            told: 0,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Taken> {
        // Virtio 1.3 §2.7.13.3.1: pairs with the driver's barrier between entries and index.
        if self.bus.load16(self.at.driver, IDX, Ordering::Acquire) == self.taken {
            return None;
        }
        let entry = usize::from(self.taken % self.size);
        let head: u16 = self.bus.read(self.at.driver, RING + 2 * entry);
        self.taken = self.taken.wrapping_add(1);
        let (mut table, mut index, mut writable) = (self.at.descriptor, head, None);
        loop {
            let at = 16 * usize::from(index);
            let address = DeviceAddress(self.bus.read(table, at));
            let flags: u16 = self.bus.read(table, at + 12);
            if flags & INDIRECT != 0 {
                (table, index) = (address, 0);
                continue;
            }
            use_part(&self.bus, address, flags & WRITE != 0);
            if flags & WRITE != 0 {
                writable = Some(address);
            }
            if flags & NEXT == 0 {
                break;
            }
            index = self.bus.read(table, at + 14);
        }
        Some(Taken {
            id: head,
            count: 1,
            writable,
        })
    }

    pub(super) fn finish(&mut self, batch: &[Taken]) {
        let first = self.used;
        self.used = self.used.wrapping_add(batch.len() as u16);
        // Virtio 1.3 §2.7.9: in order, one entry with the last buffer's head stands for the batch, at the place of the first.
        let entries = if self.case.in_order {
            batch.split_at(batch.len() - 1).1
        } else {
            batch
        };
        for (n, taken) in entries.iter().enumerate() {
            let entry = usize::from(first.wrapping_add(n as u16) % self.size);
            let at = RING + 8 * entry;
            self.bus.write(self.at.device, at, u32::from(taken.id));
            let written = if taken.writable.is_some() { 4_u32 } else { 0 };
            self.bus.write(self.at.device, at + 4, written);
        }
        // Virtio 1.3 §2.7.14: elements and buffers before the index.
        self.bus
            .store16(self.at.device, IDX, self.used, Ordering::Release);
    }

    pub(super) fn interrupts(&mut self) -> bool {
        let told = core::mem::replace(&mut self.told, self.used);
        // The index before the driver's wish: pairs with the driver's fence between its wish and its last look.
        fence(Ordering::SeqCst);
        if self.case.event_idx {
            let at = RING + 2 * usize::from(self.size);
            let event = self.bus.load16(self.at.driver, at, Ordering::Relaxed);
            // Virtio 1.3 §2.7.7.2: whether the entry at `event` was written.
            (0..self.used.wrapping_sub(told)).any(|n| told.wrapping_add(n) == event)
        } else {
            self.bus.load16(self.at.driver, FLAGS, Ordering::Relaxed) & 1 == 0
        }
    }

    pub(super) fn disable_notifications(&mut self) {
        if self.case.event_idx {
            // The entry behind: none of the next 65,535.
            self.wish_event(self.taken.wrapping_sub(1));
        } else {
            self.bus
                .store16(self.at.device, FLAGS, 1, Ordering::Relaxed);
        }
    }

    pub(super) fn enable_notifications(&mut self) -> bool {
        if self.case.event_idx {
            self.wish_event(self.taken);
        } else {
            self.bus
                .store16(self.at.device, FLAGS, 0, Ordering::Relaxed);
        }
        // The wish before the last look: pairs with the driver's fence between its index and its load of the wish.
        fence(Ordering::SeqCst);
        self.bus.load16(self.at.driver, IDX, Ordering::Relaxed) != self.taken
    }

    fn wish_event(&self, event: u16) {
        let at = RING + 8 * usize::from(self.size);
        self.bus
            .store16(self.at.device, at, event, Ordering::Relaxed);
    }
}
