//! The rows here and the table are the same.

use std::collections::BTreeSet;

use super::{EXCLUDED, PACKED, ROWS, packed, plan};

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
    let table: BTreeSet<String> = hostile_table::rows()
        .iter()
        .map(|row| row.id.to_owned())
        .collect();
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
