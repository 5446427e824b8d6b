//! Which frames are free, and which ones a block gets.

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{PAGE, Placement};

/// Firmware, VGA and the holes below 1 MiB are never handed out; nor is the rest of the first 2 MiB.
const FIRST: usize = (2 << 20) / PAGE;

/// Longest run of adjacent frames in [`Placement::Random`].
const LONGEST_RUN: u32 = 8;

/// The free frames.
pub struct Frames {
    used: Vec<bool>,
    free: usize,
    rng: Pcg64Mcg,
}

impl Frames {
    /// `count` frames.
    pub fn new(count: usize, seed: u64) -> Frames {
        let mut used = vec![false; count];
        let reserved = FIRST.min(count);
        used[..reserved].fill(true);
        Frames {
            used,
            free: count - reserved,
            rng: Pcg64Mcg::seed_from_u64(seed),
        }
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free
    }

    /// Takes frames for `count` pages.
    pub fn take(&mut self, count: usize, placement: Placement) -> Option<Vec<usize>> {
        if count > self.free {
            return None;
        }
        let frames = match placement {
            Placement::Contiguous => self.find_run(count)?,
            Placement::Scattered => self.find_pages(count, true, |_| 1)?,
            Placement::Random => {
                self.find_pages(count, false, |rng| 1 + rng.next_u32() % LONGEST_RUN)?
            }
        };
        self.free -= frames.len();
        Some(frames)
    }

    /// Gives frames back.
    pub fn give(&mut self, frames: impl Iterator<Item = usize>) {
        for frame in frames {
            debug_assert!(self.used[frame]);
            self.used[frame] = false;
            self.free += 1;
        }
    }

    /// A random place to start searching from.
    fn start(&mut self) -> usize {
        (self.rng.next_u64() % self.used.len() as u64) as usize
    }

    fn find_run(&mut self, count: usize) -> Option<Vec<usize>> {
        let start = self.start();
        let first = self
            .run_in(start..self.used.len(), count)
            .or_else(|| self.run_in(0..self.used.len(), count))?;
        self.used[first..first + count].fill(true);
        Some((first..first + count).collect())
    }

    fn run_in(&self, range: std::ops::Range<usize>, count: usize) -> Option<usize> {
        let mut run = 0;
        for frame in range {
            run = if self.used[frame] { 0 } else { run + 1 };
            if run == count {
                return Some(frame + 1 - count);
            }
        }
        None
    }

    /// Takes runs whose wished length `run` says; if `apart`, one is never adjacent to the one before it.
    fn find_pages(
        &mut self,
        count: usize,
        apart: bool,
        run: impl Fn(&mut Pcg64Mcg) -> u32,
    ) -> Option<Vec<usize>> {
        let mut frames: Vec<usize> = Vec::with_capacity(count);
        while frames.len() < count {
            let Some(first) = self.find_free(frames.last().copied().filter(|_| apart)) else {
                for frame in frames {
                    self.used[frame] = false;
                }
                return None;
            };
            let wanted = (run(&mut self.rng) as usize).min(count - frames.len());
            for frame in (first..self.used.len()).take(wanted) {
                if self.used[frame] {
                    break;
                }
                self.used[frame] = true;
                frames.push(frame);
            }
        }
        Some(frames)
    }

    /// Finds a free frame that is not next to `last`.
    fn find_free(&mut self, last: Option<usize>) -> Option<usize> {
        let start = self.start();
        let apart = |frame: usize| last.is_none_or(|last| frame.abs_diff(last) > 1);
        (start..self.used.len())
            .chain(0..start)
            .find(|&frame| !self.used[frame] && apart(frame))
    }
}
