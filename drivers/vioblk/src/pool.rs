//! A few pieces of DMA memory, for requests whose own memory does not do.
#![forbid(unsafe_code)]

use core::num::NonZeroU8;
use storport::Dma;

/// Most pieces of a pool.
pub const MAX_PIECES: usize = 16;

/// Pieces of equal size, side by side, used under the lock of their queue.
#[derive(Debug)]
pub struct Pool {
    block: Option<Dma>,
    /// Bytes of a piece.
    piece: usize,
    /// Bit n: piece n is free.
    free: u16,
}

impl Pool {
    /// A pool without pieces.
    pub const EMPTY: Self = Self {
        block: None,
        piece: 0,
        free: 0,
    };

    /// Cuts a block into pieces of `piece` bytes; at most [`MAX_PIECES`] of them are used.
    pub fn new(block: Dma, piece: usize) -> Self {
        let count = block.len().checked_div(piece).unwrap_or(0).min(MAX_PIECES);
        let free = 1u32.checked_shl(count as u32).unwrap_or(0).wrapping_sub(1);
        Self {
            block: Some(block),
            piece,
            free: u16::try_from(free).unwrap_or(0),
        }
    }

    /// Takes a free piece, by its number. They count from 1, so that whether a request has one is no byte of its own.
    pub fn take(&mut self) -> Option<NonZeroU8> {
        if self.free == 0 {
            return None;
        }
        let lowest = self.free.trailing_zeros();
        self.free &= self.free.wrapping_sub(1);
        NonZeroU8::new(u8::try_from(lowest).ok()?.wrapping_add(1))
    }

    /// Gives a piece back.
    pub fn give(&mut self, number: NonZeroU8) {
        let index = u32::from(number.get()).wrapping_sub(1);
        self.free |= 1u16.checked_shl(index).unwrap_or(0);
    }

    /// A piece by its number.
    pub fn piece(&self, number: NonZeroU8) -> Option<Dma> {
        let block = self.block?;
        let index = usize::from(number.get()).wrapping_sub(1);
        block.part(index.checked_mul(self.piece)?, self.piece)
    }
}

#[cfg(test)]
mod tests;
