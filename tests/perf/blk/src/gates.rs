//! What a request may cost, at most. Counts only.

use crate::case::Pace;
use crate::measure::Measured;
use perf_report::Test;

/// One limit.
pub struct Gate {
    /// What is limited, for people.
    pub name: &'static str,
    /// The limit as people read it.
    pub limit: &'static str,
    /// What was counted, for each request or, where the name says so, for each call.
    pub value: fn(&Measured) -> f64,
    /// The most that it may be.
    pub most: f64,
    /// Whether the driver keeps it. What it does not keep yet is printed and shown in docs/benchmarks.md; the test suite holds the
    /// driver to the others.
    pub kept: bool,
}

/// Per 4 KiB request, from the first of HwStartIo to the end of the DPC that completes it.
pub const GATES: [Gate; 7] = [
    Gate {
        name: "instructions",
        limit: "450",
        value: |one| one.each(one.instructions()),
        most: 450.0,
        kept: true,
    },
    Gate {
        name: "bytes written beyond the ring",
        limit: "256",
        value: |one| one.each(one.sum(|sums| sums.bytes)),
        most: 256.0,
        kept: true,
    },
    Gate {
        name: "locks acquired, of StorPort, of the kernel or by a locked instruction on memory",
        limit: "2",
        value: |one| one.each(one.locks() + one.sum(|sums| sums.locked)),
        most: 2.0,
        kept: true,
    },
    Gate {
        name: "physical-address calls",
        limit: "1",
        value: |one| one.each(one.addresses()),
        most: 1.0,
        kept: true,
    },
    Gate {
        name: "heap calls",
        limit: "0",
        value: |one| one.each(one.heap()),
        most: 0.0,
        kept: true,
    },
    Gate {
        name: "full fences of a HwStartIo",
        limit: "1",
        value: |one| one.most_fences("start_io"),
        most: 1.0,
        kept: true,
    },
    Gate {
        name: "full fences of a DPC, which arms once",
        limit: "1",
        value: |one| one.most_fences("dpc"),
        most: 1.0,
        kept: true,
    },
];

/// How far a request's instructions may be from those of one alone on one queue, in per cent.
const FLAT: f64 = 10.0;

/// The worst of all cases.
pub fn worst(gate: &Gate, measured: &[Measured]) -> f64 {
    measured.iter().map(gate.value).fold(0.0, f64::max)
}

/// Requests one by one cost the same at every depth and with any number of queues; returns the largest difference in per cent.
pub fn spread(measured: &[Measured]) -> f64 {
    let singles = measured.iter().filter(|one| one.case.pace == Pace::Single);
    let differences = singles.filter_map(|one| {
        let simplest = measured
            .iter()
            .find(|other| other.case == one.case.simplest())?;
        let (this, base) = (
            one.each(one.instructions()),
            simplest.each(simplest.instructions()),
        );
        Some(((this - base) / base * 100.0).abs())
    });
    differences.fold(0.0, f64::max)
}

/// A test for each gate that is kept, and that the cost is flat. One that is said not to be kept and is, fails.
pub fn tests(measured: &[Measured]) -> Vec<Test> {
    let mut tests: Vec<Test> = GATES
        .iter()
        .filter_map(|gate| {
            let worst = worst(gate, measured);
            let result = match (worst <= gate.most, gate.kept) {
                (true, true) => Ok(()),
                // No test passes for it.
                (false, false) => return None,
                (false, true) => Err(format!("{worst:.2}, at most {} is allowed", gate.limit)),
                (true, false) => Err(format!("{worst:.2}: the gate is kept, so say that it is")),
            };
            Some((format!("gate: {} <= {}", gate.name, gate.limit), result))
        })
        .collect();
    let spread = spread(measured);
    let result = if spread <= FLAT {
        Ok(())
    } else {
        Err(format!("{spread:.1} %"))
    };
    tests.push((
        format!("gate: instructions within {FLAT} % from depth 1 to 256 and 1 to 64 queues"),
        result,
    ));
    tests
}
