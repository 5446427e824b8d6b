//! Stores made by another program than the one that reads them.

use std::fs;

use fake_windows::hives::{Entry, GLOBAL, LOADER, Maker, RECOVERY, bcd, bcd_with};

use super::{Bcd, Partition, element};
use crate::hive::Hive;
use crate::registry::Value;

const OTHER: &str = "{00000000-0000-0000-0000-000000000001}";

fn open_beside(bytes: &[u8], elsewhere: &[Partition]) -> (tempfile::TempDir, Bcd) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("BCD");
    fs::write(&file, bytes).unwrap();
    let bcd = Bcd::open(Hive::open(file, "BCD").unwrap(), elsewhere).unwrap();
    (dir, bcd)
}

fn open(bytes: &[u8]) -> (tempfile::TempDir, Bcd) {
    open_beside(bytes, &[])
}

/// The entries that lack testsigning, by their titles.
fn off(bytes: &[u8]) -> Vec<String> {
    let (_dir, bcd) = open(bytes);
    let off = bcd.without_testsigning().unwrap();
    off.into_iter().map(|entry| entry.title).collect()
}

fn entry<'a>(object: &'a str, title: &'a str, testsigning: Option<bool>) -> Entry<'a> {
    Entry {
        object,
        title,
        ..Entry::windows(testsigning)
    }
}

#[test]
fn testsigning_is_read_and_switched_on() {
    for (set, is_on) in [(None, false), (Some(false), false), (Some(true), true)] {
        let (_dir, store) = open(&bcd(set));
        let off = store.without_testsigning().unwrap();
        assert_eq!(off.is_empty(), is_on, "{set:?}");
        store.hive.merge(&Bcd::edits(&off)).unwrap();
        assert_eq!(store.without_testsigning().unwrap(), []);
        assert_eq!(
            store
                .hive
                .value(&element(LOADER, "16000049"), "Element")
                .unwrap(),
            Some(Value::binary(&[1]))
        );
        // The entry for recovery loads no installed driver and is left alone.
        let recovery = store.hive.values(&element(RECOVERY, "16000049")).unwrap();
        assert_eq!(recovery, None);
    }
}

#[test]
fn every_entry_that_can_be_chosen_counts() {
    let store = |default: &str, menu: &[&str], first: bool, second: bool| {
        bcd_with(
            &[
                entry(LOADER, "first", Some(first)),
                entry(OTHER, "second", Some(second)),
            ],
            default,
            menu,
        )
    };
    let both = [LOADER, OTHER];
    assert_eq!(off(&store(LOADER, &both, true, true)), [""; 0]);
    // One for tests beside one without: whichever is the default.
    assert_eq!(off(&store(LOADER, &both, true, false)), ["second"]);
    assert_eq!(off(&store(OTHER, &both, true, false)), ["second"]);
    assert_eq!(
        off(&store(LOADER, &both, false, false)),
        ["first", "second"]
    );
    // The default entry counts without the menu, and what nothing names does not.
    assert_eq!(off(&store(OTHER, &[LOADER], true, false)), ["second"]);
    assert_eq!(off(&store(LOADER, &[LOADER], true, false)), [""; 0]);
}

#[test]
fn the_sequence_of_the_next_start_counts() {
    let mut hive = Maker::new("BCD");
    for object in [LOADER, OTHER] {
        hive.dword(
            &format!(r"Objects\{object}\Description"),
            "Type",
            0x1020_0003,
        );
    }
    // In other letters, as a program may write it; and twice.
    let manager = "{9DEA862C-5CDD-4E70-ACC1-F32B344D4795}";
    let twice = [
        OTHER,
        "{B2721D73-1DB4-4C62-BF78-C548A880142D}",
        OTHER,
        LOADER,
    ];
    hive.multi(&element(manager, "24000002"), "Element", &twice);
    let (_dir, bcd) = open(&hive.bytes());
    assert_eq!(bcd.entries().len(), 2);
    assert_eq!(
        bcd.entries()[0].to_string(),
        format!("\"without a name\" {OTHER}")
    );
}

#[test]
fn entries_that_start_something_else_do_not_count() {
    let partition = |start: u64| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&start.to_le_bytes());
        Some(bytes)
    };
    let entries = [
        Entry {
            partition: partition(1 << 20),
            ..entry(LOADER, "ours", Some(true))
        },
        Entry {
            partition: partition(1 << 30),
            ..entry(OTHER, "other", None)
        },
        Entry {
            is_pe: true,
            ..entry(RECOVERY, "recovery", None)
        },
    ];
    let store = bcd_with(&entries, LOADER, &[LOADER, OTHER, RECOVERY]);
    let (_dir, known) = open_beside(&store, &[Partition::mbr(1 << 30)]);
    assert_eq!(known.without_testsigning().unwrap(), []);
    let others: Vec<_> = known
        .others()
        .iter()
        .map(|(entry, what)| (entry.title.as_str(), *what))
        .collect();
    assert_eq!(
        others,
        [
            ("other", "starts another partition"),
            ("recovery", "starts Windows PE")
        ]
    );
    // A partition that the disk does not have may be this one under an older name.
    let (_dir, unknown) = open_beside(&store, &[Partition::mbr(2 << 30)]);
    assert_eq!(unknown.entries().len(), 2);
    assert_eq!(unknown.without_testsigning().unwrap()[0].title, "other");
}

#[test]
fn entries_inherit_and_cannot_do_so_in_a_circle() {
    for (on, expected) in [(Some(true), true), (Some(false), false), (None, false)] {
        let mut hive = Maker::new("BCD");
        let manager = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
        hive.text(&element(manager, "23000003"), "Element", LOADER);
        hive.dword(
            &format!(r"Objects\{LOADER}\Description"),
            "Type",
            0x1020_0003,
        );
        for (object, parent) in [(LOADER, GLOBAL), (GLOBAL, LOADER)] {
            hive.multi(&element(object, "14000006"), "Element", &[parent]);
        }
        if let Some(on) = on {
            hive.boolean(&element(GLOBAL, "16000049"), on);
        }
        assert_eq!(off(&hive.bytes()).is_empty(), expected);
    }
}

#[test]
fn a_store_without_windows_has_no_entries() {
    let (_dir, bcd) = open(&Maker::new("BCD").bytes());
    assert!(bcd.entries().is_empty() && bcd.others().is_empty());
}
