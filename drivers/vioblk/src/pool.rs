//! A few pieces of DMA memory, for requests whose own memory does not do.
#![forbid(unsafe_code)]

use core::ptr::NonNull;
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
        let count = block.len.checked_div(piece).unwrap_or(0).min(MAX_PIECES);
        let free = 1u32.checked_shl(count as u32).unwrap_or(0).wrapping_sub(1);
        Self {
            block: Some(block),
            piece,
            free: u16::try_from(free).unwrap_or(0),
        }
    }

    /// Takes a free piece, by its number.
    pub fn take(&mut self) -> Option<u8> {
        if self.free == 0 {
            return None;
        }
        let lowest = self.free.trailing_zeros();
        self.free &= self.free.wrapping_sub(1);
        u8::try_from(lowest).ok()
    }

    /// Gives a piece back.
    pub fn give(&mut self, index: u8) {
        self.free |= 1u16.checked_shl(u32::from(index)).unwrap_or(0);
    }

    /// A piece by its number.
    pub fn piece(&self, index: u8) -> Option<Dma> {
        let block = self.block?;
        let offset = usize::from(index).checked_mul(self.piece)?;
        let end = offset.checked_add(self.piece)?;
        if end > block.len {
            return None;
        }
        Some(Dma {
            va: NonNull::new(block.va.as_ptr().wrapping_add(offset))?,
            address: block.address.checked_add(offset as u64)?,
            len: self.piece,
        })
    }
}

#[cfg(test)]
mod tests;
