//! The stored counts of our ring, and how far new ones may be from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ring_subjects::{Case, Implementation, REQUESTS};
use serde::{Deserialize, Serialize};

use crate::measure::{Measured, Sums};
use perf_report::Test;

/// How many per cent a count may grow, or shrink unnoticed.
const TOLERANCE: u64 = 5;

/// What the file says first.
const HEADER: &str = "\
# What our ring does for the requests of each case, summed up; docs/benchmarks-ring.md explains the counts.
# Written by `cargo xtask bench ring --bless`. Review what changes here as you review code.

";

/// Counts of one phase that are held to the baseline.
type Counts = BTreeMap<String, u64>;

/// All stored counts: case, phase, count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Requests that each sum is for.
    requests: u32,
    cases: BTreeMap<String, BTreeMap<String, Counts>>,
}

impl Baseline {
    /// Our counts among those that were measured.
    pub fn of(measured: &[Measured]) -> Self {
        let ours = measured
            .iter()
            .filter(|one| one.case.implementation == Implementation::VirtioCore);
        let cases = ours.map(|one| {
            let phases = one
                .phases()
                .map(|(name, sums)| (name.to_owned(), counts(sums)));
            (one.case.to_string(), phases.collect())
        });
        Self {
            requests: REQUESTS,
            cases: cases.collect(),
        }
    }

    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "no baseline {}; `cargo xtask bench ring --bless` makes one",
                path.display()
            )
        })?;
        toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Writes the file: a line for each phase, so that a change is easy to review.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, self.text()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The file's content.
    fn text(&self) -> String {
        let mut text = format!("{HEADER}requests = {}\n", self.requests);
        for (case, phases) in &self.cases {
            text.push_str(&format!("\n[cases.\"{case}\"]\n"));
            for (phase, counts) in phases {
                let counts: Vec<String> = counts
                    .iter()
                    .map(|(name, count)| format!("{name} = {count}"))
                    .collect();
                text.push_str(&format!("{phase} = {{ {} }}\n", counts.join(", ")));
            }
        }
        text
    }

    /// The stored counts as if they had just been measured; what is not stored has to be 0 anyway.
    pub fn measured(&self) -> Vec<Measured> {
        Case::all()
            .into_iter()
            .filter_map(|case| {
                let phases = self.cases.get(&case.to_string())?;
                let stretches = u64::from(self.requests / case.depth);
                let sums = |name: &str| Some(sums(phases.get(name)?, stretches));
                Some(Measured {
                    case,
                    requests: self.requests,
                    publish: sums("publish")?,
                    kick: sums("kick"),
                    disarm: sums("disarm"),
                    complete: sums("complete"),
                    arm: sums("arm"),
                })
            })
            .collect()
    }

    /// One test for each case, stored or new.
    pub fn tests(&self, new: &Self) -> Vec<Test> {
        let mut names: Vec<&String> = self.cases.keys().chain(new.cases.keys()).collect();
        names.sort();
        names.dedup();
        let mut tests: Vec<Test> = names
            .into_iter()
            .map(|name| {
                let result = match (self.cases.get(name), new.cases.get(name)) {
                    (Some(old), Some(new)) if self.requests == REQUESTS => compare(old, new),
                    (Some(_), Some(_)) => Err("stored for another number of requests".to_owned()),
                    (Some(_), None) => Err("is in the baseline and was not measured".to_owned()),
                    (None, _) => Err("is not in the baseline".to_owned()),
                };
                (format!("baseline: {name}"), result)
            })
            .collect();
        for (_, result) in &mut tests {
            if let Err(problem) = result {
                problem.push_str("\nif that is meant: cargo xtask bench ring --bless");
            }
        }
        tests
    }
}

/// The counts that are stored.
fn counts(sums: &Sums) -> Counts {
    [
        ("instructions", sums.instructions),
        ("full_fences", sums.full_fences),
        ("device_loads", sums.device_loads),
        ("device_lines", sums.device_lines),
        ("driver_loads", sums.driver_loads),
        ("register_reads", sums.register_reads),
        ("register_writes", sums.register_writes),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), count))
    .collect()
}

/// A phase of so many stretches, from the stored counts.
fn sums(counts: &Counts, stretches: u64) -> Sums {
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    Sums {
        stretches,
        instructions: count("instructions"),
        full_fences: count("full_fences"),
        most_full_fences: 0,
        system_calls: 0,
        heap_calls: 0,
        device_loads: count("device_loads"),
        device_lines: count("device_lines"),
        driver_loads: count("driver_loads"),
        register_reads: count("register_reads"),
        register_writes: count("register_writes"),
    }
}

/// Every count that is too far from the stored one.
fn compare(old: &BTreeMap<String, Counts>, new: &BTreeMap<String, Counts>) -> Result<(), String> {
    let flat = |phases: &BTreeMap<String, Counts>| -> BTreeMap<String, u64> {
        phases
            .iter()
            .flat_map(|(phase, counts)| {
                counts
                    .iter()
                    .map(move |(name, count)| (format!("{phase} {name}"), *count))
            })
            .collect()
    };
    let (old, new) = (flat(old), flat(new));
    let mut problems = Vec::new();
    for name in old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)))
    {
        match (old.get(name), new.get(name)) {
            (Some(&old), Some(&new)) if new * 100 > old * (100 + TOLERANCE) => {
                problems.push(format!("{name}: {new}, more than {old} + {TOLERANCE} %"));
            }
            (Some(&old), Some(&new)) if new * 100 < old * (100 - TOLERANCE) => {
                problems.push(format!(
                    "{name}: {new}, better than {old} by over {TOLERANCE} %: store it"
                ));
            }
            (Some(_), Some(_)) => {}
            _ => problems.push(format!("{name}: only in one of baseline and measurement")),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Baseline, Counts};

    fn baseline(instructions: u64, fences: u64) -> Baseline {
        let counts: Counts = [("instructions", instructions), ("full_fences", fences)]
            .map(|(name, count)| (name.to_owned(), count))
            .into();
        Baseline {
            requests: ring_subjects::REQUESTS,
            cases: [("a".to_owned(), [("publish".to_owned(), counts)].into())].into(),
        }
    }

    fn verdict(old: (u64, u64), new: (u64, u64)) -> Result<(), String> {
        let tests = baseline(old.0, old.1).tests(&baseline(new.0, new.1));
        assert_eq!(tests.len(), 1);
        tests[0].1.clone()
    }

    #[test]
    fn five_per_cent_pass_and_more_does_not() {
        assert_eq!(verdict((1000, 0), (1050, 0)), Ok(()));
        assert_eq!(verdict((1000, 0), (950, 0)), Ok(()));
        let worse = verdict((1000, 0), (1051, 0)).unwrap_err();
        assert!(worse.contains("1051, more than 1000"), "{worse}");
        let better = verdict((1000, 0), (949, 0)).unwrap_err();
        assert!(better.contains("--bless"), "{better}");
    }

    #[test]
    fn what_was_never_done_may_not_begin() {
        assert!(verdict((1000, 0), (1000, 1)).is_err());
        assert_eq!(verdict((1000, 4), (1000, 4)), Ok(()));
    }

    #[test]
    fn cases_may_neither_vanish_nor_appear_unseen() {
        let mut other = baseline(1, 1);
        other.cases.clear();
        assert!(baseline(1, 1).tests(&other)[0].1.is_err());
        assert!(other.tests(&baseline(1, 1))[0].1.is_err());
    }

    #[test]
    fn the_file_reads_back() {
        let written = baseline(12, 3);
        assert_eq!(
            toml::from_str::<Baseline>(&written.text()).unwrap(),
            written
        );
    }
}
