//! What came of a row, from what was seen of the adapter and of the device.

use anyhow::{Result, ensure};
use host_storport::Adapter;
use test_device::Device;

use super::Verdict;
use crate::workload::Tally;

/// What was seen.
#[derive(Debug, Default)]
pub struct Account {
    /// The miniport refused the device at its start.
    pub refused: bool,
    /// The miniport did not restart the device.
    pub lost: bool,
    /// Requests that the port driver waited for in vain.
    pub timeouts: u64,
    /// How often the miniport reported that the device broke the protocol of a queue.
    pub reported: usize,
    /// Every piece of work.
    pub pieces: Vec<Tally>,
    /// What the device was to do wrong, and how often it has.
    pub told: Vec<(String, u64)>,
}

impl Account {
    /// Takes down what adapter and device count themselves.
    pub fn close(&mut self, adapter: &Adapter) {
        // docs/vioblk-events.md, drivers/vioblk/messages.toml
        const REPORTED: u32 = 5;
        const QUEUE_BROKEN: u64 = 7;
        let traces = adapter.traces();
        let event = traces.iter().filter(|trace| trace.id == REPORTED);
        let event = event.filter_map(|trace| trace.parameters.first());
        self.reported = event.filter(|(_, event)| *event == QUEUE_BROKEN).count();
        self.timeouts = adapter.counters().timeouts;
        self.told = adapter.device(|device| device.told());
    }

    /// Compares it with what has to come of the row.
    pub fn judge(&self, verdict: Verdict) -> Result<()> {
        let disturbed = self.disturbed();
        let seen = self.seen();
        let survived = [Verdict::CutOff, Verdict::Closed, Verdict::Unharmed];
        let is_any = |seen| verdict == Verdict::Survived && survived.contains(&seen);
        ensure!(
            seen.is_some_and(|seen| seen == verdict || is_any(seen)),
            "expected {verdict:?}, saw {seen:?}: {disturbed} requests failed, {} of them at the end, {} timed out, {} reports",
            self.last().disturbed,
            self.timeouts,
            self.reported
        );
        for (lie, times) in &self.told {
            ensure!(*times > 0, "the device never came to {lie}");
        }
        Ok(())
    }

    fn disturbed(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.disturbed).sum()
    }

    fn last(&self) -> Tally {
        self.pieces.last().cloned().unwrap_or_default()
    }

    /// None: something that has to come of no row.
    fn seen(&self) -> Option<Verdict> {
        let (disturbed, last) = (self.disturbed(), self.last());
        Some(match (self.refused, self.lost, last.disturbed) {
            (true, ..) => Verdict::Refused,
            // All of them, not only those that were under way.
            (.., 1..) if last.gone == last.requests => Verdict::Gone,
            (.., 1..) => return None,
            (_, true, 0) if disturbed == 0 => Verdict::Lost,
            (_, true, 0) => return None,
            (_, false, 0) if disturbed == 0 => Verdict::Unharmed,
            // Who notices nothing has the port driver wait, and that resets as well.
            _ if self.timeouts == 0 && self.reported > 0 => Verdict::Closed,
            _ => Verdict::CutOff,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(requests: u64, disturbed: u64, gone: u64) -> Tally {
        Tally {
            requests,
            disturbed,
            gone,
            ..Tally::default()
        }
    }

    #[test]
    fn only_a_driver_that_reports_and_keeps_nobody_waiting_has_found_a_lie_out() {
        let mut account = Account {
            pieces: vec![piece(60, 16, 0), piece(10, 0, 0)],
            reported: 1,
            ..Account::default()
        };
        assert!(account.judge(Verdict::Closed).is_ok());
        assert!(account.judge(Verdict::Survived).is_ok());
        assert!(account.judge(Verdict::CutOff).is_err());
        account.timeouts = 1;
        assert!(account.judge(Verdict::Closed).is_err());
        assert!(account.judge(Verdict::CutOff).is_ok());
        (account.timeouts, account.reported) = (0, 0);
        assert!(account.judge(Verdict::Closed).is_err());
    }

    #[test]
    fn a_device_is_gone_when_every_request_of_the_last_piece_says_so() {
        let gone = |last: Tally, lost| Account {
            lost,
            pieces: vec![piece(60, 3, 3), last],
            ..Account::default()
        };
        assert!(gone(piece(10, 10, 10), false).judge(Verdict::Gone).is_ok());
        assert!(gone(piece(10, 10, 10), true).judge(Verdict::Gone).is_ok());
        for last in [
            piece(10, 1, 1),
            piece(10, 10, 9),
            piece(10, 0, 0),
            piece(0, 0, 0),
        ] {
            for lost in [false, true] {
                let account = gone(last.clone(), lost);
                assert!(account.judge(Verdict::Gone).is_err(), "{account:?}");
                assert!(account.judge(Verdict::Lost).is_err(), "{account:?}");
            }
        }
    }

    #[test]
    fn a_lie_that_was_never_told_has_shown_nothing() {
        let mut account = Account {
            pieces: vec![piece(60, 0, 0)],
            told: vec![("event@20".to_owned(), 1), ("late-ring".to_owned(), 0)],
            ..Account::default()
        };
        assert!(account.judge(Verdict::Unharmed).is_err());
        account.told[1].1 = 1;
        assert!(account.judge(Verdict::Unharmed).is_ok());
    }
}
