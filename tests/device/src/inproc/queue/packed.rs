//! A packed ring of the in-process device: the ring itself is [`ring_device`]'s; here is how it is lied about, and what the driver is
//! not blamed for afterwards.

use std::ops::Range;

use ring_device::Memory;

use super::{Taken, in_memory};
use crate::Violation;
use crate::common;
use crate::inproc::lies::RingLie;
use crate::memory::GuestMemory;
use crate::ring::{Layout, Walk, broken};

/// `VIRTQ_DESC_F_WRITE`. // Virtio 1.3 §2.8.3
const WRITE: u16 = 2;

/// Flags of a used descriptor that mean nothing: NEXT, INDIRECT and all that were never defined. // Virtio 1.3 §2.8.6
const STRAY: u16 = !(WRITE | 1 << 7 | 1 << 15);

/// What comes of a look for the next buffer.
pub(super) enum Next {
    /// A buffer.
    Taken(Taken),
    /// A buffer that a lie has given back before it was taken.
    Over,
    /// None; whether to look again all the same.
    Nothing {
        /// The driver may have made one available before it saw the wish for a notification.
        active: bool,
    },
}

/// A packed ring.
pub(in crate::inproc) struct Packed {
    number: u16,
    ring: ring_device::Packed,
    /// Ids that were given back without a buffer: the next buffer of such a name is over when it comes.
    forged: Vec<u16>,
    /// Every buffer so far took one descriptor: whichever a lie names, both sides go on at the same place.
    single: bool,
    /// A lie has overwritten descriptors, or both sides no longer go on at the same place: the driver is not to blame for what lies
    /// in the ring.
    spoilt: bool,
    /// The driver's wish for interrupts was none that it may express.
    broken: Option<Violation>,
}

impl Packed {
    pub(super) fn new(
        number: u16,
        layout: &Layout,
        features: u64,
        memory: &GuestMemory,
    ) -> Result<Self, Violation> {
        let ring = ring_device::Packed::new(layout.setup(features), memory);
        Ok(Self {
            number,
            ring: ring.map_err(|found| broken(number, &found))?,
            forged: Vec::new(),
            single: true,
            spoilt: false,
            broken: None,
        })
    }

    /// Takes the next buffer, if there is one; asks to be notified if there is none.
    pub(super) fn take(&mut self, memory: &GuestMemory, features: u64) -> Result<Next, Violation> {
        if let Some(violation) = self.broken.take() {
            return Err(violation);
        }
        let buffer = match self.ring.pop(memory) {
            Ok(Some(buffer)) => buffer,
            Ok(None) => {
                let active = self.ring.request_notification(memory);
                let active = active.map_err(|found| broken(self.number, &found))?;
                return Ok(Next::Nothing { active });
            }
            Err(_) if self.spoilt => return Ok(Next::Nothing { active: false }),
            Err(found) => return Err(broken(self.number, &found)),
        };
        // While at work the device needs no notification. With EVENT_IDX the place that it asked for has been passed.
        // Virtio 1.3 §2.8.10
        if features & common::EVENT_IDX == 0 {
            let _ = self.ring.suppress_notification(memory);
        }
        self.single &= buffer.descriptors == 1;
        if let Some(at) = self.forged.iter().position(|id| *id == buffer.id) {
            self.forged.swap_remove(at);
            self.ring.forget(buffer.id);
            return Ok(Next::Over);
        }
        let walk = Walk::from(&buffer);
        in_memory(memory, buffer.id, &walk)?;
        Ok(Next::Taken(Taken {
            head: buffer.id,
            number: 0,
            walk,
        }))
    }

    /// Where the next used descriptor goes.
    pub(super) fn used_place(&self) -> u64 {
        self.ring.descriptor_address(self.ring.next_used().0)
    }

    /// Whether the driver wants an interrupt for what was given back since the last call.
    pub(super) fn wants_interrupt(&mut self, memory: &GuestMemory) -> bool {
        self.ring.interrupt_due(memory).unwrap_or_else(|found| {
            self.broken = Some(broken(self.number, &found));
            true
        })
    }

    /// Gives a buffer back, or lies about it; `others` are those that the device has besides.
    pub(in crate::inproc) fn finish(
        &mut self,
        memory: &GuestMemory,
        taken: &Taken,
        written: u32,
        lie: Option<RingLie>,
        others: &mut Vec<Taken>,
        last: Option<u16>,
    ) -> Result<(), Violation> {
        let id = taken.head;
        let wrote = if written > 0 { WRITE } else { 0 };
        match lie.map(RingLie::packed) {
            Some(RingLie::IdOutOfRange) => {
                self.tell(memory, id, self.ring.setup().size, written, wrote)
            }
            Some(RingLie::IdAllOnes) => self.tell(memory, id, u16::MAX, written, wrote),
            Some(RingLie::IdNotOutstanding) => {
                let told = self.idle_id(memory);
                self.tell(memory, id, told, written, wrote);
                self.forge(told);
            }
            Some(RingLie::OtherId) => match others.pop() {
                Some(other) => {
                    self.ring.forget(id);
                    self.tell(memory, other.head, other.head, written, wrote);
                }
                None => return self.give_back(memory, id, written),
            },
            Some(RingLie::IdTwice) => {
                self.give_back(memory, id, written)?;
                self.mark(memory, id, written, wrote);
                self.forge(id);
                self.ring.skip_used(1);
            }
            Some(RingLie::NextUsed) => {
                self.give_back(memory, id, written)?;
                self.show_next(memory, others);
            }
            Some(RingLie::OtherLap) => {
                let count = self.ring.forget(id).unwrap_or(1);
                let (place, wrap) = self.ring.next_used();
                let flags = ring_device::Packed::used_flags(!wrap) | wrote;
                let _ = self.ring.write_used(memory, place, id, written, flags);
                self.ring.skip_used(count);
            }
            Some(RingLie::TooFar) => {
                let count = self.ring.forget(id).unwrap_or(1);
                self.ring.skip_used(count);
                self.mark(memory, id, written, wrote);
            }
            Some(RingLie::NoWrite) => self.tell(memory, id, id, written, 0),
            Some(RingLie::StrayFlags) => self.tell(memory, id, id, written, wrote | STRAY),
            Some(RingLie::IdAgain) => {
                let told = last.unwrap_or(id);
                match others.iter().position(|other| other.head == told) {
                    Some(at) => {
                        let other = others.swap_remove(at);
                        self.ring.forget(id);
                        self.tell(memory, other.head, told, written, wrote);
                    }
                    None => {
                        self.tell(memory, id, told, written, wrote);
                        self.forge(told);
                    }
                }
            }
            Some(RingLie::AllAsOne) => {
                self.give_back(memory, id, written)?;
                for other in others.drain(..) {
                    self.tell(memory, other.head, id, written, wrote);
                    self.forge(id);
                }
            }
            Some(RingLie::HalfFlags) => {
                let count = self.ring.forget(id).unwrap_or(1);
                let (place, wrap) = self.ring.next_used();
                let flags = ring_device::Packed::used_flags(wrap) ^ 1 << 15 | wrote;
                let _ = self.ring.write_used(memory, place, id, written, flags);
                self.ring.skip_used(count);
            }
            Some(RingLie::LengthUnwritten) => self.tell(memory, id, id, written, 0),
            // The ring would notice that the table is another one.
            Some(RingLie::TableLonger) => self.tell(memory, id, id, written, wrote),
            Some(RingLie::OtherAddress) => {
                let (place, _) = self.ring.next_used();
                self.tell(memory, id, id, written, wrote);
                let _ = Memory::write(memory, self.ring.descriptor_address(place), &[0xff; 8]);
            }
            Some(RingLie::SkipFewer | RingLie::SkipMore) => {
                let more = lie == Some(RingLie::SkipMore);
                let count = self.ring.forget(id).unwrap_or(1);
                let (place, wrap) = self.ring.next_used();
                let flags = ring_device::Packed::used_flags(wrap) | wrote;
                let _ = self.ring.write_used(memory, place, id, written, flags);
                self.ring
                    .skip_used(if more { count + 1 } else { count.max(2) - 1 });
                self.spoilt = true;
            }
            Some(RingLie::AllButNext) => {
                self.ring.forget(id);
                self.mark_all(memory, 1..self.ring.setup().size, id, written);
            }
            Some(RingLie::NextLap) => {
                let size = self.ring.setup().size;
                let (from, _) = self.ring.next_used();
                self.give_back(memory, id, written)?;
                for other in others.drain(..) {
                    self.tell(memory, other.head, other.head, written, wrote);
                }
                // What was given back now the driver has yet to see: over it the next lap's mark would be no mark.
                let (to, _) = self.ring.next_used();
                let given = (to + size - from) % size;
                self.mark_all(memory, 0..size - given, id, written);
            }
            _ => return self.give_back(memory, id, written),
        }
        Ok(())
    }

    /// Writes over the ring or its event suppression, as a lie says.
    pub(in crate::inproc) fn scribble(&mut self, memory: &GuestMemory, lie: RingLie) {
        let setup = *self.ring.setup();
        let size = usize::from(setup.size);
        let put = |address, bytes: &[u8]| {
            let _ = Memory::write(memory, address, bytes);
        };
        match lie.packed() {
            // A value that has no meaning, and reserved bits. // Virtio 1.3 §2.8.10, §2.8.14
            RingLie::Flags => put(setup.device + 2, &[0xff; 2]),
            // The same place, a lap away.
            RingLie::Event => {
                let word = memory.load_u16(setup.device).unwrap_or(0);
                put(setup.device, &(word ^ 0x8000).to_le_bytes());
            }
            RingLie::ReservedFlags => {
                let flags = memory.load_u16(setup.device + 2).unwrap_or(0);
                put(setup.device + 2, &(flags | !3).to_le_bytes());
            }
            RingLie::EventOutside => put(setup.device, &[0xff, 0x7f, 2, 0]),
            RingLie::AvailOnes => put(setup.driver, &[0xff; 4]),
            RingLie::UsedOnes => {
                put(setup.descriptor, &vec![0xff; 16 * size]);
                self.spoilt = true;
            }
            RingLie::DescriptorZeros => {
                put(setup.descriptor, &vec![0; 16 * size]);
                self.spoilt = true;
            }
            _ => {}
        }
    }

    /// Gives a buffer back as the specification says.
    fn give_back(&mut self, memory: &GuestMemory, id: u16, written: u32) -> Result<(), Violation> {
        if !self.spoilt {
            match self.ring.push(memory, id, written) {
                Ok(()) => return Ok(()),
                // It is held no longer, and the places are not the device's to judge any more.
                Err(found) => {
                    self.spoilt = true;
                    return Err(broken(self.number, &found));
                }
            }
        }
        let wrote = if written > 0 { WRITE } else { 0 };
        self.tell(memory, id, id, written, wrote);
        Ok(())
    }

    /// Gives buffer `id` back as `told`, with these flags besides those that mark it as used.
    fn tell(&mut self, memory: &GuestMemory, id: u16, told: u16, written: u32, flags: u16) {
        let count = self.ring.forget(id).unwrap_or(1);
        let (place, wrap) = self.ring.next_used();
        let flags = ring_device::Packed::used_flags(wrap) | flags;
        let _ = self.ring.write_used(memory, place, told, written, flags);
        self.ring.skip_used(count);
    }

    /// Writes a used descriptor over whatever lies where the next one goes.
    fn mark(&mut self, memory: &GuestMemory, id: u16, written: u32, flags: u16) {
        let (place, wrap) = self.ring.next_used();
        let flags = ring_device::Packed::used_flags(wrap) | flags;
        let _ = self.ring.write_used(memory, place, id, written, flags);
        self.spoilt = true;
    }

    /// Marks these places, counted from the next one on, as used.
    fn mark_all(&mut self, memory: &GuestMemory, places: Range<u16>, id: u16, written: u32) {
        let size = self.ring.setup().size;
        let (next, wrap) = self.ring.next_used();
        for ahead in places {
            let place = u32::from(next) + u32::from(ahead);
            let wrap = wrap ^ (place >= u32::from(size));
            let place = (place % u32::from(size)) as u16;
            let flags = ring_device::Packed::used_flags(wrap) | WRITE;
            let _ = self.ring.write_used(memory, place, id, written, flags);
        }
        self.spoilt = true;
    }

    /// The driver is not to blame for what lies in the ring any more.
    pub(super) fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// Gives a buffer back that there is none of, under the name 0.
    pub(super) fn give_back_nothing(&mut self, memory: &GuestMemory) {
        self.mark(memory, 0, 0, 0);
        self.forge(0);
        self.ring.skip_used(1);
    }

    /// Marks the next descriptor as used, as it lies there. Whichever buffer it names is over.
    fn show_next(&mut self, memory: &GuestMemory, others: &mut Vec<Taken>) {
        let (place, wrap) = self.ring.next_used();
        let at = self.ring.descriptor_address(place);
        let id = Memory::read_u16(memory, at + 12).unwrap_or(0);
        let _ = memory.store_u16(at + 14, ring_device::Packed::used_flags(wrap));
        self.spoilt = true;
        let count = match others.iter().position(|other| other.head == id) {
            Some(held) => {
                others.swap_remove(held);
                self.ring.forget(id)
            }
            None => {
                self.forge(id);
                None
            }
        };
        self.ring.skip_used(count.unwrap_or(1));
    }

    /// Notes that this id was given back without a buffer of its own. A driver that has one of this name, or makes one before it looks,
    /// takes it for done.
    fn forge(&mut self, id: u16) {
        self.forged.push(id);
        self.spoilt |= !self.single;
    }

    /// An id that names no buffer which the device has or which waits for it; if there is none, one that names nothing.
    fn idle_id(&self, memory: &GuestMemory) -> u16 {
        let mut all = self.ring.clone();
        while let Ok(Some(_)) = all.pop(memory) {}
        let size = self.ring.setup().size;
        (0..size).find(|id| !all.holds(*id)).unwrap_or(size)
    }
}

#[cfg(test)]
mod tests;
