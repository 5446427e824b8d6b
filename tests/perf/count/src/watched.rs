//! Which addresses mean something.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use perf_marker::{Area, Kind};

use crate::Counts;

/// Bytes of a cache line.
const LINE: u64 = 64;

/// What an instruction does with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub at: u64,
    pub len: u64,
    pub reads: bool,
    pub writes: bool,
}

/// The memory that the program named.
#[derive(Debug, Default)]
pub struct Watched {
    /// Cache lines, and whether the device writes them.
    lines: HashMap<u64, bool>,
    registers: Vec<Range<u64>>,
    functions: HashMap<u64, Kind>,
    /// Lines of the device's that the current stretch has touched.
    touched: HashSet<u64>,
}

impl Watched {
    /// Watches `len` bytes.
    pub fn add(&mut self, area: Area, start: u64, len: u64) {
        let end = start.saturating_add(len);
        if area == Area::Registers {
            self.registers.push(start..end);
            return;
        }
        for line in start / LINE..end.div_ceil(LINE) {
            *self.lines.entry(line).or_default() |= area == Area::Device;
        }
    }

    /// Watches a function.
    pub fn add_function(&mut self, kind: Kind, entry: u64) {
        self.functions.insert(entry, kind);
    }

    /// Counts the call of a watched function, if the instruction at `at` is the first one of any.
    pub fn enter(&self, at: u64, counts: &mut Counts) {
        match self.functions.get(&at) {
            Some(Kind::Heap) => counts.heap_calls += 1,
            Some(Kind::Lock) => counts.lock_calls += 1,
            Some(Kind::Address) => counts.address_calls += 1,
            None => {}
        }
    }

    /// A stretch begins.
    pub fn begin(&mut self) {
        self.touched.clear();
    }

    /// Counts one access.
    pub fn count(&mut self, access: Access, counts: &mut Counts) {
        let (start, end) = (access.at, access.at.saturating_add(access.len));
        let (reads, writes) = (u64::from(access.reads), u64::from(access.writes));
        if self
            .registers
            .iter()
            .any(|range| start < range.end && range.start < end)
        {
            counts.register_reads += reads;
            counts.register_writes += writes;
        }
        let (mut device, mut driver) = (false, false);
        for line in start / LINE..end.div_ceil(LINE) {
            match self.lines.get(&line) {
                Some(true) => {
                    device = true;
                    counts.device_lines += u64::from(self.touched.insert(line));
                }
                Some(false) => driver = true,
                None => {}
            }
        }
        if device {
            counts.device_loads += reads;
            counts.device_stores += writes;
        } else if driver {
            counts.driver_loads += reads;
            counts.driver_stores += writes;
        }
    }
}
