//! Which signatures a Windows takes, as its boot configuration and its edition say.

use std::fs;

use fake_windows::Windows;
use fake_windows::hives::{Entry, LOADER, bcd_with};

use crate::bcd::Partition;
use crate::package::Pack;
use crate::plan::Consent;
use crate::refusal::Refusal;
use crate::testing::{Case, NOTHING, edits, pack, package};
use crate::trust::Trust;
use crate::windows::Machine;

#[test]
fn unsigned_boot_drivers_are_refused_and_other_drivers_are_not() {
    let mut case = Case::new(&Windows::default(), Some(&[Some(true)]));
    let refusal = case.refusal(&pack(Trust::Unsigned), NOTHING);
    assert!(
        matches!(refusal, Refusal::Signature { ref file, .. } if file == "toyblk.sys"),
        "{refusal}"
    );
    let mut other = package(Machine::AMD64, Trust::Unsigned);
    other.service.start = 3;
    let pack = Pack {
        packages: vec![other],
        certificates: Vec::new(),
    };
    let plan = case.plan(&pack, NOTHING).unwrap();
    assert!(edits(&plan, r"HKLM\SYSTEM").is_empty());
    assert!(
        plan.files
            .iter()
            .any(|file| file.path.ends_with("toyblk.inf"))
    );
}

#[test]
fn test_signed_drivers_need_testsigning_on() {
    let pack = pack(Trust::Test);
    let consent = Consent {
        enable_testsigning: true,
        ..NOTHING
    };
    // Which of several stores a start uses cannot be known: all count.
    for stores in [&[None][..], &[Some(false)], &[Some(true), None]] {
        let mut case = Case::new(&Windows::default(), Some(stores));
        let refusal = case.refusal(&pack, NOTHING);
        assert!(
            matches!(refusal, Refusal::TestSigningOff { .. }),
            "{refusal}"
        );
        assert!(refusal.to_string().contains("0xC0000428"));
        let plan = case.plan(&pack, consent).unwrap();
        assert!(plan.notes.iter().any(|note| note.contains("Secure Boot")));
        case.apply(&plan);
        assert!(case.plan(&pack, NOTHING).unwrap().is_done());
    }
    let mut case = Case::new(&Windows::default(), Some(&[]));
    let refusal = case.refusal(&pack, consent);
    assert!(matches!(refusal, Refusal::NoBcd(_)), "{refusal}");
}

#[test]
fn testsigning_is_not_switched_on_for_drivers_that_do_not_need_it() {
    let consent = Consent {
        enable_testsigning: true,
        ..NOTHING
    };
    for trust in [Trust::Attestation, Trust::Whcp] {
        let mut case = Case::new(&Windows::default(), Some(&[Some(false)]));
        let refusal = case.refusal(&pack(trust), consent);
        assert_eq!(refusal, Refusal::TestSigningNotNeeded);
        assert!(refusal.to_string().contains("Repeat without"));
        let plan = case.plan(&pack(trust), NOTHING).unwrap();
        assert!(!plan.hives.iter().any(|hive| hive.path.contains("BCD")));
    }
    // A driver that starts later needs it too, but does not keep Windows from starting without it.
    let mut both = pack(Trust::Whcp);
    let mut later = package(Machine::AMD64, Trust::Test);
    later.name = "toylater".to_owned();
    later.service.start = 3;
    both.packages.push(later);
    let mut case = Case::new(&Windows::default(), Some(&[Some(false)]));
    let plan = case.plan(&both, NOTHING).unwrap();
    let note = |note: &String| note.contains("toylater: test-signed");
    assert!(plan.notes.iter().any(note), "{:?}", plan.notes);
    assert!(!plan.hives.iter().any(|hive| hive.path.contains("BCD")));
    let plan = case.plan(&both, consent).unwrap();
    assert!(plan.hives.iter().any(|hive| hive.path.contains("BCD")));
}

#[test]
fn test_signed_drivers_in_a_wim_need_a_word() {
    let pack = pack(Trust::Test);
    let mut case = Case::new(&Windows::default(), None);
    assert_eq!(case.refusal(&pack, NOTHING), Refusal::WimTestSigned);
    let consent = Consent {
        accept_test_signed: true,
        ..NOTHING
    };
    let plan = case.plan(&pack, consent).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("testsigning")));
    // The certificates go along, and the script puts them where they belong.
    case.apply(&plan);
    let script = case.tree.root.join("Windows/Drivers/WinPV/first-boot.cmd");
    let script = fs::read_to_string(script).unwrap();
    assert!(
        script.contains(r#"certutil -addstore Root "%~dp0root.cer""#),
        "{script}"
    );
    assert!(script.lines().count() > 3 && script.contains("\r\n"));
    // After a failure it runs again at each start, until it succeeds.
    let at = |words: &str| script.find(words).expect(words);
    assert!(at("pnputil.exe") < at("goto done") && at("goto done") < at("/create"));
    assert!(at("/create") < at(":done") && at(":done") < at("/delete"));
    let certificate = case.tree.root.join("Windows/Drivers/WinPV/root.cer");
    assert_eq!(fs::read(certificate).unwrap(), b"certificate");
}

const OTHER: &str = "{00000000-0000-0000-0000-000000000001}";

/// A store with two entries: one that starts the partition at 1 MiB, and one that starts that at 2 MiB.
fn two_partitions(first: Option<bool>, second: Option<bool>) -> Vec<u8> {
    let at = |object, title, testsigning, mebibyte: u8| {
        let mut partition = [0; 16];
        partition[2] = mebibyte << 4;
        Entry {
            object,
            title,
            partition: Some(partition),
            ..Entry::windows(testsigning)
        }
    };
    let entries = [
        at(LOADER, "first", first, 1),
        at(OTHER, "second", second, 2),
    ];
    bcd_with(&entries, LOADER, &[LOADER, OTHER])
}

#[test]
fn entries_are_named_and_those_of_other_partitions_left_alone() {
    let pack = pack(Trust::Test);
    let consent = Consent {
        enable_testsigning: true,
        ..NOTHING
    };
    let mut case = Case::new(&Windows::default(), Some(&[None]));
    let store = case.tree.root.join("BCD-0");
    fs::write(&store, two_partitions(Some(true), None)).unwrap();
    let refusal = case.refusal(&pack, NOTHING).to_string();
    assert!(
        refusal.contains(&format!("\"second\" {OTHER}")) && !refusal.contains("first"),
        "{refusal}"
    );
    let plan = case.plan(&pack, consent).unwrap();
    let note = |words: &str| plan.notes.iter().any(|note| note.contains(words));
    assert!(note("switched on") && note("\"second\"") && !note("\"first\""));

    case.tree.elsewhere = vec![Partition::mbr(2 << 20)];
    assert!(
        case.plan(&pack, NOTHING)
            .unwrap()
            .hives
            .iter()
            .all(|hive| !hive.path.contains("BCD"))
    );
    fs::write(&store, two_partitions(None, None)).unwrap();
    let plan = case.plan(&pack, consent).unwrap();
    let note = |words: &str| plan.notes.iter().any(|note| note.contains(words));
    assert!(note("switched on") && note("starts another partition"));
    let bcd = plan
        .hives
        .iter()
        .find(|hive| hive.path.contains("BCD"))
        .unwrap();
    assert_eq!(bcd.edits.len(), 1);
    assert!(bcd.edits[0].key.contains(LOADER));

    // A store in which nothing starts this Windows allows nothing.
    case.tree.elsewhere = vec![Partition::mbr(1 << 20), Partition::mbr(2 << 20)];
    fs::write(&store, two_partitions(Some(true), Some(true))).unwrap();
    let refusal = case.refusal(&pack, consent);
    assert!(matches!(refusal, Refusal::NoBcdEntry(_)), "{refusal}");
}

#[test]
fn servers_take_attested_drivers_only_if_they_are_told_to() {
    let attested = pack(Trust::Attestation);
    let consent = Consent {
        accept_attestation_on_server: true,
        ..NOTHING
    };
    let server = Windows {
        is_server: true,
        ..Windows::default()
    };
    // A disk and a WIM alike.
    for stores in [Some(&[None][..]), None] {
        let mut case = Case::new(&server, stores);
        let refusal = case.refusal(&attested, NOTHING);
        assert!(
            matches!(refusal, Refusal::AttestedOnServer { .. }),
            "{refusal}"
        );
        assert!(
            refusal
                .to_string()
                .contains("--accept-attestation-on-server")
        );
        let plan = case.plan(&attested, consent).unwrap();
        assert!(plan.notes.iter().any(|note| note.contains("attestation")));
        assert!(case.plan(&pack(Trust::Whcp), NOTHING).is_ok());
        let mut client = Case::new(&Windows::default(), stores);
        assert!(client.plan(&attested, NOTHING).is_ok());
    }
    // Drivers that do not start at boot cannot keep Windows from starting.
    let mut other = package(Machine::AMD64, Trust::Attestation);
    other.service.start = 3;
    let pack = Pack {
        packages: vec![other],
        certificates: Vec::new(),
    };
    assert!(Case::new(&server, None).plan(&pack, NOTHING).is_ok());
}
