//! The counts as tables.

use ring_subjects::{Case, Implementation};

use crate::measure::{Measured, Sums};

/// Columns of both tables.
const COLUMNS: [&str; 11] = [
    "ring",
    "mode",
    "parts",
    "batch",
    "publish: instructions a request",
    "complete: instructions a request",
    "full fences: a publish / an arm",
    "device-written memory: loads / lines a request",
    "own shared memory: loads a request",
    "registers: writes / reads a kick",
    "heap calls a request",
];

/// Our ring in all its modes.
pub fn ours(measured: &[Measured]) -> String {
    table(measured, |case| {
        case.implementation == Implementation::VirtioCore
    })
}

/// The same modes side by side: what others have too.
pub fn comparison(measured: &[Measured]) -> String {
    let compared = |case: &Case| {
        case.parts == 2
            && Implementation::ALL[1..]
                .iter()
                .any(|other| other.modes().contains(&case.mode))
    };
    let mut rows: Vec<&Measured> = measured.iter().filter(|one| compared(&one.case)).collect();
    rows.sort_by_key(|one| (one.case.mode, one.case.depth, one.case.implementation));
    render(rows.into_iter())
}

/// Both, for the terminal.
pub fn text(measured: &[Measured]) -> String {
    format!("{}\n{}", ours(measured), comparison(measured))
}

fn table(measured: &[Measured], wanted: impl Fn(&Case) -> bool) -> String {
    render(measured.iter().filter(|one| wanted(&one.case)))
}

fn render<'a>(rows: impl Iterator<Item = &'a Measured>) -> String {
    let mut lines = vec![
        format!("| {} |", COLUMNS.join(" | ")),
        format!("|---|---|{}", "--:|".repeat(COLUMNS.len() - 2)),
    ];
    lines.extend(rows.map(|one| format!("| {} |", row(one).join(" | "))));
    lines.push(String::new());
    lines.join("\n")
}

fn row(one: &Measured) -> [String; COLUMNS.len()] {
    let Case {
        implementation,
        mode,
        parts,
        depth,
    } = one.case;
    let none = || "–".to_owned();
    let each = |sums: Option<&Sums>, count: fn(&Sums) -> u64| {
        sums.map_or_else(none, |sums| fraction(count(sums), u64::from(one.requests)))
    };
    let per_stretch = |sums: Option<&Sums>, count: fn(&Sums) -> u64| {
        sums.map_or_else(none, |sums| fraction(count(sums), sums.stretches))
    };
    let publish = Some(&one.publish);
    let complete = one.complete.as_ref();
    // Everything that a request takes, from the driver's hand and back.
    let whole = |count: fn(&Sums) -> u64| match complete {
        Some(_) => fraction(
            one.phases().map(|(_, sums)| count(sums)).sum(),
            u64::from(one.requests),
        ),
        None => none(),
    };
    [
        format!("{} {}", implementation.name(), implementation.version())
            .trim_end()
            .to_owned(),
        mode.to_string(),
        parts.to_string(),
        depth.to_string(),
        each(publish, |sums| sums.instructions),
        each(complete, |sums| sums.instructions),
        format!(
            "{} / {}",
            per_stretch(publish, |sums| sums.full_fences),
            per_stretch(one.arm.as_ref(), |sums| sums.full_fences)
        ),
        format!(
            "{} / {}",
            whole(|sums| sums.device_loads),
            whole(|sums| sums.device_lines)
        ),
        whole(|sums| sums.driver_loads),
        format!(
            "{} / {}",
            per_stretch(one.kick.as_ref(), |sums| sums.register_writes),
            per_stretch(one.kick.as_ref(), |sums| sums.register_reads)
        ),
        fraction(
            one.phases().map(|(_, sums)| sums.heap_calls).sum(),
            u64::from(one.requests),
        ),
    ]
}

/// A sum divided by a power of two, exactly, in decimals.
pub fn fraction(sum: u64, by: u64) -> String {
    let (whole, mut rest) = (sum / by, sum % by);
    let mut text = whole.to_string();
    if rest > 0 {
        text.push('.');
    }
    while rest > 0 && text.len() < 24 {
        rest *= 10;
        text.push_str(&(rest / by).to_string());
        rest %= by;
    }
    text
}
