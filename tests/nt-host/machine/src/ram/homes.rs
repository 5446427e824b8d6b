//! Addresses that frames keep while their memory is renewed time and again: mapping a page takes longer than opening one that is mapped.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::PAGE;
use crate::sys;

/// Mappings that a home takes: itself, and the guard page behind it.
pub const MAPPINGS: usize = 2;

/// Most homes of all memory in the process, also of memory that was lost with a run that ended in its midst: Linux allows a
/// process 65530 mappings by default (vm.max_map_count).
const MAX_HOMES: usize = 8192;

static HOMES: AtomicUsize = AtomicUsize::new(0);

/// A page of addresses for each frame, with guard pages between.
pub struct Homes {
    start: usize,
    frames: Vec<Cell<Home>>,
}

#[derive(Clone, Copy, Default)]
struct Home {
    /// A block has been there since the memory was renewed: addresses are given out once.
    taken: bool,
    /// The frame is mapped there, inaccessible if no block is there now.
    mapped: bool,
}

impl Homes {
    /// Homes for so many frames.
    ///
    /// # Errors
    /// Address space is short.
    pub fn new(frames: usize) -> io::Result<Self> {
        Ok(Self {
            start: sys::map(Self::len(frames), sys::NONE)?,
            frames: vec![Cell::default(); frames],
        })
    }

    fn len(frames: usize) -> usize {
        (2 * frames + 1) * PAGE
    }

    /// The address of a frame's home and whether it is mapped, once.
    pub fn take(&self, frame: usize) -> Option<(usize, bool)> {
        let home = self.frames.get(frame)?;
        let Home { taken, mapped } = home.get();
        // Relaxed: a count that orders nothing.
        if !mapped && HOMES.load(Ordering::Relaxed) >= MAX_HOMES {
            return None;
        }
        home.set(Home {
            taken: true,
            mapped,
        });
        (!taken).then_some((self.start + (2 * frame + 1) * PAGE, mapped))
    }

    /// Notes that the home at this address is mapped.
    pub fn mapped(&self, va: usize) {
        if let Some(home) = self.frames.get((va - self.start) / (2 * PAGE)) {
            HOMES.fetch_add(1, Ordering::Relaxed);
            home.set(Home {
                taken: true,
                mapped: true,
            });
        }
    }

    /// Nobody is at home any more.
    pub fn renew(&self) {
        for home in &self.frames {
            home.set(Home {
                taken: false,
                ..home.get()
            });
        }
    }

    /// Mappings that stay.
    pub fn mappings(&self) -> usize {
        let mapped = self.frames.iter().filter(|home| home.get().mapped);
        mapped.count() * MAPPINGS
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        HOMES.fetch_sub(self.mappings() / MAPPINGS, Ordering::Relaxed);
        // SAFETY: its owner is gone with all blocks; using a pointer there afterwards is what must fault.
        unsafe { sys::unmap(self.start, Self::len(self.frames.len())) };
    }
}
