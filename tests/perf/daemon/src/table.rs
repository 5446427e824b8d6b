//! The runs as tables, and the machine that they were made on.

use std::fs;
use std::process::Command;

use crate::bench::{Row, Who};
use crate::native::Wake;
use crate::sample::Sample;

/// Rates and times: smallest, middle, largest of the rounds.
pub fn times(rows: &[Row]) -> String {
    let mut lines = vec![
        "| disk | queues | in flight | client | IOPS | half within, µs | 99 % within, µs | processor time of the client, µs |"
            .to_owned(),
        "|---|--:|--:|---|--:|--:|--:|--:|".to_owned(),
    ];
    for row in rows {
        let times = [
            spread(row.spread(|one| one.iops), 0),
            spread(row.spread(|one| one.median), 1),
            spread(row.spread(|one| one.p99), 0),
            spread(row.spread(|one| one.cpu), 1),
        ];
        lines.push(format!("{} {} |", names(row), times.join(" | ")));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Kicks and interrupts for each request, and how vioblk.sys compares.
pub fn counts(rows: &[Row]) -> String {
    let mut lines = vec![
        "| disk | queues | in flight | client | kicks a request | interrupts a request |"
            .to_owned(),
        "|---|--:|--:|---|--:|--:|".to_owned(),
    ];
    for row in rows {
        let counts = [
            spread(row.spread(|one| one.kicks), 3),
            spread(row.spread(|one| one.interrupts), 3),
        ];
        lines.push(format!("{} {} |", names(row), counts.join(" | ")));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// vioblk.sys as a part of the native client that waits for interrupts, round by round.
pub fn ratios(rows: &[Row]) -> String {
    let mut lines = vec![
        "| disk | queues | in flight | IOPS of vioblk.sys in nt-host by those of the native client with interrupts |"
            .to_owned(),
        "|---|--:|--:|--:|".to_owned(),
    ];
    for row in rows.iter().filter(|row| row.who == Who::Vioblk) {
        let native = rows.iter().find(|other| {
            (other.medium, other.queues, other.depth) == (row.medium, row.queues, row.depth)
                && other.who == Who::Native(Wake::Interrupts)
        });
        let Some(native) = native else { continue };
        let pairs = row.samples.iter().zip(&native.samples);
        let ratio = Row {
            samples: pairs
                .map(|(ours, theirs)| Sample {
                    iops: ours.iops / theirs.iops,
                    ..Sample::default()
                })
                .collect(),
            ..*row
        };
        lines.push(format!(
            "| {} | {} | {} | {} |",
            row.medium,
            row.queues,
            row.depth,
            spread(ratio.spread(|one| one.iops), 2)
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The machine, the daemon and the method of this run.
pub fn machine(rounds: u32, milliseconds: u128) -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = read("/proc/cpuinfo", |line| line.starts_with("model name"));
    let model = model.split(':').nth(1).unwrap_or("unknown").trim();
    let kernel = read("/proc/version", |_| true);
    let kernel: Vec<_> = kernel.split_whitespace().take(3).collect();
    let daemon = Command::new("qemu-storage-daemon")
        .arg("--version")
        .output();
    let daemon = daemon.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    let daemon = daemon.lines().next().unwrap_or("unknown").to_owned();
    let load = read("/proc/loadavg", |_| true);
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!(
        "{cpus} processors ({model}), {}; {daemon}. {rounds} rounds of {milliseconds} ms for each number; average load at the end {load}, \
         of which client and daemon are up to 2.\n",
        kernel.join(" ")
    )
}

fn read(path: &str, wanted: impl Fn(&str) -> bool) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| wanted(line));
    line.unwrap_or_default().to_owned()
}

fn names(row: &Row) -> String {
    format!(
        "| {} | {} | {} | {} |",
        row.medium,
        row.queues,
        row.depth,
        row.who.words()
    )
}

/// `least – middle – most`, or one number where they read the same.
fn spread([least, middle, most]: [f64; 3], decimals: usize) -> String {
    let text = [least, middle, most].map(|value| format!("{value:.decimals$}"));
    match &text {
        [least, middle, most] if least == middle && middle == most => middle.clone(),
        [least, middle, most] => format!("{least} … **{middle}** … {most}"),
    }
}
