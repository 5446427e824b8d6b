//! A device that asks for one reset while it is used gets it, and is used again: a request may be cut off by the reset, and none fails.

use anyhow::{Result, ensure};

/// When the device asked, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The register access at which it asks, if this is all that happens to it.
    at: Option<u64>,
    /// Accesses when the adapter began to run.
    since: u64,
    /// It asked while the adapter ran.
    came: bool,
    /// Requests that failed so far, otherwise than by a reset.
    failed: u64,
}

impl Recovery {
    /// Of a plan whose device asks once, at this register access.
    pub(super) fn new(at: Option<u64>) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }

    /// A start, restart or reset is over, after so many register accesses. A device that asks during one of those may be given up.
    pub(super) fn runs(&mut self, accesses: u64) {
        self.since = accesses;
    }

    /// The adapter is to be reset, stopped or removed, after so many register accesses and failures of requests that no reset ended.
    pub(super) fn pauses(&mut self, accesses: u64, failed: u64) {
        self.came |= self.at.is_some_and(|at| self.since < at && at <= accesses);
        self.failed = failed;
    }

    /// # Errors
    /// The driver gave the device up.
    pub(super) fn judge(&self, lost: bool) -> Result<()> {
        ensure!(
            !self.came || !lost && self.failed == 0,
            "the device asked for one reset while it was used, and was given up: {} requests failed{}",
            self.failed,
            if lost { ", it was not restarted" } else { "" }
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A life at whose end so many requests have failed: the start takes 10 register accesses, then come 20 of work, 20 of a restart
    /// and 20 of work.
    fn judged(at: Option<u64>, lost: bool, failed: u64) -> bool {
        let mut recovery = Recovery::new(at);
        recovery.runs(10);
        recovery.pauses(30, 0);
        recovery.runs(50);
        recovery.pauses(70, failed);
        recovery.judge(lost).is_ok()
    }

    #[test]
    fn a_device_that_asks_while_it_is_used_is_used_again() {
        for at in [11, 30, 51, 70] {
            assert!(judged(Some(at), false, 0), "{at}");
            assert!(!judged(Some(at), false, 1), "{at}");
            assert!(!judged(Some(at), true, 0), "{at}");
        }
        // At the start, during the restart, after the end, and never.
        for at in [Some(10), Some(31), Some(50), Some(71), None] {
            assert!(judged(at, true, 1), "{at:?}");
        }
    }
}
