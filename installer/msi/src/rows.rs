//! The rows of every table.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use md5::{Digest, Md5};
use msi::Value;

use crate::cabinet::File;
use crate::ids::{self, Ids, UPGRADE_CODE};
use crate::{CABINET, Content, LANGUAGE, Platform, Row, actions};

/// What the list of installed programs shows.
pub const PRODUCT_NAME: &str = "WinPV virtio drivers";
/// Who made it.
pub const MANUFACTURER: &str = "WinPV";
/// The component of winpv-setup.exe.
const SETUP_COMPONENT: &str = "setup";
/// The folder that is `C:\Program Files\WinPV\VERSION` unless the user says otherwise.
const INSTALL_DIR: &str = "INSTALLDIR";
/// Set when a version to replace is found.
const OLDER: &str = "OLDERFOUND";
/// Set when a version that must not be replaced is found.
const NEWER: &str = "NEWERFOUND";
/// Windows' build number.
const BUILD: &str = "WINPVBUILD";
/// Windows 10 1607 and Windows Server 2016. VersionNT does not tell: it is 603 from Windows 8.1 on
/// (MS: "VersionNT property", "Operating System Property Values").
const OLDEST_BUILD: u32 = 14393;

fn text(value: &str) -> Value {
    Value::from(value)
}

/// The files to install, in the cabinet's order.
pub fn files(content: &Content) -> Vec<File<'_>> {
    let mut files = vec![File {
        key: "winpv_setup.exe".to_owned(),
        component: SETUP_COMPONENT.to_owned(),
        name: "winpv-setup.exe",
        bytes: &content.setup,
    }];
    for driver in &content.drivers {
        for (name, bytes) in &driver.files {
            files.push(File {
                key: format!("{}_{name}", driver.name),
                component: component(&driver.name),
                name,
                bytes,
            });
        }
    }
    files
}

fn component(driver: &str) -> String {
    format!("cmp_{driver}")
}

/// Every table, in a fixed order.
pub fn all(
    content: &Content,
    ids: &Ids,
    files: &[File<'_>],
) -> Result<Vec<(&'static str, Vec<Row>)>> {
    Ok(vec![
        ("Property", properties(content, ids)),
        ("Directory", directories(content)),
        ("File", file_rows(content, files)?),
        ("Component", components(content, ids)),
        // The folder around the versions' folders holds nothing itself and would stay behind.
        (
            "CreateFolder",
            vec![vec![text("WinPVFolder"), text(SETUP_COMPONENT)]],
        ),
        ("Feature", features(content)),
        ("FeatureComponents", feature_components(content)),
        ("MsiFileHash", hashes(files)),
        (
            "Media",
            vec![vec![
                Value::Int(1),
                Value::Int(i32::try_from(files.len())?),
                Value::Null,
                Value::from(format!("#{CABINET}")),
                Value::Null,
                Value::Null,
            ]],
        ),
        ("Upgrade", upgrade(content)),
        ("LaunchCondition", launch_conditions(content.platform)),
        // Signature stays empty: RegLocator needs no file (MS: "RegLocator Table"), AppSearch refers to both.
        ("Signature", Vec::new()),
        ("AppSearch", vec![vec![text(BUILD), text("WindowsBuild")]]),
        (
            "RegLocator",
            vec![vec![
                text("WindowsBuild"),
                // HKEY_LOCAL_MACHINE.
                Value::Int(2),
                text(r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"),
                text("CurrentBuildNumber"),
                // msidbLocatorTypeRawValue + msidbLocatorType64bit.
                Value::Int(2 + 16),
            ]],
        ),
        (
            "Binary",
            vec![
                vec![text("check"), Value::Binary],
                vec![text("setup"), Value::Binary],
            ],
        ),
        ("Icon", vec![vec![text("winpv.ico"), Value::Binary]]),
        ("CustomAction", actions::table(content)),
        ("ActionText", actions::texts(content)),
        ("InstallExecuteSequence", actions::execute_sequence(content)),
        ("InstallUISequence", actions::ui_sequence()),
        ("AdminExecuteSequence", actions::admin_sequence()),
        ("AdminUISequence", Vec::new()),
        ("AdvtExecuteSequence", actions::advertise_sequence()),
    ])
}

fn properties(content: &Content, ids: &Ids) -> Vec<Row> {
    let product = ids::text(ids.product);
    let version = content.version_text();
    let secure = [OLDER, NEWER, BUILD, INSTALL_DIR]
        .into_iter()
        .chain(actions::CHOICES)
        .collect::<Vec<_>>()
        .join(";");
    let language = LANGUAGE.to_string();
    [
        ("ALLUSERS", "1"),
        (
            "ARPCOMMENTS",
            "Drivers for the virtio devices of virtual machines",
        ),
        // A change needs dialogs; ADDLOCAL and REMOVE do it without.
        ("ARPNOMODIFY", "1"),
        ("ARPPRODUCTICON", "winpv.ico"),
        ("Manufacturer", MANUFACTURER),
        ("ProductCode", &product),
        ("ProductLanguage", &language),
        ("ProductName", PRODUCT_NAME),
        ("ProductVersion", &version),
        // An installer that restarts a guest by itself loses someone's work: it ends with 3010 instead (MS: "REBOOT property").
        ("REBOOT", "ReallySuppress"),
        // Versions and hashes of key files do not tell two builds of one version apart (one signed anew, for example), and half
        // of each would be a package that Windows refuses: all files are replaced (MS: "REINSTALLMODE property").
        ("REINSTALLMODE", "amus"),
        ("SecureCustomProperties", &secure),
        ("UpgradeCode", UPGRADE_CODE),
        ("WinPVSignature", &content.signature),
    ]
    .into_iter()
    .map(|(name, value)| vec![text(name), text(value)])
    .collect()
}

fn directories(content: &Content) -> Vec<Row> {
    let version = content.version_text();
    let mut rows = vec![
        vec![text("TARGETDIR"), Value::Null, text("SourceDir")],
        vec![
            text("ProgramFiles64Folder"),
            text("TARGETDIR"),
            text("PFiles64|Program Files"),
        ],
        vec![
            text("WinPVFolder"),
            text("ProgramFiles64Folder"),
            text("WinPV"),
        ],
        vec![
            text(INSTALL_DIR),
            text("WinPVFolder"),
            Value::from(long_name(&version, 1)),
        ],
    ];
    for driver in &content.drivers {
        rows.push(vec![
            Value::from(format!("dir_{}", driver.name)),
            text(INSTALL_DIR),
            Value::from(long_name(&driver.name, 1)),
        ]);
    }
    rows
}

/// `short|long`, or the name alone if it is short itself (MS: "Filename").
fn long_name(name: &str, number: usize) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if stem.len() <= 8 && extension.len() <= 3 && plain(stem) && plain(extension) {
        return name.to_owned();
    }
    let kept: String = stem
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(5)
        .collect();
    let extension: String = extension.chars().take(3).collect();
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{kept}~{number}{dot}{extension}|{name}")
}

fn file_rows(content: &Content, files: &[File<'_>]) -> Result<Vec<Row>> {
    // msidbFileAttributesVital: an installation without this file fails.
    const VITAL: i32 = 512;
    let version = content.version_text();
    let mut names = BTreeSet::new();
    let mut rows = Vec::new();
    for (number, file) in (1..).zip(files) {
        ensure!(
            names.insert((file.component.clone(), file.name.to_lowercase())),
            "{} is there twice",
            file.name
        );
        let (version, language) = if is_image(file.bytes) {
            (text(&version), Value::from(LANGUAGE.to_string()))
        } else {
            (Value::Null, Value::Null)
        };
        rows.push(vec![
            text(&file.key),
            text(&file.component),
            Value::from(long_name(file.name, number)),
            Value::Int(i32::try_from(file.bytes.len())?),
            version,
            language,
            Value::Int(VITAL),
            Value::Int(i32::try_from(number)?),
        ]);
    }
    Ok(rows)
}

/// True for .sys, .exe and .dll files, which carry their version themselves.
pub fn is_image(bytes: &[u8]) -> bool {
    bytes.starts_with(b"MZ")
}

fn components(content: &Content, ids: &Ids) -> Vec<Row> {
    // msidbComponentAttributes64bit.
    const IS_64_BIT: i32 = 256;
    let row = |name: &str, directory: &str, key_file: &str| {
        vec![
            text(name),
            Value::from(ids::text(ids.component(name))),
            text(directory),
            Value::Int(IS_64_BIT),
            Value::Null,
            text(key_file),
        ]
    };
    let mut rows = vec![row(SETUP_COMPONENT, INSTALL_DIR, "winpv_setup.exe")];
    for driver in &content.drivers {
        let name = &driver.name;
        rows.push(row(
            &component(name),
            &format!("dir_{name}"),
            &format!("{name}_{name}.inf"),
        ));
    }
    rows
}

fn features(content: &Content) -> Vec<Row> {
    // MS: "Feature Table": Display even: not expanded; Level 1: installed unless told otherwise.
    const DISALLOW_ADVERTISE: i32 = 8;
    const DISALLOW_ABSENT: i32 = 16;
    let row = |name: &str, parent: Option<&str>, title: &str, about: &str, display, attributes| {
        vec![
            text(name),
            parent.map_or(Value::Null, Value::from),
            text(title),
            text(about),
            Value::Int(display),
            Value::Int(1),
            if parent.is_none() {
                text(INSTALL_DIR)
            } else {
                Value::Null
            },
            Value::Int(attributes),
        ]
    };
    let mut rows = vec![row(
        MANUFACTURER,
        None,
        PRODUCT_NAME,
        "The program that adds and removes driver packages",
        1,
        // A driver cannot be installed on its first use.
        DISALLOW_ADVERTISE + DISALLOW_ABSENT,
    )];
    for (driver, display) in content.drivers.iter().zip((2..).step_by(2)) {
        rows.push(row(
            &driver.name,
            Some(MANUFACTURER),
            &driver.description,
            "Driver package: added to the driver store, given to matching devices",
            display,
            DISALLOW_ADVERTISE,
        ));
    }
    rows
}

fn feature_components(content: &Content) -> Vec<Row> {
    let mut rows = vec![vec![text(MANUFACTURER), text(SETUP_COMPONENT)]];
    for driver in &content.drivers {
        rows.push(vec![
            text(&driver.name),
            Value::from(component(&driver.name)),
        ]);
    }
    rows
}

/// Files without a version are compared by hash (MS: "MsiFileHash Table", "ICE60").
fn hashes(files: &[File<'_>]) -> Vec<Row> {
    files
        .iter()
        .filter(|file| !is_image(file.bytes))
        .map(|file| {
            let mut row = vec![text(&file.key), Value::Int(0)];
            row.extend(hash(file.bytes).map(Value::Int));
            row
        })
        .collect()
}

/// What MsiGetFileHash computes: MD5 as four little-endian numbers.
pub fn hash(bytes: &[u8]) -> [i32; 4] {
    let digest: [u8; 16] = Md5::digest(bytes).into();
    let mut parts = [0; 4];
    for (part, bytes) in parts.iter_mut().zip(digest.chunks_exact(4)) {
        *part = bytes
            .iter()
            .rev()
            .fold(0_i32, |sum, &byte| sum << 8 | i32::from(byte));
    }
    parts
}

fn upgrade(content: &Content) -> Vec<Row> {
    const MIGRATE_FEATURES: i32 = 1;
    const ONLY_DETECT: i32 = 2;
    const MIN_INCLUSIVE: i32 = 256;
    const MAX_INCLUSIVE: i32 = 512;
    let version = content.version_text();
    let row = |min: &str, max: Option<&str>, attributes, property: &str| {
        vec![
            text(UPGRADE_CODE),
            text(min),
            max.map_or(Value::Null, Value::from),
            Value::Null,
            Value::Int(attributes),
            Value::Null,
            text(property),
        ]
    };
    vec![
        // The same version with other content is another build: it replaces as well.
        row(
            "0.0.0",
            Some(&version),
            MIGRATE_FEATURES + MIN_INCLUSIVE + MAX_INCLUSIVE,
            OLDER,
        ),
        row(&version, None, ONLY_DETECT, NEWER),
    ]
}

fn launch_conditions(platform: Platform) -> Vec<Row> {
    let (other, machine) = match platform {
        Platform::X64 => ("ARM64", platform.machine()),
        Platform::Arm64 => ("x64", platform.machine()),
    };
    let native = actions::NATIVE_MACHINE;
    let mut conditions = vec![
        (
            format!("Installed OR {BUILD} >= {OLDEST_BUILD}"),
            "WinPV needs Windows 10 version 1607 or Windows Server 2016 (build 14393), or later. This Windows is older.".to_owned(),
        ),
        // Windows 11 on ARM64 takes the MSI for x64 and runs it in emulation, where no property of Windows Installer's tells
        // (MS: "Msix64 property" speaks of an x64 processor). Older than Windows 10 1709 means x64: nothing is known then.
        (
            format!("Installed OR NOT {native} OR {native} = {machine}"),
            format!(
                "This machine has another processor than the drivers in this MSI are for, which Windows does not emulate for drivers: install the MSI of WinPV for {other} instead."
            ),
        ),
        (
            format!("Installed OR NOT {NEWER}"),
            "A newer version of WinPV is installed. Remove it first if you want this older one.".to_owned(),
        ),
        (
            "Privileged".to_owned(),
            "Installing drivers needs an administrator.".to_owned(),
        ),
    ];
    conditions.extend(actions::CHOICES.map(|name| {
        (
            format!("NOT {name} OR {name} = \"1\""),
            format!("{name} is \"[{name}]\". It must be 1 for yes; for no, leave it out."),
        )
    }));
    conditions
        .into_iter()
        .map(|(condition, message)| vec![Value::from(condition), Value::from(message)])
        .collect()
}
