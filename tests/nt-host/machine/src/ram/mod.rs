//! Memory that the driver and a device share, as frames of one file.

mod frames;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::sys;
use frames::Frames;

/// Bytes in a page and in a frame.
pub const PAGE: usize = 4096;

/// Most mappings of blocks at once. Linux allows a process 65530 by default (vm.max_map_count); the rest is
/// for stacks, images and the allocator.
const MAX_MAPPINGS: usize = 48 * 1024;

/// Addresses are reserved in pieces of this size. qemu-user keeps a record of every reserved page, so
/// there the pieces are small.
const ARENA: usize = if cfg!(target_arch = "x86_64") {
    1 << 32
} else {
    1 << 26
};

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

/// The memory. Clones are handles of the same.
///
/// Its file has no name on disk that could be left over: [`Ram::path`] names this process's open
/// descriptor, and another process can open it as long as a handle lives.
#[derive(Clone)]
pub struct Ram(Rc<Inner>);

struct Inner {
    file: File,
    path: PathBuf,
    /// Device address of the first byte, which is also where it lies in the file.
    base: u64,
    linear: usize,
    len: usize,
    frames: RefCell<Frames>,
    addresses: RefCell<Addresses>,
    blocks: RefCell<BTreeMap<usize, Rc<Extent>>>,
    mappings: Cell<usize>,
}

/// Virtual addresses, each given out once.
#[derive(Default)]
struct Addresses {
    arenas: Vec<(usize, usize)>,
    next: usize,
    left: usize,
}

struct Extent {
    va: usize,
    pages: Vec<u64>,
    /// For each page how many pages from there on have adjacent frames.
    runs: Vec<u32>,
    mappings: usize,
}

/// Pages at adjacent virtual addresses, with a guard page before and after. Dropping it gives the frames
/// back; the addresses stay inaccessible and are not used again.
pub struct Block {
    ram: Ram,
    extent: Rc<Extent>,
}

impl Ram {
    /// Memory of `len` bytes (rounded up to pages) in a new shared file. `seed` decides placements.
    ///
    /// # Errors
    /// What the system says when it cannot be made.
    pub fn new(len: usize, seed: u64) -> io::Result<Ram> {
        let len = sys::pages(len);
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"winpv-ram".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(len as u64)?;
        Ram::over(file, 0, len, seed)
    }

    /// Physical memory of this machine that Linux leaves alone: a device whose addresses are not translated reaches it at
    /// the addresses that the driver is told.
    ///
    /// # Errors
    /// What the system says when /dev/mem cannot be mapped there.
    pub fn physical(base: u64, len: usize, seed: u64) -> io::Result<Ram> {
        let file = File::options().read(true).write(true).open("/dev/mem")?;
        Ram::over(file, base, sys::pages(len), seed)
    }

    fn over(file: File, base: u64, len: usize, seed: u64) -> io::Result<Ram> {
        let linear = sys::map_file(file.as_fd(), base, len)?;
        let path = PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            file.as_raw_fd()
        ));
        Ok(Ram(Rc::new(Inner {
            file,
            path,
            base,
            linear,
            len,
            frames: RefCell::new(Frames::new(len / PAGE, seed)),
            addresses: RefCell::default(),
            blocks: RefCell::default(),
            mappings: Cell::new(0),
        })))
    }

    /// The file, for QEMU's memory-backend-file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The file, for passing its descriptor to another process.
    pub fn file(&self) -> &File {
        &self.0.file
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Never: it has a page at least.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in frames that no block has.
    pub fn free(&self) -> usize {
        self.0.frames.borrow().free() * PAGE
    }

    /// The linear view of `len` bytes at a device address, or `None` if they are not all in memory.
    pub fn device_slice(&self, address: u64, len: usize) -> Option<*mut u8> {
        let offset = address.checked_sub(self.0.base)?;
        let end = offset.checked_add(len as u64)?;
        (end <= self.0.len as u64).then(|| (self.0.linear + offset as usize) as *mut u8)
    }

    /// A block of `len` bytes (rounded up to pages), or `None` when frames or mappings are short.
    ///
    /// Its bytes are whatever its frames last held. A scattered page costs a mapping of its own, and the
    /// system allows few: keep blocks and use [`Block::protect`] where many come and go.
    pub fn alloc(&self, len: usize, placement: Placement) -> Option<Block> {
        let inner = &self.0;
        let count = sys::pages(len) / PAGE;
        let frames = inner.frames.borrow_mut().take(count, placement)?;
        let address = |frame: &usize| inner.base + (frame * PAGE) as u64;
        let mut extent = Extent::new(frames.iter().map(address).collect());
        let va = self.map(&mut extent);
        if va.is_none() {
            inner.frames.borrow_mut().give(frames.into_iter());
        }
        extent.va = va?;
        let extent = Rc::new(extent);
        inner.mappings.set(inner.mappings.get() + extent.mappings);
        inner.blocks.borrow_mut().insert(extent.va, extent.clone());
        Some(Block {
            ram: self.clone(),
            extent,
        })
    }

    /// The device address behind a virtual one and how many bytes from there are contiguous within its block.
    pub fn device_address(&self, va: *const u8) -> Option<(u64, usize)> {
        let va = va as usize;
        let blocks = self.0.blocks.borrow();
        let (start, extent) = blocks.range(..=va).next_back()?;
        let page = (va - start) / PAGE;
        let first = extent.pages.get(page)?;
        let offset = va % PAGE;
        Some((
            first + offset as u64,
            extent.runs[page] as usize * PAGE - offset,
        ))
    }

    /// Maps the frames' runs between two guard pages.
    fn map(&self, extent: &mut Extent) -> Option<usize> {
        let inner = &self.0;
        if inner.mappings.get() + extent.mappings > MAX_MAPPINGS {
            return None;
        }
        let len = extent.pages.len() * PAGE;
        let va = inner.addresses.borrow_mut().take(len + 2 * PAGE)? + PAGE;
        let mut page = 0;
        while page < extent.pages.len() {
            let run = extent.runs[page] as usize;
            let at = va + page * PAGE;
            // SAFETY: these addresses were just taken, and are given out once.
            if unsafe { sys::map_file_at(at, inner.file.as_fd(), extent.pages[page], run * PAGE) }
                .is_err()
            {
                // SAFETY: as above; nothing refers to what was mapped so far.
                let _ = unsafe { sys::reserve_at(va, len) };
                return None;
            }
            page += run;
        }
        Some(va)
    }
}

impl Addresses {
    fn take(&mut self, len: usize) -> Option<usize> {
        if len > self.left {
            let size = ARENA.max(len);
            let start = sys::map(size, sys::NONE).ok()?;
            self.arenas.push((start, size));
            self.next = start;
            self.left = size;
        }
        let at = self.next;
        self.next += len;
        self.left -= len;
        Some(at)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: blocks hold handles, so none is left; a `device_slice` pointer must not outlive the memory.
        unsafe { sys::unmap(self.linear, self.len) };
        for &(start, len) in &self.addresses.borrow().arenas {
            // SAFETY: as above.
            unsafe { sys::unmap(start, len) };
        }
    }
}

impl Extent {
    fn new(pages: Vec<u64>) -> Extent {
        let mut runs = vec![1_u32; pages.len()];
        let mut mappings = 1;
        for page in (1..pages.len()).rev() {
            if pages[page] == pages[page - 1] + PAGE as u64 {
                runs[page - 1] = runs[page] + 1;
            } else {
                mappings += 1;
            }
        }
        Extent {
            va: 0,
            pages,
            runs,
            mappings,
        }
    }
}

impl Block {
    /// Its first address.
    pub fn va(&self) -> *mut u8 {
        self.extent.va as *mut u8
    }

    /// Bytes (whole pages).
    pub fn len(&self) -> usize {
        self.extent.pages.len() * PAGE
    }

    /// Never: a block has a page at least.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The device address of each page.
    pub fn pages(&self) -> &[u64] {
        &self.extent.pages
    }

    /// Changes what may be done with its pages: cheaper than dropping it and allocating another.
    pub fn protect(&self, protection: Protection) {
        self.protect_pages(0, self.extent.pages.len(), protection);
    }

    /// Changes what may be done with `count` of its pages.
    ///
    /// # Panics
    /// If it does not have them.
    pub fn protect_pages(&self, first: usize, count: usize, protection: Protection) {
        assert!(first + count <= self.extent.pages.len());
        let bits = match protection {
            Protection::None => sys::NONE,
            Protection::Read => sys::READ,
            Protection::ReadWrite => sys::READ_WRITE,
        };
        // SAFETY: the pages are this block's, and it hands out raw pointers only.
        unsafe { sys::protect(self.extent.va + first * PAGE, count * PAGE, bits) };
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let inner = &self.ram.0;
        inner.blocks.borrow_mut().remove(&self.extent.va);
        // SAFETY: the pages are this block's; using a pointer into it afterwards is what must fault.
        let result = unsafe { sys::reserve_at(self.extent.va, self.len()) };
        assert!(result.is_ok(), "a block was not unmapped: {result:?}");
        inner
            .mappings
            .set(inner.mappings.get() - self.extent.mappings);
        inner.frames.borrow_mut().give(
            self.extent
                .pages
                .iter()
                .map(|page| (*page - inner.base) as usize / PAGE),
        );
    }
}
