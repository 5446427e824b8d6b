//! The packed ring. // Virtio 1.3 §2.8
//!
//! ```text
//!  descriptor area: size × { addr 8, len 4, id 2, flags 2 }     size need not be a power of two
//!  driver area:     { off:15 wrap:1, flags:2 reserved:14 }      device area: the same
//! ```
//!
//! Positions count descriptors from the start of the queue's life; place and wrap counter follow from them.

use std::sync::atomic::{Ordering, fence};

use crate::buffer::{Collector, address_and_len, last_words, table_entries};
use crate::ledger::{Held, Ledger};
use crate::queue::check_zero;
use crate::{Buffer, Memory, Part, Setup, Violation};

/// `VIRTQ_DESC_F_NEXT`, `_WRITE`, `_INDIRECT`, `_AVAIL`, `_USED`. // Virtio 1.3 §2.8.1, §2.8.3, §2.8.6, §2.8.7
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// `RING_EVENT_FLAGS_*`. // Virtio 1.3 §2.8.10
const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const DESC: u16 = 2;

/// The device side of a packed virtqueue.
#[derive(Clone, Debug)]
pub struct Packed {
    setup: Setup,
    /// Descriptors popped.
    next_avail: u64,
    /// Position up to which [`Self::notification_due`] has judged.
    judged: u64,
    /// Descriptors handed back.
    next_used: u64,
    /// Position up to which [`Self::interrupt_due`] has answered.
    signalled: u64,
    /// What lay at each place when it was popped.
    shadow: Vec<[u8; 16]>,
    held: Ledger,
}

impl Packed {
    /// As [`crate::Queue::new`].
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn new(setup: Setup, memory: &impl Memory) -> Result<Self, Violation> {
        if setup.size == 0 || setup.size > 32768 {
            return Err(Violation::Size { size: setup.size });
        }
        setup.check_alignment(4, 4)?;
        check_zero(memory, setup.descriptor, 16 * u64::from(setup.size))?;
        // Whatever else lay here would be taken for the device's wish.
        check_zero(memory, setup.device, 4)?;
        Ok(Self {
            setup,
            next_avail: 0,
            judged: 0,
            next_used: 0,
            signalled: 0,
            shadow: vec![[0; 16]; usize::from(setup.size)],
            held: Ledger::default(),
        })
    }

    /// What it was set up with.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Device address of the descriptor at a place, taken modulo the size.
    #[must_use]
    pub fn descriptor_address(&self, place: u16) -> u64 {
        self.setup.descriptor + 16 * u64::from(place % self.setup.size)
    }

    /// Place and wrap counter where the next used descriptor goes.
    #[must_use]
    pub fn next_used(&self) -> (u16, bool) {
        self.place(self.next_used)
    }

    /// Place and wrap counter where the next available descriptor is expected.
    #[must_use]
    pub fn next_avail(&self) -> (u16, bool) {
        self.place(self.next_avail)
    }

    /// Flags that mark a descriptor as used in a lap with this wrap counter. // Virtio 1.3 §2.8.1
    #[must_use]
    pub const fn used_flags(wrap: bool) -> u16 {
        if wrap { AVAIL | USED } else { 0 }
    }

    /// Writes any used descriptor at any place, flags last, and keeps no account of it: for a device that lies.
    ///
    /// # Errors
    ///
    /// [`Violation::Unreachable`].
    pub fn write_used(
        &self,
        memory: &impl Memory,
        place: u16,
        id: u16,
        len: u32,
        flags: u16,
    ) -> Result<(), Violation> {
        let at = self.descriptor_address(place);
        memory.write(at + 8, &len.to_le_bytes())?;
        memory.write(at + 12, &id.to_le_bytes())?;
        // Release, in the memory's contract: id and length are there before the flags that show them.
        memory.store_u16(at + 14, flags)?;
        Ok(())
    }

    pub(crate) fn held(&self) -> Vec<u16> {
        self.held.ids()
    }

    /// Whether the buffer `id` was popped and not yet used.
    #[must_use]
    pub fn holds(&self, id: u16) -> bool {
        self.held.contains(id)
    }

    /// Id, length and flags of the descriptor where the next used one goes, if it is marked as used: for one who watches a device.
    ///
    /// # Errors
    ///
    /// [`Violation::Unreachable`].
    pub fn used(&self, memory: &impl Memory) -> Result<Option<(u16, u32, u16)>, Violation> {
        let (place, wrap) = self.next_used();
        let at = self.descriptor_address(place);
        // Acquire, in the memory's contract: id and length are read after the flags that show them.
        let flags = memory.load_u16(at + 14)?;
        if flags & (AVAIL | USED) != Self::used_flags(wrap) {
            return Ok(None);
        }
        let (_, len) = address_and_len(&memory.read_descriptor(at)?);
        Ok(Some((memory.read_u16(at + 12)?, len, flags)))
    }

    /// Whether the next descriptor to become available is marked as available in the lap before, which it cannot be: it was used since.
    /// Only where each buffer took one descriptor, as those that a chain takes besides are skipped. // Virtio 1.3 §2.8.1
    ///
    /// # Errors
    ///
    /// [`Violation::Unreachable`].
    pub fn is_in_other_lap(&self, memory: &impl Memory) -> Result<bool, Violation> {
        let flags = self.flags(memory, self.next_avail)?;
        let (_, wrap) = self.place(self.next_avail);
        let available = (flags & AVAIL != 0) != (flags & USED != 0);
        let full = self.next_avail - self.next_used == self.size();
        Ok(available && !full && (flags & AVAIL != 0) != wrap)
    }

    /// Holds a buffer no longer, without a word to the driver. Returns how many descriptors it takes in the ring; none if there is no
    /// such buffer. For one who watches a device, and for a device that lies.
    pub fn forget(&mut self, id: u16) -> Option<u16> {
        let held = self.held.take(id, false).ok()?;
        Some(held.descriptors)
    }

    /// Goes on by so many descriptors, but not beyond those that were popped, as if they had been handed back.
    pub fn skip_used(&mut self, descriptors: u16) {
        self.next_used = (self.next_used + u64::from(descriptors)).min(self.next_avail);
    }

    fn size(&self) -> u64 {
        u64::from(self.setup.size)
    }

    /// Place and wrap counter of a position; the counter starts as 1. // Virtio 1.3 §2.8.1
    fn place(&self, position: u64) -> (u16, bool) {
        let wrap = (position / self.size()).is_multiple_of(2);
        ((position % self.size()) as u16, wrap)
    }

    /// Whether flags mark the descriptor at `position` as available. // Virtio 1.3 §2.8.1
    fn is_available(&self, position: u64, flags: u16) -> bool {
        let (_, wrap) = self.place(position);
        (flags & AVAIL != 0) == wrap && (flags & USED != 0) != wrap
    }

    /// Flags of the descriptor at `position`, read with acquire ordering.
    fn flags(&self, memory: &impl Memory, position: u64) -> Result<u16, Violation> {
        let (place, _) = self.place(position);
        Ok(memory.load_u16(self.descriptor_address(place) + 14)?)
    }

    /// The first position from `from` on where nothing is available.
    fn available_end(&self, memory: &impl Memory, from: u64) -> Result<u64, Violation> {
        let mut position = from;
        while position < self.next_used + self.size()
            && self.is_available(position, self.flags(memory, position)?)
        {
            position += 1;
        }
        Ok(position)
    }

    /// As [`crate::Queue::pop`].
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn pop(&mut self, memory: &impl Memory) -> Result<Option<Buffer>, Violation> {
        // Acquire, in the memory's contract: the chain is read after the flags that show it. Virtio 1.3 §2.8.21.1.1
        if !self.is_available(self.next_avail, self.flags(memory, self.next_avail)?) {
            return Ok(None);
        }
        let size = self.setup.size;
        let mut parts = Collector::new(size);
        let (mut frozen, mut table, mut position) = (Vec::new(), None, self.next_avail);
        let id = loop {
            let outstanding = (position - self.next_used) as u16;
            if outstanding >= size {
                return Err(if self.next_avail == self.next_used {
                    Violation::ChainTooLong { max: size }
                } else {
                    Violation::Overrun {
                        available: (position - self.next_avail + 1) as u16,
                        outstanding: (self.next_avail - self.next_used) as u16,
                        size,
                    }
                });
            }
            let (index, _) = self.place(position);
            let descriptor = memory.read_descriptor(self.descriptor_address(index))?;
            let (address, len) = address_and_len(&descriptor);
            let (id, flags) = last_words(&descriptor);
            if !self.is_available(position, flags) {
                return Err(Violation::PartialChain { index });
            }
            if flags & !(NEXT | WRITE | INDIRECT | AVAIL | USED) != 0 {
                return Err(Violation::Flags { flags });
            }
            self.shadow[usize::from(index)] = descriptor;
            position += 1;
            if flags & INDIRECT != 0 {
                if !self.setup.indirect {
                    return Err(Violation::IndirectNotNegotiated);
                }
                // Virtio 1.3 §2.8.19
                if flags & NEXT != 0 || position - self.next_avail > 1 {
                    return Err(Violation::IndirectInChain);
                }
                // Virtio 1.3 §2.8.7: WRITE is reserved here.
                if flags & WRITE != 0 {
                    return Err(Violation::Flags { flags });
                }
                frozen.push((address, read_table(memory, address, len, &mut parts)?));
                table = Some((address, len));
                break id;
            }
            parts.push(Part {
                address,
                len,
                writable: flags & WRITE != 0,
            })?;
            // Virtio 1.3 §2.8.6: the id is in the last descriptor.
            if flags & NEXT == 0 {
                break id;
            }
        };
        if self.held.contains(id) {
            return Err(Violation::IdInUse { id });
        }
        let descriptors = (position - self.next_avail) as u16;
        self.next_avail = position;
        self.held.insert(Held {
            id,
            descriptors,
            frozen,
        });
        Ok(Some(Buffer {
            id,
            descriptors,
            parts: parts.done(),
            table,
        }))
    }

    /// As [`crate::Queue::push`].
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn push(&mut self, memory: &impl Memory, id: u16, written: u32) -> Result<(), Violation> {
        let held = self.held.take(id, self.setup.in_order)?;
        self.hand_back(memory, &[held], written)
    }

    pub(crate) fn push_batch(
        &mut self,
        memory: &impl Memory,
        last: u16,
        written: u32,
    ) -> Result<(), Violation> {
        if !self.setup.in_order {
            return Err(Violation::NotHeld { id: last });
        }
        let batch = self.held.take_up_to(last)?;
        self.hand_back(memory, &batch, written)
    }

    /// Writes the used descriptor of the last buffer and skips the descriptors of all. // Virtio 1.3 §2.8.6, §2.8.8
    fn hand_back(
        &mut self,
        memory: &impl Memory,
        batch: &[Held],
        written: u32,
    ) -> Result<(), Violation> {
        let Some(last) = batch.last() else {
            return Ok(());
        };
        let count: u64 = batch.iter().map(|held| u64::from(held.descriptors)).sum();
        for held in batch {
            held.check_unchanged(memory)?;
        }
        // These places go back to the driver; till now it had to leave them alone. Virtio 1.3 §2.8.16
        for position in self.next_used..self.next_used + count {
            let (index, _) = self.place(position);
            let address = self.descriptor_address(index);
            if memory.read_descriptor(address)? != self.shadow[usize::from(index)] {
                return Err(Violation::Changed {
                    address,
                    id: last.id,
                });
            }
        }
        let (place, wrap) = self.next_used();
        // Virtio 1.3 §2.8.3: whether anything was written.
        let wrote = if written > 0 { WRITE } else { 0 };
        self.write_used(
            memory,
            place,
            last.id,
            written,
            Self::used_flags(wrap) | wrote,
        )?;
        self.next_used += count;
        Ok(())
    }

    /// Whether one of the positions `old..new` is the one that an event word names. // Virtio 1.3 §2.8.10
    fn passed(&self, word: u16, old: u64, new: u64) -> bool {
        let lap = if word & 0x8000 == 0 { self.size() } else { 0 };
        let event = u64::from(word & 0x7fff) + lap;
        let two_laps = 2 * self.size();
        (event + two_laps - old % two_laps) % two_laps < new - old
    }

    /// As [`crate::Queue::interrupt_due`].
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn interrupt_due(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        // Full: orders the used descriptor before the driver's wish; pairs with the driver's fence between its wish and its
        // last look at the ring. Release and acquire alone may change places, and both would sleep.
        fence(Ordering::SeqCst);
        let flags = memory.load_u16(self.setup.driver + 2)?;
        let word = memory.read_u16(self.setup.driver)?;
        let (old, new) = (self.signalled, self.next_used);
        self.signalled = new;
        let bad = Violation::EventSuppression {
            words: [word, flags],
        };
        let due = match flags {
            ENABLE => true,
            DISABLE => false,
            // Virtio 1.3 §2.8.10: only with EVENT_IDX, and the place has to be in the ring.
            DESC if self.setup.event_idx && word & 0x7fff < self.setup.size => {
                self.passed(word, old, new)
            }
            _ => return Err(bad),
        };
        Ok(due && old != new)
    }

    /// As [`crate::Queue::notification_due`].
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn notification_due(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        let old = self.judged;
        let new = self.available_end(memory, old.max(self.next_avail))?;
        self.judged = new;
        let word = memory.read_u16(self.setup.device)?;
        let due = match memory.read_u16(self.setup.device + 2)? & 3 {
            DISABLE => false,
            DESC if self.setup.event_idx => self.passed(word, old, new),
            // Enabled, or nothing that has a meaning: the driver must not keep silent then.
            _ => true,
        };
        Ok(due && old != new)
    }

    /// As [`crate::Queue::request_notification`].
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn request_notification(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        if self.setup.event_idx {
            let (place, wrap) = self.next_avail();
            memory.store_u16(self.setup.device, place | u16::from(wrap) << 15)?;
            memory.store_u16(self.setup.device + 2, DESC)?;
        } else {
            memory.store_u16(self.setup.device + 2, ENABLE)?;
        }
        // Full: orders the wish before the last look; pairs with the driver's fence between its flags and its look at the
        // wish, as in `interrupt_due`.
        fence(Ordering::SeqCst);
        Ok(self.is_available(self.next_avail, self.flags(memory, self.next_avail)?))
    }

    /// As [`crate::Queue::suppress_notification`].
    ///
    /// # Errors
    ///
    /// [`Violation`].
    pub fn suppress_notification(&mut self, memory: &impl Memory) -> Result<(), Violation> {
        Ok(memory.store_u16(self.setup.device + 2, DISABLE)?)
    }

    pub(crate) fn notification_data(&self, memory: &impl Memory) -> Result<u16, Violation> {
        let (place, wrap) = self.place(self.available_end(memory, self.next_avail)?);
        Ok(place | u16::from(wrap) << 15)
    }
}

/// Walks an indirect table, which is as long as its buffer has parts; returns its content. // Virtio 1.3 §2.8.7
fn read_table(
    memory: &impl Memory,
    table: u64,
    len: u32,
    parts: &mut Collector,
) -> Result<Vec<u8>, Violation> {
    table_entries(len)?;
    let mut content = vec![0; len as usize];
    memory.read(table, &mut content)?;
    for descriptor in content.as_chunks::<16>().0 {
        let (address, len) = address_and_len(descriptor);
        let (_, flags) = last_words(descriptor);
        // Virtio 1.3 §2.8.19
        if flags & !WRITE != 0 {
            return Err(Violation::Flags { flags });
        }
        parts.push(Part {
            address,
            len,
            writable: flags & WRITE != 0,
        })?;
    }
    Ok(content)
}
