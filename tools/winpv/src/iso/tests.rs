//! Layouts of made-up packs, and the texts.

use super::fields::fill;
use super::layout::{BOOT, Entry, SYSTEMS, layout, spelling};
use super::{TEXTS, write_texts};
use crate::drivers::{Arch, Compatible, DRIVERS, Driver, packages};
use crate::version::Version;

/// The files of a complete pack, as far as the layout looks at them.
fn pack() -> Vec<String> {
    let mut files: Vec<String> = packages()
        .flat_map(|driver| {
            Arch::ALL.into_iter().flat_map(move |arch| {
                let mut files = ["inf", "sys", "cat"]
                    .map(|ending| driver.file(arch, ending))
                    .to_vec();
                files.push(driver.symbols(arch));
                files
            })
        })
        .collect();
    files.extend(["README.txt", "attestation/x.cab", "cert/root.cer"].map(str::to_owned));
    files
}

fn from<'a>(entries: &'a [Entry], path: &str) -> Option<&'a str> {
    entries
        .iter()
        .find(|entry| entry.path == path)
        .map(|entry| entry.from.as_str())
}

#[test]
fn every_file_for_users_has_its_place_and_no_other_has() {
    let entries = layout(&pack()).unwrap();
    assert_eq!(from(&entries, "README.txt"), Some("README.txt"));
    for top in ["attestation/", "compatible/", "symbols/"] {
        assert!(
            !entries.iter().any(|entry| entry.path.starts_with(top)),
            "{top}"
        );
    }
    for driver in DRIVERS {
        for arch in Arch::ALL {
            let inf = driver.file(arch, "inf");
            assert_eq!(from(&entries, &inf), Some(inf.as_str()));
            let boot = format!("{BOOT}/{arch}/{}.inf", driver.name);
            assert_eq!(from(&entries, &boot).is_some(), driver.boot_start, "{boot}");
        }
    }
}

#[test]
fn other_tools_find_generated_packages_and_never_renamed_ones() {
    let entries = layout(&pack()).unwrap();
    for (system, archs) in SYSTEMS {
        for &arch in archs {
            let path = format!("viostor/{system}/{}/viostor.sys", spelling(arch));
            let file = format!("compatible/viostor/{arch}/viostor.sys");
            assert_eq!(from(&entries, &path), Some(file.as_str()), "{path}");
        }
    }
    assert_eq!(from(&entries, "viostor/2k22/ARM64/viostor.sys"), None);
    assert_eq!(
        from(&entries, "amd64/w11/viostor.cat"),
        Some("compatible/viostor/amd64/viostor.cat")
    );
    for entry in &entries {
        let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
        assert_eq!(name(&entry.path), name(&entry.from), "{entry:?}");
    }
}

#[test]
fn a_package_that_is_not_there_is_missed() {
    let missing = "compatible/viostor/arm64/";
    let files: Vec<String> = pack()
        .into_iter()
        .filter(|file| !file.starts_with(missing))
        .collect();
    let error = layout(&files).unwrap_err().to_string();
    assert!(error.contains("compatible/viostor/arm64"), "{error}");
}

#[test]
fn two_files_for_one_place_are_refused() {
    let mut files = pack();
    files.push("boot/amd64/vioblk.inf".to_owned());
    let error = layout(&files).unwrap_err().to_string();
    assert!(error.contains("boot/amd64/vioblk.inf"), "{error}");
}

#[test]
fn the_texts_are_for_windows_and_name_this_version() {
    let dir = tempfile::tempdir().unwrap();
    write_texts(dir.path(), &crate::root(), Version([1, 2, 3, 4])).unwrap();
    for (path, _) in TEXTS {
        let text = std::fs::read_to_string(dir.path().join(path)).unwrap();
        assert!(
            text.is_ascii() && !text.contains('@') || path.ends_with(".cmd"),
            "{path}"
        );
        assert_eq!(
            text.matches('\n').count(),
            text.matches("\r\n").count(),
            "{path}"
        );
    }
    let readme = std::fs::read_to_string(dir.path().join("README.txt")).unwrap();
    assert!(readme.starts_with("WinPV 1.2.3.4:"), "{readme}");
}

#[test]
fn the_read_me_follows_the_table_of_drivers() {
    let second = Driver {
        source: "toyscsi",
        name: "toyscsi",
        compatible: Some(Compatible {
            folder: "oldscsi",
            name: "oldscsi",
            description: "Another name",
        }),
        ..DRIVERS[0]
    };
    let late = Driver {
        source: "toynet",
        name: "toynet",
        boot_start: false,
        compatible: None,
        ..DRIVERS[0]
    };
    let (_, text) = TEXTS[0];
    let filled = fill(text, Version([1, 2, 3, 4]), &[DRIVERS[0], second, late]);
    for part in [
        "  drvload D:\\boot\\amd64\\vioblk.inf\n",
        "\n                                drvload D:\\boot\\amd64\\toyscsi.inf\n",
        "\n  viostor\\SYSTEM\\PROCESSOR      vioblk as viostor,\n",
        "\n  oldscsi\\SYSTEM\\PROCESSOR      toyscsi as oldscsi,\n",
        "vioblk and viostor, toyscsi and oldscsi.",
        "Take toyscsi unless a tool asks for oldscsi.\n",
    ] {
        assert!(filled.contains(part), "{part:?}:\n{filled}");
    }
    assert!(!filled.contains("toynet"), "Windows does not boot from it");
    // Nor does any text know a driver itself.
    for (path, text) in TEXTS {
        for driver in DRIVERS {
            assert!(!text.contains(driver.name), "{path}: {}", driver.name);
        }
    }
}
