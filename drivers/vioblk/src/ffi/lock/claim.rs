//! Who has a queue, in one word that nobody but its owner changes back.
#![forbid(unsafe_code)]

use super::atomic::{AtomicU32, Ordering};

/// How a queue is found that nobody has. Exactly one of these bits is set then, and none while somebody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Free {
    /// Requests can go the short way.
    Swift = 1,
    /// They cannot.
    Slow = 2,
}

const TAKEN: u32 = 0;

/// A spin lock whose word also says whether the owner finds the queue as nearly all do.
///
/// It is not fair: who waits longest need not be next.
#[derive(Debug)]
pub struct Claim(AtomicU32);

impl Claim {
    /// Nobody has it.
    pub fn new(free: Free) -> Self {
        Self(AtomicU32::new(free as u32))
    }

    /// Takes it if it is free and swift. False: it is not, or somebody has it.
    ///
    /// Acquire, here and in [`Self::try_any`], orders what the owner does after this; it pairs with the release in [`Self::give`], so
    /// that the last owner's writes are seen. Relaxed would let the queue be read as it was before. Who takes nothing leaves the
    /// word as it is, and the pair as well: a read-modify-write in between continues what the release began.
    #[inline(always)] // part of HwStartIo and a DPC
    pub fn try_swift(&self) -> bool {
        const SWIFT: u32 = Free::Swift as u32;
        self.0.fetch_and(!SWIFT, Ordering::Acquire) & SWIFT != 0
    }

    /// Takes it if it is free.
    #[inline]
    pub fn try_any(&self) -> bool {
        self.0.swap(TAKEN, Ordering::Acquire) != TAKEN
    }

    /// Takes it as soon as it is free and swift. False: it is free, but not swift, and is not taken.
    #[cold]
    #[inline(never)] // used twice or more
    pub fn wait_swift(&self, mut pause: impl FnMut()) -> bool {
        loop {
            // Looked at before it is written, so that its cache line stays with the owner.
            match self.0.load(Ordering::Relaxed) {
                TAKEN => pause(),
                free if free == Free::Slow as u32 => return false,
                _ => {
                    if self.try_swift() {
                        return true;
                    }
                }
            }
        }
    }

    /// Takes it as soon as it is free.
    #[cold]
    #[inline(never)] // used twice or more
    pub fn wait_any(&self, mut pause: impl FnMut()) {
        while !self.try_any() {
            // As above.
            while self.0.load(Ordering::Relaxed) == TAKEN {
                pause();
            }
        }
    }

    /// Gives it back. For its owner.
    #[inline(always)] // as above
    pub fn give(&self, free: Free) {
        // Orders all that the owner did before this; see `try_swift`.
        self.0.store(free as u32, Ordering::Release);
    }
}
