//! The virtual CPUs: threads, IRQL, DPCs, interrupts, timers and the clock.

use std::fmt;
use std::time::Duration;

/// PASSIVE_LEVEL.
pub const PASSIVE: u8 = 0;
/// APC_LEVEL.
pub const APC: u8 = 1;
/// DISPATCH_LEVEL.
pub const DISPATCH: u8 = 2;
/// HIGH_LEVEL.
pub const HIGH: u8 = 15;

/// A kernel thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub u64);

/// A pending [`timer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub u64);

/// Why [`run_until`] gave up.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// `deadline passed`, or the fatal violation that stopped the machine.
    pub why: String,
    /// Who waits for what, one line each.
    pub waiting: Vec<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.why)?;
        self.waiting
            .iter()
            .try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Stuck {}

/// How many virtual CPUs there are.
#[must_use]
pub fn cpus() -> u32 {
    todo!()
}

/// The virtual CPU that runs now; 0 outside any thread.
#[must_use]
pub fn cpu() -> u32 {
    todo!()
}

/// The current CPU's IRQL; PASSIVE outside any thread.
#[must_use]
pub fn irql() -> u8 {
    todo!()
}

/// Raises the IRQL, returns the one before. Raising to a lower one is a violation.
pub fn raise(_level: u8) -> u8 {
    todo!()
}

/// Lowers the IRQL and runs what thereby becomes deliverable. Lowering to a higher one is a violation.
pub fn lower(_level: u8) {
    todo!()
}

/// Runs `f` at `level` (not below the current one) and goes back.
pub fn at_irql<R>(_level: u8, _f: impl FnOnce() -> R) -> R {
    todo!()
}

/// Whether the caller runs on a virtual CPU, that is in a thread, DPC or interrupt.
#[must_use]
pub fn on_cpu() -> bool {
    todo!()
}

/// Starts a thread at PASSIVE_LEVEL.
pub fn spawn(_cpu: u32, _name: &str, _f: Box<dyn FnOnce()>) -> ThreadId {
    todo!()
}

/// Whether the thread has ended.
#[must_use]
pub fn ended(_thread: ThreadId) -> bool {
    todo!()
}

/// Queues a DPC that `key` names; `false` if it is queued already. It leaves the queue before `f` runs.
pub fn queue_dpc(_cpu: u32, _key: usize, _f: Box<dyn FnOnce()>) -> bool {
    todo!()
}

/// As [`queue_dpc`], but ahead of those that wait (HighImportance).
pub fn queue_dpc_first(_cpu: u32, _key: usize, _f: Box<dyn FnOnce()>) -> bool {
    todo!()
}

/// Takes a DPC out of the queue; `false` if it was not in one.
pub fn remove_dpc(_key: usize) -> bool {
    todo!()
}

/// Runs `f` at `irql` on that CPU as soon as its IRQL is lower.
pub fn interrupt(_cpu: u32, _irql: u8, _f: Box<dyn FnOnce()>) {
    todo!()
}

/// The devices' turn: called now and then with zero, and with the time to wait when all CPUs are idle. It may call [`interrupt`], [`spawn`], [`queue_dpc`] and [`timer`].
pub fn set_poll(_poll: Box<dyn FnMut(Duration)>) {
    todo!()
}

/// Runs `f` at DISPATCH_LEVEL on that CPU after that time.
pub fn timer(_after: Duration, _cpu: u32, _f: Box<dyn FnOnce()>) -> TimerId {
    todo!()
}

/// Stops a timer; `false` if it has expired.
pub fn cancel_timer(_timer: TimerId) -> bool {
    todo!()
}

/// Runs the CPUs until `done`, on the kernel's clock at most for `deadline`. Called outside any thread.
///
/// # Errors
/// The deadline passed, or a fatal violation stopped the machine.
pub fn run_until(_done: &mut dyn FnMut() -> bool, _deadline: Duration) -> Result<(), Stuck> {
    todo!()
}

/// A place where interrupts are delivered and other CPUs may run.
pub fn preempt() {
    todo!()
}

/// Lets other CPUs run now, whatever the generator says.
pub fn yield_now() {
    todo!()
}

/// KeStallExecutionProcessor: this CPU does nothing for that many microseconds, the others run.
pub fn stall(_microseconds: u64) {
    todo!()
}

/// The kernel's clock, from 0 at boot.
#[must_use]
pub fn now() -> Duration {
    todo!()
}

/// Blocks the current thread (below DISPATCH_LEVEL) until `done`; `false` when the time was up first.
pub fn block_until(
    _what: &str,
    _timeout: Option<Duration>,
    _done: Box<dyn FnMut() -> bool>,
) -> bool {
    todo!()
}

/// A number below `limit` from the seeded generator, 0 when `limit` is 0.
pub fn random(_limit: u32) -> u32 {
    todo!()
}
