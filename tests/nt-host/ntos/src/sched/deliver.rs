//! Interrupts and DPCs: queued for a CPU, taken when its IRQL permits.

use super::cpu::{Dpc, Interrupt, Work};
use super::state::with;
use super::{DISPATCH, HIGH, irql, on_cpu};
use crate::{lock, rules, trace};

/// Queues a DPC that `key` names; `false` if it is queued already. It leaves the queue before `f` runs.
///
/// # Panics
/// When there is no such CPU.
pub fn queue_dpc(cpu: u32, key: usize, f: Box<dyn FnOnce()>) -> bool {
    enqueue(cpu, key, f, false)
}

/// As [`queue_dpc`], but ahead of those that wait (HighImportance).
///
/// # Panics
/// When there is no such CPU.
pub fn queue_dpc_first(cpu: u32, key: usize, f: Box<dyn FnOnce()>) -> bool {
    enqueue(cpu, key, f, true)
}

fn enqueue(cpu: u32, key: usize, run: Work, first: bool) -> bool {
    let (queued, mine) = with(|s| {
        if s.cpus
            .iter()
            .any(|c| c.dpcs.iter().any(|dpc| dpc.key == key))
        {
            return (false, false);
        }
        let mine = s.current.is_some() && s.here() == cpu as usize;
        let queue = &mut s.cpus[cpu as usize].dpcs;
        let dpc = Dpc { key, run };
        if first {
            queue.push_front(dpc);
        } else {
            queue.push_back(dpc);
        }
        (true, mine)
    });
    trace::event("queue-dpc", &[cpu.into(), queued.into()]);
    if mine {
        // Below DISPATCH_LEVEL the software interrupt comes at once.
        deliver();
    }
    queued
}

/// Takes a DPC out of the queue; `false` if it was not in one.
pub fn remove_dpc(key: usize) -> bool {
    // The closure is dropped outside the borrow.
    let removed = with(|s| {
        s.cpus.iter_mut().find_map(|cpu| {
            let at = cpu.dpcs.iter().position(|dpc| dpc.key == key)?;
            cpu.dpcs.remove(at)
        })
    });
    removed.is_some()
}

/// The key of a queued DPC within `len` bytes at `address`.
pub(crate) fn dpc_within(address: usize, len: usize) -> Option<usize> {
    with(|s| {
        let mut keys = s
            .cpus
            .iter()
            .flat_map(|cpu| cpu.dpcs.iter().map(|dpc| dpc.key));
        keys.find(|key| key.wrapping_sub(address) < len)
    })
}

/// Whether the DPC is in a queue.
#[must_use]
pub fn dpc_queued(key: usize) -> bool {
    with(|s| {
        s.cpus
            .iter()
            .any(|cpu| cpu.dpcs.iter().any(|dpc| dpc.key == key))
    })
}

/// A condition for [`super::block_until`]: everything that is queued on any CPU now has run.
#[must_use]
pub fn dpcs_drained() -> Box<dyn FnMut() -> bool> {
    let keys: Vec<usize> = with(|s| {
        s.cpus
            .iter()
            .flat_map(|cpu| cpu.dpcs.iter().map(|dpc| dpc.key))
            .collect()
    });
    // One that has left its queue may still run: its CPU is then at DISPATCH_LEVEL or above.
    Box::new(move || {
        with(|s| {
            s.cpus.iter().all(|cpu| {
                cpu.irql < DISPATCH && !cpu.dpcs.iter().any(|dpc| keys.contains(&dpc.key))
            })
        })
    })
}

/// Runs `f` at `irql` on that CPU as soon as its IRQL is lower.
///
/// # Panics
/// When there is no such CPU, or `irql` is not above DISPATCH_LEVEL and at most HIGH_LEVEL.
pub fn interrupt(cpu: u32, irql: u8, f: Box<dyn FnOnce()>) {
    assert!(
        irql > DISPATCH && irql <= HIGH,
        "no device interrupts at IRQL {irql}"
    );
    trace::event("interrupt", &[cpu.into(), irql.into()]);
    with(|s| {
        s.cpus[cpu as usize]
            .interrupts
            .push(Interrupt { irql, run: f })
    });
}

/// Takes whatever the current CPU's IRQL permits.
pub(super) fn deliver() {
    if !on_cpu() {
        return;
    }
    while let Some((level, run)) = next() {
        let before = irql();
        let held = lock::held_count();
        trace::event("take", &[super::cpu().into(), level.into()]);
        with(|s| s.set_irql(level));
        run();
        let after = irql();
        if after != level {
            rules::violate(
                rules::IRQL_CHANGED,
                format!("an interrupt or DPC routine began at IRQL {level} and ended at {after}"),
            );
        }
        lock::check_leaked(held, "an interrupt or DPC routine");
        super::clock::check_dispatch_time();
        with(|s| s.set_irql(before));
    }
}

fn next() -> Option<(u8, Work)> {
    with(|s| {
        let here = s.here();
        let cpu = &mut s.cpus[here];
        if let Some(at) = cpu.next_interrupt() {
            let taken = cpu.interrupts.remove(at);
            return Some((taken.irql, taken.run));
        }
        if cpu.irql >= DISPATCH {
            return None;
        }
        cpu.dpcs.pop_front().map(|dpc| (DISPATCH, dpc.run))
    })
}
