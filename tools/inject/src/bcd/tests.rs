//! Stores made by another program than the one that reads them.

use std::fs;

use fake_windows::hives::{LOADER, Maker, bcd};

use super::{Bcd, element};
use crate::hive::Hive;
use crate::refusal::Refusal;
use crate::registry::Value;

fn open(bytes: &[u8]) -> (tempfile::TempDir, anyhow::Result<Bcd>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("BCD");
    fs::write(&file, bytes).unwrap();
    let bcd = Bcd::open(Hive::open(file, "BCD").unwrap(), "BCD");
    (dir, bcd)
}

#[test]
fn testsigning_is_read_and_switched_on() {
    for (set, expected) in [(None, false), (Some(false), false), (Some(true), true)] {
        let (_dir, store) = open(&bcd(set));
        let store = store.unwrap();
        assert_eq!(store.allows_test_signed().unwrap(), expected, "{set:?}");
        let edits = store.edits().unwrap();
        assert_eq!(edits.is_empty(), expected);
        store.hive.merge(&edits).unwrap();
        assert!(store.allows_test_signed().unwrap());
        assert_eq!(
            store
                .hive
                .value(&element(LOADER, "16000049"), "Element")
                .unwrap(),
            Some(Value::binary(&[1]))
        );
    }
}

/// A store with the boot manager's default entry, a second entry, and what each says.
fn two_entries(default_on: bool, other_on: bool) -> Vec<u8> {
    let other = "{00000000-0000-0000-0000-000000000001}";
    let mut hive = Maker::new("BCD");
    hive.text(
        r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\23000003",
        "Element",
        LOADER,
    );
    for (object, on) in [(LOADER, default_on), (other, other_on)] {
        hive.dword(
            &format!(r"Objects\{object}\Description"),
            "Type",
            0x1020_0003,
        );
        hive.value(
            &element(object, "16000049"),
            "Element",
            regf::DataType::Binary,
            &[u8::from(on)],
        );
    }
    hive.bytes()
}

#[test]
fn only_the_default_entry_counts() {
    assert!(
        open(&two_entries(true, false))
            .1
            .unwrap()
            .allows_test_signed()
            .unwrap()
    );
    assert!(
        !open(&two_entries(false, true))
            .1
            .unwrap()
            .allows_test_signed()
            .unwrap()
    );
}

#[test]
fn entries_inherit_and_cannot_do_so_in_a_circle() {
    let settings = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}";
    for on in [true, false] {
        let mut hive = Maker::new("BCD");
        hive.dword(
            &format!(r"Objects\{LOADER}\Description"),
            "Type",
            0x1020_0003,
        );
        for (object, parent) in [(LOADER, settings), (settings, LOADER)] {
            let mut list: Vec<u8> = parent.encode_utf16().flat_map(u16::to_le_bytes).collect();
            list.extend([0; 4]);
            hive.value(
                &element(object, "14000006"),
                "Element",
                regf::DataType::MultiString,
                &list,
            );
        }
        if on {
            hive.value(
                &element(settings, "16000049"),
                "Element",
                regf::DataType::Binary,
                &[1],
            );
        }
        assert_eq!(
            open(&hive.bytes()).1.unwrap().allows_test_signed().unwrap(),
            on
        );
    }
}

#[test]
fn a_store_without_windows_is_refused() {
    let error = open(&Maker::new("BCD").bytes()).1.err().unwrap();
    assert!(
        matches!(error.downcast_ref(), Some(Refusal::Registry(_))),
        "{error:#}"
    );
}
