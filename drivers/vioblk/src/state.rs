//! What each request has to look at before it goes the short way, in one word.
#![forbid(unsafe_code)]

use crate::scsi::{FORCED, STARTED, WRITES};
use core::sync::atomic::{AtomicU32, Ordering};

/// The device has been removed.
pub const GONE: u32 = 1 << 16;
/// The capacity has changed, and the class driver does not know it yet.
pub const CAPACITY_CHANGED: u32 = 1 << 17;
/// What MODE SENSE shows has changed, and the class driver does not know it yet.
pub const MODE_CHANGED: u32 = 1 << 18;
/// StorPort chooses an interrupt message for each request.
pub const BY_MESSAGE: u32 = 1 << 19;
/// Writes may stay in a volatile cache.
pub const WRITE_CACHE: u32 = 1 << 20;
/// StorPort stopped the adapter: the device may have no power.
pub const HALTED: u32 = 1 << 21;
/// The DPCs cannot be queued yet, nor queues be waited for. In the dump stack it stays so.
pub const NO_DPCS: u32 = 1 << 22;
/// Interrupt messages are shared by queues, or with the configuration.
pub const MESSAGES_SHARED: u32 = 1 << 23;
/// Completions are looked for by the dump stack, which has no interrupts: nothing goes the short way.
pub const POLLED: u32 = 1 << 24;
/// Writes fail.
pub const READ_ONLY: u32 = WRITES as u32;
/// No command has stopped the disk.
pub const RUNNING: u32 = 1 << 25;
/// No command goes the short way while any of these is set: the disk is not there, a command has to be told of something, or nothing may
/// be waited for.
const NOT_QUIET: u32 = GONE | CAPACITY_CHANGED | MODE_CHANGED | NO_DPCS | POLLED;
/// Commands may go the short way: the disk runs, and nothing of [`NOT_QUIET`] is set. Follows from the other bits.
const SHORT: u32 = STARTED as u32;
/// A command that asks for its data to be on the medium needs a flush.
const FLUSHES: u32 = FORCED as u32;

/// The word. Its lower half is what [`crate::scsi::PlainTransfer`] looks at in the first two bytes of a command.
///
/// Each bit says something of its own, and Relaxed is enough for it where nothing else is said; a word costs each request one look.
#[derive(Debug)]
pub struct State(AtomicU32);

/// What a request found.
#[derive(Clone, Copy, Debug)]
pub struct Now(u32);

impl State {
    /// A disk that is there and runs, and whose adapter is not started yet. `cache_mode`: its cache can be turned on and off, and may be on by the time that it has a write.
    pub const fn new(polled: bool, read_only: bool, write_cache: bool, cache_mode: bool) -> Self {
        let mut word = crate::scsi::PLAIN as u32 | RUNNING | HALTED | NO_DPCS | MESSAGES_SHARED;
        if polled {
            word |= POLLED;
        }
        if read_only {
            word |= READ_ONLY;
        }
        if write_cache {
            word |= WRITE_CACHE;
        }
        if write_cache || cache_mode {
            word |= FLUSHES;
        }
        Self(AtomicU32::new(settled(word)))
    }

    /// Changes some bits, and [`SHORT`] with them. What they were.
    fn change(&self, order: Ordering, change: impl Fn(u32) -> u32) -> u32 {
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            let after = settled(change(before));
            // A failure reads nothing that anybody relies on.
            match self
                .0
                .compare_exchange_weak(before, after, order, Ordering::Relaxed)
            {
                Ok(before) => return before,
                Err(now) => before = now,
            }
        }
    }

    /// All of it.
    #[inline(always)] // part of HwStartIo
    pub fn now(&self) -> Now {
        Now(self.0.load(Ordering::Relaxed))
    }

    /// Whether a bit is set.
    pub fn is(&self, bit: u32) -> bool {
        self.0.load(Ordering::Relaxed) & bit != 0
    }

    /// Sets a bit, or clears it. Whether it was set.
    pub fn set(&self, bit: u32, on: bool) -> bool {
        let change = |word| if on { word | bit } else { word & !bit };
        self.change(Ordering::Relaxed, change) & bit != 0
    }

    /// The DPCs can be queued.
    ///
    /// SeqCst, and so is the look in [`Self::dpcs_may_run`]: see `Disk::passive`. It also orders the DPCs' initialisation before their use.
    pub fn let_dpcs_run(&self) {
        self.change(Ordering::SeqCst, |word| word & !NO_DPCS);
    }

    /// Whether DPCs can be queued, and may be.
    ///
    /// `Disk::stop` says no with the interrupt locks held, so an interrupt routine that runs later sees it.
    #[inline(always)] // part of an interrupt
    pub fn dpcs_may_run(&self) -> bool {
        self.0.load(Ordering::SeqCst) & (HALTED | NO_DPCS) == 0
    }

    /// The same, and every queue has an interrupt message of its own.
    #[inline(always)] // as above
    pub fn queue_message_is_simple(&self) -> bool {
        self.0.load(Ordering::SeqCst) & (HALTED | NO_DPCS | MESSAGES_SHARED) == 0
    }

    /// Something has changed that the next command is told of.
    ///
    /// Release orders what has changed before the word of it; it pairs with the Acquire in [`Self::take`]. Relaxed would let the next
    /// command be told of a change and the one after it answered with what was before.
    pub fn tell(&self, change: u32) {
        self.change(Ordering::Release, |word| word | change);
    }

    /// Takes the word of a change back: whether there was any, for one caller.
    pub fn take(&self, change: u32) -> bool {
        // Acquire: see `tell`.
        self.change(Ordering::Acquire, |word| word & !change) & change != 0
    }
}

impl Now {
    /// What matters in the first two bytes of a command. Nothing is found plain by it on a disk that is stopped or gone, in the dump stack,
    /// or while there is something that a command has to be told.
    #[inline(always)] // as above
    pub const fn commands(self) -> u16 {
        self.0 as u16
    }

    /// StorPort chooses an interrupt message for each request.
    #[inline(always)] // as above
    pub const fn by_message(self) -> bool {
        self.0 & BY_MESSAGE != 0
    }
}

/// The word with [`SHORT`] as it follows from the other bits.
const fn settled(word: u32) -> u32 {
    if word & (RUNNING | NOT_QUIET) == RUNNING {
        word | SHORT
    } else {
        word & !SHORT
    }
}

#[cfg(test)]
mod tests;
