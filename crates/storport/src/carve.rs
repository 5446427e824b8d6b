//! Cuts one block of DMA memory into aligned parts: a bump allocator that can only run out.

use core::ffi::c_void;
use core::ptr::NonNull;

/// A part of DMA memory: contiguous in device addresses, zeroed by whoever needs that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dma {
    va: NonNull<u8>,
    address: u64,
    len: usize,
}

impl Dma {
    /// # Safety
    /// `va` is valid for reads and writes of `len` bytes, and the device sees exactly these bytes at `address`, for as long as this is
    /// used.
    #[must_use]
    #[inline(always)] // nothing
    pub const unsafe fn new(va: NonNull<u8>, address: u64, len: usize) -> Self {
        Self { va, address, len }
    }

    /// Where the driver sees it.
    #[must_use]
    #[inline(always)] // as above
    pub const fn va(self) -> NonNull<u8> {
        self.va
    }

    /// Where the device sees it.
    #[must_use]
    #[inline(always)] // as above
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Bytes.
    #[must_use]
    #[inline(always)] // as above
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty one is no case of its own"
    )]
    pub const fn len(self) -> usize {
        self.len
    }

    /// The `len` bytes from `offset` on, if it has them.
    #[must_use]
    pub fn part(self, offset: usize, len: usize) -> Option<Self> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: inside, or one past the end.
        let va = unsafe { self.va.add(offset) };
        let address = self.address.checked_add(offset as u64)?;
        Some(Self { va, address, len })
    }
}

/// There is not enough left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub wanted: usize,
    /// Bytes that were left, alignment not counted.
    pub left: usize,
}

/// The rest of a block.
#[derive(Debug)]
pub struct Carver {
    rest: Dma,
}

impl Carver {
    /// Starts with a whole block.
    ///
    /// # Safety
    /// `block.va` is valid for reads and writes of `block.len` bytes for as long as any part is used, the device sees
    /// exactly these bytes at `block.address`, and nobody else uses them.
    #[must_use]
    pub const unsafe fn new(block: Dma) -> Self {
        Self { rest: block }
    }

    /// Where the rest starts.
    #[must_use]
    pub const fn start(&self) -> *const c_void {
        self.rest.va.as_ptr().cast()
    }

    /// Bytes left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len
    }

    /// Takes `len` bytes whose device address is a multiple of `align`, a power of two.
    ///
    /// # Errors
    /// [`OutOfMemory`] if they do not fit; nothing is taken then.
    pub fn take(&mut self, len: usize, align: usize) -> Result<Dma, OutOfMemory> {
        let out = OutOfMemory {
            wanted: len,
            left: self.rest.len,
        };
        let align = u64::try_from(align).map_err(|_| out)?;
        let start = self
            .rest
            .address
            .checked_next_multiple_of(align)
            .ok_or(out)?;
        let skip = usize::try_from(start.wrapping_sub(self.rest.address)).map_err(|_| out)?;
        let used = skip.checked_add(len).ok_or(out)?;
        let left = self.rest.len.checked_sub(used).ok_or(out)?;
        let end = self.rest.address.checked_add(used as u64).ok_or(out)?;
        // SAFETY: `skip <= used <= rest.len`, so this stays inside the block (or one past its end).
        let va = unsafe { self.rest.va.add(skip) };
        // SAFETY: as above.
        let next = unsafe { self.rest.va.add(used) };
        self.rest = Dma {
            va: next,
            address: end,
            len: left,
        };
        Ok(Dma {
            va,
            address: start,
            len,
        })
    }
}

#[cfg(test)]
mod tests;
