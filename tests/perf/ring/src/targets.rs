//! What our ring promises, whatever the baseline says.

use ring_subjects::{BATCH, Case, Mode};

use crate::measure::{Measured, Sums};
use perf_report::Test;

/// Most instructions for a request of two parts, direct in a split ring, in batches of 32: to publish it, and to complete it.
const INSTRUCTIONS: u64 = 60;

/// Every promise, each as a test.
pub fn tests(measured: &[Measured]) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut test = |name: &str, case: &Case, result: Result<(), String>| {
        tests.push((format!("{name}: {case}"), result));
    };
    for one in measured {
        let case = &one.case;
        let batches = u64::from(one.requests / case.depth);
        test(
            "one full fence a publish",
            case,
            one_fence(Some(&one.publish), batches),
        );
        test(
            "one full fence an arm",
            case,
            one_fence(one.arm.as_ref(), batches),
        );
        test("no fence elsewhere", case, no_fence(one));
        test("one register write a kick", case, one_write(one, batches));
        test("no heap and no system call", case, no_calls(one));
        if is_measure(case) {
            let publish = one.publish.instructions;
            test(
                "60 instructions to publish",
                case,
                at_most(publish, one.requests),
            );
            let complete = one
                .complete
                .as_ref()
                .map_or(u64::MAX, |sums| sums.instructions);
            test(
                "60 instructions to complete",
                case,
                at_most(complete, one.requests),
            );
        }
        if case.mode.packed && !case.mode.indirect {
            let split = measured.iter().find(|other| {
                other.case.mode
                    == Mode {
                        packed: false,
                        ..case.mode
                    }
                    && (other.case.parts, other.case.depth) == (case.parts, case.depth)
            });
            test("packed not slower than split", case, not_slower(one, split));
        }
    }
    tests
}

/// Whether the limit on instructions is meant for it.
fn is_measure(case: &Case) -> bool {
    !case.mode.packed && !case.mode.indirect && case.parts == 2 && case.depth == BATCH
}

fn one_fence(sums: Option<&Sums>, batches: u64) -> Result<(), String> {
    match sums {
        Some(sums)
            if (sums.stretches, sums.full_fences, sums.most_full_fences)
                == (batches, batches, 1) =>
        {
            Ok(())
        }
        other => Err(format!("{batches} times expected; {other:?}")),
    }
}

fn no_fence(one: &Measured) -> Result<(), String> {
    let fences: u64 = one
        .phases()
        .filter(|(name, _)| !["publish", "arm"].contains(name))
        .map(|(_, sums)| sums.full_fences)
        .sum();
    expect_zero(fences, "full fences")
}

fn one_write(one: &Measured, batches: u64) -> Result<(), String> {
    let kick = one.kick.as_ref().ok_or("no kick")?;
    if (kick.register_writes, kick.register_reads) != (batches, 0) {
        return Err(format!(
            "{} writes and {} reads for {batches} kicks",
            kick.register_writes, kick.register_reads
        ));
    }
    let others = one.phases().filter(|(name, _)| *name != "kick");
    expect_zero(
        others
            .map(|(_, sums)| sums.register_reads + sums.register_writes)
            .sum(),
        "accesses to registers outside of kicks",
    )
}

fn no_calls(one: &Measured) -> Result<(), String> {
    expect_zero(
        one.phases()
            .map(|(_, sums)| sums.heap_calls + sums.system_calls)
            .sum(),
        "calls",
    )
}

fn expect_zero(count: u64, of: &str) -> Result<(), String> {
    if count == 0 {
        Ok(())
    } else {
        Err(format!("{count} {of}"))
    }
}

fn at_most(instructions: u64, requests: u32) -> Result<(), String> {
    if instructions <= INSTRUCTIONS * u64::from(requests) {
        return Ok(());
    }
    Err(format!(
        "{instructions} for {requests} requests, which is {:.2} each, over {INSTRUCTIONS}",
        instructions as f64 / f64::from(requests)
    ))
}

fn not_slower(packed: &Measured, split: Option<&Measured>) -> Result<(), String> {
    let sum = |one: &Measured| {
        let complete = one.complete.as_ref()?;
        Some(one.publish.instructions + complete.instructions)
    };
    match (sum(packed), split.and_then(sum)) {
        (Some(packed), Some(split)) if packed <= split => Ok(()),
        (packed, split) => Err(format!(
            "instructions to publish and to complete: packed {packed:?}, split {split:?}"
        )),
    }
}
