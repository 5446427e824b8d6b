//! The virtual CPUs: threads, IRQL, DPCs, interrupts, timers and the clock.
//!
//! A thread is a fiber and stays on its CPU. Interrupts and DPCs are delivered nested on the thread that is loaded there, or
//! on the CPU's idle thread. What runs next is decided by [`run_until`] on the Linux thread's own stack.

mod clock;
mod cpu;
mod deliver;
mod region;
mod run;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use host_machine::fiber;

pub use clock::{cancel_timer, now, stall, timer};
pub use deliver::{dpc_queued, dpcs_drained, interrupt, queue_dpc, queue_dpc_first, remove_dpc};
pub use run::{Stuck, halt, run_thread, run_until};

pub(crate) use clock::tick;
pub(crate) use cpu::Pause;
pub(crate) use deliver::dpc_within;
pub(crate) use run::stop;
pub(crate) use state::{boot, shutdown};

use state::with;

use crate::{lock, rules, trace};

/// PASSIVE_LEVEL.
pub const PASSIVE: u8 = 0;
/// APC_LEVEL.
pub const APC: u8 = 1;
/// DISPATCH_LEVEL.
pub const DISPATCH: u8 = 2;
/// HIGH_LEVEL.
pub const HIGH: u8 = 15;

/// Points without a switch after which one happens anyway: a driver that polls memory must let its device run.
const LONGEST_SLICE: u32 = 256;

/// Turns of a loop that waits for another CPU and calls nothing: far more than in a wait that ends. All of a scenario's waits for queues
/// together came to 7459 at most (vioblk of 2d8b08b, 92 scenarios).
const LONGEST_WAIT: u32 = 1_000_000;

/// A kernel thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub u64);

/// A pending [`timer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub u64);

/// How many virtual CPUs there are.
#[must_use]
pub fn cpus() -> u32 {
    with(|s| s.cpus.len() as u32)
}

/// The virtual CPU that runs now; 0 outside any thread.
#[must_use]
pub fn cpu() -> u32 {
    with(|s| s.here() as u32)
}

/// The current CPU's IRQL; PASSIVE outside any thread.
#[must_use]
pub fn irql() -> u8 {
    with(|s| s.irql())
}

/// The thread that runs now.
#[must_use]
pub fn current_thread() -> Option<ThreadId> {
    with(|s| s.current)
}

/// Raises the IRQL, returns the one before. Raising to a lower one is a violation, and sets it all the same.
pub fn raise(level: u8) -> u8 {
    let old = irql();
    if level < old {
        rules::violate(
            rules::IRQL_DIRECTION,
            format!("raised from IRQL {old} to the lower {level}"),
        );
    }
    with(|s| s.set_irql(level));
    old
}

/// Lowers the IRQL and runs what thereby becomes deliverable. Lowering to a higher one is a violation, and sets it all the same.
pub fn lower(level: u8) {
    let old = irql();
    if level > old {
        rules::violate(
            rules::IRQL_DIRECTION,
            format!("lowered from IRQL {old} to the higher {level}"),
        );
    }
    lock::check_lowering(level);
    clock::check_dispatch_time();
    with(|s| s.set_irql(level));
    deliver::deliver();
}

/// Runs `f` at `level` (not below the current one) and goes back.
pub fn at_irql<R>(level: u8, f: impl FnOnce() -> R) -> R {
    let old = raise(level);
    let result = f();
    lower(old);
    result
}

/// Whether the caller runs on a virtual CPU, that is in a thread, DPC or interrupt.
#[must_use]
pub fn on_cpu() -> bool {
    with(|s| s.current.is_some())
}

/// Starts a thread at PASSIVE_LEVEL.
///
/// # Panics
/// When there is no such CPU.
pub fn spawn(cpu: u32, name: &str, f: Box<dyn FnOnce()>) -> ThreadId {
    let id = with(|s| s.add_thread(cpu as usize, name, f));
    trace::event("spawn", &[id.0, cpu.into()]);
    with(|s| s.cpus[cpu as usize].ready.push_back(id));
    id
}

/// Whether the thread has ended.
#[must_use]
pub fn ended(thread: ThreadId) -> bool {
    with(|s| !s.threads.contains_key(&thread))
}

/// The devices' turn: called now and then with zero, and with the time to wait when all CPUs are idle.
///
/// It may call [`interrupt`], [`spawn`], [`queue_dpc`] and [`timer`]. With the virtual clock it is to return at once.
pub fn set_poll(poll: Box<dyn FnMut(Duration)>) {
    with(|s| s.poll = Some(poll));
}

/// Lets the devices pass over so many polls of an idle machine, if nothing would come of them; `false` otherwise.
pub fn set_rest(rest: fn(u64) -> bool) {
    with(|s| s.rest = Some(rest));
}

/// A place where interrupts are delivered and other CPUs may run.
pub fn preempt() {
    if !on_cpu() {
        return;
    }
    clock::check_dispatch_time();
    deliver::deliver();
    let switch = with(|s| {
        let here = s.here();
        s.cpus[here].looks = 0;
        s.slice += 1;
        s.slice >= LONGEST_SLICE || s.preempt.one_in != 0 && s.random(s.preempt.one_in) == 0
    });
    if switch {
        pause(Pause::No);
    }
}

/// Lets other CPUs run now, whatever the generator says.
pub fn yield_now() {
    if on_cpu() {
        pause(Pause::No);
    }
}

/// The same for a CPU whose driver code waits for another one by a loop, and has looked once. Ends the run when it seems to wait for
/// ever.
pub(crate) fn spun() {
    assert!(on_cpu(), "driver code outside any thread waits for a CPU");
    clock::check_dispatch_time();
    let looks = with(|s| {
        let here = s.here();
        s.cpus[here].looks += 1;
        s.cpus[here].looks
    });
    if looks > LONGEST_WAIT {
        let what = format!("it has waited for another CPU for {looks} turns of a loop");
        rules::fatal(rules::LOOP, what);
    }
    pause(Pause::No);
}

/// Driver code does something else than to wait by a loop.
pub(crate) fn goes_on() {
    with(|s| {
        let here = s.here();
        if let Some(cpu) = s.cpus.get_mut(here) {
            cpu.looks = 0;
        }
    });
}

/// Lets other CPUs run until the lock `key` may be free.
///
/// # Panics
/// Outside any thread, where nothing else could run meanwhile.
pub(crate) fn spin(key: usize) {
    assert!(
        on_cpu(),
        "host code outside any thread waits for lock {key:#x}"
    );
    pause(Pause::Spin(key));
}

/// Leaves the CPU until the scheduler finds that `why` is over, then takes what is pending.
fn pause(why: Pause) {
    with(|s| {
        let here = s.here();
        s.cpus[here].pause = why;
    });
    fiber::suspend();
    with(|s| {
        let here = s.here();
        s.cpus[here].pause = Pause::No;
    });
    deliver::deliver();
}

/// The lock that the innermost code of another CPU spins for.
pub(crate) fn spins_for(cpu: u32) -> Option<usize> {
    with(|s| {
        let cpu = s.cpus.get(cpu as usize)?;
        match (cpu.loaded, cpu.pause) {
            (Some(_), Pause::Spin(key)) => Some(key),
            _ => None,
        }
    })
}

/// Blocks the current thread until `done`; `false` when the time was up first.
///
/// Outside any thread the CPUs run meanwhile. Blocking at or above DISPATCH_LEVEL ends the run, as it does on Windows.
pub fn block_until(
    what: &str,
    timeout: Option<Duration>,
    mut done: Box<dyn FnMut() -> bool>,
) -> bool {
    if done() {
        return true;
    }
    if timeout == Some(Duration::ZERO) {
        return false;
    }
    if !on_cpu() {
        return run_until(&mut *done, timeout.unwrap_or(Duration::MAX)).is_ok();
    }
    let level = irql();
    if level >= DISPATCH {
        rules::fatal(
            rules::WAIT_AT_DISPATCH,
            format!("waits for {what} at IRQL {level}"),
        );
    }
    let deadline = timeout.map(|time| now().saturating_add(time));
    with(|s| s.block(what, deadline, done));
    fiber::suspend();
    deliver::deliver();
    with(|s| s.wait_succeeded())
}

/// Moves the current thread, which is below DISPATCH_LEVEL, to another CPU.
pub fn migrate(cpu: u32) {
    if !on_cpu() || cpu >= cpus() || cpu == self::cpu() {
        return;
    }
    with(|s| s.migrate(cpu as usize));
    fiber::suspend();
    region::use_region(with(|s| s.region_here()));
    deliver::deliver();
}

/// Ends the current thread without running what is left of it.
///
/// # Panics
/// Outside any thread.
pub(crate) fn end_thread() -> ! {
    fiber::abandon()
}

/// A number below `limit` from the seeded generator, 0 when `limit` is 0.
pub fn random(limit: u32) -> u32 {
    with(|s| s.random(limit))
}
