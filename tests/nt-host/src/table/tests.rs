use std::collections::BTreeSet;

use super::*;

#[test]
fn names_are_unique_and_properties_known() {
    for kind in [Kind::Blk, Kind::Scsi] {
        let all = scenarios(kind);
        let names: BTreeSet<_> = all.iter().map(|scenario| &scenario.name).collect();
        assert_eq!(names.len(), all.len());
        for scenario in &all {
            scenario.faults(1).unwrap();
        }
    }
}

#[test]
fn most_devices_are_given_addresses_that_are_not_physical() {
    let own = in_process().into_iter().chain(features::scenarios());
    let own: Vec<_> = own.chain(dump::scenarios()).collect();
    let all = |of: &dyn Fn(&Goal) -> bool, remapped: bool| {
        own.iter()
            .filter(|scenario| matches!(scenario.backend, Backend::InProcess(_)))
            .any(|scenario| of(&scenario.goal) && scenario.dma_remapping == remapped)
    };
    let kinds: [&dyn Fn(&Goal) -> bool; 5] = [
        &|goal| matches!(goal, Goal::Move),
        &|goal| matches!(goal, Goal::Commands(_)),
        &|goal| matches!(goal, Goal::Copied),
        &|goal| matches!(goal, Goal::Dump(_)),
        &|goal| matches!(goal, Goal::Statistics { .. }),
    ];
    for (at, kind) in kinds.into_iter().enumerate() {
        assert!(all(kind, true), "{at}");
    }
    assert!(all(kinds[0], false) && all(kinds[1], false) && all(kinds[3], false));
}

#[test]
fn every_property_takes_effect() {
    let all = in_process().into_iter().chain(refused());
    for scenario in all.chain(features::scenarios()) {
        let Backend::InProcess(properties) = &scenario.backend else {
            continue;
        };
        let plain = test_device::inproc::Config::new(std::path::Path::new(""));
        for (key, value) in properties {
            let mut config = plain.clone();
            config.set(key, value).unwrap();
            assert_ne!(
                config, plain,
                "{}: {key}={value} is what the device has anyway",
                scenario.name
            );
        }
    }
}
