//! Hives made by another program than the one that edits them.

use std::fs;

use fake_windows::{Windows, hives};

use super::Hive;
use crate::refusal::Refusal;
use crate::registry::{Edit, Value};

fn system(dir: &tempfile::TempDir) -> Hive {
    let file = dir.path().join("SYSTEM");
    fs::write(&file, hives::system(&Windows::default())).unwrap();
    Hive::open(file, "SYSTEM").unwrap()
}

#[test]
fn values_and_subkeys_are_read_without_regard_to_case() {
    let dir = tempfile::tempdir().unwrap();
    let hive = system(&dir);
    assert_eq!(
        hive.value("select", "CURRENT").unwrap(),
        Some(Value::Dword(1))
    );
    assert_eq!(hive.value("Select", "none").unwrap(), None);
    assert_eq!(hive.values("No\\Such").unwrap(), None);
    let keys = hive.subkeys("ControlSet001").unwrap();
    assert!(keys.contains(&"Services".to_owned()), "{keys:?}");
    assert!(hive.subkeys("No").unwrap().is_empty());
}

#[test]
fn edits_are_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let hive = system(&dir);
    let edits = vec![
        Edit::new(r"ControlSet001\Services\x", "Start", Value::Dword(0)),
        Edit::new(
            r"ControlSet001\Services\x",
            "",
            Value::Multi(vec!["a".to_owned()]),
        ),
        Edit::new("Select", "Current", Value::Dword(1)),
    ];
    let missing = hive.missing(edits.clone()).unwrap();
    assert_eq!(missing, edits[..2]);
    hive.merge(&missing).unwrap();
    assert_eq!(hive.missing(edits).unwrap(), []);
    // What was there is still there.
    assert_eq!(
        hive.value("Select", "Default").unwrap(),
        Some(Value::Dword(1))
    );
}

#[test]
fn hives_that_windows_has_not_finished_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("SYSTEM");
    let good = hives::system(&Windows::default());
    // Primary sequence number with the checksum that goes with it, checksum alone.
    for changed in [&[4, 508][..], &[508]] {
        let mut bytes = good.clone();
        for at in changed {
            bytes[*at] ^= 1;
        }
        fs::write(&file, &bytes).unwrap();
        let error = Hive::open(&file, "SYSTEM").err().unwrap();
        let refusal = error.downcast_ref::<Refusal>();
        assert_eq!(refusal, Some(&Refusal::HiveDirty("SYSTEM".to_owned())));
    }
    for bytes in [b"regf".as_slice(), b"", &good[1..]] {
        fs::write(&file, bytes).unwrap();
        let error = Hive::open(&file, "SYSTEM").err().unwrap();
        let refusal = error.downcast_ref::<Refusal>();
        assert_eq!(refusal, Some(&Refusal::HiveDamaged("SYSTEM".to_owned())));
    }
}
