//! Every row of the hostile table runs, and the list of them is true.

use std::collections::BTreeSet;
use std::panic;

use hostile_table::{MUSTS, Run, readme, rows};

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

/// The sections with a driver's normative statements, in the specification's text: chapters 2 and 3, 4.1, 6.
const DRIVER_SECTIONS: &str = "\
    2.1.1 2.2.1 2.4.2 2.5.1 2.6.1.1.2 2.6.1.2.2 2.7.1 2.7.4.2 2.7.5.2 \
    2.7.5.3.1 2.7.6.1 2.7.7.1 2.7.8.3 2.7.10.1 2.7.13.3.1 2.7.13.4.1 2.8.11 2.8.16 \
    2.8.17 2.8.19 2.8.21.1.1 2.8.21.3.1 2.12.1.1.7 2.12.1.3 2.13.2 3.1.1 3.3.1 \
    4.1.2.2 4.1.3.1 4.1.4.1 4.1.4.3.2 4.1.4.5.2 4.1.4.8.2 4.1.4.9.2 4.1.5.1.2.2 4.1.5.2.1 \
    4.1.5.4.2 6.1";

#[test]
fn every_section_that_binds_the_driver_is_shown() {
    let wanted: Vec<_> = DRIVER_SECTIONS.split_whitespace().collect();
    let named: Vec<_> = MUSTS.iter().map(|must| must.section).collect();
    assert_eq!(named, wanted);
    let ids: BTreeSet<_> = rows().iter().map(|row| row.id).collect();
    for must in MUSTS {
        let section = must.section;
        assert!(
            !must.rows.is_empty() || !must.more.is_empty(),
            "§{section}: nothing shows it"
        );
        for id in must.rows {
            assert!(ids.contains(id), "§{section}: there is no row {id}");
        }
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
