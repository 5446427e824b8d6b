//! The counts as tables.

use crate::case::Case;
use crate::gates::{self, GATES};
use crate::measure::Measured;

/// Every limit, and the worst of all cases.
pub fn gates(measured: &[Measured]) -> String {
    let mut lines = vec![
        "| for each 4 KiB request | at most | worst case | kept |".to_owned(),
        "|---|--:|--:|---|".to_owned(),
    ];
    for gate in &GATES {
        let worst = gates::worst(gate, measured);
        let kept = if worst <= gate.most { "yes" } else { "**no**" };
        lines.push(format!(
            "| {} | {} | {worst:.1} | {kept} |",
            gate.name, gate.limit
        ));
    }
    lines.push(format!(
        "| instructions, difference from depth 1 on one queue, requests one by one | 10 % | {:.1} % | {} |",
        gates::spread(measured),
        if gates::spread(measured) <= 10.0 { "yes" } else { "**no**" }
    ));
    lines.push(String::new());
    lines.join("\n")
}

/// Every case.
pub fn cases(measured: &[Measured]) -> String {
    let mut lines = vec![
        "| ring | completed | in flight | queues | instructions | HwStartIo | interrupt | DPC | full fences | locked | locks | \
         bytes beyond the ring | of these zeroed | StorPort and kernel calls | physical-address calls | heap calls | kicks | interrupts |"
            .to_owned(),
        format!("|---|---|{}", "--:|".repeat(16)),
    ];
    lines.extend(measured.iter().map(row));
    lines.push(String::new());
    lines.join("\n")
}

fn row(one: &Measured) -> String {
    let Case {
        packed,
        pace,
        depth,
        queues,
    } = one.case;
    let each = |sum: u64| number(one.each(sum));
    let phase = |name: &str| each(one.phases.get(name).map_or(0, |sums| sums.instructions));
    let cells = [
        if packed { "packed" } else { "split" }.to_owned(),
        pace.words().to_owned(),
        depth.to_string(),
        queues.to_string(),
        each(one.instructions()),
        phase("start_io"),
        phase("interrupt"),
        phase("dpc"),
        each(one.sum(|sums| sums.fences)),
        each(one.sum(|sums| sums.locked)),
        each(one.locks()),
        each(one.sum(|sums| sums.bytes)),
        each(one.sum(|sums| sums.zeroed)),
        each(one.sum(|sums| sums.calls_out)),
        each(one.addresses()),
        each(one.heap()),
        each(one.tallies.requests.kicks),
        each(one.tallies.requests.interrupts),
    ];
    format!("| {} |", cells.join(" | "))
}

/// What starting the largest adapter takes.
pub fn start(measured: &[Measured]) -> String {
    let mut lines = vec![
        "| starting with 64 queues | count |".to_owned(),
        "|---|--:|".to_owned(),
    ];
    for one in measured.iter().filter(|one| one.case == Case::largest()) {
        let start = &one.tallies.start;
        lines.push(format!("| register reads | {} |", start.register_reads));
        lines.push(format!("| register writes | {} |", start.register_writes));
        let calls = start.calls.iter();
        lines.extend(calls.map(|(name, count)| format!("| {name} | {count} |")));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Two decimals at most.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
