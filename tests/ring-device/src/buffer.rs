//! What the driver made available: buffers and their parts, and the rules that hold for them in either format.

use crate::Violation;

/// One contiguous part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Device address of the first byte.
    pub address: u64,
    /// Length in bytes.
    pub len: u32,
    /// Whether the device writes it; otherwise it reads it.
    pub writable: bool,
}

/// A buffer that the device has taken and not yet used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What [`crate::Queue::push`] is told: the head descriptor of a split ring, the buffer id of a packed one.
    pub id: u16,
    /// Descriptors that it takes in the ring, not counting those of an indirect table.
    pub descriptors: u16,
    /// Readable parts first.
    pub parts: Vec<Part>,
    /// Device address and length in bytes of its indirect table, if it has one.
    pub table: Option<(u64, u32)>,
}

impl Buffer {
    /// Bytes that the device may write.
    #[must_use]
    pub fn writable_bytes(&self) -> u64 {
        self.parts
            .iter()
            .filter(|part| part.writable)
            .map(|part| u64::from(part.len))
            .sum()
    }
}

/// Collects the parts of one buffer and refuses what no buffer may be.
pub(crate) struct Collector {
    parts: Vec<Part>,
    /// Longest allowed.
    max: u16,
    bytes: u64,
}

impl Collector {
    pub(crate) fn new(max: u16) -> Self {
        Self {
            parts: Vec::new(),
            max,
            bytes: 0,
        }
    }

    pub(crate) fn push(&mut self, part: Part) -> Result<(), Violation> {
        // Virtio 1.3 §2.7.5.3.1, §2.8.17
        if self.parts.len() >= usize::from(self.max) {
            return Err(Violation::ChainTooLong { max: self.max });
        }
        if part.len == 0 {
            return Err(Violation::EmptyPart);
        }
        // Virtio 1.3 §2.7.4.2, §2.8.17
        if !part.writable && self.parts.last().is_some_and(|last| last.writable) {
            return Err(Violation::ReadableAfterWritable);
        }
        // Virtio 1.3 §2.7.5.2
        self.bytes += u64::from(part.len);
        if self.bytes > 1 << 32 {
            return Err(Violation::TooManyBytes);
        }
        self.parts.push(part);
        Ok(())
    }

    pub(crate) fn done(self) -> Vec<Part> {
        self.parts
    }
}

/// A descriptor's first two fields, which are the same in both formats. // Virtio 1.3 §2.7.5, §2.8.13
pub(crate) fn address_and_len(descriptor: &[u8; 16]) -> (u64, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *descriptor;
    (
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        u32::from_le_bytes([i, j, k, l]),
    )
}

/// A descriptor's last two fields: flags and next in a split ring, id and flags in a packed one.
pub(crate) fn last_words(descriptor: &[u8; 16]) -> (u16, u16) {
    let [.., a, b, c, d] = *descriptor;
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

/// Entries of an indirect table of `len` bytes.
pub(crate) fn table_entries(len: u32) -> Result<u32, Violation> {
    // Virtio 1.3 §2.7.5.3, §2.8.7: the length is that of a table of descriptors.
    if len == 0 || !len.is_multiple_of(16) {
        return Err(Violation::TableLength { len });
    }
    Ok(len / 16)
}
