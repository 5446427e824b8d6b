//! A buffer in the device's hands.

use std::rc::Rc;

use crate::ring::Part;

/// A buffer that the driver has made available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The queue.
    pub queue: u16,
    /// Its name on the ring: the descriptor it starts at in a split one, the buffer id in a packed one.
    pub head: u16,
    /// Counts chains over all queues, from 0.
    pub number: u64,
    /// The buffer, in order, without the indirect table.
    pub parts: Rc<[Part]>,
    /// The indirect table that holds its descriptors, if there is one. The device reads it.
    pub table: Option<Part>,
}

impl Chain {
    /// All memory that the device may touch for this chain: the indirect table, then the buffer.
    pub fn memory(&self) -> impl Iterator<Item = Part> {
        self.table.iter().chain(self.parts.iter()).copied()
    }

    /// Whether the device may touch any of `len` bytes at `address` for this chain, table included.
    #[must_use]
    pub fn touches(&self, address: u64, len: u64) -> bool {
        self.memory().any(|part| {
            part.address < address + len && address < part.address + u64::from(part.len)
        })
    }
}
