//! Time: the clock, timers, and how long a CPU may stay at DISPATCH_LEVEL.

use std::thread;
use std::time::Duration;

use super::cpu::Pause;
use super::state::{Timer, with};
use super::{TimerId, on_cpu};
use crate::kernel::Clock;
use crate::{rules, trace};

/// The kernel's clock, from 0 at boot.
#[must_use]
pub fn now() -> Duration {
    with(|s| s.now())
}

/// Processor time that this thread has used.
pub(super) fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a timespec to write to; the call has no other effect.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    assert!(!failed, "Linux has this clock since 2.6.12");
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// Lets the virtual clock advance by what something costs; the real clock does so by itself.
pub(crate) fn tick(cost: Duration) {
    with(|s| s.time += cost);
}

/// Runs `f` at DISPATCH_LEVEL on that CPU after that time.
pub fn timer(after: Duration, cpu: u32, f: Box<dyn FnOnce()>) -> TimerId {
    trace::event("timer", &[cpu.into(), after.as_nanos() as u64]);
    with(|s| {
        assert!((cpu as usize) < s.cpus.len(), "there is no CPU {cpu}");
        let id = TimerId(s.id());
        let due = s.now().saturating_add(after);
        s.timers.insert((due, id), Timer { cpu, run: f });
        id
    })
}

/// Stops a timer; `false` if it has expired.
pub fn cancel_timer(timer: TimerId) -> bool {
    // The closure is dropped outside the borrow.
    let removed = with(|s| {
        let key = *s.timers.keys().find(|(_, id)| *id == timer)?;
        s.timers.remove(&key)
    });
    removed.is_some()
}

/// Turns every timer that is due into a DPC.
pub(super) fn expire() {
    let due: Vec<(TimerId, Timer)> = with(|s| {
        let now = s.now();
        let mut due = Vec::new();
        while let Some(entry) = s.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let id = entry.key().1;
            due.push((id, entry.remove()));
        }
        due
    });
    for (id, timer) in due {
        // Addresses name the drivers' DPCs; no object lies in the last pages of the address space.
        let key = usize::MAX.wrapping_sub(id.0 as usize);
        super::queue_dpc(timer.cpu, key, timer.run);
    }
}

/// KeStallExecutionProcessor: this CPU does nothing for that many microseconds, the others run.
pub fn stall(microseconds: u64) {
    let time = Duration::from_micros(microseconds);
    let until = now().saturating_add(time);
    if on_cpu() {
        while now() < until {
            super::pause(Pause::Stall(until));
        }
        // Waiting is not running for the scheduler, but this CPU was busy with it.
        with(|s| {
            let here = s.here();
            s.cpus[here].used += time;
        });
        check_dispatch_time();
    } else {
        match with(|s| s.clock) {
            Clock::Virtual => tick(time),
            Clock::Real => thread::sleep(time),
        }
    }
}

/// Reports a CPU that has stayed at or above DISPATCH_LEVEL for too long; ends the run when it seems to be for ever.
pub(super) fn check_dispatch_time() {
    let Some((time, limit)) = with(|s| {
        let raised = s.cpus.get(s.here())?.raised?;
        Some((s.used_here().saturating_sub(raised), s.dispatch_limit))
    }) else {
        return;
    };
    if time <= limit {
        return;
    }
    let what = format!("{time:?} at or above DISPATCH_LEVEL (limit {limit:?})");
    if time > limit * 10 {
        rules::fatal(rules::DISPATCH_TIME, what);
    }
    rules::violate_once(rules::DISPATCH_TIME, what);
}
