//! What came of a scenario.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::workload::Tally;

/// The outcome of one scenario.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// Which.
    pub scenario: String,
    /// The seed of its choices.
    pub seed: u64,
    /// Whether everything was as it has to be.
    pub passed: bool,
    /// What was not.
    pub failures: Vec<String>,
    /// Rules that the driver broke.
    pub violations: Vec<String>,
    /// The names of those rules.
    pub rules: BTreeSet<String>,
    /// What was still allocated at the end.
    pub leaks: Vec<String>,
    /// What is worth knowing, such as that the device was refused.
    pub notes: Vec<String>,
    /// What the workload did.
    pub tally: Tally,
    /// Calls and events counted by the port driver and the kernel.
    pub counters: BTreeMap<String, u64>,
    /// The event log.
    pub events: Vec<String>,
    /// What the driver told event tracing.
    #[serde(default)]
    pub traces: Vec<String>,
    /// What the driver printed.
    pub debug_output: Vec<String>,
    /// Hash over every event of the run; from one seed always the same on the in-process device.
    pub trace: String,
    /// Real time, seconds.
    pub seconds: f64,
}

impl Verdict {
    /// A verdict on something that did not come to run.
    #[must_use]
    pub fn not_run(scenario: &str, seed: u64, why: String) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seed,
            failures: vec![why],
            ..Self::default()
        }
    }

    /// Decides, once everything is in.
    pub fn close(&mut self) {
        self.passed =
            self.failures.is_empty() && self.violations.is_empty() && self.leaks.is_empty();
    }

    /// One line.
    #[must_use]
    pub fn line(&self) -> String {
        let tally = &self.tally;
        let word = if self.passed { "ok    " } else { "FAILED" };
        let mut line = format!(
            "{word} {:<20} {:>6} operations {:>7} requests {:>6} MiB {:>5.1} s",
            self.scenario,
            tally.operations,
            tally.requests,
            (tally.read + tally.written) >> 20,
            self.seconds
        );
        if tally.expected_errors > 0 {
            line += &format!(", {} errors as expected", tally.expected_errors);
        }
        for note in &self.notes {
            line += &format!(", {note}");
        }
        line
    }

    /// What is wrong, a line each, nothing if it passed.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let all = [
            ("", &self.failures),
            ("violation: ", &self.violations),
            ("leak: ", &self.leaks),
        ];
        all.iter()
            .flat_map(|(what, list)| list.iter().map(move |text| format!("{what}{text}")))
            .collect()
    }
}
