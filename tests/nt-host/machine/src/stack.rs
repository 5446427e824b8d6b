//! Stacks with guard pages below them and a paint that shows how deep they were used.

use std::cell::RefCell;

use crate::ram::PAGE;
use crate::sys;

/// Bytes below a stack that fault. More than a page, so that a frame too large for its stack check is caught too.
const GUARD: usize = 16 * PAGE;

/// What an unused word holds.
const PAINT: u64 = 0xfeed_5eed_dead_57ac;

/// Most stacks kept for reuse, per thread.
const POOL: usize = 256;

thread_local! {
    static FREE: RefCell<Vec<Stack>> = const { RefCell::new(Vec::new()) };
}

/// A stack. It is painted if its use is to be measured: that touches every page of it.
#[repr(C)]
pub struct Stack {
    low: usize,
    high: usize,
    painted: bool,
}

impl Stack {
    /// A painted stack of `size` bytes, rounded up to pages.
    pub fn painted(size: usize) -> Stack {
        Stack::take(size, true)
    }

    /// A stack of `size` bytes, rounded up to pages, that takes memory only as it is used.
    pub fn plain(size: usize) -> Stack {
        Stack::take(size, false)
    }

    fn take(size: usize, painted: bool) -> Stack {
        let size = sys::pages(size);
        let reused = FREE.with_borrow_mut(|free| {
            let index = free
                .iter()
                .position(|stack| (stack.high - stack.low, stack.painted) == (size, painted))?;
            Some(free.swap_remove(index))
        });
        reused.unwrap_or_else(|| Stack::map(size, painted))
    }

    fn map(size: usize, painted: bool) -> Stack {
        let reserved = sys::map(size + GUARD, sys::NONE).expect("address space for a stack");
        let low = reserved + GUARD;
        // SAFETY: the pages were just mapped.
        unsafe { sys::protect(low, size, sys::READ_WRITE) };
        let mut stack = Stack {
            low,
            high: low + size,
            painted,
        };
        if painted {
            stack.words().fill(PAINT);
        }
        stack
    }

    /// The lowest usable address.
    pub fn low(&self) -> usize {
        self.low
    }

    /// The first address above it: where a stack pointer starts.
    pub fn high(&self) -> usize {
        self.high
    }

    /// Whether the address is in the guard pages.
    pub fn guards(&self, address: usize) -> bool {
        (self.low - GUARD..self.low).contains(&address)
    }

    /// The most bytes of a painted stack that were in use.
    pub fn used(&self) -> usize {
        let words = (self.high - self.low) / 8;
        // SAFETY: whole words of readable memory; only code of this thread writes there, and it does not now.
        let words = unsafe { std::slice::from_raw_parts(self.low as *const u64, words) };
        // Most of it is paint: looked at many words at a time, without a way out in the middle.
        let painted =
            |piece: &&[u64; 64]| piece.iter().fold(0, |any, word| any | (word ^ PAINT)) == 0;
        let (pieces, _) = words.as_chunks::<64>();
        let words = &words[64 * pieces.iter().take_while(painted).count()..];
        let unused = words.iter().take_while(|word| **word == PAINT).count();
        (words.len() - unused) * 8
    }

    fn words(&mut self) -> &mut [u64] {
        let words = (self.high - self.low) / 8;
        // SAFETY: whole words of writable memory that nothing runs on: `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.low as *mut u64, words) }
    }

    /// Keeps the stack for later, as if new: `used` bytes of it were in use.
    pub fn recycle(mut self, used: usize) {
        let kept = FREE.try_with(|free| {
            let Ok(mut free) = free.try_borrow_mut() else {
                return Some(self);
            };
            if free.len() >= POOL {
                return Some(self);
            }
            if self.painted {
                let words = self.words();
                let first = words.len() - used / 8;
                words[first..].fill(PAINT);
            }
            free.push(self);
            None
        });
        drop(kept);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: whoever owns the stack has stopped running on it.
        unsafe { sys::unmap(self.low - GUARD, self.high - self.low + GUARD) };
    }
}
