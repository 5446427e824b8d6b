//! What the workload does next: operations of random kind, place and size that do not conflict with those in flight.

use std::collections::VecDeque;

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Flushes the cache.
    Flush,
}

/// An operation on a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// First block.
    pub lba: u64,
    /// Blocks; 0 for a flush.
    pub blocks: u64,
}

impl Operation {
    /// Whether the order of the two shows in what is read or in what the disk holds at the end.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        let overlap = self.lba < other.lba + other.blocks && other.lba < self.lba + self.blocks;
        overlap && (self.kind == Kind::Write || other.kind == Kind::Write)
    }
}

/// Chooses operations, from a seed.
pub struct Planner {
    random: Pcg64Mcg,
    blocks: u64,
    most: u64,
}

/// Tries to find a place that is free; with at most 64 operations in flight one is found at once.
const TRIES: usize = 100;

impl Planner {
    /// For a disk of `blocks` blocks and operations of at most `most` blocks.
    #[must_use]
    pub fn new(seed: u64, blocks: u64, most: u64) -> Self {
        Self {
            random: Pcg64Mcg::seed_from_u64(seed),
            blocks,
            most: most.min(blocks).max(1),
        }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    /// The next operation; none if no place is free of conflicts.
    pub fn next(&mut self, in_flight: &[Operation]) -> Option<Operation> {
        let kind = match self.below(100) {
            0 => Kind::Flush,
            1..50 => Kind::Read,
            _ => Kind::Write,
        };
        if kind == Kind::Flush {
            return Some(Operation {
                kind,
                lba: 0,
                blocks: 0,
            });
        }
        (0..TRIES).find_map(|_| {
            let blocks = self.size();
            let operation = Operation {
                kind,
                lba: self.below(self.blocks - blocks + 1),
                blocks,
            };
            let free = !in_flight.iter().any(|other| operation.conflicts(other));
            free.then_some(operation)
        })
    }

    /// A number of blocks, log-uniform from one to the most, with both ends now and then for certain.
    fn size(&mut self) -> u64 {
        match self.below(128) {
            0 => 1,
            1 => self.most,
            _ => {
                let exponent = (self.random.next_u32() as f64) / f64::from(u32::MAX);
                let size = (self.most as f64).powf(exponent) as u64;
                size.clamp(1, self.most)
            }
        }
    }

    /// A queue depth up to `most`: half of the time the most, otherwise log-uniform.
    pub fn depth(&mut self, most: usize) -> usize {
        if self.below(2) == 0 {
            return most;
        }
        let bits = u64::from(usize::BITS - most.leading_zeros());
        (1usize << self.below(bits)).min(most)
    }
}

/// Reads and writes of one block each, at random, and no block twice: whatever order they end in, none conflicts with another, so
/// that any driver can be given the same ones in the same order.
///
/// # Panics
/// If there are more operations than blocks.
#[must_use]
pub fn each_once(seed: u64, blocks: u64, operations: u64) -> VecDeque<Operation> {
    assert!(
        operations <= blocks,
        "{operations} operations on {blocks} blocks"
    );
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut left: Vec<u64> = (0..blocks).collect();
    (0..operations)
        .map(|_| {
            let kind = match random.next_u64() & 1 {
                0 => Kind::Read,
                _ => Kind::Write,
            };
            let at = random.next_u64() % left.len() as u64;
            Operation {
                kind,
                lba: left.swap_remove(at as usize),
                blocks: 1,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_reach_both_ends_and_spread() {
        let mut planner = Planner::new(1, 1 << 18, 2048);
        let sizes: Vec<u64> = (0..20_000).map(|_| planner.size()).collect();
        assert_eq!(sizes.iter().min(), Some(&1));
        assert_eq!(sizes.iter().max(), Some(&2048));
        // Log-uniform: as many below the root as above.
        let small = sizes.iter().filter(|&&size| size < 45).count();
        assert!((9_000..11_000).contains(&small), "{small}");
    }

    #[test]
    fn operations_stay_on_the_disk_and_do_not_conflict() {
        let mut planner = Planner::new(2, 1000, 64);
        let mut in_flight = Vec::new();
        for _ in 0..5000 {
            let Some(operation) = planner.next(&in_flight) else {
                in_flight.clear();
                continue;
            };
            assert!(operation.lba + operation.blocks <= 1000);
            assert!(!in_flight.iter().any(|other| operation.conflicts(other)));
            in_flight.push(operation);
            if in_flight.len() > 8 {
                in_flight.remove(0);
            }
        }
    }

    #[test]
    fn one_seed_is_one_plan() {
        let plan = |seed| {
            let mut planner = Planner::new(seed, 1000, 64);
            (0..100).map(|_| planner.next(&[])).collect::<Vec<_>>()
        };
        assert_eq!(plan(5), plan(5));
        assert_ne!(plan(5), plan(6));
    }

    #[test]
    fn each_block_is_in_one_operation() {
        let plan = each_once(3, 1000, 900);
        let mut blocks: Vec<_> = plan.iter().map(|operation| operation.lba).collect();
        assert!(!blocks.is_sorted(), "not at random");
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), 900);
        assert!(blocks.iter().all(|lba| *lba < 1000));
        let reads = plan.iter().filter(|one| one.kind == Kind::Read).count();
        assert!((350..550).contains(&reads), "{reads} of 900 read");
        assert_eq!(plan, each_once(3, 1000, 900));
        assert_ne!(plan, each_once(4, 1000, 900));
    }

    #[test]
    fn only_writes_conflict() {
        let operation = |kind, lba, blocks| Operation { kind, lba, blocks };
        assert!(!operation(Kind::Read, 0, 8).conflicts(&operation(Kind::Read, 4, 8)));
        assert!(operation(Kind::Read, 0, 8).conflicts(&operation(Kind::Write, 7, 1)));
        assert!(!operation(Kind::Read, 0, 8).conflicts(&operation(Kind::Write, 8, 1)));
        assert!(!operation(Kind::Write, 0, 8).conflicts(&operation(Kind::Flush, 0, 0)));
    }
}
