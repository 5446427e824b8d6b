//! Starts and stops the emulated kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use host_machine::ram::Ram;
use serde::Serialize;

use crate::rules::Violation;

/// How time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Only as the driver and idle CPUs spend it: repeatable, for devices in this process.
    Virtual,
    /// As on the wall, for real devices.
    Real,
}

/// How often the generator pre-empts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preempt {
    /// One pre-emption in this many points (imports, MMIO); 0 means never by chance.
    pub one_in: u32,
}

/// How the kernel is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Virtual CPUs, 1 to 64.
    pub cpus: u32,
    /// Of the generator that makes every choice.
    pub seed: u64,
    /// MmGetPhysicalAddress gives the device address plus this: a driver that uses it for DMA is caught.
    pub physical_offset: u64,
    /// How often the generator pre-empts.
    pub preempt: Preempt,
    /// How time passes.
    pub clock: Clock,
}

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In order of first occurrence.
    pub violations: Vec<Violation>,
    /// Calls of each import.
    pub imports: BTreeMap<String, u64>,
    /// Counted by other parts (kicks, interrupts…).
    pub counters: BTreeMap<String, u64>,
    /// [`crate::trace::hash`].
    pub trace_hash: u64,
    /// Events in the trace.
    pub trace_events: u64,
    /// The clock at the end.
    pub elapsed: Duration,
    /// What DbgPrint printed.
    pub debug_output: Vec<String>,
}

/// Boots: forgets any earlier run on this Linux thread, installs the machine's handlers.
pub fn boot(_config: Config, _ram: Ram) {
    todo!()
}

/// Ends the run.
#[must_use]
pub fn shutdown() -> Report {
    todo!()
}
