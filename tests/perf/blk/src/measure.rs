//! Running the cases under the counter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use perf_count::{Limits, Phase, Report, count_program};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::subject::{DPC, INTERRUPT, START_IO, Tallies};

/// The phases with their names.
pub const PHASES: [(u8, &str); 3] = [
    (START_IO, "start_io"),
    (INTERRUPT, "interrupt"),
    (DPC, "dpc"),
];

/// Sums over all calls of one routine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    pub calls: u64,
    pub instructions: u64,
    /// Full fences, without locked instructions on memory.
    pub fences: u64,
    /// The most of them in one call.
    pub most_fences: u64,
    /// Locked instructions on memory.
    pub locked: u64,
    /// Stores to the rings' memory.
    pub ring_stores: u64,
    /// Bytes stored elsewhere, without the stack.
    pub bytes: u64,
    /// Of these, bytes of stores of nothing but zeros.
    pub zeroed: u64,
    /// Of these, bytes of runs that are no numbers.
    pub cleared: u64,
    /// Calls of the kernel's heap.
    pub heap: u64,
    /// Locks of the kernel acquired.
    pub locks: u64,
    /// Physical addresses that the kernel was asked for.
    pub addresses: u64,
    /// Calls that leave the driver.
    pub calls_out: u64,
    /// Writes to device registers.
    pub register_writes: u64,
    /// Reads of device registers.
    pub register_reads: u64,
}

impl Sums {
    fn of(phase: &Phase) -> Self {
        let Phase { total, most, .. } = phase;
        Self {
            calls: phase.stretches,
            instructions: total.instructions,
            fences: total.fences,
            most_fences: most.fences,
            locked: total.locked,
            ring_stores: total.device_stores + total.driver_stores,
            bytes: total.bytes_written,
            zeroed: total.bytes_zeroed,
            cleared: total.bytes_cleared,
            heap: total.heap_calls,
            locks: total.lock_calls,
            addresses: total.address_calls,
            calls_out: total.calls_out,
            register_writes: total.register_writes,
            register_reads: total.register_reads,
        }
    }
}

/// One case and what was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    #[serde(serialize_with = "name")]
    pub case: Case,
    pub requests: u64,
    pub phases: BTreeMap<&'static str, Sums>,
    pub tallies: Tallies,
}

fn name<S: serde::Serializer>(case: &Case, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(case)
}

impl Measured {
    /// A sum over all requests, for each of them.
    pub fn each(&self, sum: u64) -> f64 {
        sum as f64 / self.requests.max(1) as f64
    }

    /// The most full fences of one call of a routine.
    pub fn most_fences(&self, phase: &str) -> f64 {
        self.phases
            .get(phase)
            .map_or(0.0, |sums| sums.most_fences as f64)
    }

    /// A sum over all phases.
    pub fn sum(&self, count: fn(&Sums) -> u64) -> u64 {
        self.phases.values().map(count).sum()
    }

    /// Instructions of all requests.
    pub fn instructions(&self) -> u64 {
        self.sum(|sums| sums.instructions)
    }

    /// Calls of StorPort whose name says one of these, for all requests.
    pub fn storport(&self, parts: &[&str]) -> u64 {
        let calls = &self.tallies.requests.calls;
        let named = calls
            .iter()
            .filter(|(name, _)| parts.iter().any(|part| name.contains(part)));
        named.map(|(_, count)| count).sum()
    }

    /// Calls of the heap: the kernel's and StorPort's.
    pub fn heap(&self) -> u64 {
        self.sum(|sums| sums.heap)
            + self.storport(&["AllocatePool", "FreePool", "AllocateContiguous"])
    }

    /// Locks acquired, the kernel's and StorPort's. The driver's own are among the locked instructions.
    pub fn locks(&self) -> u64 {
        self.sum(|sums| sums.locks)
            + self.storport(&["AcquireSpinLock", "AcquireMSISpinLock", "SynchronizeAccess"])
    }

    /// Physical addresses that the kernel and StorPort were asked for.
    pub fn addresses(&self) -> u64 {
        self.sum(|sums| sums.addresses) + self.storport(&["GetPhysicalAddress"])
    }
}

/// Where everything is that counting needs.
pub struct Bench<'a> {
    pub sys: &'a Path,
    pub folder: &'a Path,
    pub program: PathBuf,
}

impl<'a> Bench<'a> {
    /// For a driver, with a folder for what is left between two programs.
    pub fn new(sys: &'a Path, folder: &'a Path, program: PathBuf) -> Result<Self> {
        anyhow::ensure!(
            sys.is_absolute() && sys.is_file(),
            "no driver {}, as an absolute path",
            sys.display()
        );
        Ok(Self {
            sys,
            folder,
            program,
        })
    }

    /// Counts one case.
    pub fn count(&self, case: &Case, limits: Limits) -> Result<(Report, Tallies)> {
        let name = case.to_string();
        let out = self.folder.join(name.replace(' ', "-"));
        let path = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .context("a path that is no text")
        };
        let (sys, file) = (path(self.sys)?, path(&out)?);
        let arguments = ["subject", &name, "--sys", &sys, "--out", &file];
        let report = count_program(limits, &self.program, &arguments).context(name)?;
        let tallies = std::fs::read(&out).context("the counted program left nothing")?;
        Ok((report, serde_json::from_slice(&tallies)?))
    }

    fn one(&self, case: &Case) -> Result<Measured> {
        let limits = Limits {
            deadline: Duration::from_secs(300),
            ..Limits::default()
        };
        let (report, tallies) = self.count(case, limits)?;
        let phases = PHASES
            .into_iter()
            .filter_map(|(number, name)| Some((name, Sums::of(report.phase(number)?))));
        Ok(Measured {
            case: *case,
            requests: tallies.requests.requests,
            phases: phases.collect(),
            tallies,
        })
    }

    /// Counts cases, in as many threads as there are processors; the result is in the cases' order.
    pub fn all(&self, cases: &[Case]) -> Result<Vec<Measured>> {
        let next = Mutex::new(cases.iter().enumerate());
        let results = Mutex::new(Vec::new());
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers.min(cases.len()) {
                scope.spawn(|| {
                    while let Some((number, case)) =
                        next.lock().ok().and_then(|mut next| next.next())
                    {
                        let measured = self.one(case);
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
}

#[cfg(test)]
mod tests;
