//! The native client's memory, shared with the daemon as a guest's is.

use std::ptr::NonNull;

use anyhow::{Context, Result};
use host_machine::ram::Ram;
use virtio_core::mem::{DeviceAddress, Dma, DmaRegion};

/// Memory whose device addresses count from its first byte.
pub struct Shared(Ram);

// SAFETY: the daemon is given the file behind the memory as one region from address 0 on, so that it finds each byte at its
// distance from the first; the mapping stays as long as any handle.
unsafe impl Dma for Shared {
    fn translates(&self) -> bool {
        false
    }

    fn locate(&self, base: NonNull<u8>, len: usize) -> Option<DeviceAddress> {
        let first = self.0.device_slice(0, self.0.len())?;
        let offset = base.addr().get().checked_sub(first.addr())?;
        let inside = offset.checked_add(len)? <= self.0.len();
        // SAFETY: the address is one of this memory, by the words above.
        inside.then(|| unsafe { Self::given(offset as u64) })
    }
}

impl Shared {
    /// The memory.
    pub fn new(ram: &Ram) -> Self {
        Self(ram.clone())
    }

    /// Cuts it into regions of these lengths, one behind the other, each from a page on.
    pub fn cut(&self, lengths: &[usize]) -> Result<Vec<DmaRegion>> {
        const PAGE: usize = 4096;
        let mut offset = 0;
        let mut regions = Vec::new();
        for &len in lengths {
            let base = self
                .0
                .device_slice(offset as u64, len)
                .and_then(NonNull::new);
            let base = base.context("the client's memory is too small")?;
            // SAFETY: `device_slice` vouches for `len` mapped bytes, which nothing else here refers to: each is in one region. The
            // daemon has a mapping of its own, so that what it writes late finds memory even when this one is gone.
            let region = unsafe { self.lend(base, len) };
            regions.push(region.context("memory that the daemon does not see")?);
            offset = (offset + len).next_multiple_of(PAGE);
        }
        Ok(regions)
    }
}
