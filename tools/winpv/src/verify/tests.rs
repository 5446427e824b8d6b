//! The parts of verify that need no signed file; the suite breaks a signed package by every rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::archive::inside;
use super::catalog::System;
use super::report::{Level, Report, Strictness};
use super::rules::RULES;
use super::signature::seconds;
use super::{Options, sys, verify};

#[test]
fn rules_have_names_of_their_own_and_stand_in_the_documentation() {
    let document = fs::read_to_string(crate::root().join("docs/verify.md")).unwrap();
    let own = RULES.iter().map(|rule| (rule.id, rule.level));
    let images = sys::RULES.iter().map(|rule| (rule.id, rule.level));
    let mut seen = BTreeSet::new();
    for (id, level) in own.chain(images) {
        assert!(seen.insert(id), "{id} stands twice");
        let row = format!("| `{id}` | {level} |");
        assert!(document.contains(&row), "docs/verify.md lacks {row}");
    }
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count(), seen.len());
}

#[test]
fn our_packages_may_not_break_what_others_are_warned_of() {
    let mut report = Report::default();
    for (strictness, level) in [
        (Strictness::Theirs, Level::Warning),
        (Strictness::Ours, Level::Error),
    ] {
        report.add("member-unknown", strictness, "x.cat", "wrong", "mend it");
        assert_eq!(report.findings.last().unwrap().level, level);
    }
    report.add(
        "root-unknown",
        Strictness::Ours,
        "x.cat",
        "wrong",
        "name\n  it",
    );
    assert_eq!(report.count(Level::Note), 1);
    assert_eq!(report.findings[2].mend, "name it");
    assert!(!report.is_good());
    assert_eq!(
        report.findings[0].to_string(),
        "x.cat: warning[member-unknown]: wrong; mend it"
    );
    let json = report.json();
    assert_eq!(json["good"], false);
    assert_eq!(json["findings"][1]["level"], "error");
}

#[test]
fn times_of_time_stamps_are_read() {
    // GeneralizedTime of RFC 3161 §2.4.2, with and without fractions.
    assert_eq!(seconds(b"19700101000000Z"), Some(0));
    assert_eq!(seconds(b"20000229235959Z"), Some(951_868_799));
    assert_eq!(seconds(b"20260813220941.395Z"), Some(1_786_658_981));
    for bad in [
        &b"20260813220941"[..],
        b"20260813220941+0100",
        b"20261313220941Z",
        b"20260230000000Z",
        b"2026",
        b"\xff",
        b"",
    ] {
        assert_eq!(seconds(bad), None, "{bad:?}");
    }
}

#[test]
fn the_os_attribute_is_understood() {
    let read = |text: &str| System::parse(text).map(|system| (system.version, system.arch));
    assert_eq!(read("_v100_X64"), Some((10, "amd64")));
    assert_eq!(read("_v100_X64_22H2"), Some((10, "amd64")));
    assert_eq!(read("_v63_Server_X64"), Some((6, "amd64")));
    assert_eq!(read("_v100_ARM64_RS5"), Some((10, "arm64")));
    assert_eq!(read("_v100"), Some((10, "x86")));
    assert_eq!(read("7_X64"), None);
    assert_eq!(read(""), None);
}

#[test]
fn members_of_archives_stay_inside() {
    let folder = Path::new("/tmp/x");
    let path = |name: &str| inside(folder, name).map(|path| path.display().to_string());
    assert_eq!(path(r"one\two.inf").as_deref(), Some("/tmp/x/one/two.inf"));
    assert_eq!(
        path("/one/./two.inf").as_deref(),
        Some("/tmp/x/one/two.inf")
    );
    for bad in ["..", r"..\x", "a/../../x", r"C:\x", "a:b", "", "/", "."] {
        assert_eq!(path(bad), None, "{bad:?}");
    }
}

#[test]
fn what_cannot_be_checked_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = dir.path().join(name);
        fs::write(&path, b"nothing").unwrap();
        path
    };
    let (text, inf) = (file("read.me"), file("none.inf"));
    for (path, why) in [
        (dir.path(), "no driver package"),
        (text.as_path(), "nothing that verify knows"),
        (inf.as_path(), "installs no driver"),
        (Path::new("/nowhere/x.iso"), "cannot read /nowhere/x.iso"),
    ] {
        let error = format!("{:#}", verify(path, &Options::default()).unwrap_err());
        assert!(error.contains(why), "{error}");
    }
    let options = Options {
        roots: vec![text.clone()],
        ..Options::default()
    };
    let error = format!("{:#}", verify(dir.path(), &options).unwrap_err());
    assert!(error.contains("no certificate"), "{error}");
}
