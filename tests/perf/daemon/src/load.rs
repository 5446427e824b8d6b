//! What both clients do: blocks of 4 KiB read and written, for a time or once over each.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Bytes of a request.
pub const BLOCK: usize = 4096;
/// Blocks of the disk: 64 MiB.
pub const BLOCKS: u64 = 16384;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which block of the disk.
    pub block: u64,
    /// Whether it is written.
    pub write: bool,
}

/// Where requests come from, and what becomes of their data.
pub trait Load {
    /// The next request; none: no more.
    fn next(&mut self) -> Option<Operation>;
    /// What is to be written, where it matters.
    fn fill(&self, _operation: Operation, _data: &mut [u8]) {}
    /// Whether the data of a request is looked at.
    fn looks(&self) -> bool {
        false
    }
    /// Takes what was read.
    fn take(&mut self, _operation: Operation, _data: &[u8]) {}
}

/// Random blocks, half of the requests writes, until the time is up. Nobody looks at the data.
pub struct Timed {
    random: Pcg64Mcg,
    end: Instant,
}

impl Timed {
    /// From now on.
    pub fn new(seed: u64, time: Duration) -> Self {
        Self {
            random: Pcg64Mcg::seed_from_u64(seed),
            end: Instant::now() + time,
        }
    }
}

impl Load for Timed {
    fn next(&mut self) -> Option<Operation> {
        if Instant::now() >= self.end {
            return None;
        }
        let word = self.random.next_u64();
        Some(Operation {
            block: (word >> 1) % BLOCKS,
            write: word & 1 != 0,
        })
    }
}

/// So many blocks, each once, all written or all read and compared.
pub struct Once {
    write: bool,
    generation: u8,
    left: u64,
    right: u64,
    wrong: Vec<u64>,
}

/// Blocks between one request and the next, with no divisor in common with [`BLOCKS`].
const STRIDE: u64 = 4099;

impl Once {
    /// Writes or expects the pattern of this generation.
    pub fn new(count: u64, write: bool, generation: u8) -> Self {
        Self {
            write,
            generation,
            left: count,
            right: 0,
            wrong: Vec::new(),
        }
    }

    /// Blocks that it covers, in order.
    pub fn blocks(count: u64) -> impl Iterator<Item = u64> {
        (1..=count).rev().map(|number| number * STRIDE % BLOCKS)
    }

    /// All blocks were read, and each had what it was to have.
    pub fn verdict(&self, count: u64) -> Result<()> {
        ensure!(
            self.wrong.is_empty(),
            "{} blocks have other data, block {} among them",
            self.wrong.len(),
            self.wrong.first().copied().unwrap_or_default()
        );
        ensure!(
            self.right == count,
            "{} of {count} blocks were read",
            self.right
        );
        Ok(())
    }
}

impl Load for Once {
    fn next(&mut self) -> Option<Operation> {
        let block = self.left * STRIDE % BLOCKS;
        self.left = self.left.checked_sub(1)?;
        Some(Operation {
            block,
            write: self.write,
        })
    }

    fn fill(&self, operation: Operation, data: &mut [u8]) {
        pattern(operation.block, self.generation, data);
    }

    fn looks(&self) -> bool {
        true
    }

    fn take(&mut self, operation: Operation, data: &[u8]) {
        let mut expected = [0; BLOCK];
        pattern(operation.block, self.generation, &mut expected);
        if data == expected {
            self.right += 1;
        } else {
            self.wrong.push(operation.block);
        }
    }
}

/// What a block holds: no two blocks or generations the same, nor two words of a block.
pub fn pattern(block: u64, generation: u8, data: &mut [u8]) {
    let seed = block << 8 | u64::from(generation);
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    random.fill_bytes(data);
}
