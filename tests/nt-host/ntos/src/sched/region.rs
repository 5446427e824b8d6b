//! The processor control regions, which drivers reach through `gs` (x64) or `x18` (ARM64) where the headers inline a call.

use host_machine::cpu;

use super::ThreadId;
use crate::guest;

/// What the headers read: KeGetCurrentProcessorNumber, KeGetCurrentProcessorIndex, KeGetCurrentThread (ntddk.h, wdm.h).
#[cfg(target_arch = "x86_64")]
const PLACES: Places = Places {
    number: 0x184,
    index: 0x1a4,
    thread: Some(0x188),
};
/// What the headers read: KeGetCurrentProcessorNumber, KeGetCurrentProcessorIndex, KeGetCurrentThread (ntddk.h, wdm.h).
#[cfg(target_arch = "aarch64")]
const PLACES: Places = Places {
    number: 0x980,
    index: 0x9a4,
    thread: None,
};

struct Places {
    number: usize,
    index: usize,
    thread: Option<usize>,
}

/// Bytes of a region that hold something or zeros.
const SIZE: usize = 0x1000;

/// One CPU's region.
pub(super) struct Region {
    memory: Box<[u64]>,
}

impl Region {
    pub fn new(index: usize) -> Region {
        let mut region = Region {
            memory: vec![0; SIZE / 8].into_boxed_slice(),
        };
        let at = region.address();
        guest::write_u8(at + PLACES.number, index as u8);
        guest::write_u32(at + PLACES.index, index as u32);
        region
    }

    /// Where it lies, for as long as the CPU exists.
    pub fn address(&mut self) -> usize {
        self.memory.as_mut_ptr() as usize
    }

    /// The thread that is loaded now. Drivers take it for an address, but it only names the thread.
    pub fn set_thread(&mut self, thread: ThreadId) {
        if let Some(place) = PLACES.thread {
            guest::write_u64(self.address() + place, thread.0);
        }
    }
}

/// Makes the region at `address` that of the current fiber.
pub(super) fn use_region(address: usize) {
    cpu::set_processor_region(address);
}
