//! Writes that are flushed because a command turned the write cache off.
#![forbid(unsafe_code)]

use super::Ring;
use crate::request::{Operation, Request, Stage};

/// Which writes are flushed although nobody asked for it, because a command turned the cache off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// None.
    None,
    /// Those that the device had when it turned its cache off, and, as nobody can tell which these are, all until it has none.
    UntilIdle,
    /// All: the device has its cache on all the same.
    All,
}

impl Ring {
    /// After the last step of what has succeeded, while there are such writes: whether a flush has to follow that nobody asked for.
    #[inline(never)] // used twice or more
    pub(super) fn must_flush(&mut self, request: &mut Request) -> bool {
        use Operation::{Discard, Repeat, Write, Zero};
        let writes = matches!(
            request.operation,
            Write { .. } | Discard | Zero { .. } | Repeat
        );
        let must = writes && request.stage == Stage::Operation;
        if must {
            request.stage = Stage::Flush;
        }
        if self.is_idle() && self.through == Through::UntilIdle {
            self.through = Through::None;
        }
        must
    }

    /// Chooses which writes are flushed although nobody asked for it, from those on that the device has.
    #[inline(never)] // used twice or more
    pub fn write_through(&mut self, through: Through) {
        self.through = match through {
            Through::UntilIdle if self.is_idle() => Through::None,
            through => through,
        };
    }

    fn is_idle(&self) -> bool {
        let queue = self.queue.as_ref();
        queue.is_none_or(|queue| queue.in_flight() == 0)
    }
}
