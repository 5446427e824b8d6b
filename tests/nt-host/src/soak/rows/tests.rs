//! The rows here and the table are the same.

use std::collections::BTreeSet;

use super::{EXCLUDED, PACKED, ROWS, Verdict, explains, packed, plan};

/// The table: its own test sees to it that README.md is the table. Not the crate, as nothing here may depend on virtio-core.
const README: &str = include_str!("../../../../hostile/README.md");

/// The ids of the table.
fn table() -> BTreeSet<String> {
    let rows = README.lines().filter_map(|line| line.strip_prefix("| "));
    let ids = rows.filter_map(|row| row.split_once(" |").map(|(id, _)| id));
    let is_id = |id: &&str| {
        let number = id.trim_start_matches(['R', 'S', 'P', 'T', 'F']);
        id.len() == 4 && number.len() == 3 && number.parse::<u16>().is_ok()
    };
    let ids: BTreeSet<String> = ids.filter(is_id).map(str::to_owned).collect();
    let told = README
        .lines()
        .find_map(|line| line.split_once(" ways in which a device can lie"));
    let told = told.and_then(|(count, _)| count.parse().ok());
    assert_eq!(
        told,
        Some(ids.len()),
        "README.md says how many rows there are"
    );
    ids
}

#[test]
fn every_row_of_the_table_is_tried_or_excluded_once() {
    let of_rows = |rows: &[super::Row]| -> BTreeSet<String> {
        let id = |row: &super::Row| row.id.trim_end_matches(|c: char| c.is_ascii_lowercase());
        rows.iter().map(|row| id(row).to_owned()).collect()
    };
    let mut known = &of_rows(ROWS) | &of_rows(PACKED);
    for (reason, ids) in EXCLUDED {
        for id in *ids {
            assert!(known.insert((*id).to_owned()), "{id} twice: {reason}");
        }
    }
    let table = table();
    let missing: Vec<_> = table.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "neither tried nor excluded: {missing:?}"
    );
    let unknown: Vec<_> = known.difference(&table).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
}

#[test]
fn no_row_hides_another() {
    for rows in [ROWS, PACKED] {
        let ids: BTreeSet<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), rows.len(), "an id is there twice");
    }
    for row in ROWS {
        assert!(plan(row.id).is_ok(), "{}", row.id);
    }
    for row in PACKED {
        assert!(packed(row.id).is_ok(), "{}", row.id);
    }
}

/// A driver that only waits until its port driver resets it has closed nothing.
#[test]
fn what_closes_a_queue_is_found_out_by_the_driver() {
    /// The driver may look at the ring when another buffer has the name, or has taken the place.
    const OTHERWISE: &[&str] = &["P010"];
    let closes: BTreeSet<&str> = README
        .lines()
        .filter(|line| line.contains("| closed: "))
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        .map(|(id, _)| id)
        .collect();
    assert!(closes.contains("R001") && !closes.contains("P020"));
    for row in ROWS.iter().chain(PACKED) {
        let id = row.id.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let loose = closes.contains(id) && row.verdict == Verdict::CutOff;
        assert!(!loose || OTHERWISE.contains(&id), "{}", row.id);
    }
}

#[test]
fn a_row_explains_what_its_lie_leads_to_until_the_device_is_stopped() {
    let head = "Virtio 1.3 §2.7.5: descriptor chain 65535: index 65535 of 128";
    let own = "Virtio 1.3 §2.7.5.3.1: descriptor 3 has INDIRECT together with NEXT";
    let ones = plan("R031").unwrap();
    assert!(explains(&ones, "device", head, false));
    assert!(!explains(&ones, "device", head, true));
    assert!(!explains(&ones, "device", own, false));
    for id in ["R038", "R001"] {
        let other = plan(id).unwrap();
        assert!(!explains(&other, "device", head, false), "{id}");
    }
    let nothing = "queue 0, descriptor chain 0: 0 bytes at 0x0 were not mapped for the device";
    let beyond = "queue 0, descriptor chain 0: 4096 bytes at 0x1000 were not mapped for the device";
    let zeros = plan("R030").unwrap();
    assert!(explains(&zeros, "dma-out-of-bounds", nothing, false));
    assert!(!explains(&zeros, "dma-out-of-bounds", nothing, true));
    assert!(!explains(&zeros, "dma-out-of-bounds", beyond, false));
    assert!(!explains(&ones, "dma-out-of-bounds", nothing, false));
    // Used entries of before DRIVER_OK come again at a restart.
    let early = "Virtio 1.3 §2.7.8: the device gave back 3 on queue 0, which it did not have";
    assert!(explains(&plan("S025").unwrap(), "device", early, true));
}
