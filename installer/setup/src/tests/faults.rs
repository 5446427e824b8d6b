//! A failure at every call of every transaction: after the rollback, Windows is as it was.

use alloc::collections::BTreeSet;
use alloc::string::ToString;

use super::commands::{NEW, OLD, installed, installing, removing};
use super::fake::{Fake, State};
use crate::engine::{Command, rollback};
use crate::system::Table;

/// Records of packages that wait for removal may be gone: removing them is nothing that a rollback brings back.
fn visible(state: &State) -> State {
    let mut state = state.clone();
    state
        .records
        .retain(|(table, _), _| *table != Table::Superseded);
    state
}

/// Runs the commands with a failure at each call in turn; what the last command may do is final.
fn every_failure(start: impl Fn() -> Fake, commands: &[Command], product: &str) -> usize {
    let mut failures = 0;
    loop {
        let mut fake = start();
        let before = visible(&fake.state);
        fake.fail_at = Some(fake.calls + failures);
        let failed = commands
            .iter()
            .any(|command| command.run(&mut fake).is_err());
        if !failed {
            return failures;
        }
        fake.fail_at = None;
        rollback(&mut fake, product).unwrap();
        // The published name may be another one after a package was removed and added again.
        let names = |state: &State| state.store.values().cloned().collect::<BTreeSet<_>>();
        assert_eq!(
            names(&fake.state),
            names(&before),
            "failure {failures}: {:#?}",
            fake.log
        );
        assert!(
            !fake
                .state
                .records
                .keys()
                .any(|(table, _)| *table == Table::Pending),
            "failure {failures} left a note"
        );
        let drivers = |state: &State| {
            state
                .devices
                .values()
                .map(|drivers| drivers.last().and_then(|at| state.store.get(at)).cloned())
                .collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(
            drivers(&fake.state),
            drivers(&before),
            "failure {failures}: {:#?}",
            fake.log
        );
        failures += 1;
    }
}

#[test]
fn first_installation() {
    let start = || {
        let mut fake = Fake::new();
        fake.plug("vioblk");
        fake.plug("netkvm");
        fake
    };
    let commands = [
        Command::Begin(OLD.to_string()),
        Command::Install(installing("netkvm", OLD)),
        Command::Install(installing("vioblk", OLD)),
    ];
    // Note, add, note, update, ask for the name: for each driver.
    assert_eq!(every_failure(start, &commands, OLD), 10);
}

#[test]
fn upgrade() {
    let start = || {
        let mut fake = installed(&["vioblk"], OLD);
        fake.plug("vioblk");
        Command::Install(installing("vioblk", OLD))
            .run(&mut fake)
            .unwrap();
        Command::Commit(OLD.to_string()).run(&mut fake).unwrap();
        fake
    };
    let commands = [
        Command::Begin(NEW.to_string()),
        Command::Install(installing("vioblk", NEW)),
        Command::Begin(OLD.to_string()),
        Command::Uninstall(removing("vioblk", OLD)),
    ];
    assert_eq!(every_failure(start, &commands, NEW), 5);
}

#[test]
fn uninstallation() {
    let start = || {
        let mut fake = Fake::new();
        fake.plug("netkvm");
        Command::Install(installing("netkvm", OLD))
            .run(&mut fake)
            .unwrap();
        Command::Install(installing("balloon", OLD))
            .run(&mut fake)
            .unwrap();
        Command::Commit(OLD.to_string()).run(&mut fake).unwrap();
        fake
    };
    let commands = [
        Command::Begin(OLD.to_string()),
        Command::Uninstall(removing("netkvm", OLD)),
        Command::Uninstall(removing("balloon", OLD)),
    ];
    // Note, remove: for each driver.
    assert_eq!(every_failure(start, &commands, OLD), 4);
}

#[test]
fn repair() {
    let commands = [
        Command::Begin(OLD.to_string()),
        Command::Install(installing("vioblk", OLD)),
    ];
    assert_eq!(
        every_failure(|| installed(&["vioblk"], OLD), &commands, OLD),
        5
    );
}
