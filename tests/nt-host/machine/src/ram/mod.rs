//! Memory that the driver and a device share, as frames of one file.

use std::io;
use std::path::Path;

/// Bytes in a page and in a frame.
pub const PAGE: usize = 4096;

/// The memory. Clones are handles of the same.
#[derive(Clone)]
pub struct Ram {
    _private: (),
}

/// How a block's pages lie in device address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// One run of frames.
    Contiguous,
    /// No two adjacent pages have adjacent frames.
    Scattered,
    /// Runs of random length.
    Random,
}

/// What may be done with a block's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Any access faults.
    None,
    /// Writing faults.
    Read,
    /// Nothing faults.
    ReadWrite,
}

/// Pages at adjacent virtual addresses, with a guard page before and after. Dropping it gives the frames
/// back; the addresses stay inaccessible and are not used again.
pub struct Block {
    _private: (),
}

impl Ram {
    /// Memory of `len` bytes (rounded up to pages) in a new file on /dev/shm. `seed` decides placements.
    ///
    /// # Errors
    /// What the system says when it cannot be made.
    pub fn new(len: usize, seed: u64) -> io::Result<Ram> {
        let _ = (len, seed);
        unimplemented!()
    }

    /// The file, for QEMU's memory-backend-file.
    pub fn path(&self) -> &Path {
        unimplemented!()
    }

    /// Removes the file's name, once whoever else maps it has opened it. Dropping the last handle does so too.
    pub fn unlink(&self) {}

    /// Bytes.
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The linear view of `len` bytes at a device address, or `None` if they are not all in memory.
    pub fn device_slice(&self, address: u64, len: usize) -> Option<*mut u8> {
        let _ = (address, len);
        unimplemented!()
    }

    /// A block of `len` bytes (rounded up to pages), or `None` when frames or mappings are short.
    pub fn alloc(&self, len: usize, placement: Placement) -> Option<Block> {
        let _ = (len, placement);
        unimplemented!()
    }

    /// The device address behind a virtual one and how many bytes from there are contiguous within its block.
    pub fn device_address(&self, va: *const u8) -> Option<(u64, usize)> {
        let _ = va;
        unimplemented!()
    }
}

impl Block {
    /// Its first address.
    pub fn va(&self) -> *mut u8 {
        unimplemented!()
    }

    /// Bytes (whole pages).
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Never: a block has a page at least.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device address of each page.
    pub fn pages(&self) -> &[u64] {
        unimplemented!()
    }

    /// Changes what may be done with its pages: cheaper than dropping it and allocating another.
    pub fn protect(&self, protection: Protection) {
        let _ = protection;
    }
}
