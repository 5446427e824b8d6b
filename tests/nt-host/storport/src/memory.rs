//! The memory that StorPort lends to a miniport: SRBs with their extensions, sense and data buffers, and common buffers.
//!
//! A request's memory is taken away when the request is completed: its pages become inaccessible and are lent again only after
//! many others, so that a late touch faults and the fault can be named.

use std::collections::VecDeque;

use host_machine::ram::{Block, PAGE, Placement, Protection, Ram};
use host_ntos::{guest, sched};

use crate::request::Layout;

mod buffers;

pub use self::buffers::{Buffer, Buffers};

/// Idle slots that are kept inaccessible before the oldest is lent again.
const RESERVE: usize = 64;
/// What fills memory that Windows does not initialise.
const POISON: u8 = 0xb5;
/// What fills memory beyond the size that was asked for.
const SLACK: u8 = 0x5b;
/// Bytes of a sense buffer: the most that `SenseInfoBufferLength` can say, as the disk class driver gives.
pub const SENSE_LENGTH: usize = 255;
/// Room for any SRB: the fixed part, an address, and a CDB of variable length.
const SRB_ROOM: usize = 512;
/// What the pool guarantees on 64-bit Windows (MEMORY_ALLOCATION_ALIGNMENT).
const ALIGNMENT: usize = 16;

/// `len` bytes that end as close to the guard page as the alignment allows.
pub struct Region {
    block: Block,
    at: usize,
    len: usize,
}

impl Region {
    /// Allocates it, filled with `fill`.
    pub fn new(ram: &Ram, len: usize, placement: Placement, fill: u8) -> Option<Self> {
        let room = len.max(1).next_multiple_of(ALIGNMENT);
        let block = ram.alloc(room, placement)?;
        let at = block.va() as usize + block.len() - room;
        guest::fill(block.va() as usize, block.len(), SLACK);
        guest::fill(at, len, fill);
        Some(Self { block, at, len })
    }

    /// Allocates it, filled with `fill`, at an address that is a multiple of 8 and of no more.
    pub fn aligned_to_8(ram: &Ram, len: usize, placement: Placement, fill: u8) -> Option<Self> {
        let room = len.max(1).next_multiple_of(ALIGNMENT) + ALIGNMENT / 2;
        let block = ram.alloc(room, placement)?;
        let at = block.va() as usize + block.len() - room;
        guest::fill(block.va() as usize, block.len(), SLACK);
        guest::fill(at, len, fill);
        Some(Self { block, at, len })
    }

    /// Allocates it with its first byte on a page, filled with `fill`.
    pub fn page_aligned(ram: &Ram, len: usize, placement: Placement, fill: u8) -> Option<Self> {
        let block = ram.alloc(len.max(1), placement)?;
        let at = block.va() as usize;
        guest::fill(at, block.len(), SLACK);
        guest::fill(at, len, fill);
        Some(Self { block, at, len })
    }

    /// Its address.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Its length, bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.at) < self.len
    }

    /// Whether `address` lies in its pages.
    pub fn in_pages(&self, address: usize) -> bool {
        address.wrapping_sub(self.block.va() as usize) < self.block.len()
    }

    /// Whether the bytes around it still hold what [`Region::new`] put there; only of an accessible region.
    pub fn intact(&self) -> bool {
        let start = self.block.va() as usize;
        let end = self.at + self.len;
        guest::others(start, self.at - start, SLACK) == 0
            && guest::others(end, start + self.block.len() - end, SLACK) == 0
    }

    /// Writes the bytes around it again.
    fn repair(&self) {
        let start = self.block.va() as usize;
        guest::fill(start, self.at - start, SLACK);
        let end = self.at + self.len;
        guest::fill(end, start + self.block.len() - end, SLACK);
    }

    /// Changes what may be done with it.
    pub fn protect(&self, protection: Protection) {
        self.block.protect(protection);
    }

    /// Its runs: (device address, bytes), merged where pages are adjacent.
    pub fn runs(&self) -> Vec<(u64, u64)> {
        let first = self.at - self.block.va() as usize;
        runs(self.block.pages(), first, self.len)
    }

    /// The device address of `address` and how many bytes of the region follow it in one run.
    pub fn device_address(&self, address: usize) -> Option<(u64, usize)> {
        if !self.contains(address) {
            return None;
        }
        let first = address - self.block.va() as usize;
        let (start, len) =
            *runs(self.block.pages(), first, self.at + self.len - address).first()?;
        Some((start, len as usize))
    }
}

/// The runs of `len` bytes that start `first` bytes into `pages`, merged where pages are adjacent.
pub fn runs(pages: &[u64], first: usize, len: usize) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut at = first;
    let end = first + len;
    while at < end {
        let Some(page) = pages.get(at / PAGE) else {
            break;
        };
        let within = at % PAGE;
        let part = (PAGE - within).min(end - at) as u64;
        let start = page + within as u64;
        match runs.last_mut() {
            Some((last, length)) if *last + *length == start => *length += part,
            _ => runs.push((start, part)),
        }
        at += part as usize;
    }
    runs
}

/// The memory of one SRB.
pub struct Slot {
    /// The SRB.
    pub srb: Region,
    /// The SRB extension, if the miniport asked for one.
    pub extension: Option<Region>,
    /// The sense buffer.
    pub sense: Region,
    /// The scatter/gather list, once one was asked for.
    pub list: Option<Region>,
}

impl Slot {
    /// One as [`Slot::open`] leaves it.
    fn new(ram: &Ram, extension: usize, contiguous: bool) -> Option<Self> {
        Some(Self {
            srb: Region::new(ram, SRB_ROOM, Placement::Contiguous, 0)?,
            extension: match extension {
                0 => None,
                len if contiguous => Some(Region::new(ram, len, Placement::Contiguous, POISON)?),
                // Windows allocates SRB extensions in pieces of common buffer; nothing says that one is contiguous.
                len => Some(straddling(ram, len)?),
            },
            sense: Region::new(ram, SENSE_LENGTH, Placement::Contiguous, 0)?,
            list: None,
        })
    }

    fn regions(&self) -> impl Iterator<Item = (&'static str, &Region)> {
        [
            ("SRB", Some(&self.srb)),
            ("SRB extension", self.extension.as_ref()),
        ]
        .into_iter()
        .chain([
            ("sense buffer", Some(&self.sense)),
            ("scatter/gather list", self.list.as_ref()),
        ])
        .filter_map(|(name, region)| Some((name, region?)))
    }

    /// Makes it accessible and as Windows hands it over: a zeroed SRB at its end of the page, an extension that is not initialised.
    fn open(&self) {
        for (_, region) in self.regions() {
            region.protect(Protection::ReadWrite);
            region.repair();
        }
        guest::fill(self.srb.at, self.srb.len, 0);
        guest::fill(self.sense.at, self.sense.len, 0);
        if let Some(extension) = &self.extension {
            // MS: ns-storport-_hw_initialization_data: SRB extensions are not initialised.
            guest::fill(extension.at, extension.len, POISON);
        }
    }

    /// Where an SRB of `size` bytes goes: at the end, so that reading beyond it faults.
    pub fn srb_at(&self, size: usize) -> usize {
        self.srb.at + self.srb.len - size.next_multiple_of(8)
    }

    /// The part of it that `address` lies in.
    pub fn part(&self, address: usize) -> Option<&'static str> {
        self.regions()
            .find(|(_, region)| region.in_pages(address))
            .map(|(name, _)| name)
    }

    /// The first part beyond whose size something was written.
    pub fn overrun(&self) -> Option<&'static str> {
        self.regions()
            .find(|(_, region)| !region.intact())
            .map(|(name, _)| name)
    }
}

/// An extension that lies across pages which are not adjacent, whenever it has more than one unit of alignment.
fn straddling(ram: &Ram, len: usize) -> Option<Region> {
    if len >= PAGE || len <= ALIGNMENT || sched::random(2) == 0 {
        return Region::new(ram, len, Placement::Scattered, POISON);
    }
    let block = ram.alloc(2 * PAGE, Placement::Scattered)?;
    let units = ((len - 1) / ALIGNMENT) as u32;
    let before = (1 + sched::random(units) as usize) * ALIGNMENT;
    let at = block.va() as usize + PAGE - before;
    guest::fill(block.va() as usize, block.len(), SLACK);
    guest::fill(at, len, POISON);
    Some(Region { block, at, len })
}

/// How many bytes of a region no longer hold what it was handed over with.
pub fn written(region: &Region) -> usize {
    guest::others(region.at, region.len, POISON)
}

/// Slots, lent in turn.
#[derive(Default)]
pub struct Slots {
    idle: VecDeque<Slot>,
    extension: usize,
    contiguous: bool,
    unguarded: bool,
}

impl Slots {
    /// From now on a slot's memory stays accessible, and nothing is written around it.
    pub fn leave_unguarded(&mut self) {
        self.unguarded = true;
    }

    /// Sets the size of SRB extensions, and whether each is one run of device addresses.
    pub fn set_extension(&mut self, len: usize, contiguous: bool) {
        if (self.extension, self.contiguous) != (len, contiguous) {
            (self.extension, self.contiguous) = (len, contiguous);
            self.idle.clear();
        }
    }

    /// A slot that was idle the longest, or a new one. `None`: memory is short.
    pub fn take(&mut self, ram: &Ram) -> Option<Slot> {
        let new = if self.idle.len() > RESERVE {
            None
        } else {
            Slot::new(ram, self.extension, self.contiguous)
        };
        if new.is_some() {
            return new;
        }
        let slot = self.idle.pop_front()?;
        if self.unguarded {
            guest::fill(slot.srb.at, slot.srb.len, 0);
        } else {
            slot.open();
        }
        Some(slot)
    }

    /// Takes a slot back and its memory away.
    pub fn give(&mut self, slot: Slot) {
        if !self.unguarded {
            slot.regions()
                .for_each(|(_, region)| region.protect(Protection::None));
        }
        self.idle.push_back(slot);
    }

    /// The part of an idle slot that `address` lies in.
    pub fn find(&self, address: usize) -> Option<&'static str> {
        self.idle.iter().find_map(|slot| slot.part(address))
    }
}

fn placement(layout: Layout) -> Placement {
    match layout {
        Layout::Random => Placement::Random,
        Layout::Scattered => Placement::Scattered,
        Layout::Contiguous => Placement::Contiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn adjacent_pages_are_one_run() {
        let pages = [0x10000, 0x11000, 0x20000, 0x21000];
        assert_eq!(
            runs(&pages, 0, 0x4000),
            [(0x10000, 0x2000), (0x20000, 0x2000)]
        );
        assert_eq!(
            runs(&pages, 0xff0, 0x1020),
            [(0x10ff0, 0x1010), (0x20000, 0x10)]
        );
        assert_eq!(runs(&pages, 0x10, 0), []);
    }
}
