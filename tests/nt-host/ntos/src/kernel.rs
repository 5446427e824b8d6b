//! Starts and stops the emulated kernel.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use host_machine::cpu;
use host_machine::ram::Ram;
use serde::Serialize;

use crate::rules::{self, Violation};
use crate::{export, fault, inject, lock, pool, sched, shared_data, trace};

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
    /// MmGetPhysicalAddress gives the device address plus this. Not 0 where DMA is remapped: a driver that tells the device physical
    /// addresses is caught.
    pub physical_offset: u64,
    /// How often the generator pre-empts.
    pub preempt: Preempt,
    /// How time passes.
    pub clock: Clock,
    /// How long a CPU may stay at or above DISPATCH_LEVEL without a break. `Duration::MAX`: for ever, and on the real clock it is
    /// not measured: measuring takes system calls in each call of the kernel. Only for timing.
    pub dispatch_limit: Duration,
    /// How much processor time driver code may take without calling the kernel.
    pub watchdog: Duration,
}

impl Default for Config {
    /// Two CPUs, repeatable.
    fn default() -> Config {
        Config {
            cpus: 2,
            seed: 1,
            physical_offset: 0,
            preempt: Preempt { one_in: 8 },
            clock: Clock::Virtual,
            dispatch_limit: Duration::from_secs(1),
            watchdog: Duration::from_secs(10),
        }
    }
}

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In order of first occurrence.
    pub violations: Vec<Violation>,
    /// Further violations, which were only counted.
    pub beyond: u64,
    /// Pool memory that is still allocated.
    pub leaks: Vec<pool::Leak>,
    /// Calls of each import.
    pub imports: BTreeMap<String, u64>,
    /// Imports whose IRQL was checked against a curated row only, with its evidence.
    pub curated: BTreeMap<String, String>,
    /// Imports that were called although nothing is known of their IRQL.
    pub unchecked: Vec<String>,
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

impl Report {
    /// Whether no rule was broken and nothing leaked.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.leaks.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        if self.beyond > 0 {
            writeln!(f, "and {} further violations", self.beyond)?;
        }
        for leak in &self.leaks {
            writeln!(
                f,
                "still allocated: '{}' of {} bytes by {}",
                leak.tag, leak.len, leak.who
            )?;
        }
        write!(
            f,
            "{} violations, {} leaks; trace {:016x} of {} events, {:?} on the kernel's clock",
            self.violations.len(),
            self.leaks.len(),
            self.trace_hash,
            self.trace_events,
            self.elapsed
        )
    }
}

thread_local! {
    static CONFIG: RefCell<Config> = RefCell::new(Config::default());
    static COUNTERS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
    static RAM: RefCell<Option<Ram>> = const { RefCell::new(None) };
}

/// Boots: forgets any earlier run on this Linux thread, installs the machine's handlers.
///
/// # Panics
/// When `config.cpus` is not 1 to 64.
pub fn boot(config: Config, ram: Ram) {
    assert!(
        (1..=64).contains(&config.cpus),
        "{} CPUs; one processor group has 1 to 64",
        config.cpus
    );
    trace::boot();
    rules::boot();
    inject::boot();
    lock::boot();
    sched::boot(&config);
    pool::boot(ram.clone());
    shared_data::boot();
    export::boot();
    COUNTERS.take();
    RAM.set(Some(ram));
    cpu::set_dispatch(export::dispatch);
    cpu::set_fault(fault::on_fault);
    cpu::set_after_mmio(export::after_mmio);
    cpu::set_after_hint(export::after_hint);
    cpu::set_irql_register(sched::irql, export::write_irql_register);
    cpu::set_time_limit(Some(config.watchdog));
    CONFIG.set(config);
}

/// Ends the run. What is still allocated is listed, and freed.
#[must_use]
pub fn shutdown() -> Report {
    cpu::set_time_limit(None);
    trace::flush();
    let usage = export::usage();
    let report = Report {
        violations: rules::violations(),
        beyond: rules::beyond(),
        leaks: pool::live(),
        imports: usage.calls,
        curated: usage.curated,
        unchecked: usage.unchecked,
        counters: COUNTERS.with_borrow(|c| c.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()),
        trace_hash: trace::hash(),
        trace_events: trace::count(),
        elapsed: sched::now(),
        debug_output: export::debug_output(),
    };
    sched::shutdown();
    pool::shutdown();
    shared_data::shutdown();
    RAM.take();
    report
}

/// How the kernel was set up.
#[must_use]
pub fn config() -> Config {
    CONFIG.with_borrow(Clone::clone)
}

/// The machine's memory.
///
/// # Panics
/// Before [`boot`] and after [`shutdown`].
#[must_use]
pub fn ram() -> Ram {
    RAM.with_borrow(|ram| {
        #[expect(clippy::expect_used, reason = "a host that forgot boot() cannot go on")]
        ram.clone()
            .expect("host_ntos::boot was not called on this thread")
    })
}

/// Adds to a counter of the report.
pub fn count(name: &'static str, add: u64) {
    COUNTERS.with_borrow_mut(|counters| *counters.entry(name).or_default() += add);
}
