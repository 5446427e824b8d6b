//! A block of memory as its owner has it.

use std::io;
use std::rc::Rc;

use super::{Extent, MAX_STALE, PAGE, Protection, Ram, State};
use crate::sys;

/// Pages at adjacent virtual addresses, with a guard page before and after. Dropping it gives the frames
/// back; the addresses stay inaccessible and are not used again.
pub struct Block {
    pub(super) ram: Ram,
    pub(super) extent: Rc<Extent>,
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

    /// Changes what may be done with its pages: cheaper than dropping it and allocating another, and free where it changes nothing.
    pub fn protect(&self, protection: Protection) {
        let state = self.extent.state.get();
        let all = State::All(protection);
        if state == all || state == State::Unmapped && protection == Protection::None {
            return;
        }
        self.protect_pages(0, self.extent.pages.len(), protection);
        self.extent.state.set(all);
    }

    /// Changes what may be done with `count` of its pages.
    ///
    /// # Panics
    /// If it does not have them, or there are too many mappings.
    pub fn protect_pages(&self, first: usize, count: usize, protection: Protection) {
        assert!(first + count <= self.extent.pages.len());
        if self.extent.state.get() == State::Unmapped {
            let mapped = self.map();
            assert!(mapped.is_ok(), "a block was not mapped: {mapped:?}");
        }
        let bits = match protection {
            Protection::None => sys::NONE,
            Protection::Read => sys::READ,
            Protection::ReadWrite => sys::READ_WRITE,
        };
        if protection == Protection::ReadWrite {
            self.ram.0.touch(&self.extent);
        }
        if self.extent.state.get() != State::All(protection) {
            // SAFETY: the pages are this block's, and it hands out raw pointers only.
            unsafe { sys::protect(self.extent.va + first * PAGE, count * PAGE, bits) };
            self.extent.state.set(State::Mixed);
        }
    }

    pub(super) fn map(&self) -> io::Result<()> {
        self.ram.0.map(&self.extent)
    }

    fn frames(&self) -> impl Iterator<Item = usize> {
        let base = self.ram.0.base;
        let pages = self.extent.pages.iter();
        pages.map(move |page| (*page - base) as usize / PAGE)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let inner = &self.ram.0;
        inner.blocks.borrow_mut().remove(&self.extent.va);
        match self.extent.state.get() {
            _ if self.extent.at_home => self.protect(Protection::None),
            State::Unmapped => inner
                .mappings
                .set(inner.mappings.get() - self.extent.mappings),
            // Nobody can touch it, and its addresses are not used again: it can stay for a while.
            State::All(Protection::None) => {
                let stale = inner.stale_mappings.get() + self.extent.mappings;
                inner.stale_mappings.set(stale);
                inner.stale.borrow_mut().push(self.extent.clone());
                if stale > MAX_STALE {
                    inner.unmap_stale();
                }
            }
            State::All(_) | State::Mixed => inner.unmap(&self.extent),
        }
        inner.frames.borrow_mut().give(self.frames());
    }
}
