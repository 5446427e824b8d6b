//! Memory: device addresses are the process's own.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use ring_device::{Memory, Unreachable};

/// Memory that is handed out and never taken back, from one block that starts on a page.
pub struct Arena {
    next: *mut u8,
    left: usize,
}

impl Arena {
    /// A block that has room for everything that a program needs: rings, tables, buffers and registers.
    #[must_use]
    pub fn for_program() -> Self {
        Self::new(4 << 20)
    }

    /// A block of `len` zero bytes.
    ///
    /// # Panics
    ///
    /// When there is no memory.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len, 4096).expect("a size that exists");
        // SAFETY: the size is not 0.
        let next = unsafe { alloc_zeroed(layout) };
        assert!(!next.is_null(), "no memory");
        Self { next, left: len }
    }

    /// `len` zero bytes on a multiple of `align`.
    ///
    /// # Panics
    ///
    /// When the block is used up.
    pub fn take(&mut self, len: usize, align: usize) -> *mut u8 {
        let skip = self.next.align_offset(align);
        assert!(skip + len <= self.left, "the arena is too small");
        self.left -= skip + len;
        let at = self.next.wrapping_add(skip);
        self.next = at.wrapping_add(len);
        at
    }
}

/// All memory of the process, as the device sees it.
pub struct ProcessMemory;

impl Memory for ProcessMemory {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unreachable> {
        let from = ptr::with_exposed_provenance::<u8>(address as usize);
        // SAFETY: the driver side, on this same thread, named the address as memory of its ring.
        unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Unreachable> {
        let to = ptr::with_exposed_provenance_mut::<u8>(address as usize);
        // SAFETY: as for `read`.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        Ok(())
    }

    fn load_u16(&self, address: u64) -> Result<u16, Unreachable> {
        let at = ptr::with_exposed_provenance_mut::<u16>(address as usize);
        // SAFETY: as for `read`; rings are aligned.
        let at = unsafe { AtomicU16::from_ptr(at) };
        Ok(u16::from_le(at.load(Ordering::Acquire)))
    }

    fn store_u16(&self, address: u64, value: u16) -> Result<(), Unreachable> {
        let at = ptr::with_exposed_provenance_mut::<u16>(address as usize);
        // SAFETY: as for `read`; rings are aligned.
        let at = unsafe { AtomicU16::from_ptr(at) };
        at.store(value.to_le(), Ordering::Release);
        Ok(())
    }
}
