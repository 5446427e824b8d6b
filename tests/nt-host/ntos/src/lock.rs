//! Spin locks, and the rules of holding them.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::{context, rules, sched, trace};

/// What a lock is and how it may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockKind {
    /// For reports: `DpcLock`, `InterruptLock`, `KSPIN_LOCK`.
    pub name: &'static str,
    /// A lock may be acquired only while no lock of the same or a higher rank is held; `None`: any order that is kept.
    pub rank: Option<u8>,
    /// The IRQL at which it is held.
    pub irql: u8,
}

/// A lock that is held.
#[derive(Clone, Copy)]
struct Holder {
    cpu: u32,
    kind: LockKind,
    /// The IRQL before [`acquire`]; `None` after [`acquire_raised`].
    before: Option<u8>,
    /// The driver's call, 0 when the host itself took it.
    caller: usize,
}

#[derive(Default)]
struct State {
    held: BTreeMap<usize, Holder>,
    /// Per CPU, in order of acquisition.
    stacks: BTreeMap<u32, Vec<usize>>,
    /// Lock → locks that were acquired while it was held.
    after: BTreeMap<usize, BTreeSet<usize>>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

pub(crate) fn boot() {
    STATE.take();
}

fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(f)
}

/// Raises to the lock's IRQL, takes the lock `key` (any number that names it, usually its address), returns the IRQL before.
///
/// While another CPU holds it the others run. Recursion and deadlock end the run.
pub fn acquire(key: usize, kind: LockKind) -> u8 {
    let before = sched::irql();
    if before > kind.irql {
        rules::violate(
            rules::LOCK_IRQL,
            format!(
                "{} (IRQL {}) acquired at IRQL {before}",
                kind.name, kind.irql
            ),
        );
    } else {
        sched::raise(kind.irql);
    }
    take(key, kind, Some(before));
    before
}

/// Takes the lock without touching the IRQL, which must be at least the lock's.
pub fn acquire_raised(key: usize, kind: LockKind) {
    check_raised(kind);
    take(key, kind, None);
}

/// Takes the lock only if it is free; the IRQL must be at least the lock's.
pub fn try_acquire_raised(key: usize, kind: LockKind) -> bool {
    check_raised(kind);
    sched::preempt();
    let free = is_free(key);
    if free {
        hold(key, kind, None);
    }
    free
}

fn check_raised(kind: LockKind) {
    let level = sched::irql();
    if level < kind.irql {
        rules::violate(
            rules::LOCK_IRQL,
            format!(
                "{} (IRQL {}) acquired at IRQL {level} without raising it",
                kind.name, kind.irql
            ),
        );
    }
}

fn take(key: usize, kind: LockKind, before: Option<u8>) {
    sched::preempt();
    let me = sched::cpu();
    check_order(key, kind, me);
    loop {
        let holder = with(|s| s.held.get(&key).copied());
        match holder {
            None => break,
            Some(holder) if holder.cpu == me => rules::fatal(
                rules::LOCK_RECURSION,
                format!(
                    "{} is held by this CPU, acquired at {}",
                    kind.name,
                    rules::describe(holder.caller)
                ),
            ),
            Some(_) => {
                if let Some(ring) = with(|s| s.ring(me, key)) {
                    rules::fatal(rules::DEADLOCK, ring);
                }
                sched::spin(key);
            }
        }
    }
    hold(key, kind, before);
}

fn hold(key: usize, kind: LockKind, before: Option<u8>) {
    let cpu = sched::cpu();
    trace::event("lock", &[cpu.into()]);
    let caller = context::caller().unwrap_or(0);
    with(|s| {
        s.held.insert(
            key,
            Holder {
                cpu,
                kind,
                before,
                caller,
            },
        );
        s.stacks.entry(cpu).or_default().push(key);
    });
}

/// Whether this CPU holds no lock.
#[must_use]
pub fn none_held() -> bool {
    let cpu = sched::cpu();
    with(|s| s.stacks.get(&cpu).is_none_or(Vec::is_empty))
}

/// Ranks, and for locks without one the order in which they were taken before.
fn check_order(key: usize, kind: LockKind, me: u32) {
    let found = with(|s| {
        let held = s.stacks.get(&me).cloned().unwrap_or_default();
        for other in held.into_iter().filter(|&other| other != key) {
            let holder = s.held.get(&other).copied()?;
            let wrong = match (holder.kind.rank, kind.rank) {
                (Some(held), Some(new)) => new <= held,
                _ => s.reaches(key, other),
            };
            if wrong {
                return Some(holder);
            }
            s.after.entry(other).or_default().insert(key);
        }
        None
    });
    if let Some(holder) = found {
        let what = format!(
            "{} acquired while {} is held (since {}), against the order",
            kind.name,
            holder.kind.name,
            rules::describe(holder.caller)
        );
        rules::violate(rules::LOCK_ORDER, what);
    }
}

/// Releases what [`acquire`] took and lowers to `irql`.
pub fn release(key: usize, irql: u8) {
    if let Some(holder) = give_up(key) {
        match holder.before {
            Some(before) if before != irql => rules::violate(
                rules::LOCK_PAIR,
                format!(
                    "{} was acquired at IRQL {before}, its release lowers to {irql}",
                    holder.kind.name
                ),
            ),
            None => rules::violate(
                rules::LOCK_PAIR,
                format!(
                    "{} was acquired without raising the IRQL, its release lowers it",
                    holder.kind.name
                ),
            ),
            Some(_) => {}
        }
    }
    sched::lower(irql);
    sched::preempt();
}

/// Releases what [`acquire_raised`] took.
pub fn release_raised(key: usize) {
    if let Some(holder) = give_up(key)
        && holder.before.is_some()
    {
        let name = holder.kind.name;
        rules::violate(
            rules::LOCK_PAIR,
            format!("acquiring {name} raised the IRQL, its release does not lower it"),
        );
    }
    sched::preempt();
}

fn give_up(key: usize) -> Option<Holder> {
    let me = sched::cpu();
    let Some(holder) = with(|s| s.drop_lock(key)) else {
        rules::violate(
            rules::LOCK_NOT_HELD,
            "a lock that nobody holds is released".to_owned(),
        );
        return None;
    };
    trace::event("unlock", &[me.into()]);
    if holder.cpu != me {
        rules::violate(
            rules::LOCK_FOREIGN,
            format!("{} was acquired by CPU {}", holder.kind.name, holder.cpu),
        );
    }
    let level = sched::irql();
    if level < holder.kind.irql {
        rules::violate(
            rules::LOCK_IRQL,
            format!(
                "{} (IRQL {}) released at IRQL {level}",
                holder.kind.name, holder.kind.irql
            ),
        );
    }
    Some(holder)
}

/// Whether nobody holds it.
#[must_use]
pub fn is_free(key: usize) -> bool {
    with(|s| !s.held.contains_key(&key))
}

/// Whether the current CPU holds `key`.
#[must_use]
pub fn held_here(key: usize) -> bool {
    let me = sched::cpu();
    with(|s| s.held.get(&key).is_some_and(|holder| holder.cpu == me))
}

/// How many locks the current CPU holds.
#[must_use]
pub fn held_count() -> usize {
    let me = sched::cpu();
    with(|s| s.stacks.get(&me).map_or(0, Vec::len))
}

/// Forgets the lock: its memory is going away. That it is held is a violation.
pub fn forget(key: usize) {
    if let Some(holder) = with(|s| s.forget(key)) {
        rules::violate(
            rules::LOCK_FREED,
            format!("{} is held by CPU {}", holder.kind.name, holder.cpu),
        );
    }
}

/// As [`forget`], for every lock within `len` bytes at `address`.
pub(crate) fn forget_within(address: usize, len: usize) {
    let keys: Vec<usize> = with(|s| {
        let end = address.saturating_add(len);
        let held = s.held.range(address..end).map(|(key, _)| *key);
        held.chain(s.after.range(address..end).map(|(key, _)| *key))
            .collect()
    });
    keys.into_iter().for_each(forget);
}

/// Reports, and releases, the locks of this CPU beyond the first `count`: a routine returned with them.
pub(crate) fn check_leaked(count: usize, routine: &str) {
    let me = sched::cpu();
    while held_count() > count {
        let Some(holder) = with(|s| {
            let key = s.stacks.get(&me).and_then(|stack| stack.last().copied())?;
            s.drop_lock(key)
        }) else {
            return;
        };
        let (name, place) = (holder.kind.name, rules::describe(holder.caller));
        rules::violate(
            rules::LOCK_LEAKED,
            format!("{routine} returned with {name} held, acquired at {place}"),
        );
    }
}

/// Reports lowering below the IRQL of a lock that this CPU holds.
pub(crate) fn check_lowering(level: u8) {
    let me = sched::cpu();
    let highest = with(|s| {
        let stack = s.stacks.get(&me)?;
        stack
            .iter()
            .filter_map(|key| s.held.get(key))
            .map(|h| h.kind)
            .max_by_key(|k| k.irql)
    });
    if let Some(kind) = highest.filter(|kind| kind.irql > level) {
        rules::violate(
            rules::LOCK_IRQL,
            format!(
                "IRQL lowered to {level} while {} (IRQL {}) is held",
                kind.name, kind.irql
            ),
        );
    }
}

/// The lock's name and holder, for reports.
pub(crate) fn describe(key: usize) -> String {
    with(|s| match s.held.get(&key) {
        Some(h) => format!(
            "{} held by CPU {} since {}",
            h.kind.name,
            h.cpu,
            rules::describe(h.caller)
        ),
        None => "a free lock".to_owned(),
    })
}

impl State {
    /// Takes the lock from its holder.
    fn drop_lock(&mut self, key: usize) -> Option<Holder> {
        let holder = self.held.remove(&key)?;
        if let Some(stack) = self.stacks.get_mut(&holder.cpu) {
            stack.retain(|&other| other != key);
        }
        Some(holder)
    }

    fn forget(&mut self, key: usize) -> Option<Holder> {
        self.after.remove(&key);
        for later in self.after.values_mut() {
            later.remove(&key);
        }
        self.drop_lock(key)
    }

    /// Whether `to` was ever acquired, directly or through others, while `from` was held.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(key) = open.pop() {
            if key == to {
                return true;
            }
            if seen.insert(key) {
                open.extend(self.after.get(&key).into_iter().flatten());
            }
        }
        false
    }

    /// The ring of CPUs that wait for each other, if CPU `start` waiting for `key` closes one.
    ///
    /// A CPU waits only while its innermost code does: an interrupt that was taken on top of it may yet release what others need.
    fn ring(&self, start: u32, mut key: usize) -> Option<String> {
        let mut text = Vec::new();
        let mut cpu = start;
        for _ in 0..sched::cpus() {
            let holder = self.held.get(&key)?;
            text.push(format!(
                "CPU {cpu} waits for {} that CPU {} holds since {}",
                holder.kind.name,
                holder.cpu,
                rules::describe(holder.caller)
            ));
            cpu = holder.cpu;
            if cpu == start {
                return Some(text.join("; "));
            }
            key = sched::spins_for(cpu)?;
        }
        None
    }
}
