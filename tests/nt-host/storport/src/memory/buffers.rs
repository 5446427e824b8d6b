//! Data buffers of requests.

use std::collections::{BTreeMap, VecDeque};

use host_machine::ram::{Block, PAGE, Protection, Ram};
use host_ntos::{guest, sched};

use super::{POISON, RESERVE, SLACK, placement, runs};
use crate::request::Layout;

/// A data buffer: pages and where in them it lies.
pub struct Buffer {
    block: Block,
    /// First page of the block that is used.
    page: usize,
    /// Bytes before the data in that page.
    pub offset: usize,
    /// Bytes of data.
    pub len: usize,
    layout: Layout,
    mapped: bool,
    /// What lies around the data in its pages is known.
    guarded: bool,
}

impl Buffer {
    /// Fills it as memory that nobody has written yet, and what lies around it so that an overrun shows. Only where it is mapped: a
    /// miniport reaches no other by the processor.
    pub fn guard(&mut self) {
        if let Some(at) = self.va() {
            guest::fill(self.block.va() as usize, self.block.len(), SLACK);
            guest::fill(at, self.len, POISON);
            self.guarded = true;
        }
    }

    /// Whether something was written around it.
    pub fn overrun(&self) -> bool {
        let Some(at) = self.va().filter(|_| self.guarded) else {
            return false;
        };
        let start = self.block.va() as usize;
        let before = guest::bytes(start, at - start);
        let behind = guest::bytes(at + self.len, start + self.block.len() - at - self.len);
        before.into_iter().chain(behind).any(|byte| byte != SLACK)
    }

    /// Its runs.
    pub fn runs(&self) -> Vec<(u64, u64)> {
        runs(self.block.pages(), self.page * PAGE + self.offset, self.len)
    }

    /// Where it is mapped, if it is.
    pub fn va(&self) -> Option<usize> {
        self.mapped
            .then(|| self.block.va() as usize + self.page * PAGE + self.offset)
    }

    /// The device address of a mapped address and the bytes of one run from there.
    pub fn device_address(&self, address: usize) -> Option<(u64, usize)> {
        let within = address.checked_sub(self.va()?)?;
        let left = self.len.checked_sub(within).filter(|&left| left > 0)?;
        let first = self.page * PAGE + self.offset + within;
        runs(self.block.pages(), first, left)
            .first()
            .map(|&(start, len)| (start, len as usize))
    }

    /// Maps it, if it is not.
    pub fn map(&mut self) -> usize {
        self.block.protect(Protection::ReadWrite);
        self.mapped = true;
        self.va().unwrap_or_default()
    }

    /// Writes the data through the device's view.
    pub fn fill(&self, ram: &Ram, bytes: &[u8]) {
        let mut rest = bytes;
        for (start, len) in self.runs() {
            let (part, after) = rest.split_at(rest.len().min(len as usize));
            rest = after;
            if let Some(to) = ram.device_slice(start, part.len()) {
                guest::write(to as usize, part);
            }
        }
    }

    /// Reads the data through the device's view.
    pub fn contents(&self, ram: &Ram) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        let mut at = 0;
        for (start, len) in self.runs() {
            let part = bytes.get_mut(at..at + len as usize).unwrap_or_default();
            if let Some(from) = ram.device_slice(start, part.len()) {
                guest::read(from as usize, part);
            }
            at += len as usize;
        }
        bytes
    }
}

/// Data buffers, whose pages are used again: mapping them anew for each request would take most of a run's time.
#[derive(Default)]
pub struct Buffers {
    idle: BTreeMap<(usize, u8), VecDeque<Block>>,
    idle_pages: usize,
    /// Buffers that were mapped, kept inaccessible for a while so that a late touch can be named.
    retired: VecDeque<Block>,
}

/// Idle pages beyond which blocks are freed.
const IDLE_PAGES: usize = 8192;

impl Buffers {
    /// A buffer of `len` bytes that starts `offset` bytes into a page. One to be mapped has no pages but its own.
    pub fn take(
        &mut self,
        ram: &Ram,
        len: usize,
        offset: usize,
        layout: Layout,
        mapped: bool,
    ) -> Option<Buffer> {
        let pages = (offset + len).div_ceil(PAGE).max(1);
        if mapped {
            let block = ram.alloc(pages * PAGE, placement(layout)).or_else(|| {
                self.free_all();
                ram.alloc(pages * PAGE, placement(layout))
            })?;
            return Some(Buffer {
                block,
                page: 0,
                offset,
                len,
                layout,
                mapped,
                guarded: false,
            });
        }
        let class = pages.next_power_of_two();
        let block = match self
            .idle
            .get_mut(&(class, layout as u8))
            .and_then(VecDeque::pop_front)
        {
            Some(block) => {
                self.idle_pages -= class;
                block
            }
            None => {
                // Nobody looks at it but the device, unless the miniport asks for its address.
                ram.alloc_hidden(class * PAGE, placement(layout))
                    .or_else(|| {
                        self.free_all();
                        ram.alloc_hidden(class * PAGE, placement(layout))
                    })?
            }
        };
        let page = sched::random((class - pages + 1) as u32) as usize;
        Some(Buffer {
            block,
            page,
            offset,
            len,
            layout,
            mapped,
            guarded: false,
        })
    }

    /// Takes a buffer back; nothing of it is mapped any more.
    pub fn give(&mut self, buffer: Buffer) {
        let pages = buffer.block.pages().len();
        if buffer.mapped {
            buffer.block.protect(Protection::None);
            self.retired.push_back(buffer.block);
            if self.retired.len() > RESERVE {
                self.retired.pop_front();
            }
            return;
        }
        if self.idle_pages + pages > IDLE_PAGES {
            return;
        }
        self.idle_pages += pages;
        self.idle
            .entry((pages, buffer.layout as u8))
            .or_default()
            .push_back(buffer.block);
    }

    /// Whether `address` lies in a buffer that was mapped for a request that is completed.
    pub fn was_mapped(&self, address: usize) -> bool {
        self.retired
            .iter()
            .any(|block| address.wrapping_sub(block.va() as usize) < block.len())
    }

    fn free_all(&mut self) {
        self.retired.clear();
        self.idle.clear();
        self.idle_pages = 0;
    }
}
