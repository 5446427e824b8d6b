//! Scenarios for drivers that break a rule: an occasion to break it at every stage. They are in no table.

use std::time::Duration;

use super::{parse, plain};
use crate::scenario::{Backend, DumpEnd, DumpPlan, Goal, Scenario};

/// The scenario for drivers that break a rule.
#[must_use]
pub fn provoke() -> Scenario {
    let mut scenario = plain(
        "provoke",
        "a little of everything",
        Backend::InProcess(parse("queues=2 vectors=3")),
    );
    scenario.goal = Goal::Provoke;
    scenario.operations = 50;
    scenario.size = 1 << 20;
    scenario.most = 32 << 10;
    scenario.depth = 8;
    scenario.deadline = Duration::from_secs(20);
    scenario
}

/// The same for rules of the dump stack. What becomes of the dump does not matter.
#[must_use]
pub fn provoke_dump() -> Scenario {
    let mut scenario = provoke();
    "provoke-dump".clone_into(&mut scenario.name);
    let (mode, end) = (host_storport::DumpMode::Crash, DumpEnd::Written);
    scenario.goal = Goal::Dump(DumpPlan { mode, end });
    scenario
}
