//! Every row of the hostile table runs, and the list of them is true.

use std::collections::BTreeSet;
use std::panic;

use hostile_table::{Run, readme, rows};

/// As many rows as the table has to have.
const AT_LEAST: usize = 120;

#[test]
fn every_row_has_its_verdict_in_every_mode() {
    // Panics inside rows are caught and named; their own output would only hide that.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let results: Vec<_> = rows().iter().map(|row| (row.id, row.check())).collect();
    panic::set_hook(hook);
    let problems: Vec<_> = results
        .iter()
        .filter_map(|(_, result)| result.as_ref().err())
        .map(String::as_str)
        .collect();
    assert!(
        problems.is_empty(),
        "{} rows fail:\n{}",
        problems.len(),
        problems.join("\n")
    );
    let idle: Vec<_> = results
        .iter()
        .filter(|(_, result)| *result == Ok(0))
        .map(|(id, _)| *id)
        .collect();
    assert!(idle.is_empty(), "rows that ran in no mode: {idle:?}");
    let ran: usize = results
        .iter()
        .filter_map(|(_, result)| result.as_ref().ok())
        .sum();
    println!("{} rows in {ran} modes", results.len());
}

#[test]
fn rows_are_enough_and_well_formed() {
    let rows = rows();
    assert!(rows.len() >= AT_LEAST, "only {} rows", rows.len());
    let mut ids = BTreeSet::new();
    let mut lies = BTreeSet::new();
    for row in rows {
        let (letter, number) = row.id.split_at(1);
        let of_ring = matches!(row.run, Run::Ring(..));
        let letters = if of_ring { "RSP" } else { "TF" };
        assert!(letters.contains(letter), "{}: letter", row.id);
        assert!(
            number.len() == 3 && number.parse::<u16>().is_ok(),
            "{}: number",
            row.id
        );
        assert!(ids.insert(row.id), "{} is there twice", row.id);
        assert!(lies.insert(row.lie), "{}: this lie is there twice", row.id);
        assert!(
            row.section.contains('§') || row.section.starts_with("PCI"),
            "{}: section",
            row.id
        );
        assert!(
            !row.lie.contains('|') && !row.lie.ends_with('.'),
            "{}: text",
            row.id
        );
    }
}

#[test]
fn readme_lists_the_rows() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == readme(&rows()),
        "tests/hostile/README.md is out of date: run cargo run -p hostile-table -- --write"
    );
}
