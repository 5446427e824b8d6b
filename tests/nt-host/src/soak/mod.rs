//! Fault plans by the thousand: failing calls, lying devices, cycles of reset and removal.
//!
//! A plan is known by its name ([`plan::Plan::named`]), and `nt-host soak --one NAME` runs it again, always the same. Plans run in processes
//! of their own, some hundred in each; one that hangs or dies is found by its name and the others go on.

pub mod cycles;
pub mod enumerate;
mod excuses;
mod fields;
pub mod life;
pub mod plan;
pub mod rows;
pub mod workers;

use std::path::Path;

use anyhow::Result;

use self::life::Ground;
use self::plan::Plan;

/// One in so many of the plans that are no matter of chance runs on packed rings in a short soak.
const FEW: usize = 9;

/// What to soak in.
#[derive(Debug, Clone)]
pub struct Amount {
    /// Random plans.
    pub plans: u64,
    /// Random pairs of failing calls.
    pub pairs: u64,
    /// Cycles of each kind.
    pub cycles: u64,
    /// One in so many of the calls and register accesses of a whole life is made to fail, one at a time.
    pub one_in: u64,
    /// The first seed.
    pub seed: u64,
}

/// The names of all plans: those that are no matter of chance first.
///
/// # Errors
/// The driver does not live through a whole life without faults.
pub fn names(amount: &Amount, sys: &[u8]) -> Result<impl Iterator<Item = String> + use<>> {
    let mut ground = Ground::default();
    let accesses = enumerate::learn(sys, &mut ground)?;
    let fields = fields::names(sys, &mut ground)?;
    let mut names: Vec<String> = rows::ROWS
        .iter()
        .map(|row| format!("row:{}", row.id))
        .collect();
    for cpus in [1, 2, 3, 64] {
        for (queues, vectors) in [(1, 2), (2, 3), (3, 2), (64, 65), (64, 0)] {
            names.push(format!("cpus:{cpus}:{queues}:{vectors}"));
        }
    }
    let some = |at: u64| (at + amount.seed).is_multiple_of(amount.one_in.max(1));
    for fault in enumerate::calls()? {
        // Those of a start are few and all matter.
        if some(fault.nth) || fault.nth <= 3 {
            names.push(format!("call:{}:{}", fault.call, fault.nth));
        }
    }
    for at in (1..=accesses).filter(|at| some(*at)) {
        for lie in [
            "vanish",
            "needs-reset",
            "interrupt=0",
            "interrupt=1",
            "interrupt=2",
        ] {
            names.push(format!("access:{lie}:{at}"));
        }
    }
    names.extend(fields);
    // Starts that fail in HwInitialize and go on in the passive initialisation, with interrupts all the while.
    names.extend(
        (1..100)
            .step_by(3)
            .map(|at| format!("shared:needs-reset:{at}x2")),
    );
    // Starts in which nobody knows whose the line is that a device asserts that takes its time for a reset.
    names.extend((1..130).map(|at| format!("line:needs-reset:{at}x5")));
    // Starts and restarts that fail, of a device that asks for another reset when it has had the one that this takes.
    let few = if amount.one_in > 1 { 3 } else { 1 };
    names.extend(
        (1..=accesses)
            .step_by(few)
            .map(|at| format!("again:needs-reset:{at}")),
    );
    for kind in cycles::KINDS {
        let each = if kind == "vanish" { 1 } else { cycles::AT_ONCE };
        for round in 0..amount.cycles.div_ceil(each) {
            names.push(format!("cycle:{kind}:{}", amount.seed + round));
        }
    }
    let packed: Vec<String> = on_packed_rings(&names, amount);
    names.extend(packed);
    let Amount {
        plans, pairs, seed, ..
    } = *amount;
    let pairs = (0..pairs).map(move |at| format!("pair:{}", seed + at));
    let plans = (0..plans).map(move |at| format!("plan:{}", seed + at));
    // In turn, so that both get their share of a time that is limited.
    let every = (amount.plans / amount.pairs.max(1)).max(1) as usize;
    Ok(names.into_iter().chain(Turns {
        pairs,
        plans,
        every,
        at: 0,
    }))
}

/// Which of these plans run on packed rings as well, and the rows of packed rings: all, or where not every call is made to fail, few.
fn on_packed_rings(names: &[String], amount: &Amount) -> Vec<String> {
    let one_in = if amount.one_in > 1 { FEW } else { 1 };
    let rows = rows::PACKED.iter().map(|row| format!("row:{}", row.id));
    let others = names
        .iter()
        .filter(|name| !name.starts_with("row:"))
        .step_by(one_in)
        .cloned();
    rows.chain(others)
        .map(|name| format!("packed:{name}"))
        .collect()
}

/// Pairs between plans.
struct Turns<A, B> {
    pairs: A,
    plans: B,
    every: usize,
    at: usize,
}

impl<A: Iterator, B: Iterator<Item = A::Item>> Iterator for Turns<A, B> {
    type Item = A::Item;

    fn next(&mut self) -> Option<A::Item> {
        self.at += 1;
        if self.at.is_multiple_of(self.every + 1) {
            self.pairs.next().or_else(|| self.plans.next())
        } else {
            self.plans.next().or_else(|| self.pairs.next())
        }
    }
}

/// Runs one plan here and tells of it. Whether the driver survived.
///
/// # Errors
/// There is no such plan.
pub fn one(name: &str, sys: &Path) -> Result<bool> {
    let bytes = std::fs::read(sys)?;
    let mut ground = Ground::default();
    enumerate::learn(&bytes, &mut ground)?;
    let plan = Plan::named(name)?;
    println!("{plan}");
    let found = life::run(&plan, &bytes, &mut ground);
    println!(
        "{} requests, {} cut off, {} register accesses, {} calls failed{}, trace {:016x}",
        found.requests,
        found.disturbed,
        found.accesses,
        found.fired,
        if found.refused { ", refused" } else { "" },
        found.trace
    );
    for wrong in &found.wrong {
        println!("       {wrong}");
    }
    Ok(found.wrong.is_empty())
}
