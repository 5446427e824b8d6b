//! The stored counts, and how far new ones may be from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::measure::Measured;
use perf_report::Test;

/// How many per cent a count may grow, or shrink unnoticed.
const TOLERANCE: u64 = 5;

/// What the file says first.
const HEADER: &str = "\
# What vioblk.sys does for the 4 KiB requests of each case, summed up, and what starting it takes; docs/benchmarks.md explains.
# Written by `cargo xtask bench blk --bless`. Review what changes here as you review code.
";

type Counts = BTreeMap<String, u64>;

/// All stored counts by case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    cases: BTreeMap<String, Counts>,
}

impl Baseline {
    /// Of what was measured.
    pub fn of(measured: &[Measured]) -> Self {
        let mut cases: BTreeMap<String, Counts> = measured
            .iter()
            .map(|one| (one.case.to_string(), counts(one)))
            .collect();
        for one in measured.iter().filter(|one| one.case == Case::largest()) {
            let start = &one.tallies.start;
            let mut counts: Counts = start
                .calls
                .iter()
                .map(|(name, count)| (name.clone(), *count))
                .collect();
            counts.insert("register reads".to_owned(), start.register_reads);
            counts.insert("register writes".to_owned(), start.register_writes);
            cases.insert(format!("start queues={}", one.case.queues), counts);
        }
        Self { cases }
    }

    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "no baseline {}; `cargo xtask bench blk --bless` makes one",
                path.display()
            )
        })?;
        toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{HEADER}\n{}", toml::to_string(self)?);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// One test for each case, stored or new.
    pub fn tests(&self, new: &Self) -> Vec<Test> {
        let mut names: Vec<&String> = self.cases.keys().chain(new.cases.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .map(|name| {
                let result = match (self.cases.get(name), new.cases.get(name)) {
                    (Some(old), Some(new)) => compare(old, new),
                    (Some(_), None) => Err("is in the baseline and was not measured".to_owned()),
                    (None, _) => Err("is not in the baseline".to_owned()),
                };
                let result = result.map_err(|problem| {
                    format!("{problem}\nif that is meant: cargo xtask bench blk --bless")
                });
                (format!("baseline: {name}"), result)
            })
            .collect()
    }
}

/// The counts of one case that are stored.
fn counts(one: &Measured) -> Counts {
    let mut counts: Counts = one
        .phases
        .iter()
        .map(|(name, sums)| (format!("{name} instructions"), sums.instructions))
        .collect();
    let rest = [
        ("requests", one.requests),
        ("full fences", one.sum(|sums| sums.fences)),
        ("locked instructions", one.sum(|sums| sums.locked)),
        ("bytes beyond the ring", one.sum(|sums| sums.bytes)),
        ("bytes cleared", one.sum(|sums| sums.cleared)),
        ("stores to the ring", one.sum(|sums| sums.ring_stores)),
        ("calls", one.sum(|sums| sums.calls_out)),
        ("heap calls", one.heap()),
        ("locks", one.locks()),
        ("kicks", one.tallies.requests.kicks),
        ("interrupts", one.tallies.requests.interrupts),
    ];
    counts.extend(rest.map(|(name, count)| (name.to_owned(), count)));
    counts
}

/// Every count that is too far from the stored one.
fn compare(old: &Counts, new: &Counts) -> Result<(), String> {
    let mut problems = Vec::new();
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (old, new) = (
            old.get(name).copied().unwrap_or(0),
            new.get(name).copied().unwrap_or(0),
        );
        if new * 100 > old * (100 + TOLERANCE) {
            problems.push(format!("{name}: {new}, more than {old} + {TOLERANCE} %"));
        } else if new * 100 < old * (100 - TOLERANCE) {
            problems.push(format!(
                "{name}: {new}, better than {old} by over {TOLERANCE} %: store it"
            ));
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

    fn baseline(instructions: u64, heap: u64) -> Baseline {
        let counts: Counts = [("dpc instructions", instructions), ("heap calls", heap)]
            .map(|(name, count)| (name.to_owned(), count))
            .into();
        Baseline {
            cases: [("a".to_owned(), counts)].into(),
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
        assert!(verdict((1000, 0), (1051, 0)).is_err());
        assert!(verdict((1000, 0), (949, 0)).is_err());
    }

    #[test]
    fn what_was_never_done_may_not_begin() {
        assert!(verdict((1000, 0), (1000, 1)).is_err());
    }

    #[test]
    fn cases_may_neither_vanish_nor_appear_unseen() {
        let mut other = baseline(1, 1);
        other.cases.clear();
        assert!(baseline(1, 1).tests(&other)[0].1.is_err());
        assert!(other.tests(&baseline(1, 1))[0].1.is_err());
    }
}
