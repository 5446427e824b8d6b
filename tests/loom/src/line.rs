//! A notification on its way: a doorbell or an interrupt, raised by one side and taken by the other.

use loom::sync::atomic::{AtomicBool, Ordering};

/// A line that stays raised until it is taken.
///
/// Nothing is ordered by it. Real lines order more, and a ring that relied on that would be wrong: who raises and who takes may
/// be different processors, and a poll takes nothing.
#[derive(Debug, Default)]
pub struct Line(AtomicBool);

impl Line {
    /// Raises the line.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Lowers the line before work is looked for.
    pub fn take(&self) {
        self.0.swap(false, Ordering::Relaxed);
    }

    /// Whether the line is raised.
    #[must_use]
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
