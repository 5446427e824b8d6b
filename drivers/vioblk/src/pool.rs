//! A few pieces of DMA memory, for requests whose own memory does not do.

use storport::Dma;

/// Most pieces of a pool.
pub const MAX_PIECES: usize = 16;

/// Pieces of equal size, used under the lock of their queue.
#[derive(Debug)]
pub struct Pool {
    pieces: [Option<Dma>; MAX_PIECES],
    /// Bit n: piece n is free.
    free: u16,
}

impl Pool {
    /// A pool without pieces.
    pub const EMPTY: Self = Self {
        pieces: [None; MAX_PIECES],
        free: 0,
    };

    /// Adds a piece. False if the pool is full of them.
    pub fn add(&mut self, piece: Dma) -> bool {
        let place = (0..).zip(self.pieces.iter_mut()).find(|(_, place)| place.is_none());
        let Some((index, place)) = place else { return false };
        *place = Some(piece);
        self.give(index);
        true
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
        self.pieces.get(usize::from(index)).copied().flatten()
    }
}

#[cfg(test)]
mod tests;
