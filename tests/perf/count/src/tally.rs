//! Adding up.

use crate::{Counts, Phase, Report};

impl Counts {
    /// Applies `with` to each field of the two.
    pub(crate) fn combine(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            instructions: with(self.instructions, other.instructions),
            full_fences: with(self.full_fences, other.full_fences),
            system_calls: with(self.system_calls, other.system_calls),
            heap_calls: with(self.heap_calls, other.heap_calls),
            lock_calls: with(self.lock_calls, other.lock_calls),
            address_calls: with(self.address_calls, other.address_calls),
            device_loads: with(self.device_loads, other.device_loads),
            device_stores: with(self.device_stores, other.device_stores),
            device_lines: with(self.device_lines, other.device_lines),
            driver_loads: with(self.driver_loads, other.driver_loads),
            driver_stores: with(self.driver_stores, other.driver_stores),
            register_reads: with(self.register_reads, other.register_reads),
            register_writes: with(self.register_writes, other.register_writes),
            locked: with(self.locked, other.locked),
            fences: with(self.fences, other.fences),
            bytes_written: with(self.bytes_written, other.bytes_written),
            bytes_zeroed: with(self.bytes_zeroed, other.bytes_zeroed),
            bytes_cleared: with(self.bytes_cleared, other.bytes_cleared),
            calls_out: with(self.calls_out, other.calls_out),
        }
    }
}

impl Phase {
    /// A phase of one stretch.
    fn first(counts: Counts) -> Self {
        Self {
            stretches: 1,
            total: counts,
            least: counts,
            most: counts,
        }
    }

    /// Adds a stretch.
    fn add(&mut self, counts: Counts) {
        self.stretches += 1;
        self.total = self.total.combine(counts, |sum, new| sum + new);
        self.least = self.least.combine(counts, u64::min);
        self.most = self.most.combine(counts, u64::max);
    }
}

impl Report {
    /// Books a stretch.
    pub(crate) fn add(&mut self, number: u8, counts: Counts) {
        self.phases
            .entry(number)
            .and_modify(|phase| phase.add(counts))
            .or_insert_with(|| Phase::first(counts));
    }
}
