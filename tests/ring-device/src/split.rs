//! The split ring. // Virtio 1.3 §2.7
//!
//! ```text
//!  descriptor area: size × { addr 8, len 4, flags 2, next 2 }
//!  driver area:     flags 2, idx 2, size × head 2, used_event 2
//!  device area:     flags 2, idx 2, size × { id 4, len 4 }, avail_event 2
//! ```

use std::sync::atomic::{Ordering, fence};

use crate::buffer::{Collector, address_and_len, last_words, table_entries};
use crate::ledger::{Held, Ledger};
use crate::queue::check_zero;
use crate::{Buffer, Memory, Part, Setup, Violation};

/// `VIRTQ_DESC_F_NEXT`, `_WRITE`, `_INDIRECT`. // Virtio 1.3 §2.7.5
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The device side of a split virtqueue.
#[derive(Clone, Debug)]
pub struct Split {
    setup: Setup,
    /// Chains popped, modulo 2¹⁶; so are the other positions.
    next_avail: u16,
    /// Available index up to which [`Self::notification_due`] has judged.
    judged: u16,
    next_used: u16,
    /// Used index up to which [`Self::interrupt_due`] has answered.
    signalled: u16,
    /// Descriptor that the next chain starts with under IN_ORDER.
    next_in_order: u16,
    /// Whether each descriptor belongs to a held buffer.
    in_use: Vec<bool>,
    held: Ledger,
}

impl Split {
    pub(crate) fn new(setup: Setup, memory: &impl Memory) -> Result<Self, Violation> {
        if !setup.size.is_power_of_two() || setup.size > 32768 {
            return Err(Violation::Size { size: setup.size });
        }
        setup.check_alignment(2, 4)?;
        check_zero(memory, setup.driver + 2, 2)?;
        check_zero(memory, setup.device, 4)?;
        Ok(Self {
            setup,
            next_avail: 0,
            judged: 0,
            next_used: 0,
            signalled: 0,
            next_in_order: 0,
            in_use: vec![false; usize::from(setup.size)],
            held: Ledger::default(),
        })
    }

    /// What it was set up with.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Device address of descriptor `index`, taken modulo the size.
    #[must_use]
    pub fn descriptor_address(&self, index: u16) -> u64 {
        self.setup.descriptor + 16 * u64::from(index % self.setup.size)
    }

    /// Device address of the available ring's entry for `position`.
    #[must_use]
    pub fn available_address(&self, position: u16) -> u64 {
        self.setup.driver + 4 + 2 * u64::from(position % self.setup.size)
    }

    /// Device address of the used ring's element for `position`.
    #[must_use]
    pub fn used_address(&self, position: u16) -> u64 {
        self.setup.device + 4 + 8 * u64::from(position % self.setup.size)
    }

    /// Device address of `idx` in the used ring.
    #[must_use]
    pub fn used_idx_address(&self) -> u64 {
        self.setup.device + 2
    }

    /// Device address of `avail_event`.
    #[must_use]
    pub fn avail_event_address(&self) -> u64 {
        self.setup.device + 4 + 8 * u64::from(self.setup.size)
    }

    /// Device address of `used_event`.
    #[must_use]
    pub fn used_event_address(&self) -> u64 {
        self.setup.driver + 4 + 2 * u64::from(self.setup.size)
    }

    /// Used index that the device has published.
    #[must_use]
    pub fn next_used(&self) -> u16 {
        self.next_used
    }

    pub(crate) fn held(&self) -> Vec<u16> {
        self.held.ids()
    }

    pub(crate) fn pop(&mut self, memory: &impl Memory) -> Result<Option<Buffer>, Violation> {
        // Acquire, in the memory's contract: what the index shows is read after it. Virtio 1.3 §2.7.13.3.1
        let idx = memory.load_u16(self.setup.driver + 2)?;
        let available = idx.wrapping_sub(self.next_avail);
        if available == 0 {
            return Ok(None);
        }
        let (outstanding, size) = (self.held.len() as u16, self.setup.size);
        if u32::from(available) + u32::from(outstanding) > u32::from(size) {
            return Err(Violation::Overrun {
                available,
                outstanding,
                size,
            });
        }
        let head = memory.read_u16(self.available_address(self.next_avail))?;
        let buffer = self.take_chain(memory, head)?;
        self.next_avail = self.next_avail.wrapping_add(1);
        Ok(Some(buffer))
    }

    /// Reads and checks the chain at `head`, and holds it.
    fn take_chain(&mut self, memory: &impl Memory, head: u16) -> Result<Buffer, Violation> {
        let size = self.setup.size;
        let mut parts = Collector::new(size);
        let (mut indices, mut frozen, mut table) = (Vec::new(), Vec::new(), None);
        let mut index = head;
        loop {
            if index >= size {
                return Err(Violation::IndexOutOfTable { index });
            }
            if indices.len() >= usize::from(size) {
                return Err(Violation::ChainTooLong { max: size });
            }
            if self.in_use[usize::from(index)] {
                return Err(Violation::DescriptorInUse { index });
            }
            let expected = (u32::from(self.next_in_order) + indices.len() as u32) as u16 % size;
            if self.setup.in_order && index != expected {
                return Err(Violation::OutOfOrder {
                    found: index,
                    expected,
                });
            }
            let descriptor = memory.read_descriptor(self.descriptor_address(index))?;
            indices.push(index);
            frozen.push((self.descriptor_address(index), descriptor.to_vec()));
            let (address, len) = address_and_len(&descriptor);
            let (flags, next) = last_words(&descriptor);
            if flags & !(NEXT | WRITE | INDIRECT) != 0 {
                return Err(Violation::Flags { flags });
            }
            if flags & INDIRECT != 0 {
                if !self.setup.indirect {
                    return Err(Violation::IndirectNotNegotiated);
                }
                // Virtio 1.3 §2.7.5.3.1; chained descriptors may come before it: §2.7.5.3.2
                if flags & NEXT != 0 {
                    return Err(Violation::IndirectInChain);
                }
                frozen.push((address, self.read_table(memory, address, len, &mut parts)?));
                table = Some((address, len));
                break;
            }
            parts.push(Part {
                address,
                len,
                writable: flags & WRITE != 0,
            })?;
            if flags & NEXT == 0 {
                break;
            }
            index = next;
        }
        for index in &indices {
            self.in_use[usize::from(*index)] = true;
        }
        let descriptors = indices.len() as u16;
        self.next_in_order = (u32::from(self.next_in_order) + u32::from(descriptors)) as u16 % size;
        self.held.insert(Held {
            id: head,
            descriptors,
            frozen,
        });
        Ok(Buffer {
            id: head,
            descriptors,
            parts: parts.done(),
            table,
        })
    }

    /// Walks an indirect table; returns its content. // Virtio 1.3 §2.7.5.3
    fn read_table(
        &self,
        memory: &impl Memory,
        table: u64,
        len: u32,
        parts: &mut Collector,
    ) -> Result<Vec<u8>, Violation> {
        let entries = table_entries(len)?;
        let mut content = vec![0; len as usize];
        memory.read(table, &mut content)?;
        let (descriptors, _) = content.as_chunks::<16>();
        let mut index = 0_u16;
        for walked in 0.. {
            // Virtio 1.3 §2.7.5.3.1: 0, 1, 2, … with IN_ORDER.
            if self.setup.in_order && index != walked {
                return Err(Violation::OutOfOrder {
                    found: index,
                    expected: walked,
                });
            }
            let Some(descriptor) = descriptors
                .get(usize::from(index))
                .filter(|_| u32::from(index) < entries)
            else {
                return Err(Violation::IndexOutOfTable { index });
            };
            let (address, len) = address_and_len(descriptor);
            let (flags, next) = last_words(descriptor);
            if flags & !(NEXT | WRITE) != 0 {
                return Err(Violation::Flags { flags });
            }
            // A loop ends here, as no chain is longer than the queue.
            parts.push(Part {
                address,
                len,
                writable: flags & WRITE != 0,
            })?;
            if flags & NEXT == 0 {
                break;
            }
            index = next;
        }
        Ok(content)
    }

    pub(crate) fn push(
        &mut self,
        memory: &impl Memory,
        id: u16,
        written: u32,
    ) -> Result<(), Violation> {
        let held = self.held.take(id, self.setup.in_order)?;
        self.release(memory, &held)?;
        self.write_used(memory, id, written, 1)
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
        for held in &batch {
            self.release(memory, held)?;
        }
        self.write_used(memory, last, written, batch.len() as u16)
    }

    /// Gives a buffer's descriptors back to the driver.
    fn release(&mut self, memory: &impl Memory, held: &Held) -> Result<(), Violation> {
        held.check_unchanged(memory)?;
        for (address, _) in &held.frozen {
            let index = address.wrapping_sub(self.setup.descriptor) / 16;
            if let Some(in_use) = self.in_use.get_mut(index as usize) {
                *in_use = false;
            }
        }
        Ok(())
    }

    /// Writes one used element and moves the index by `count`. // Virtio 1.3 §2.7.8, §2.7.9
    fn write_used(
        &mut self,
        memory: &impl Memory,
        id: u16,
        written: u32,
        count: u16,
    ) -> Result<(), Violation> {
        let element = self.used_address(self.next_used);
        memory.write(element, &u32::from(id).to_le_bytes())?;
        memory.write(element + 4, &written.to_le_bytes())?;
        self.next_used = self.next_used.wrapping_add(count);
        // Release, in the memory's contract: the element is there before the index that shows it. Virtio 1.3 §2.7.8.2
        memory.store_u16(self.used_idx_address(), self.next_used)?;
        Ok(())
    }

    pub(crate) fn interrupt_due(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        // Full: orders the used index before the driver's wish; pairs with the driver's fence between its wish and its last
        // look at the index. Release and acquire alone may change places, and both would sleep.
        fence(Ordering::SeqCst);
        let flags = memory.read_u16(self.setup.driver)?;
        let event = memory.read_u16(self.used_event_address())?;
        let (old, new) = (self.signalled, self.next_used);
        self.signalled = new;
        // Virtio 1.3 §2.7.7.1
        let allowed = if self.setup.event_idx { 0 } else { 1 };
        if flags > allowed {
            return Err(Violation::EventSuppression {
                words: [flags, event],
            });
        }
        if old == new {
            return Ok(false);
        }
        Ok(if self.setup.event_idx {
            written_at(event, old, new)
        } else {
            flags == 0
        })
    }

    pub(crate) fn notification_due(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        let (old, new) = (self.judged, memory.load_u16(self.setup.driver + 2)?);
        self.judged = new;
        if old == new {
            return Ok(false);
        }
        // Virtio 1.3 §2.7.10.1
        Ok(if self.setup.event_idx {
            written_at(memory.read_u16(self.avail_event_address())?, old, new)
        } else {
            memory.read_u16(self.setup.device)? & 1 == 0
        })
    }

    pub(crate) fn request_notification(&mut self, memory: &impl Memory) -> Result<bool, Violation> {
        // Virtio 1.3 §2.7.10.2
        if self.setup.event_idx {
            memory.store_u16(self.avail_event_address(), self.next_avail)?;
        } else {
            memory.store_u16(self.setup.device, 0)?;
        }
        // Full: orders the wish before the last look; pairs with the driver's fence between its index and its look at the
        // wish, as in `interrupt_due`.
        fence(Ordering::SeqCst);
        Ok(memory.load_u16(self.setup.driver + 2)? != self.next_avail)
    }

    pub(crate) fn suppress_notification(&mut self, memory: &impl Memory) -> Result<(), Violation> {
        // Virtio 1.3 §2.7.10.2: with EVENT_IDX flags stay 0; the entry just behind is the last that the driver comes to.
        if self.setup.event_idx {
            memory.store_u16(self.avail_event_address(), self.next_avail.wrapping_sub(1))?;
        } else {
            memory.store_u16(self.setup.device, 1)?;
        }
        Ok(())
    }

    pub(crate) fn notification_data(&self, memory: &impl Memory) -> Result<u16, Violation> {
        Ok(memory.load_u16(self.setup.driver + 2)?)
    }
}

/// Whether one of the entries `old..new`, modulo 2¹⁶, is `event`. // Virtio 1.3 §2.7.7.2, §2.7.10.1
fn written_at(event: u16, old: u16, new: u16) -> bool {
    event.wrapping_sub(old) < new.wrapping_sub(old)
}
