//! Running the cases under the counter.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use perf_count::{Limits, Phase, Report, count_program};
use ring_subjects::{Case, Implementation, REQUESTS, phase};
use serde::{Serialize, Serializer};

/// The two programs that do the work.
pub struct Programs {
    ours: PathBuf,
    others: PathBuf,
}

impl Programs {
    /// The programs in a folder; the second one is only needed for the implementations of others.
    pub fn in_folder(dir: &Path) -> Result<Self> {
        let dir = dir
            .canonicalize()
            .with_context(|| format!("no folder {}", dir.display()))?;
        Ok(Self {
            ours: dir.join("ring-ours"),
            others: dir.join("ring-others"),
        })
    }

    /// Counts one case.
    pub fn count(&self, case: &Case, limits: Limits) -> Result<Report> {
        let program = match case.implementation {
            Implementation::VirtioCore => &self.ours,
            _ => &self.others,
        };
        count_program(limits, program, &[&case.to_string()]).with_context(|| case.to_string())
    }
}

/// One case and what was counted. Sums over [`REQUESTS`] requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    #[serde(serialize_with = "name")]
    pub case: Case,
    pub requests: u32,
    pub publish: Sums,
    pub kick: Option<Sums>,
    pub disarm: Option<Sums>,
    pub complete: Option<Sums>,
    pub arm: Option<Sums>,
}

impl Measured {
    /// The phases that an implementation has, with their names.
    pub fn phases(&self) -> impl Iterator<Item = (&'static str, &Sums)> {
        [
            ("publish", Some(&self.publish)),
            ("kick", self.kick.as_ref()),
            ("disarm", self.disarm.as_ref()),
            ("complete", self.complete.as_ref()),
            ("arm", self.arm.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, sums)| Some((name, sums?)))
    }
}

fn name<S: Serializer>(case: &Case, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(case)
}

/// Sums over all stretches of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sums {
    pub stretches: u64,
    pub instructions: u64,
    pub full_fences: u64,
    /// Most full fences of any stretch.
    pub most_full_fences: u64,
    pub system_calls: u64,
    pub heap_calls: u64,
    /// Loads from cache lines that the device writes.
    pub device_loads: u64,
    /// Different such lines, in each stretch.
    pub device_lines: u64,
    /// Loads from other cache lines of the ring: those that only the driver writes.
    pub driver_loads: u64,
    pub register_reads: u64,
    pub register_writes: u64,
}

impl Sums {
    fn of(phase: &Phase) -> Self {
        let total = phase.total;
        Self {
            stretches: phase.stretches,
            instructions: total.instructions,
            full_fences: total.full_fences,
            most_full_fences: phase.most.full_fences,
            system_calls: total.system_calls,
            heap_calls: total.heap_calls,
            device_loads: total.device_loads,
            device_lines: total.device_lines,
            driver_loads: total.driver_loads,
            register_reads: total.register_reads,
            register_writes: total.register_writes,
        }
    }
}

/// Counts all cases, in as many threads as there are processors; the result is in the cases' order.
pub fn all(programs: &Programs, cases: &[Case]) -> Result<Vec<Measured>> {
    let next = Mutex::new(cases.iter().enumerate());
    let results = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers.min(cases.len()) {
            scope.spawn(|| {
                while let Some((number, case)) = next.lock().ok().and_then(|mut next| next.next()) {
                    let measured = one(programs, case);
                    if let Ok(mut results) = results.lock() {
                        results.push((number, measured));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, measured)| measured).collect()
}

/// Counts all cases of our own ring.
pub fn ours(programs: &Programs) -> Result<Vec<Measured>> {
    let cases: Vec<Case> = Case::all()
        .into_iter()
        .filter(|case| case.implementation == Implementation::VirtioCore)
        .collect();
    all(programs, &cases)
}

fn one(programs: &Programs, case: &Case) -> Result<Measured> {
    let limits = Limits {
        deadline: Duration::from_secs(120),
        ..Limits::default()
    };
    let report = programs.count(case, limits)?;
    let sums = |number| report.phase(number).map(Sums::of);
    Ok(Measured {
        case: *case,
        requests: REQUESTS,
        publish: sums(phase::PUBLISH).with_context(|| format!("{case}: nothing published"))?,
        kick: sums(phase::KICK),
        disarm: sums(phase::DISARM),
        complete: sums(phase::COMPLETE),
        arm: sums(phase::ARM),
    })
}
