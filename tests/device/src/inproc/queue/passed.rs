//! Used entries that change after the driver has taken them: when that is, shows the driver itself, by making another buffer of the same
//! name available.

use super::{Queue, Taken};
use crate::memory::GuestMemory;
use crate::ring::DESC_LEN;

/// An entry, as it was shown.
pub(super) struct Entry {
    id: u16,
    at: u64,
    shown: Vec<u8>,
}

/// Bytes of a used element. // Virtio 1.3 §2.7.8
const ELEMENT_LEN: u64 = 8;

impl Queue {
    /// Where the next used entry goes, in a ring of either kind.
    pub(in crate::inproc) fn entry_place(&self) -> u64 {
        match &self.packed {
            Some(packed) => packed.used_place(),
            None => self.used_place(),
        }
    }

    /// The entry at this place, which this buffer was just given back with, is to change.
    pub(in crate::inproc) fn change_later(&mut self, memory: &GuestMemory, taken: &Taken, at: u64) {
        if let Some(shown) = self.entry(memory, at) {
            let id = taken.head;
            self.passing.push(Entry { id, at, shown });
        }
    }

    fn entry(&self, memory: &GuestMemory, at: u64) -> Option<Vec<u8>> {
        let packed = self.layout.packed;
        let mut bytes = vec![0; if packed { DESC_LEN } else { ELEMENT_LEN } as usize];
        memory.read(at, &mut bytes).then_some(bytes)
    }

    /// Changes the entries that the driver has passed, and says how many. One whose place holds something else by now stays as it is:
    /// another used entry, or in a packed ring the next buffer.
    pub(in crate::inproc) fn change_passed(&mut self, memory: &GuestMemory) -> u64 {
        let mut changed = 0;
        for entry in std::mem::take(&mut self.passing) {
            if !self.taken.iter().any(|taken| taken.head == entry.id) {
                self.passing.push(entry);
            } else if self.entry(memory, entry.at).as_ref() == Some(&entry.shown) {
                // Of a used descriptor length and id: its flags are what marks it as used, and another lie.
                let (from, len) = if self.layout.packed { (8, 6) } else { (0, 8) };
                changed += u64::from(memory.write(entry.at + from, &[0xff; 8][..len]));
            }
        }
        changed
    }
}
