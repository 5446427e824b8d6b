//! What is done to a queue besides giving one buffer back wrongly: more names, further indices, whole rings overwritten.

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Queue, Taken};
use crate::common;
use crate::inproc::lies::{Fill, RingLie};
use crate::memory::GuestMemory;
use crate::ring::DESC_LEN;

impl Queue {
    /// Whether this lie about this buffer, which the device no longer has, is one: in a ring of the other kind, or where there is nobody else
    /// to name, it is the truth.
    pub(in crate::inproc) fn can_tell(&self, lie: RingLie, taken: &Taken) -> bool {
        let packed = self.packed.is_some();
        let lie = if packed { lie.packed() } else { lie };
        lie.only_packed().is_none_or(|only| only == packed)
            && match lie {
                RingLie::OtherId | RingLie::AllAsOne => !self.taken.is_empty(),
                RingLie::IdAgain => self.last.is_some_and(|last| last != taken.head),
                RingLie::IdInside => taken.walk.descriptors.len() > 1,
                RingLie::IdLast => taken.head != self.layout.size - 1,
                RingLie::SkipFewer => taken.walk.table.is_none() && taken.walk.parts.len() > 1,
                // Told later, if ever.
                RingLie::EntryChanges => false,
                RingLie::TableLonger => taken.walk.table.is_some(),
                _ => true,
            }
    }

    /// Gives a buffer of a split ring back with one of the lies that only rows of the hostile table tell. False: it is none of them.
    pub(in crate::inproc) fn lie(
        &mut self,
        memory: &GuestMemory,
        taken: &Taken,
        written: u32,
        lie: RingLie,
    ) -> bool {
        let head = taken.head;
        match lie {
            RingLie::IdAgain => self.give_back_again(memory, taken, written),
            RingLie::AllAsOne => {
                self.give_back(memory, taken, written);
                for other in std::mem::take(&mut self.taken) {
                    self.give_back_as(memory, &other, head.into(), written);
                }
            }
            RingLie::IdHigh => {
                self.give_back_as(memory, taken, 1 << 16 | u32::from(head), written);
            }
            RingLie::IdInside => {
                let inside = taken.walk.descriptors.get(1).copied().unwrap_or(head);
                self.give_back_as(memory, taken, inside.into(), written);
            }
            RingLie::IdLast => {
                let last = u32::from(self.layout.size) - 1;
                self.give_back_as(memory, taken, last, written);
            }
            RingLie::IndexHalf => {
                self.give_back(memory, taken, written);
                self.skip_used(memory, 1 << 15);
            }
            RingLie::IndexZero => {
                self.give_back(memory, taken, written);
                self.skip_used(memory, 0u16.wrapping_sub(self.used));
            }
            _ => return false,
        }
        true
    }

    /// Gives a buffer back under the name of the one before. If another one has this name by now, nobody can tell that it is not meant.
    fn give_back_again(&mut self, memory: &GuestMemory, taken: &Taken, written: u32) {
        let id = self.last.unwrap_or(taken.head);
        match self.taken.iter().position(|other| other.head == id) {
            Some(at) => {
                let other = self.taken.swap_remove(at);
                self.forget(&other);
                self.give_back_as(memory, taken, id.into(), written);
            }
            None => self.give_back_as(memory, taken, id.into(), written),
        }
    }

    /// Writes over parts of a split ring that are not the device's to write, or not now.
    pub(in crate::inproc) fn scribble(
        &mut self,
        memory: &GuestMemory,
        lie: RingLie,
        features: u64,
    ) {
        let layout = self.layout;
        let put = |address, bytes: &[u8]| {
            let _ = memory.write(address, bytes);
        };
        match lie {
            RingLie::BehindOnes => {
                for ahead in 0..layout.size / 2 {
                    put(layout.used_entry(self.used.wrapping_add(ahead)), &[0xff; 8]);
                }
            }
            RingLie::Wish => {
                let event_idx = features & common::EVENT_IDX != 0;
                let (at, change) = match event_idx {
                    true => (layout.used_event(), 1 << 15),
                    false => (layout.avail_flags(), 1),
                };
                let wish = memory.load_u16(at).unwrap_or(0);
                let _ = memory.store_u16(at, wish ^ change);
            }
            RingLie::FreeOnes => {
                let waiting = self.waiting(memory);
                for at in 0..layout.size {
                    if self.holders[usize::from(at)].is_none() && !waiting.contains(&at) {
                        let at = u64::from(at) * DESC_LEN;
                        put(layout.descriptors + at, &[0xff; DESC_LEN as usize]);
                    }
                }
            }
            RingLie::TablePattern => {
                let size = usize::from(layout.size);
                put(layout.descriptors, &vec![0xee; DESC_LEN as usize * size]);
                put(layout.avail_entry(0), &vec![0xee; 2 * size]);
                self.silent = true;
            }
            _ => {}
        }
    }

    /// Writes over all of the ring, of whichever kind.
    pub(in crate::inproc) fn overwrite(&mut self, memory: &GuestMemory, fill: Fill, number: u64) {
        /// Prime to the bits of any ring, so that each has its turn.
        const STEP: u64 = 7919;
        let areas = self.layout.areas();
        let all: u64 = areas.iter().map(|area| area.len).sum();
        let mut bit = number.wrapping_mul(STEP) % (8 * all.max(1));
        let mut random = Pcg64Mcg::seed_from_u64(number);
        for area in areas {
            let mut bytes = vec![0; area.len as usize];
            match fill {
                Fill::Zeros => {}
                Fill::Ones => bytes.fill(0xff),
                Fill::Pattern => bytes.fill(0x5a),
                Fill::Noise => random.fill_bytes(&mut bytes),
                Fill::Bit => {
                    let _ = memory.read(area.address, &mut bytes);
                    if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                        *byte ^= 1 << (bit % 8);
                    }
                    bit = bit.checked_sub(8 * area.len).unwrap_or(u64::MAX);
                }
            }
            let _ = memory.write(area.address, &bytes);
        }
        self.hush();
    }

    /// Stops following the ring.
    pub(in crate::inproc) fn hush(&mut self) {
        self.silent = true;
        if let Some(packed) = &mut self.packed {
            packed.spoil();
        }
    }

    /// Gives a buffer back that there is none of.
    pub(in crate::inproc) fn give_back_nothing(&mut self, memory: &GuestMemory) {
        if let Some(packed) = &mut self.packed {
            packed.give_back_nothing(memory);
            return;
        }
        let _ = memory.write(self.used_place(), &[0; 8]);
        self.skip_used(memory, 1);
    }

    /// Writes ones over the device area, all but the index of a split ring.
    pub(in crate::inproc) fn overwrite_device_area(&mut self, memory: &GuestMemory) {
        let [_, _, area] = self.layout.areas();
        let spared = if self.layout.packed { 0..0 } else { 2..4 };
        for at in (0..area.len).filter(|at| !spared.contains(at)) {
            let _ = memory.write(area.address + at, &[0xff]);
        }
    }
}
