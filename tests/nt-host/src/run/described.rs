//! A disk that is asked who and what it is, in two slots.

use anyhow::Result;
use host_storport::{Adapter, Address};

use super::{Options, Session, once};
use crate::described;
use crate::scenario::Scenario;
use crate::verdict::Verdict;

/// How the note begins that the disk's name is in.
const NAME: &str = "page 83h: ";

/// Runs it in its own slot and in the next one.
pub(super) fn in_two_slots(scenario: &Scenario, options: &Options, sys: &[u8]) -> Verdict {
    let mut first = once(scenario, options, sys);
    let elsewhere = Scenario {
        slot: scenario.slot + 1,
        ..scenario.clone()
    };
    let second = once(&elsewhere, options, sys);
    let name = |verdict: &Verdict| {
        let note = verdict.notes.iter().find(|note| note.starts_with(NAME));
        note.cloned()
    };
    let serial = scenario
        .properties(options.seed)
        .is_ok_and(|config| !config.serial.is_empty());
    let names = (name(&first), name(&second));
    if names.0.is_none() || (names.0 == names.1) != serial {
        first.failures.push(format!(
            "a disk with a serial number ({serial}) keeps its name in another slot, and one without does not: {names:?}"
        ));
    }
    first.failures.extend(second.failures);
    first.violations.extend(second.violations);
    first.leaks.extend(second.leaks);
    first
}

impl Session<'_> {
    pub(super) fn described(&mut self, adapter: &Adapter, address: Address) -> Result<()> {
        let config = self.scenario.properties(self.seed)?;
        let name = described::all(adapter, address, &config, self.scenario.block)?;
        self.verdict.notes.push(format!("{NAME}{name:02x?}"));
        self.work(adapter, address, self.scenario.operations, 0)
    }
}
