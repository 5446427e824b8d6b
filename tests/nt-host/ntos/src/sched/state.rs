//! The scheduler's state.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use host_machine::fiber::{self, Fiber};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::cpu::{Cpu, Dpc, Interrupt, Pause, Work};
use super::region::{self, Region};
use super::{DISPATCH, PASSIVE, ThreadId, TimerId, deliver};
use crate::context::Frame;
use crate::kernel::{Clock, Config, Preempt};

/// Bytes of driver stack that a thread has. More than Windows gives: interrupts and DPCs, which have stacks of their own there, nest on it.
pub(crate) const STACK: usize = 128 * 1024;

/// What a blocked thread waits for.
pub(super) struct Wait {
    pub what: String,
    pub deadline: Option<Duration>,
    pub done: Box<dyn FnMut() -> bool>,
}

pub(super) struct Thread {
    pub name: String,
    pub cpu: usize,
    /// Away while it runs.
    pub fiber: Option<Fiber>,
    pub frames: Vec<Frame>,
    /// Its IRQL while it is not loaded.
    pub irql: u8,
    pub wait: Option<Wait>,
    /// How its last wait ended.
    pub wait_succeeded: bool,
}

pub(super) struct Timer {
    pub cpu: u32,
    pub run: Work,
}

pub(super) struct State {
    pub cpus: Vec<Cpu>,
    pub threads: BTreeMap<ThreadId, Thread>,
    /// Those that are blocked.
    pub waiting: BTreeSet<ThreadId>,
    /// The thread that runs; none on the Linux thread's own stack.
    pub current: Option<ThreadId>,
    pub timers: BTreeMap<(Duration, TimerId), Timer>,
    pub poll: Option<Box<dyn FnMut(Duration)>>,
    pub rest: Option<fn(u64) -> bool>,
    pub preempt: Preempt,
    /// Points passed since the last switch.
    pub slice: u32,
    pub clock: Clock,
    /// The virtual clock.
    pub time: Duration,
    /// The real clock's zero.
    pub boot: Instant,
    /// What [`State::busy`] was when the current thread was resumed.
    pub resumed: Duration,
    /// How long a CPU may stay at or above DISPATCH_LEVEL.
    pub dispatch_limit: Duration,
    /// Why the machine stopped for good.
    pub stopped: Option<String>,
    rng: Pcg64Mcg,
    next: u64,
}

/// What was under way when the machine was halted.
pub(super) struct Halted {
    _threads: BTreeMap<ThreadId, Thread>,
    _timers: BTreeMap<(Duration, TimerId), Timer>,
    _pending: Vec<(VecDeque<Dpc>, Vec<Interrupt>)>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Uses the state. No driver code and no fiber switch inside `f`.
pub(super) fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(|state| {
        #[expect(clippy::expect_used, reason = "a host that forgot boot() cannot go on")]
        f(state
            .as_mut()
            .expect("host_ntos::boot was not called on this thread"))
    })
}

/// Starts anew with idle CPUs.
pub(crate) fn boot(config: &Config) {
    let mut state = State {
        cpus: Vec::new(),
        threads: BTreeMap::new(),
        waiting: BTreeSet::new(),
        current: None,
        timers: BTreeMap::new(),
        poll: None,
        rest: None,
        preempt: config.preempt,
        slice: 0,
        clock: config.clock,
        time: Duration::ZERO,
        boot: Instant::now(),
        resumed: Duration::ZERO,
        dispatch_limit: config.dispatch_limit,
        stopped: None,
        rng: Pcg64Mcg::seed_from_u64(config.seed),
        next: 0,
    };
    for index in 0..config.cpus as usize {
        let idle = state.add_thread(index, "idle", Box::new(idle));
        state.cpus.push(Cpu::new(idle, Region::new(index)));
    }
    STATE.replace(Some(state));
}

/// Frees everything, without running what was left.
pub(crate) fn shutdown() {
    let state = STATE.take();
    // Closures of the host may call back here as they are dropped: not while the state is borrowed.
    drop(state);
}

/// What an idle CPU's thread does: takes what is pending and unloads itself.
fn idle() {
    loop {
        deliver::deliver();
        with(|s| {
            let here = s.here();
            s.cpus[here].loaded = None;
        });
        fiber::suspend();
    }
}

impl State {
    pub fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn add_thread(&mut self, cpu: usize, name: &str, f: Work) -> ThreadId {
        let id = ThreadId(self.id());
        let f = Box::new(move || {
            region::use_region(with(|s| s.region_here()));
            f();
        });
        let thread = Thread {
            name: name.to_owned(),
            cpu,
            fiber: Some(Fiber::new(STACK, f)),
            frames: Vec::new(),
            irql: PASSIVE,
            wait: None,
            wait_succeeded: false,
        };
        self.threads.insert(id, thread);
        id
    }

    /// Where the current CPU's control region lies.
    pub fn region_here(&mut self) -> usize {
        let here = self.here();
        self.cpus[here].region.address()
    }

    /// The index of the CPU that runs, 0 if none.
    pub fn here(&self) -> usize {
        self.current
            .and_then(|id| self.threads.get(&id))
            .map_or(0, |thread| thread.cpu)
    }

    pub fn irql(&self) -> u8 {
        self.cpus.get(self.here()).map_or(PASSIVE, |cpu| cpu.irql)
    }

    pub fn set_irql(&mut self, level: u8) {
        let used = self.used_here();
        let here = self.here();
        let cpu = &mut self.cpus[here];
        cpu.irql = level;
        if level < DISPATCH {
            cpu.raised = None;
        } else if cpu.raised.is_none() {
            cpu.raised = Some(used);
        }
    }

    pub fn now(&self) -> Duration {
        match self.clock {
            Clock::Virtual => self.time,
            Clock::Real => self.boot.elapsed(),
        }
    }

    /// How long this machine has worked. On the real clock that is processor time and not time that passes: a run must not
    /// be blamed for other programs on the machine, nor for how long QEMU takes to answer. Zero where nothing is limited by it.
    pub fn busy(&self) -> Duration {
        match self.clock {
            Clock::Virtual => self.time,
            Clock::Real if self.dispatch_limit == Duration::MAX => Duration::ZERO,
            Clock::Real => super::clock::processor_time(),
        }
    }

    /// How long the current CPU has run.
    pub fn used_here(&self) -> Duration {
        self.cpus[self.here()].used + self.busy().saturating_sub(self.resumed)
    }

    pub fn block(
        &mut self,
        what: &str,
        deadline: Option<Duration>,
        done: Box<dyn FnMut() -> bool>,
    ) {
        let here = self.here();
        let irql = self.cpus[here].irql;
        self.cpus[here].loaded = None;
        self.cpus[here].irql = PASSIVE;
        let Some(id) = self.current else { return };
        if let Some(thread) = self.threads.get_mut(&id) {
            self.waiting.insert(id);
            thread.irql = irql;
            thread.wait = Some(Wait {
                what: what.to_owned(),
                deadline,
                done,
            });
        }
    }

    pub fn migrate(&mut self, to: usize) {
        let here = self.here();
        let irql = std::mem::replace(&mut self.cpus[here].irql, PASSIVE);
        self.cpus[here].loaded = None;
        let Some(id) = self.current else { return };
        if let Some(thread) = self.threads.get_mut(&id) {
            thread.irql = irql;
            thread.cpu = to;
        }
        self.cpus[to].ready.push_back(id);
    }

    /// Takes away everything that runs, waits or is queued, and gives each CPU a new idle thread.
    pub fn halt(&mut self) -> Halted {
        let pending = self
            .cpus
            .iter_mut()
            .map(|cpu| {
                cpu.irql = PASSIVE;
                cpu.loaded = None;
                cpu.ready.clear();
                cpu.pause = Pause::No;
                cpu.raised = None;
                (
                    std::mem::take(&mut cpu.dpcs),
                    std::mem::take(&mut cpu.interrupts),
                )
            })
            .collect();
        let halted = Halted {
            _threads: std::mem::take(&mut self.threads),
            _timers: std::mem::take(&mut self.timers),
            _pending: pending,
        };
        // Nothing watches a machine that has stopped.
        self.dispatch_limit = Duration::MAX;
        for index in 0..self.cpus.len() {
            self.cpus[index].idle = self.add_thread(index, "idle", Box::new(idle));
        }
        halted
    }

    pub fn wait_succeeded(&self) -> bool {
        self.current
            .and_then(|id| self.threads.get(&id))
            .is_some_and(|t| t.wait_succeeded)
    }

    /// How much work waits for the CPUs: changes when a device posts some.
    pub fn work_pending(&self) -> usize {
        self.cpus
            .iter()
            .map(|c| c.dpcs.len() + c.interrupts.len() + c.ready.len())
            .sum()
    }

    /// As if so many numbers had been drawn.
    pub fn skip_random(&mut self, count: u64) {
        self.rng.advance(count.into());
    }

    pub fn random(&mut self, limit: u32) -> u32 {
        let scaled = u64::from(self.rng.next_u32()) * u64::from(limit);
        (scaled >> 32) as u32
    }
}
