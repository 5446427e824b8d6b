use std::collections::BTreeMap;

use perf_count::{Counts, Phase};

use super::{Measured, PHASES, Sums};
use crate::case::Case;
use crate::gates::GATES;
use crate::subject::{START_IO, Tallies};

/// Two calls, with their sum and the most of each count.
fn phase(total: Counts, most: Counts) -> Phase {
    Phase {
        stretches: 2,
        total,
        least: Counts::default(),
        most,
    }
}

/// A request whose HwStartIo did this.
fn measured(phase: &Phase) -> Measured {
    let name = PHASES.iter().find(|(number, _)| *number == START_IO);
    Measured {
        case: Case::largest(),
        requests: 1,
        phases: BTreeMap::from([(name.unwrap().1, Sums::of(phase))]),
        tallies: Tallies::default(),
    }
}

/// The gates that are not kept, by the beginnings of their names.
fn broken(phase: &Phase) -> Vec<&'static str> {
    let one = measured(phase);
    let broken = GATES.iter().filter(|gate| (gate.value)(&one) > gate.most);
    broken.map(|gate| gate.name).collect()
}

fn all(counts: Counts) -> Phase {
    phase(counts, counts)
}

#[test]
fn two_fences_of_one_call_break_their_gate() {
    // One has two locked instructions and one fence, the other one and two.
    let total = Counts {
        full_fences: 6,
        locked: 3,
        fences: 3,
        ..Counts::default()
    };
    let most = Counts {
        full_fences: 3,
        locked: 2,
        fences: 2,
        ..Counts::default()
    };
    let broken = broken(&phase(total, most));
    // The locks of both are taken for those of one request.
    assert!(broken.contains(&"full fences of a HwStartIo"), "{broken:?}");
}

#[test]
fn calls_of_the_kernel_break_their_gates() {
    let heap = Counts {
        heap_calls: 1,
        ..Counts::default()
    };
    assert_eq!(broken(&all(heap)), ["heap calls"]);
    let locks = Counts {
        lock_calls: 1,
        locked: 2,
        ..Counts::default()
    };
    assert_eq!(broken(&all(locks)).len(), 1);
    assert!(broken(&all(locks))[0].starts_with("locks acquired"));
    let addresses = Counts {
        address_calls: 2,
        ..Counts::default()
    };
    assert_eq!(broken(&all(addresses)), ["physical-address calls"]);
}
