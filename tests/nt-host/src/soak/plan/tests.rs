use super::*;

#[test]
fn a_plan_is_its_name() {
    for name in [
        "plan:7",
        "call:StorPortGetBusData:1",
        "access:vanish:3",
        "shared:needs-reset:3x2",
        "line:needs-reset:3x5",
        "again:needs-reset:3",
        "cpus:3:64:2",
        "packed:cycle:restart:1",
        "packed:row:P020",
    ] {
        let plan = Plan::named(name).unwrap();
        assert_eq!(
            (plan.name.as_str(), &plan),
            (name, &Plan::named(name).unwrap())
        );
    }
    assert_ne!(
        Plan::named("plan:7").unwrap().to_string(),
        Plan::named("plan:8").unwrap().to_string()
    );
    for wrong in [
        "plan",
        "plan:x",
        "nothing:1",
        "cpus:1:2",
        "packed:row:S020",
        "row:P020",
    ] {
        assert!(Plan::named(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_seed_decides_on_the_rings_and_changes_nothing_else_by_it() {
    let mut packed = 0;
    for seed in 0..100 {
        let (drawn, split) = (Plan::random(seed).any_ring(), Plan::random(seed));
        if drawn == split {
            continue;
        }
        packed += 1;
        let forced = Plan::random(seed).packed();
        let (known, more) = drawn.device.split_at(forced.device.len());
        let same = |(drawn, split): (&(String, String), &(String, String))| {
            drawn == split || drawn.0 == split.0 && drawn.0 == "queue-size"
        };
        assert!(known.iter().zip(&forced.device).all(same), "{drawn}");
        assert!(more.iter().all(|(key, _)| key == "in-order"), "{drawn}");
        let device = forced.device.clone();
        assert_eq!(Plan { device, ..drawn }, forced);
    }
    assert!((30..70).contains(&packed), "{packed} of 100");
}

#[test]
fn a_seed_decides_on_remapped_dma_and_changes_nothing_else_by_it() {
    for kind in ["plan", "packed:plan"] {
        let mut remapped = 0;
        for seed in 0..100 {
            let drawn = Plan::named(&format!("{kind}:{seed}")).unwrap();
            let offers = drawn.device.last().unwrap() == &("access-platform".into(), "on".into());
            assert_eq!(drawn.remapped, offers, "{drawn}");
            remapped += u64::from(drawn.remapped);
            let ring = match kind {
                "plan" => Plan::random(seed).any_ring(),
                _ => Plan::random(seed).packed(),
            };
            let mut device = drawn.device.clone();
            device.truncate(ring.device.len());
            let (name, remapped) = (String::new(), false);
            let physical = Plan {
                name,
                device,
                remapped,
                ..drawn
            };
            assert_eq!(physical, ring);
        }
        assert!((30..70).contains(&remapped), "{remapped} of 100");
    }
}

#[test]
fn random_plans_reach_every_kind_of_fault() {
    let all: String = (0..2000)
        .map(|seed| Plan::random(seed).to_string())
        .collect();
    let kinds = [
        "vanish",
        "needs-reset",
        "interrupt=",
        "resize=",
        "generation",
        "common=",
        "field=",
    ];
    let steps = [
        "Work",
        "Commands",
        "Restart(None)",
        "Restart(Some",
        "Sleep",
        "Vanish",
        "ResetUnit",
        "Rescan",
    ];
    let names = RING_LIES.iter().map(|(name, _)| *name);
    for part in names
        .chain(kinds)
        .chain(steps)
        .chain(super::super::enumerate::NAMES)
        .chain(super::super::enumerate::MORE_NAMES)
    {
        assert!(all.contains(part), "{part}");
    }
}
