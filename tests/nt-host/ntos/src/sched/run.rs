//! The loop that decides which CPU runs next.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use host_machine::fiber::State as FiberState;

use super::clock::expire;
use super::cpu::Pause;
use super::state::with;
use super::{PASSIVE, spawn};
use crate::kernel::Clock;
use crate::{context, lock, rules, trace};

/// The devices get a turn after this many switches, even when no CPU is idle.
const SWITCHES_PER_POLL: u32 = 4;
/// The longest that an idle machine waits for a real device before it looks at its own deadlines again.
const LONGEST_WAIT: Duration = Duration::from_millis(10);
/// The steps in which an idle machine's virtual clock advances: doubled while nothing happens.
const FIRST_STEP: Duration = Duration::from_micros(1);
const LAST_STEP: Duration = Duration::from_millis(1);

/// Why [`run_until`] gave up.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// The deadline passed, nothing can run any more, or the fatal violation that stopped the machine.
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

/// Stops the machine for good.
pub(crate) fn stop(why: &str) {
    with(|s| {
        s.stopped.get_or_insert_with(|| why.to_owned());
    });
}

/// A bug check: every CPU stops where it is, for good. What ran, waited or was queued is never resumed, and locks stay with nobody.
///
/// What is started afterwards runs on CPUs that have nothing else to do. The memory of what was stopped stays as it is.
///
/// # Panics
/// When called on a virtual CPU.
pub fn halt() {
    assert!(
        !super::on_cpu(),
        "halt is for the host's own stack; a CPU cannot outlive its stop"
    );
    trace::event("halt", &[]);
    let stopped = with(super::state::State::halt);
    // Closures of the host may call back here as they are dropped: not while the state is borrowed.
    drop(stopped);
    lock::boot();
}

/// Runs the CPUs until `done`, on the kernel's clock at most for `deadline`. Called outside any thread.
///
/// # Errors
/// The deadline passed, nothing can happen any more, or a fatal violation stopped the machine.
///
/// # Panics
/// When called on a virtual CPU.
pub fn run_until(done: &mut dyn FnMut() -> bool, deadline: Duration) -> Result<(), Stuck> {
    assert!(
        !super::on_cpu(),
        "run_until is for the host's own stack; a thread uses block_until"
    );
    let end = super::now().saturating_add(deadline);
    let mut switches = 0_u32;
    let mut step = FIRST_STEP;
    loop {
        if let Some(why) = with(|s| s.stopped.clone()) {
            return Err(stuck(why));
        }
        if done() {
            return Ok(());
        }
        if super::now() > end {
            return Err(stuck(format!("not done after {deadline:?}")));
        }
        expire();
        wake();
        if let Some(cpu) = choose() {
            resume(cpu);
            step = FIRST_STEP;
            switches += 1;
            if switches.is_multiple_of(SWITCHES_PER_POLL) {
                poll(Duration::ZERO);
            }
        } else if !wait(end, &mut step) {
            // The last turn may have fulfilled it.
            return if done() {
                Ok(())
            } else {
                Err(stuck("nothing can run any more".to_owned()))
            };
        }
    }
}

/// Runs `f` as a thread of that CPU until it ends, and gives its result.
///
/// # Errors
/// As [`run_until`].
pub fn run_thread<R: 'static>(
    cpu: u32,
    name: &str,
    deadline: Duration,
    f: impl FnOnce() -> R + 'static,
) -> Result<R, Stuck> {
    let result = Rc::new(Cell::new(None));
    let slot = Rc::clone(&result);
    let thread = spawn(cpu, name, Box::new(move || slot.set(Some(f()))));
    run_until(&mut || super::ended(thread), deadline)?;
    result
        .take()
        .ok_or_else(|| stuck(format!("thread {name} was abandoned")))
}

/// Makes threads ready whose wait is over.
fn wake() {
    let waiting: Vec<_> = with(|s| s.waiting.iter().copied().collect());
    for id in waiting {
        // The condition is the host's code: it runs without a borrow.
        let Some(mut wait) = with(|s| s.threads.get_mut(&id).and_then(|t| t.wait.take())) else {
            continue;
        };
        let succeeded = (wait.done)();
        let over = succeeded
            || wait
                .deadline
                .is_some_and(|deadline| deadline <= super::now());
        with(|s| {
            let Some(thread) = s.threads.get_mut(&id) else {
                return;
            };
            if over {
                thread.wait_succeeded = succeeded;
                let cpu = thread.cpu;
                s.cpus[cpu].ready.push_back(id);
                s.waiting.remove(&id);
            } else {
                thread.wait = Some(wait);
            }
        });
    }
}

/// A CPU that has something to do, by chance.
fn choose() -> Option<usize> {
    with(|s| {
        let now = s.now();
        // A bit for each CPU: there are at most 64, and this is done all the time.
        let able = (0..).zip(&s.cpus).fold(0_u64, |able, (index, cpu)| {
            able | u64::from(cpu.runnable(now)) << index
        });
        let below = s.random(able.count_ones());
        let chosen = (0..below).fold(able, |able, _| able & able.wrapping_sub(1));
        (able != 0).then(|| chosen.trailing_zeros() as usize)
    })
}

/// Lets a CPU run until it pauses.
fn resume(index: usize) {
    let (id, mut fiber, frames) = with(|s| {
        rotate(s, index);
        let cpu = &mut s.cpus[index];
        let id = match cpu.loaded {
            Some(id) => id,
            None => {
                let id = cpu.ready.pop_front().unwrap_or(cpu.idle);
                cpu.loaded = Some(id);
                cpu.pause = Pause::No;
                id
            }
        };
        let fresh = s.current.replace(id).is_none();
        debug_assert!(fresh, "a fiber resumed another");
        let thread = s
            .threads
            .get_mut(&id)
            .unwrap_or_else(|| panic!("{id:?} is loaded but gone"));
        let fiber = thread
            .fiber
            .take()
            .unwrap_or_else(|| panic!("{id:?} runs twice"));
        let frames = std::mem::take(&mut thread.frames);
        s.cpus[index].irql = s.cpus[index].irql.max(thread.irql);
        thread.irql = PASSIVE;
        s.slice = 0;
        s.cpus[index].region.set_thread(id);
        s.resumed = s.busy();
        (id, fiber, frames)
    });
    trace::event("run", &[index as u64, id.0]);
    let outer = context::swap(frames);
    let state = fiber.resume();
    let frames = context::swap(outer);
    let over = state == FiberState::Done;
    let (irql, name) = with(|s| {
        let used = s.used_here();
        s.current = None;
        let cpu = &mut s.cpus[index];
        cpu.used = used;
        let irql = cpu.irql;
        if !over {
            if let Some(thread) = s.threads.get_mut(&id) {
                thread.fiber = Some(fiber);
                thread.frames = frames;
            }
            return (irql, None);
        }
        cpu.loaded = None;
        cpu.irql = PASSIVE;
        cpu.raised = None;
        (irql, s.threads.remove(&id).map(|thread| thread.name))
    });
    if let Some(name) = name
        && irql != PASSIVE
        && with(|s| s.stopped.is_none())
    {
        rules::violate(
            rules::IRQL_CHANGED,
            format!("thread {name} ended at IRQL {irql}"),
        );
    }
}

/// Below DISPATCH_LEVEL the CPU may turn to another thread that is ready.
fn rotate(s: &mut super::state::State, index: usize) {
    let idle = s.cpus[index].idle;
    let Some(loaded) = s.cpus[index].loaded else {
        return;
    };
    if loaded == idle || s.cpus[index].irql >= super::DISPATCH || s.cpus[index].ready.is_empty() {
        return;
    }
    if s.cpus[index].pause != Pause::No || s.random(2) == 0 {
        return;
    }
    let cpu = &mut s.cpus[index];
    let irql = std::mem::replace(&mut cpu.irql, PASSIVE);
    cpu.loaded = None;
    cpu.ready.push_back(loaded);
    if let Some(thread) = s.threads.get_mut(&loaded) {
        thread.irql = irql;
    }
}

/// Gives the devices their turn.
fn poll(wait: Duration) {
    let Some(mut f) = with(|s| s.poll.take()) else {
        return;
    };
    f(wait);
    with(|s| {
        s.poll.get_or_insert(f);
    });
}

/// All CPUs are idle: waits for a device or for the next deadline. `false` when there is nothing to wait for.
fn wait(end: Duration, step: &mut Duration) -> bool {
    let (now, next, clock, devices) = with(|s| {
        let stalls = s.cpus.iter().filter_map(|cpu| match cpu.pause {
            Pause::Stall(until) if cpu.loaded.is_some() => Some(until),
            _ => None,
        });
        let timer = s.timers.keys().next().map(|(due, _)| *due);
        let waits = s
            .waiting
            .iter()
            .filter_map(|id| s.threads.get(id)?.wait.as_ref()?.deadline);
        let next = stalls.chain(timer).chain(waits).min();
        (s.now(), next, s.clock, s.poll.is_some())
    });
    if next.is_none() && !devices {
        return false;
    }
    let until_next = next.unwrap_or(end).min(end).saturating_sub(now);
    match clock {
        Clock::Real => {
            let time = until_next.min(LONGEST_WAIT);
            if devices {
                poll(time);
            } else {
                std::thread::sleep(time);
            }
        }
        Clock::Virtual => {
            let before = with(|s| s.work_pending());
            poll(until_next.min(*step));
            if with(|s| s.work_pending()) == before {
                // At least a nanosecond, so that a deadline that is due now is passed.
                let time = if devices {
                    until_next.min(*step)
                } else {
                    until_next
                };
                super::tick(time.max(Duration::from_nanos(1)));
                *step = (*step * 2).min(LAST_STEP);
                rest(next.unwrap_or(end).min(end), step);
            }
        }
    }
    true
}

/// Passes over the turns of an idle machine before `next` in which nothing would happen but that the clock advances.
fn rest(next: Duration, step: &mut Duration) {
    let Some(devices) = with(|s| s.rest) else {
        return;
    };
    let (mut now, mut then, mut turns) = (super::now(), *step, 0);
    while now + then < next {
        now += then;
        then = (then * 2).min(LAST_STEP);
        turns += 1;
    }
    if turns > 0 && devices(turns) {
        *step = then;
        with(|s| {
            s.time = now;
            // A turn chooses among the CPUs that have something to do, even if none has.
            s.skip_random(turns);
        });
    }
}

/// What [`Stuck`] says of every CPU and thread.
fn stuck(why: String) -> Stuck {
    let waiting = with(|s| {
        let mut lines = Vec::new();
        for (index, cpu) in s.cpus.iter().enumerate() {
            let name = cpu
                .loaded
                .and_then(|id| s.threads.get(&id))
                .map_or("", |t| &t.name);
            let why = match cpu.pause {
                _ if cpu.loaded.is_none() => "is idle".to_owned(),
                Pause::No => format!("runs {name} at IRQL {}", cpu.irql),
                Pause::Spin(key) => format!(
                    "spins in {name} at IRQL {} for {}",
                    cpu.irql,
                    lock::describe(key)
                ),
                Pause::Stall(until) => {
                    format!("stalls in {name} at IRQL {} until {until:?}", cpu.irql)
                }
            };
            let (dpcs, interrupts, ready) = (cpu.dpcs.len(), cpu.interrupts.len(), cpu.ready.len());
            if cpu.loaded.is_some() || dpcs + interrupts + ready > 0 {
                lines.push(format!(
                    "CPU {index} {why}; {dpcs} DPCs, {interrupts} interrupts, {ready} threads wait"
                ));
            }
        }
        for thread in s.threads.values() {
            if let Some(wait) = &thread.wait {
                lines.push(format!("thread {} waits for {}", thread.name, wait.what));
            }
        }
        lines
    });
    Stuck { why, waiting }
}
