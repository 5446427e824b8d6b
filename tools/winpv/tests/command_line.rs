//! The program itself: exit codes, JSON, and what it says to bad input.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs winpv in a folder, away from cargo's environment.
fn winpv(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_winpv"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// A folder with a driver package: the linter's own clean INF, and the files it names.
fn package(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let clean = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inf/testdata/storage.inf");
    let text = fs::read_to_string(clean).unwrap().replace('\n', "\r\n");
    fs::write(folder.path().join("disk.inf"), text).unwrap();
    for file in files {
        fs::write(folder.path().join(file), "").unwrap();
    }
    folder
}

fn spoil(folder: &Path, from: &str, to: &str) -> PathBuf {
    let path = folder.join("disk.inf");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(&path, text.replace(from, to)).unwrap();
    path
}

#[test]
fn a_clean_package_passes_and_a_file_that_is_missing_does_not() {
    let complete = package(&["disk.sys"]);
    let ran = winpv(complete.path(), &["lint-inf", "disk.inf"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "1 files, 0 errors, 0 warnings\n")
    );
    assert_eq!(winpv(complete.path(), &["lint-inf", "."]).code, 0);
    // Windows' file names have no case.
    let other_case = package(&["DISK.SYS"]);
    assert_eq!(winpv(other_case.path(), &["lint-inf", "disk.inf"]).code, 0);

    let alone = package(&[]);
    let ran = winpv(alone.path(), &["lint-inf", "disk.inf"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out
            .contains("error[INF306]: disk.sys is not in the package"),
        "{}",
        ran.out
    );
    assert_eq!(
        winpv(alone.path(), &["lint-inf", "--no-package", "disk.inf"]).code,
        0
    );
}

#[test]
fn findings_have_a_place_and_a_mend() {
    let folder = package(&["disk.sys"]);
    spoil(folder.path(), "PnpLockdown = 1", "PnpLockdown = 0");
    let ran = winpv(folder.path(), &["lint-inf", "disk.inf"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.starts_with("disk.inf:10:15: error[INF111]: "),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("write PnpLockdown = 1"), "{}", ran.out);

    let ran = winpv(folder.path(), &["lint-inf", "--json", "disk.inf"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let finding = &report["files"][0]["findings"][0];
    assert_eq!((ran.code, &report["errors"]), (1, &Value::from(1)));
    assert_eq!(
        (&finding["rule"], &finding["line"], &finding["column"]),
        (&"INF111".into(), &10.into(), &15.into())
    );
    assert_eq!(finding["infverif"], serde_json::json!([1324]));
}

#[test]
fn warnings_fail_only_when_asked() {
    let folder = package(&["disk.sys"]);
    spoil(
        folder.path(),
        "PnpLockdown = 1",
        "PnpLockdown = 1\r\nDriverPackageType = PlugAndPlay",
    );
    assert_eq!(winpv(folder.path(), &["lint-inf", "disk.inf"]).code, 0);
    assert_eq!(
        winpv(folder.path(), &["lint-inf", "--deny-warnings", "disk.inf"]).code,
        1
    );
    // 1607's models become subject to isolation when the caller says so.
    assert_eq!(
        winpv(
            folder.path(),
            &["lint-inf", "--isolated-from", "14393", "disk.inf"]
        )
        .code,
        1
    );
}

#[test]
fn rules_are_listed_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let ran = winpv(folder.path(), &["lint-inf", "--explain", "inf301"]);
    assert_eq!(ran.code, 0);
    for word in ["INF301", "1322", "driver-isolation", "why:"] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    let list = winpv(folder.path(), &["lint-inf", "--rules"]).out;
    let ran = winpv(folder.path(), &["lint-inf", "--rules", "--json"]);
    let rules: Value = serde_json::from_str(&ran.out).unwrap();
    let rules = rules["rules"].as_array().unwrap();
    assert_eq!(rules.len(), list.lines().count());
    for rule in rules {
        assert!(list.contains(rule["id"].as_str().unwrap()));
    }
}

#[test]
fn bad_input_is_answered_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, words) in [
        (
            vec!["lint-inf", "nowhere.inf"],
            3,
            vec!["cannot read nowhere.inf"],
        ),
        (
            vec!["lint-inf", "."],
            3,
            vec!["no .inf file in .", "name a file"],
        ),
        (vec!["lint-inf"], 2, vec!["FILE"]),
        (
            vec!["lint-inf", "--explain", "INF999"],
            3,
            vec!["INF999", "--rules"],
        ),
        (
            vec!["lint-inf", "--isolated-from", "new", "x.inf"],
            2,
            vec!["--isolated-from"],
        ),
        (vec!["build"], 3, vec!["no WinPV sources", "checkout"]),
        (vec!["verify", "nowhere.sys"], 3, vec!["nowhere.sys"]),
        (vec!["completions", "tcsh"], 2, vec!["tcsh", "bash"]),
        (vec!["lint"], 2, vec!["lint-inf"]),
    ] {
        let ran = winpv(folder.path(), &arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        for word in words {
            assert!(
                ran.err.contains(word),
                "{arguments:?}: {word} is not in {}",
                ran.err
            );
        }
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
}

#[test]
fn the_report_on_tools_is_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let ran = winpv(folder.path(), &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let complete = report["complete"].as_bool().unwrap();
    assert_eq!(ran.code, i32::from(!complete));
    assert!(
        report["tools"]
            .as_array()
            .unwrap()
            .iter()
            .any(|tool| tool["name"] == "osslsigncode")
    );
}

#[test]
fn help_manual_and_completions_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let help = winpv(folder.path(), &["--help"]).out;
    assert!(
        help.contains("Exit codes:") && help.contains("lint-inf"),
        "{help}"
    );
    assert!(winpv(folder.path(), &["man"]).out.contains(".TH winpv 1"));
    assert!(
        winpv(folder.path(), &["completions", "bash"])
            .out
            .contains("complete -F")
    );
}
