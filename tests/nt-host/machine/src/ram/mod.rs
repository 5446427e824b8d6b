//! Memory that the driver and a device share, as frames of one file.

mod block;
mod frames;
mod homes;
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
pub use block::Block;
use frames::Frames;
use homes::Homes;

/// Bytes in a page and in a frame.
pub const PAGE: usize = 4096;

/// Most mappings of blocks at once. Linux allows a process 65530 by default (vm.max_map_count); the rest is
/// for stacks, images and the allocator.
const MAX_MAPPINGS: usize = 48 * 1024;

/// Blocks that nobody could touch when they were dropped are unmapped together, at most so many mappings at a time.
const MAX_STALE: usize = 1024;

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
    /// Dropped blocks that are still mapped, inaccessible.
    stale: RefCell<Vec<Rc<Extent>>>,
    stale_mappings: Cell<usize>,
    /// Frames that may hold anything but zeroes.
    touched: Vec<Cell<bool>>,
    /// Of memory that was renewed.
    homes: Option<Homes>,
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
    state: Cell<State>,
    /// Its address is the home of its frame.
    at_home: bool,
}

/// What the pages of a block are at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Addresses only, inaccessible.
    Unmapped,
    /// Mapped, all alike.
    All(Protection),
    /// Mapped, not alike.
    Mixed,
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
            stale: RefCell::default(),
            stale_mappings: Cell::new(0),
            touched: vec![Cell::new(false); len / PAGE],
            homes: None,
        })))
    }

    /// Memory like new, of the same length, in this one's place: it holds zeroes, and `seed` decides placements. `None` if anything
    /// else still has a handle of this memory or a block in it. No other process may have had it open.
    #[must_use]
    pub fn renew(mut self, seed: u64) -> Option<Ram> {
        let inner = Rc::get_mut(&mut self.0)?;
        inner.unmap_blocks();
        for (frame, touched) in inner.touched.iter().enumerate() {
            if touched.replace(false) {
                let at = (inner.linear + frame * PAGE) as *mut u8;
                // SAFETY: a mapped page, of which this is the only handle.
                unsafe { at.write_bytes(0, PAGE) };
            }
        }
        inner.frames = RefCell::new(Frames::new(inner.len / PAGE, seed));
        inner.addresses.take();
        inner.stale.take();
        inner.stale_mappings.set(0);
        match &inner.homes {
            Some(homes) => homes.renew(),
            None => inner.homes = Homes::new(inner.len / PAGE).ok(),
        }
        inner
            .mappings
            .set(inner.homes.as_ref().map_or(0, Homes::mappings));
        Some(self)
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
        if end > self.0.len as u64 {
            return None;
        }
        let frames = offset as usize / PAGE..(end as usize).div_ceil(PAGE);
        let touched = self.0.touched.get(frames).unwrap_or_default();
        touched.iter().for_each(|touched| touched.set(true));
        Some((self.0.linear + offset as usize) as *mut u8)
    }

    /// A block of `len` bytes (rounded up to pages), or `None` when frames or mappings are short.
    ///
    /// Its bytes are whatever its frames last held. A scattered page costs a mapping of its own, and the
    /// system allows few: keep blocks and use [`Block::protect`] where many come and go.
    pub fn alloc(&self, len: usize, placement: Placement) -> Option<Block> {
        let block = self.alloc_hidden(len, placement)?;
        if block.extent.state.get() == State::Unmapped {
            block.map().ok()?;
        }
        block.protect(Protection::ReadWrite);
        Some(block)
    }

    /// A block that is inaccessible ([`Protection::None`]): as long as it is, it costs no mapping.
    pub fn alloc_hidden(&self, len: usize, placement: Placement) -> Option<Block> {
        let inner = &self.0;
        let count = sys::pages(len) / PAGE;
        let frames = inner.frames.borrow_mut().take(count, placement)?;
        let address = |frame: &usize| inner.base + (frame * PAGE) as u64;
        let mut extent = Extent::new(frames.iter().map(address).collect());
        let home = match frames[..] {
            [frame] => inner.home(frame),
            _ => None,
        };
        if let Some((va, mapped)) = home {
            (extent.va, extent.mappings, extent.at_home) = (va, 0, true);
            if mapped {
                extent.state.set(State::All(Protection::None));
            }
        } else {
            let va = inner.reserve(&extent);
            if va.is_none() {
                inner.frames.borrow_mut().give(frames.into_iter());
            }
            extent.va = va?;
        }
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
}

impl Inner {
    /// The home of a frame, if no block has been there in this memory's life, and whether it is mapped already.
    fn home(&self, frame: usize) -> Option<(usize, bool)> {
        let homes = self.homes.as_ref()?;
        if self.mappings.get() + homes::MAPPINGS > MAX_MAPPINGS {
            return None;
        }
        let (va, mapped) = homes.take(frame)?;
        if !mapped {
            self.mappings.set(self.mappings.get() + homes::MAPPINGS);
        }
        Some((va, mapped))
    }

    /// Addresses for a block, between two guard pages, if there are as many mappings left as it needs.
    fn reserve(&self, extent: &Extent) -> Option<usize> {
        if self.mappings.get() + extent.mappings > MAX_MAPPINGS {
            self.unmap_stale();
        }
        if self.mappings.get() + extent.mappings > MAX_MAPPINGS {
            return None;
        }
        let len = extent.pages.len() * PAGE;
        Some(self.addresses.borrow_mut().take(len + 2 * PAGE)? + PAGE)
    }

    /// Maps the frames' runs of a block that is not mapped.
    fn map(&self, extent: &Extent) -> io::Result<()> {
        let mut page = 0;
        while page < extent.pages.len() {
            let run = extent.runs[page] as usize;
            let at = extent.va + page * PAGE;
            // SAFETY: the addresses are the block's, and are given out once.
            let mapped =
                unsafe { sys::map_file_at(at, self.file.as_fd(), extent.pages[page], run * PAGE) };
            if mapped.is_err() {
                // SAFETY: as above; nothing refers to what was mapped so far.
                let _ = unsafe { sys::reserve_at(extent.va, extent.pages.len() * PAGE) };
                return mapped;
            }
            page += run;
        }
        self.touch(extent);
        if let (true, Some(homes)) = (extent.at_home, &self.homes) {
            homes.mapped(extent.va);
        }
        extent.state.set(State::All(Protection::ReadWrite));
        Ok(())
    }

    /// Notes that its frames may be written to.
    fn touch(&self, extent: &Extent) {
        for page in &extent.pages {
            self.touched[(*page - self.base) as usize / PAGE].set(true);
        }
    }

    /// Unmaps a block that was dropped.
    fn unmap(&self, extent: &Extent) {
        // SAFETY: the pages were the block's; using a pointer into it afterwards is what must fault.
        let result = unsafe { sys::reserve_at(extent.va, extent.pages.len() * PAGE) };
        assert!(result.is_ok(), "a block was not unmapped: {result:?}");
        self.mappings.set(self.mappings.get() - extent.mappings);
    }

    fn unmap_stale(&self) {
        for extent in self.stale.take() {
            self.unmap(&extent);
        }
        self.stale_mappings.set(0);
    }

    /// Unmaps all that was ever mapped for blocks. None is left.
    fn unmap_blocks(&self) {
        for &(start, len) in &self.addresses.borrow().arenas {
            // SAFETY: the addresses are of blocks only, which hold handles, and so are all gone.
            unsafe { sys::unmap(start, len) };
        }
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
        self.unmap_blocks();
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
            state: Cell::new(State::Unmapped),
            at_home: false,
        }
    }
}
