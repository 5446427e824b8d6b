//! The device's side of a packed ring. // Virtio 1.3 §2.8

use super::{Bus, Taken, use_part};
use crate::mem::DeviceAddress;
use crate::rig::Case;
use crate::ring::RingAddresses;
use crate::sync::{Ordering, fence};

/// `VIRTQ_DESC_F_*`. // Virtio 1.3 §2.8.1, §2.8.13
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;
/// Offsets in a descriptor.
const LEN: usize = 8;
const ID: usize = 12;
const FLAGS: usize = 14;
/// `RING_EVENT_FLAGS_*`, in the upper half of the event suppression structure. // Virtio 1.3 §2.8.14
const ENABLE: u32 = 0;
const DISABLE: u32 = 1;
const DESC: u32 = 2;

/// A place in the ring and how often it was passed, odd or even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    index: u16,
    wrap: bool,
}

impl Place {
    const START: Self = Self {
        index: 0,
        wrap: true,
    };

    /// The place `count` descriptors on, step by step.
    fn on(mut self, count: u16, size: u16) -> Self {
        for _ in 0..count {
            self.index += 1;
            if self.index == size {
                self = Self {
                    index: 0,
                    wrap: !self.wrap,
                };
            }
        }
        self
    }

    /// As it stands in an event suppression structure.
    fn bits(self) -> u32 {
        u32::from(self.index) | u32::from(self.wrap) << 15
    }
}

/// See [`super::Device`].
#[derive(Debug)]
pub struct Device {
    bus: Bus,
    case: Case,
    size: u16,
    at: RingAddresses,
    taken: Place,
    used: Place,
    /// Place up to which the driver was interrupted if it wished, and descriptors passed since.
    told: Place,
    passed: u16,
}

impl Device {
    pub(super) fn new(bus: Bus, case: Case, size: u16, at: RingAddresses) -> Self {
        // Every word that is ever accessed atomically is touched before there is a second thread (`access::share`).
        for entry in 0..usize::from(size) {
            bus.load16(at.descriptor, 16 * entry + FLAGS, Ordering::Relaxed);
        }
        bus.load32(at.driver, 0, Ordering::Relaxed);
        bus.load32(at.device, 0, Ordering::Relaxed);
        Self {
            bus,
            case,
            size,
            at,
            taken: Place::START,
            used: Place::START,
            told: Place::START,
            passed: 0,
        }
    }

    fn flags_at(&self, place: Place, order: Ordering) -> u16 {
        let at = 16 * usize::from(place.index) + FLAGS;
        self.bus.load16(self.at.descriptor, at, order)
    }

    /// Whether flags say that the descriptor at the next place is available. // Virtio 1.3 §2.8.1
    fn available(&self, flags: u16) -> bool {
        let (avail, used) = (flags & AVAIL != 0, flags & USED != 0);
        avail == self.taken.wrap && used != self.taken.wrap
    }

    pub(super) fn pop(&mut self) -> Option<Taken> {
        // Pairs with the driver's release of the first head of a batch: what the descriptors hold comes after this.
        let mut flags = self.flags_at(self.taken, Ordering::Acquire);
        if !self.available(flags) {
            return None;
        }
        let (mut count, mut writable) = (0, None);
        loop {
            let at = 16 * usize::from(self.taken.index);
            let address = DeviceAddress(self.bus.read(self.at.descriptor, at));
            let len: u32 = self.bus.read(self.at.descriptor, at + LEN);
            let id: u16 = self.bus.read(self.at.descriptor, at + ID);
            self.taken = self.taken.on(1, self.size);
            count += 1;
            let mut part = |address, flags| {
                use_part(&self.bus, address, flags & WRITE != 0);
                if flags & WRITE != 0 {
                    writable = Some(address);
                }
            };
            if flags & INDIRECT == 0 {
                part(address, flags);
            } else {
                for entry in 0..len as usize / 16 {
                    let at = 16 * entry;
                    let inner = DeviceAddress(self.bus.read(address, at));
                    part(inner, self.bus.read(address, at + FLAGS));
                }
            }
            if flags & NEXT == 0 {
                return Some(Taken {
                    id,
                    count,
                    writable,
                });
            }
            flags = self.bus.read(
                self.at.descriptor,
                16 * usize::from(self.taken.index) + FLAGS,
            );
        }
    }

    pub(super) fn finish(&mut self, batch: &[Taken]) {
        let in_order = self.case.in_order;
        let mut first = self.used;
        for (n, taken) in batch.iter().enumerate() {
            let place = if in_order { first } else { self.used };
            self.used = self.used.on(taken.count, self.size);
            self.passed += taken.count;
            // Virtio 1.3 §2.8.6, §2.8.9: in order, one used descriptor with the last buffer's id stands for the batch, at the place
            // of the first.
            if in_order && n + 1 < batch.len() {
                continue;
            }
            let at = 16 * usize::from(place.index);
            let (written, flag) = match taken.writable {
                Some(_) => (4_u32, WRITE),
                None => (0, 0),
            };
            self.bus.write(self.at.descriptor, at + LEN, written);
            self.bus.write(self.at.descriptor, at + ID, taken.id);
            let wrap = if place.wrap { AVAIL | USED } else { 0 };
            // Length, id and buffers before the flags.
            self.bus.store16(
                self.at.descriptor,
                at + FLAGS,
                wrap | flag,
                Ordering::Release,
            );
            first = self.used;
        }
    }

    pub(super) fn interrupts(&mut self) -> bool {
        let told = core::mem::replace(&mut self.told, self.used);
        let passed = core::mem::take(&mut self.passed);
        // The flags before the driver's wish: pairs with the driver's fence between its wish and its last look.
        fence(Ordering::SeqCst);
        let wish = self.bus.load32(self.at.driver, 0, Ordering::Relaxed);
        match wish >> 16 {
            ENABLE => true,
            DISABLE => false,
            DESC => (0..passed).any(|n| told.on(n, self.size).bits() == wish & 0xffff),
            other => panic!("driver wrote event flags {other}"),
        }
    }

    pub(super) fn disable_notifications(&mut self) {
        self.bus
            .store32(self.at.device, 0, DISABLE << 16, Ordering::Relaxed);
    }

    pub(super) fn enable_notifications(&mut self) -> bool {
        let wish = if self.case.event_idx {
            DESC << 16 | self.taken.bits()
        } else {
            ENABLE << 16
        };
        self.bus.store32(self.at.device, 0, wish, Ordering::Relaxed);
        // The wish before the last look: pairs with the driver's fence between its flags and its load of the wish.
        fence(Ordering::SeqCst);
        self.available(self.flags_at(self.taken, Ordering::Relaxed))
    }
}
