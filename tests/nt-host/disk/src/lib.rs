//! The model of a disk: what every block holds, kept as one number per block.
//!
//! A block's content follows from its address and its generation, which counts writes. So the model is small, a block read
//! from the wrong place or a write that got lost is told apart from any other content, and a mismatch can name what was found.
//!
//! A crate of its own because these loops are optimised even where nothing else is.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt;

use anyhow::{Context, bail};

/// The generation of a block whose content is not known (a write to it was cut off).
const UNKNOWN: u32 = 0;

/// The generation of a block that was zeroed.
const ZEROES: u32 = u32::MAX;

/// Bytes compared or written at a time: few enough to stay in the processor's cache.
const CHUNK: usize = 64 << 10;

/// The model.
#[derive(Debug, Clone)]
pub struct Disk {
    block: usize,
    seed: u64,
    generations: Vec<u32>,
    last: u32,
}

impl Disk {
    /// A disk of `blocks` blocks of `block` bytes (a multiple of 8), all of generation 1.
    #[must_use]
    pub fn new(blocks: u64, block: u32, seed: u64) -> Self {
        Self {
            block: block as usize,
            seed,
            generations: vec![1; blocks as usize],
            last: 1,
        }
    }

    /// Blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.generations.len() as u64
    }

    /// Bytes in a block.
    #[must_use]
    pub fn block(&self) -> usize {
        self.block
    }

    /// Writes the content that the model starts with to an image.
    ///
    /// # Errors
    /// The image cannot be written.
    pub fn format(&self, image: &File) -> anyhow::Result<()> {
        let at_once = CHUNK / self.block;
        let mut bytes = vec![0; CHUNK];
        let mut lba = 0;
        for generations in self.generations.chunks(at_once) {
            let bytes = &mut bytes[..generations.len() * self.block];
            self.fill(lba, 1, bytes);
            image.write_all_at(bytes, lba * self.block as u64)?;
            lba += generations.len() as u64;
        }
        // Another driver is to find it there.
        Ok(image.sync_data()?)
    }

    /// A generation that no block has had.
    pub fn next_generation(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// Writes what the blocks from `lba` on hold in `generation`.
    pub fn fill(&self, lba: u64, generation: u32, bytes: &mut [u8]) {
        for (lba, block) in (lba..).zip(bytes.chunks_exact_mut(self.block)) {
            let (words, _) = block.as_chunks_mut::<8>();
            let content = self.content(lba, generation);
            for (at, word) in words.iter_mut().enumerate() {
                *word = content.word(at);
            }
        }
    }

    /// Notes that the blocks from `lba` on have been written with `generation`.
    pub fn wrote(&mut self, lba: u64, blocks: u64, generation: u32) {
        self.range_mut(lba, blocks).fill(generation);
    }

    /// Notes that the blocks from `lba` on may hold anything.
    pub fn lost(&mut self, lba: u64, blocks: u64) {
        self.range_mut(lba, blocks).fill(UNKNOWN);
    }

    /// Notes that the blocks from `lba` on hold zeroes.
    pub fn zeroed(&mut self, lba: u64, blocks: u64) {
        self.range_mut(lba, blocks).fill(ZEROES);
    }

    fn range_mut(&mut self, lba: u64, blocks: u64) -> &mut [u32] {
        &mut self.generations[lba as usize..(lba + blocks) as usize]
    }

    /// Checks what was read from `lba` on.
    ///
    /// # Errors
    /// The first block that is wrong, and what it holds.
    pub fn check(&self, lba: u64, bytes: &[u8]) -> Result<(), String> {
        let generations = &self.generations[lba as usize..];
        for ((lba, &generation), block) in
            (lba..).zip(generations).zip(bytes.chunks_exact(self.block))
        {
            if generation == UNKNOWN {
                continue;
            }
            if generation == ZEROES {
                if block.iter().any(|byte| *byte != 0) {
                    return Err(format!(
                        "block {lba} should hold zeroes: {}",
                        self.identify(block)
                    ));
                }
                continue;
            }
            if let Some(word) = self.content(lba, generation).first_difference(block) {
                return Err(format!(
                    "block {lba} should hold generation {generation}, differs from byte {} on: {}",
                    word * 8,
                    self.identify(block)
                ));
            }
        }
        Ok(())
    }

    /// Compares a whole image with the model.
    ///
    /// # Errors
    /// The first block that is wrong, or an image that cannot be read or has another length.
    pub fn compare(&self, image: &File) -> anyhow::Result<()> {
        let expected = self.blocks() * self.block as u64;
        // Also of a block device, whose metadata has no length.
        let found = (&*image).seek(SeekFrom::End(0))?;
        if found != expected {
            bail!("the image has {found} bytes, it had {expected}");
        }
        let at_once = (CHUNK / self.block) as u64;
        let mut bytes = vec![0; CHUNK];
        let mut lba = 0;
        while lba < self.blocks() {
            let blocks = at_once.min(self.blocks() - lba);
            let bytes = &mut bytes[..blocks as usize * self.block];
            image
                .read_exact_at(bytes, lba * self.block as u64)
                .with_context(|| format!("cannot read block {lba} of the image"))?;
            self.check(lba, bytes)
                .map_err(|what| anyhow::anyhow!("the image is wrong: {what}"))?;
            lba += blocks;
        }
        Ok(())
    }

    fn content(&self, lba: u64, generation: u32) -> Content {
        let tag = u64::from(generation) << 32 | self.seed & 0xffff_ffff;
        Content {
            head: [lba, tag],
            start: mix(lba ^ mix(tag)),
        }
    }

    /// Says whose content a block looks like.
    fn identify(&self, block: &[u8]) -> String {
        if block.iter().all(|&byte| byte == 0) {
            return "it is all zeroes".to_owned();
        }
        let (words, _) = block.as_chunks::<8>();
        let [lba, tag] = [words[0], words[1]].map(u64::from_le_bytes);
        if tag as u32 != self.seed as u32 || lba >= self.blocks() {
            return format!("it holds none of ours: {:02x?}…", &block[..16]);
        }
        let generation = (tag >> 32) as u32;
        let whole = self.content(lba, generation).first_difference(block);
        let extent = match whole {
            None => "it holds",
            Some(_) => "it begins like",
        };
        format!("{extent} block {lba} generation {generation}")
    }
}

/// What the words of a block differ by from one to the next, so that none is like another.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The content of a block: its address and generation, then words that depend on both and on their place.
struct Content {
    head: [u64; 2],
    start: u64,
}

impl Content {
    /// The word at a place, as it lies in the block.
    fn word(&self, at: usize) -> [u8; 8] {
        let word = match self.head.get(at) {
            Some(word) => *word,
            None => self.start.wrapping_add((at as u64 - 2).wrapping_mul(STEP)),
        };
        word.to_le_bytes()
    }

    /// The first word of a block that is another.
    fn first_difference(&self, block: &[u8]) -> Option<usize> {
        let (words, _) = block.as_chunks::<8>();
        let different = |at: usize| words.get(at).is_some_and(|found| *found != self.word(at));
        // Nearly always nothing differs: one pass without a way out in the middle, which the compiler does several words at a time.
        let (mut any, mut expected) = (0, self.start);
        for found in words.iter().skip(self.head.len()) {
            any |= u64::from_le_bytes(*found) ^ expected;
            expected = expected.wrapping_add(STEP);
        }
        if any == 0 && !different(0) && !different(1) {
            return None;
        }
        (0..words.len()).find(|at| different(*at))
    }
}

/// A bijection that spreads every bit (the finaliser of SplitMix64).
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests;
