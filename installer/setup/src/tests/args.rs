//! The command line.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::args::{Request, Wrong, parse, split};
use crate::engine::Command;
use crate::policy::{Candidate, Class};

fn read(line: &str) -> Result<Request, Wrong> {
    parse(&split(line))
}

#[test]
fn splitting() {
    let words = |line: &str| split(line);
    let empty: Vec<String> = Vec::new();
    assert_eq!(words(""), empty);
    assert_eq!(words("setup.exe"), empty);
    assert_eq!(
        words(r#""C:\a b\setup.exe" x  "y z" "" q"#),
        ["x", "y z", "", "q"]
    );
    // A path's last backslash does not escape the quotation mark.
    assert_eq!(words(r#"s "C:\a b\" c"#), [r"C:\a b\", "c"]);
}

#[test]
fn commands() {
    let line = r#"s install --driver vioblk --inf "C:\a b\vioblk.inf" --class test --boot-start --product {A} --version 1.2.3.4 "#;
    let Ok(Request::Run {
        command: Command::Install(install),
        dry_run: false,
    }) = read(line)
    else {
        panic!("{:?}", read(line));
    };
    assert_eq!(install.inf, r"C:\a b\vioblk.inf");
    assert_eq!(install.candidate.class, Class::Test);
    assert!(install.candidate.boot_start && !install.stage_only);
    assert!(!install.candidate.attestation_on_server);
    assert!(install.devices.is_empty() && !install.force);
    let forced = format!(r"{line} --force --devices PCI\A,PCI\B");
    let Ok(Request::Run {
        command: Command::Install(install),
        ..
    }) = read(&forced)
    else {
        panic!("{:?}", read(&forced));
    };
    assert!(install.force);
    assert_eq!(install.devices, [r"PCI\A", r"PCI\B"]);
    let check = read("s check --class attestation --accept-attestation-on-server");
    assert_eq!(
        check,
        Ok(Request::Run {
            command: Command::Check(Candidate {
                class: Class::Attestation,
                boot_start: false,
                attestation_on_server: true,
            }),
            dry_run: false
        })
    );
    let dry = read("s rollback --product {A} --dry-run");
    assert_eq!(
        dry,
        Ok(Request::Run {
            command: Command::Rollback("{A}".to_string()),
            dry_run: true
        })
    );
    for line in ["s", "s --help", "s /?"] {
        assert_eq!(read(line), Ok(Request::Help));
    }
}

#[test]
fn wrong_lines() {
    for (line, part) in [
        ("s explode", "explode"),
        (
            "s install --driver a --inf b --class test --product c --version d --devices",
            "--devices",
        ),
        ("s check", "--class"),
        ("s check --class test --product {A}", "--product"),
        ("s begin", "--product"),
        ("s begin --product", "--product"),
        ("s begin --product {A} --force", "--force"),
        ("s begin --product {A} --product {B}", "--product"),
        ("s begin {A}", "{A}"),
        ("s commit --product {A} --dry-run now", "now"),
        (
            "s install --driver a --inf b --class best --product c --version d",
            "test, attestation or whcp",
        ),
    ] {
        let error = read(line).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
}
