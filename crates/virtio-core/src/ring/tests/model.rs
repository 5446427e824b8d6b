//! Random histories: every token comes back exactly once, whatever the device does.

use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::rig::{Mode, Rig, part};
use crate::testing::stopped;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Add {
        readable: usize,
        writable: usize,
    },
    Publish,
    /// The device takes one chain.
    Pop,
    /// The device finishes the chain it holds at this place, modulo what it holds.
    Finish {
        which: usize,
        written: u32,
    },
    Complete,
    Arm,
    Disarm,
    /// A lying device writes this byte somewhere in the ring.
    Scribble {
        at: u64,
        byte: u8,
    },
}

fn honest() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_usize, 0..5_usize).prop_map(|(readable, writable)| Step::Add { readable, writable }),
        2 => Just(Step::Publish),
        3 => Just(Step::Pop),
        3 => (any::<usize>(), 0..64_u32).prop_map(|(which, written)| Step::Finish { which, written }),
        3 => Just(Step::Complete),
        1 => Just(Step::Arm),
        1 => Just(Step::Disarm),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => honest(),
        1 => (0..1024_u64, any::<u8>()).prop_map(|(at, byte)| Step::Scribble { at, byte }),
    ]
}

fn mode() -> impl Strategy<Value = (Mode, u16)> {
    (
        prop::sample::select(&Mode::ALL[..]),
        prop::sample::select(&[2_u16, 4, 8, 16][..]),
    )
}

/// Runs a history; returns whether the queue was closed on the way.
fn run(mode: Mode, size: u16, steps: &[Step]) -> bool {
    let mut rig = Rig::new(mode, size);
    let mut held = Vec::new();
    let mut inside = BTreeSet::new();
    let mut next = 0;
    let mut errors = 0;
    let honest = !steps
        .iter()
        .any(|step| matches!(step, Step::Scribble { .. }));
    for step in steps {
        match *step {
            Step::Add { readable, writable } => {
                let parts: Vec<_> = (0..readable + writable)
                    .map(|n| part(next + n as u64, 64))
                    .collect();
                let free = rig.driver.free();
                match rig.add(next, &parts[..readable], &parts[readable..]) {
                    Ok(()) => assert!(inside.insert(next)),
                    Err(rejected) => {
                        assert_eq!(rejected.token, next);
                        assert_eq!(rig.driver.free(), free);
                    }
                }
                next += 1;
            }
            Step::Publish => {
                let _ = rig.driver.publish();
            }
            Step::Pop => held.extend(rig.pop()),
            Step::Finish { which, written } if !held.is_empty() => {
                let seen: super::rig::Seen = held.remove(which % held.len());
                let room = seen.parts.iter().filter(|part| part.2).count() as u32 * 64;
                let written = if honest { written.min(room) } else { written };
                if seen.head < size {
                    rig.finish(seen.head, written);
                }
            }
            Step::Finish { .. } => {}
            Step::Complete => match rig.driver.completed() {
                Ok(Some(done)) => assert!(inside.remove(&done.token), "token came back twice"),
                Ok(None) => {}
                Err(_) => errors += 1,
            },
            Step::Arm => {
                let _ = rig.driver.arm();
            }
            Step::Disarm => rig.driver.disarm(),
            Step::Scribble { at, byte } => {
                let ring = rig.driver.addresses().descriptor;
                let len = rig.driver.addresses().device.0 - ring.0 + 6 + 8 * u64::from(size);
                rig.poke(ring, at % len, byte);
            }
        }
        assert!(rig.driver.free() <= size);
    }
    assert!(errors <= 1, "a violation was reported twice");
    assert_eq!(errors == 1, rig.driver.closed().is_some());
    if honest {
        assert_eq!(errors, 0, "an honest device was taken for a liar");
        // It finishes everything, and everything is free again.
        let _ = rig.driver.publish();
        held.extend(core::iter::from_fn(|| rig.pop()));
        for seen in held {
            rig.finish(seen.head, 0);
        }
        while let Some(done) = rig.driver.completed().unwrap() {
            assert!(inside.remove(&done.token));
        }
        assert!(inside.is_empty());
        assert_eq!(rig.driver.free(), size);
    }
    let proof = stopped();
    while let Some(token) = rig.driver.drain(&proof) {
        assert!(inside.remove(&token), "token came back twice");
    }
    assert!(inside.is_empty(), "tokens were lost: {inside:?}");
    errors == 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn honest_device_gets_and_gives_everything((mode, size) in mode(), steps in prop::collection::vec(honest(), 0..400)) {
        prop_assert!(!run(mode, size, &steps));
    }

    #[test]
    fn lying_device_loses_no_token((mode, size) in mode(), steps in prop::collection::vec(any_step(), 0..400)) {
        run(mode, size, &steps);
    }
}
