//! What is written: the same bytes for the same content, and what it says.

use crate::check::{self, Msi, text};
use crate::{Content, Driver, Platform, read, write};

/// A 64-bit image with one empty section, followed by fixed version information: as much as a reader needs.
pub fn image(platform: Platform, version: [u16; 4]) -> Vec<u8> {
    const NT_HEADERS: usize = 0x40;
    const OPTIONAL_LEN: u16 = 240;
    let machine: u16 = match platform {
        Platform::X64 => 0x8664,
        Platform::Arm64 => 0xaa64,
    };
    let mut out = vec![0; NT_HEADERS + 24 + usize::from(OPTIONAL_LEN) + 40];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &(NT_HEADERS as u32).to_le_bytes());
    put(NT_HEADERS, b"PE\0\0");
    put(NT_HEADERS + 4, &machine.to_le_bytes());
    put(NT_HEADERS + 6, &1_u16.to_le_bytes());
    put(NT_HEADERS + 20, &OPTIONAL_LEN.to_le_bytes());
    put(NT_HEADERS + 24, &0x20b_u16.to_le_bytes());
    put(NT_HEADERS + 24 + 108, &16_u32.to_le_bytes());
    let [a, b, c, d] = version.map(u32::from);
    for value in [0xfeef_04bd, 0x1_0000, a << 16 | b, c << 16 | d] {
        out.extend(u32::to_le_bytes(value));
    }
    out
}

pub fn content(platform: Platform) -> Content {
    let version = [1, 2, 3, 0];
    let driver = |name: &str, boot_start| Driver {
        name: name.to_owned(),
        description: format!("Toy driver {name}"),
        boot_start,
        hardware_ids: match boot_start {
            true => vec![r"PCI\TOY1".to_owned(), r"PCI\TOY2&A".to_owned()],
            false => Vec::new(),
        },
        files: vec![
            (format!("{name}.cat"), b"a catalog".to_vec()),
            (format!("{name}.inf"), b"[Version]\r\n".to_vec()),
            (format!("{name}.sys"), image(platform, version)),
        ],
    };
    Content {
        platform,
        version,
        signature: "test".to_owned(),
        drivers: vec![driver("toyblk", true), driver("toynet", false)],
        setup: image(platform, version),
        check: image(platform, version),
        epoch: 1_700_000_000,
    }
}

#[test]
fn both_platforms_pass_every_check() {
    for platform in [Platform::X64, Platform::Arm64] {
        let bytes = write(&content(platform)).unwrap();
        assert_eq!(check::check(&bytes).unwrap(), Vec::<String>::new());
        let again = write(&content(platform)).unwrap();
        assert!(bytes == again, "not the same bytes twice");
        // Compound file, version 3 (MS-CFB §2.2): osslsigncode signs no other.
        assert_eq!(bytes[..8], [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]);
        assert_eq!(bytes[26..28], [3, 0]);
    }
}

#[test]
fn codes_follow_the_content() {
    let code = |content: &Content, name: &str| {
        let msi = Msi::open(&write(content).unwrap()).unwrap();
        msi.property(name).unwrap().to_owned()
    };
    let base = content(Platform::X64);
    let mut rebuilt = base.clone();
    rebuilt.drivers[0].files[1].1.push(b'\n');
    let mut resigned = base.clone();
    resigned.signature = "whcp".to_owned();
    for (other, what) in [
        (&rebuilt, "another INF"),
        (&resigned, "another signature"),
        (&content(Platform::Arm64), "another processor"),
    ] {
        assert_ne!(
            code(&base, "ProductCode"),
            code(other, "ProductCode"),
            "{what}"
        );
        assert_eq!(
            code(&base, "UpgradeCode"),
            code(other, "UpgradeCode"),
            "{what}"
        );
    }
    assert_eq!(code(&base, "UpgradeCode"), crate::UPGRADE_CODE);
}

#[test]
fn one_feature_and_two_actions_a_driver() {
    let msi = Msi::open(&write(&content(Platform::X64)).unwrap()).unwrap();
    let features: Vec<&str> = msi
        .rows("Feature")
        .iter()
        .map(|row| text(row, "Feature"))
        .collect();
    assert_eq!(features, ["WinPV", "toyblk", "toynet"]);
    let target = |action: &str| {
        msi.rows("CustomAction")
            .iter()
            .find(|row| text(row, "Action") == action)
            .map(|row| text(row, "Target").to_owned())
            .unwrap()
    };
    let install = target("WinPVInstall_toyblk");
    assert!(install.contains(r"--class test --boot-start --devices PCI\TOY1,PCI\TOY2&A --product"));
    assert!(!target("WinPVInstall_toynet").contains("--devices"));
    assert!(!target("WinPVInstall_toynet").contains("--boot-start"));
    assert!(target("WinPVJudge").starts_with("check --class test --boot-start"));
    // Only boot-start drivers can keep Windows from starting.
    for action in ["WinPVCheck", "WinPVJudge"] {
        let check = msi
            .rows("InstallExecuteSequence")
            .iter()
            .find(|row| text(row, "Action") == action)
            .unwrap();
        assert!(text(check, "Condition").contains("&toyblk>=3"));
        assert!(!text(check, "Condition").contains("toynet"));
    }
}

#[test]
fn launch_conditions_say_what_is_needed() {
    let msi = Msi::open(&write(&content(Platform::X64)).unwrap()).unwrap();
    let conditions = msi.rows("LaunchCondition");
    assert_eq!(conditions.len(), 7);
    for (condition, message) in [
        ("WINPVBUILD >= 14393", "needs Windows 10 version 1607"),
        ("NOT NEWERFOUND", "Remove it first"),
        ("Privileged", "needs an administrator"),
        ("WinPVNativeMachine = 34404", "the MSI of WinPV for ARM64"),
        ("WINPV_FORCE = \"1\"", "It must be 1 for yes"),
        ("WINPV_STAGEONLY = \"1\"", "It must be 1 for yes"),
        (
            "WINPV_ACCEPT_ATTESTATION_ON_SERVER = \"1\"",
            "It must be 1 for yes",
        ),
    ] {
        let told = conditions.iter().any(|row| {
            text(row, "Condition").contains(condition) && text(row, "Description").contains(message)
        });
        assert!(told, "{condition}");
    }
}

#[test]
fn a_pack_without_boot_drivers_needs_no_check() {
    let mut content = content(Platform::X64);
    content.drivers.remove(0);
    let bytes = write(&content).unwrap();
    assert_eq!(check::check(&bytes).unwrap(), Vec::<String>::new());
    let msi = Msi::open(&bytes).unwrap();
    let runs = |name: &str| {
        msi.rows("CustomAction")
            .iter()
            .any(|row| text(row, "Action") == name)
    };
    assert!(!runs("WinPVCheck") && !runs("WinPVJudge") && runs("WinPVInstall_toynet"));
}

#[test]
fn bad_content_is_refused() {
    let refused = |change: &dyn Fn(&mut Content), reason: &str| {
        let mut content = content(Platform::X64);
        change(&mut content);
        let error = format!("{:#}", write(&content).unwrap_err());
        assert!(error.contains(reason), "{error}");
    };
    refused(
        &|content| content.drivers[0].name = "Toy Blk".to_owned(),
        "lower-case",
    );
    refused(
        &|content| content.drivers[0].name.push_str("0123456789abcde"),
        "20 at most",
    );
    // ICE03: no more than the column's 255 characters.
    refused(
        &|content| content.drivers[0].hardware_ids = vec![r"PCI\VEN_1AF4&DEV_1000".to_owned(); 9],
        "not a valid value for column \"Target\"",
    );
    // A driver's name has up to 20 characters.
    let mut longest = content(Platform::X64);
    longest.drivers[0].name = "a".repeat(20);
    longest.drivers[0].files = vec![(format!("{}.inf", "a".repeat(20)), Vec::new())];
    longest.drivers[0].hardware_ids = vec![r"PCI\VEN_1AF4&DEV_1000".to_owned(); 2];
    longest.version = [255, 255, 65535, 65535];
    write(&longest).unwrap();
    for id in ["", r"PCI\[A]", "A B", "A,B"] {
        refused(
            &|content| content.drivers[0].hardware_ids.push(id.to_owned()),
            "is no hardware id",
        );
    }
    refused(
        &|content| {
            content.drivers[0]
                .files
                .retain(|(name, _)| name != "toyblk.inf")
        },
        "has no toyblk.inf",
    );
    refused(
        &|content| {
            let again = content.drivers[0].files[0].clone();
            content.drivers[0].files.push(again);
        },
        "twice",
    );
}

#[test]
fn long_names_get_a_short_one() {
    let msi = Msi::open(&write(&content(Platform::X64)).unwrap()).unwrap();
    let names: Vec<&str> = msi
        .rows("File")
        .iter()
        .map(|row| text(row, "FileName"))
        .collect();
    assert!(names.contains(&"toyblk.sys"));
    assert!(names.contains(&"winpv~1.exe|winpv-setup.exe"), "{names:?}");
}

#[test]
fn reading_gives_the_content_back() {
    for platform in [Platform::X64, Platform::Arm64] {
        let bytes = write(&content(platform)).unwrap();
        let again = write(&read(&bytes).unwrap()).unwrap();
        assert!(bytes == again);
    }
}
