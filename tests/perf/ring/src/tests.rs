//! That a broken promise is noticed.

use ring_subjects::{BATCH, Case, Implementation, Mode, REQUESTS};

use crate::measure::{Measured, Sums};
use crate::table::fraction;
use crate::targets;

/// Sums of a phase that does no more than it may.
fn sums(depth: u32, instructions: u64, fences: u64, writes: u64) -> Sums {
    let batches = u64::from(REQUESTS / depth);
    Sums {
        stretches: batches,
        instructions: instructions * u64::from(REQUESTS),
        full_fences: fences * batches,
        most_full_fences: fences,
        system_calls: 0,
        heap_calls: 0,
        device_loads: 0,
        device_lines: 0,
        driver_loads: 0,
        register_reads: 0,
        register_writes: writes * batches,
    }
}

/// Two cases that keep every promise: split and packed.
fn good() -> Vec<Measured> {
    [false, true]
        .map(|packed| {
            let case = Case {
                implementation: Implementation::VirtioCore,
                mode: Mode {
                    packed,
                    indirect: false,
                    event_idx: true,
                    in_order: false,
                },
                parts: 2,
                depth: BATCH,
            };
            Measured {
                case,
                requests: REQUESTS,
                publish: sums(BATCH, 60, 1, 0),
                kick: Some(sums(BATCH, 1, 0, 1)),
                disarm: Some(sums(BATCH, 1, 0, 0)),
                complete: Some(sums(BATCH, 60, 0, 0)),
                arm: Some(sums(BATCH, 1, 1, 0)),
            }
        })
        .into()
}

/// Names of the promises that are broken after a change to the first (split) or second (packed) case.
fn broken(which: usize, change: impl FnOnce(&mut Measured)) -> Vec<String> {
    let mut measured = good();
    change(&mut measured[which]);
    targets::tests(&measured)
        .into_iter()
        .filter(|(_, result)| result.is_err())
        .map(|(name, _)| name.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn kept_promises_pass() {
    assert_eq!(broken(0, |_| ()), [""; 0]);
}

#[test]
fn each_broken_promise_fails_its_test() {
    let second = |sums: &mut Sums| {
        sums.full_fences += 1;
        sums.most_full_fences = 2;
    };
    assert_eq!(
        broken(0, |one| second(&mut one.publish)),
        ["one full fence a publish"]
    );
    // One too many and one too few are not one each.
    assert_eq!(
        broken(0, |one| one.publish.most_full_fences = 2),
        ["one full fence a publish"]
    );
    assert_eq!(broken(0, |one| one.arm = None), ["one full fence an arm"]);
    assert_eq!(
        broken(0, |one| one.complete.as_mut().unwrap().full_fences = 1),
        ["no fence elsewhere"]
    );
    assert_eq!(
        broken(0, |one| one.kick.as_mut().unwrap().register_reads = 1),
        ["one register write a kick"]
    );
    assert_eq!(
        broken(0, |one| one.publish.register_writes = 1),
        ["one register write a kick"]
    );
    assert_eq!(
        broken(0, |one| one.publish.heap_calls = 1),
        ["no heap and no system call"]
    );
    assert_eq!(
        broken(0, |one| one.publish.instructions += 1),
        ["60 instructions to publish"]
    );
    assert_eq!(
        broken(0, |one| one.complete.as_mut().unwrap().instructions += 1),
        ["60 instructions to complete"]
    );
    assert_eq!(
        broken(1, |one| one.publish.instructions += 1),
        ["packed not slower than split"]
    );
}

#[test]
fn fractions_are_exact() {
    assert_eq!(fraction(128, 128), "1");
    assert_eq!(fraction(129, 128), "1.0078125");
    assert_eq!(fraction(8946, 128), "69.890625");
    assert_eq!(fraction(0, 4), "0");
    assert_eq!(fraction(3, 4), "0.75");
}
