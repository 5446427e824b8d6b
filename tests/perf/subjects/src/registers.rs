//! A virtio-pci function whose registers are a page of plain memory: nothing reacts to them, but they are where they belong.

use perf_marker::{Area, watch};

use crate::memory::Arena;

/// Bytes of the BAR.
pub const BAR_LEN: usize = 4096;

/// Where the structures lie in BAR 0: type, offset, length. // Virtio 1.3 §4.1.4
const STRUCTURES: [(u8, u32, u32); 4] = [(1, 0, 64), (2, 0x400, 64), (3, 0x800, 4), (4, 0xc00, 64)];

/// Offset of the first capability in configuration space.
const CAPABILITIES: usize = 0x40;
/// Distance between two.
const STEP: usize = 20;

/// A PCI function.
pub struct Function {
    /// Configuration space.
    pub config: [u8; 256],
    /// The BAR's memory.
    pub bar: *mut u8,
}

impl Function {
    /// A block device with one queue of `size` descriptors; its registers are watched.
    #[must_use]
    pub fn new(arena: &mut Arena, size: u16) -> Self {
        let bar = arena.take(BAR_LEN, BAR_LEN);
        let mut config = [0; 256];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        // Virtio 1.3 §4.1.2: vendor and device id. PCI 3.0 §6.2: status with a capability list, then BAR 0 of 64 bits.
        put(0, &0x1af4u16.to_le_bytes());
        put(2, &0x1042u16.to_le_bytes());
        put(6, &0x0010u16.to_le_bytes());
        put(0x10, &(bar.expose_provenance() as u64 | 4).to_le_bytes());
        put(0x34, &[CAPABILITIES as u8]);
        for (number, (kind, offset, len)) in STRUCTURES.into_iter().enumerate() {
            let at = CAPABILITIES + number * STEP;
            let next = if number + 1 < STRUCTURES.len() {
                (at + STEP) as u8
            } else {
                0
            };
            let own = if kind == 2 { 20 } else { 16 };
            put(at, &[0x09, next, own, kind, 0, 0, 0, 0]);
            put(at + 8, &offset.to_le_bytes());
            put(at + 12, &len.to_le_bytes());
        }
        // The notify structure's multiplier.
        put(CAPABILITIES + STEP + 16, &4u32.to_le_bytes());
        let function = Self { config, bar };
        // Virtio 1.3 §4.1.4.3: all features, one queue, its size.
        function.set(4, &[0xff; 4]);
        function.set(18, &1u16.to_le_bytes());
        function.set(24, &size.to_le_bytes());
        watch(Area::Registers, bar, BAR_LEN);
        function
    }

    /// Writes to the common configuration.
    fn set(&self, offset: usize, bytes: &[u8]) {
        for (at, &byte) in (offset..).zip(bytes) {
            // SAFETY: all offsets lie in the BAR, which is memory of its own.
            unsafe { self.bar.wrapping_add(at).write_volatile(byte) };
        }
    }
}
