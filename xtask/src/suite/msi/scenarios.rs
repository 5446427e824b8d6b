//! What an administrator does with the MSI, and what is there afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use winpv::drivers::Arch;
use winpv_msi::check::Msi;
use winpv_msi::{Content, Driver};

use super::prefix::{Prefix, Template, Windows, exit};
use super::{Context, Outcome, shipped};

const UNINSTALL: &str = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall";
const WINPV: &str = r"HKLM\Software\WinPV";
const INSTALLED: &str = r"HKLM\Software\WinPV\Setup\Installed";
const PROGRAM_FILES: &str = r"Program Files\WinPV";

/// An MSI on disk and what it was made from.
struct Package {
    path: String,
    content: Content,
    product: String,
}

impl Package {
    fn write(dir: &Path, name: &str, content: Content) -> Result<Package> {
        let bytes = winpv_msi::write(&content)?;
        let path = dir.join(name);
        fs::write(&path, &bytes)?;
        Package::at(&path, content, &bytes)
    }

    fn at(path: &Path, content: Content, bytes: &[u8]) -> Result<Package> {
        let product = Msi::open(bytes)?
            .property("ProductCode")
            .context("no product code")?
            .to_owned();
        Ok(Package {
            path: windows_path(path),
            content,
            product,
        })
    }

    fn folder(&self) -> String {
        format!(r"{PROGRAM_FILES}\{}", self.content.version_text())
    }

    /// Fails unless every file is installed as it was packed.
    fn is_installed(&self, prefix: &Prefix) -> Result<()> {
        let folder = self.folder();
        prefix.holds(&format!(r"{folder}\winpv-setup.exe"), &self.content.setup)?;
        let version = self.content.version_text();
        let mut records = Vec::new();
        for driver in &self.content.drivers {
            for (name, bytes) in &driver.files {
                prefix.holds(&format!(r"{folder}\{}\{name}", driver.name), bytes)?;
            }
            let published = published(prefix, driver)?;
            let record = format!("{published}|added|{}|{version}", self.product);
            records.push((driver.name.as_str(), record));
        }
        let records: Vec<(&str, &str)> = records
            .iter()
            .map(|(name, record)| (*name, record.as_str()))
            .collect();
        prefix.registered(INSTALLED, &records)?;
        prefix.registered(
            &format!(r"{UNINSTALL}\{}", self.product),
            &[
                ("DisplayName", "WinPV virtio drivers"),
                ("DisplayVersion", &version),
                ("Publisher", "WinPV"),
                ("NoModify", "0x1"),
            ],
        )?;
        let icon = format!(r"windows\Installer\{}\winpv.ico", self.product);
        ensure!(prefix.find(&icon).is_some(), "no {icon}");
        Ok(())
    }

    /// Fails if anything of the product is there.
    ///
    /// The published INF is not looked for: Wine's SetupUninstallOEMInf says that it is removed and leaves it.
    fn is_absent(&self, prefix: &Prefix) -> Result<()> {
        prefix.lacks(&self.folder())?;
        let records = prefix.registry(WINPV)?;
        ensure!(!records.contains(&self.product), "{records}");
        prefix.unregistered(&format!(r"{UNINSTALL}\{}", self.product))
    }
}

/// The name in `\Windows\INF` of the file that is this driver's INF, byte for byte.
fn published(prefix: &Prefix, driver: &Driver) -> Result<String> {
    let inf = format!("{}.inf", driver.name);
    let (_, bytes) = driver
        .files
        .iter()
        .find(|(name, _)| *name == inf)
        .context("no INF")?;
    let folder = prefix.find(r"windows\inf").context("no INF folder")?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "inf")
            && fs::read(&path)? == *bytes
        {
            let name = path.file_name().context("no name")?;
            return Ok(name.to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no INF of {} is published", driver.name)
}

fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.to_string_lossy().replace('/', r"\"))
}

/// The MSIs that the scenarios use.
struct Kit<'a> {
    template: &'a Template,
    /// As it is in the pack: its drivers have a test signature.
    shipped: Package,
    /// The same, stamped as signed by Microsoft: Wine has test signing off, and nothing can switch it on.
    trusted: Package,
    /// The next version, with another INF.
    newer: Package,
    /// The first version and a second driver that cannot be installed.
    failing: Package,
    /// The next version and a second driver that cannot be installed.
    failing_newer: Package,
    /// For ARM64.
    arm64: PathBuf,
}

impl<'a> Kit<'a> {
    fn make(context: &Context, template: &'a Template, dir: &Path) -> Result<Kit<'a>> {
        let path = shipped(context, Arch::Amd64)?;
        let bytes = fs::read(&path)?;
        let content = winpv_msi::read(&bytes)?;
        let trusted = Content {
            signature: "attestation".to_owned(),
            ..content.clone()
        };
        let newer = next_version(&trusted)?;
        let write = |name: &str, content: Content| Package::write(dir, name, content);
        Ok(Kit {
            template,
            shipped: Package::at(&path, content, &bytes)?,
            failing: write("failing.msi", with_broken_driver(&trusted))?,
            failing_newer: write("failing-newer.msi", with_broken_driver(&newer))?,
            trusted: write("trusted.msi", trusted)?,
            newer: write("newer.msi", newer)?,
            arm64: shipped(context, Arch::Arm64)?,
        })
    }

    fn ten(&self) -> Result<Prefix> {
        self.template.prefix(Windows::Ten)
    }

    fn with_trusted(&self) -> Result<Prefix> {
        let prefix = self.ten()?;
        prefix.msiexec_ends(&["/i", &self.trusted.path], exit::SUCCESS)?;
        self.trusted.is_installed(&prefix)?;
        Ok(prefix)
    }
}

fn next_version(content: &Content) -> Result<Content> {
    let mut next = content.clone();
    next.version[1] += 1;
    let (old, new) = (content.version_text(), next.version_text());
    for driver in &mut next.drivers {
        for (name, bytes) in &mut driver.files {
            if name.ends_with(".inf") {
                let text = String::from_utf8(bytes.clone())?;
                ensure!(text.contains(&old), "{name} has no version {old}");
                *bytes = text.replace(&old, &new).into_bytes();
            }
        }
    }
    Ok(next)
}

/// Adds a driver, last in the order, whose INF is a folder's worth of nothing.
fn with_broken_driver(content: &Content) -> Content {
    let mut content = content.clone();
    content.drivers.push(Driver {
        name: "zbroken".to_owned(),
        description: "A driver that cannot be installed".to_owned(),
        boot_start: false,
        files: vec![("zbroken.inf".to_owned(), b"[Version\r\n".to_vec())],
    });
    content
}

/// Every scenario, each in a prefix of its own.
pub fn all(context: &Context, template: &Template) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let kit = Kit::make(context, template, scratch.path())?;
    let scenarios: &[(&str, fn(&Kit<'_>) -> Result<()>)] = &[
        ("the tested MSI is the shipped one, but for its stamp", same),
        ("install", install),
        ("failing install is rolled back", failing_install),
        ("repair", repair),
        ("upgrade", upgrade),
        ("failing upgrade leaves the older version", failing_upgrade),
        ("downgrade is refused", downgrade),
        ("uninstall", uninstall),
        ("the boot driver stays", boot_driver),
        ("a test-signed boot driver is refused", refused),
        ("only what ADDLOCAL names", feature),
        ("a needed restart ends with 3010", restart),
        ("Windows 7 is refused", windows_7),
        ("the ARM64 MSI is refused on x64", wrong_platform),
        ("the helper by hand", by_hand),
    ];
    Ok(scenarios
        .iter()
        .map(|(name, run)| Outcome::of(format!("Wine: {name}"), || run(&kit)))
        .collect())
}

/// What is installed below differs from the pack's MSI in the signature class alone, and in the codes computed from it.
fn same(kit: &Kit<'_>) -> Result<()> {
    let dump = |content: &Content| -> Result<Vec<String>> {
        Ok(Msi::open(&winpv_msi::write(content)?)?.dump())
    };
    let unix = kit.shipped.path.trim_start_matches("Z:").replace('\\', "/");
    let shipped = Msi::open(&fs::read(unix)?)?.dump();
    ensure!(
        shipped == dump(&kit.shipped.content)?,
        "reading and writing the shipped MSI gives other tables"
    );
    let trusted = dump(&kit.trusted.content)?;
    let differ: Vec<&String> = trusted
        .iter()
        .filter(|line| !shipped.contains(line))
        .collect();
    ensure!(
        !differ.is_empty()
            && differ
                .iter()
                .all(|line| line.contains("attestation") || line.contains("ProductCode")),
        "{differ:?}"
    );
    Ok(())
}

fn install(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    for driver in &kit.trusted.content.drivers {
        prefix.logged(&format!("{}: version", driver.name))?;
        prefix.logged(&format!(
            "{}: matching devices updated in place",
            driver.name
        ))?;
        prefix.logged(&format!("{}: committed", driver.name))?;
    }
    prefix.unregistered(r"HKLM\Software\WinPV\Setup\Pending")
}

fn failing_install(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    let code = prefix.msiexec(&["/i", &kit.failing.path])?;
    ensure!(
        [exit::FAILURE, exit::ACTION_FAILED].contains(&code),
        "ended with {code}\n{}",
        prefix.log()
    );
    prefix.logged("zbroken: FAILED")?;
    // It had been installed when the other driver failed.
    prefix
        .logged("vioblk: committed")
        .err()
        .context("committed")?;
    prefix.logged("vioblk: rolled back")?;
    kit.failing.is_absent(&prefix)?;
    prefix.lacks(PROGRAM_FILES)?;
    prefix.unregistered(WINPV)
}

fn repair(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    let folder = kit.trusted.folder();
    for file in [
        r"vioblk\vioblk.sys",
        r"vioblk\vioblk.inf",
        "winpv-setup.exe",
    ] {
        let path = prefix
            .find(&format!(r"{folder}\{file}"))
            .context("not there")?;
        fs::remove_file(path)?;
    }
    let args = [
        "/i",
        &kit.trusted.path,
        "REINSTALL=ALL",
        "REINSTALLMODE=amus",
    ];
    prefix.msiexec_ends(&args, exit::SUCCESS)?;
    kit.trusted.is_installed(&prefix)?;
    prefix.logged("was in the driver store already")
}

fn upgrade(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    prefix.msiexec_ends(&["/i", &kit.newer.path], exit::SUCCESS)?;
    kit.newer.is_installed(&prefix)?;
    kit.trusted.is_absent(&prefix)?;
    prefix.logged("stays; another version of WinPV has taken it over")
}

fn failing_upgrade(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    let code = prefix.msiexec(&["/i", &kit.failing_newer.path])?;
    ensure!(code != exit::SUCCESS, "succeeded");
    prefix.logged("zbroken: FAILED")?;
    prefix.logged("vioblk: rolled back")?;
    kit.failing_newer.is_absent(&prefix)?;
    kit.trusted.is_installed(&prefix)
}

fn downgrade(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    prefix.msiexec_ends(&["/i", &kit.newer.path], exit::SUCCESS)?;
    let log = prefix.log();
    prefix.msiexec_ends(&["/i", &kit.trusted.path], exit::FAILURE)?;
    kit.newer.is_installed(&prefix)?;
    kit.trusted.is_absent(&prefix)?;
    ensure!(prefix.log() == log, "the helper ran");
    Ok(())
}

fn uninstall(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    prefix.msiexec_ends(&["/x", &kit.trusted.path], exit::SUCCESS)?;
    kit.trusted.is_absent(&prefix)?;
    prefix.lacks(PROGRAM_FILES)?;
    prefix.unregistered(WINPV)?;
    prefix.logged("removed from its devices and from the driver store")
}

/// A service that the boot loader starts and a present device that runs on it, in the registry where Windows keeps both.
fn boot_driver(kit: &Kit<'_>) -> Result<()> {
    const SERVICE: &str = r"HKLM\System\CurrentControlSet\Services\vioblk";
    const DEVICE: &str =
        r"HKLM\System\CurrentControlSet\Enum\PCI\VEN_1AF4&DEV_1042\3&11583659&0&20";
    let prefix = kit.with_trusted()?;
    prefix.set(SERVICE, "Start", "REG_DWORD", "0")?;
    for (name, value) in [
        ("Service", "vioblk"),
        ("Class", "SCSIAdapter"),
        ("ClassGUID", "{4d36e97b-e325-11ce-bfc1-08002be10318}"),
    ] {
        prefix.set(DEVICE, name, "REG_SZ", value)?;
    }
    prefix.msiexec_ends(&["/x", &kit.trusted.path], exit::SUCCESS)?;
    prefix.logged("stays; Windows may boot from it (1 present devices")?;
    let driver = kit.trusted.content.drivers.first().context("no driver")?;
    published(&prefix, driver)?;
    prefix.registered(SERVICE, &[("Start", "0x0")])?;
    // Once no boot-start device uses it, a later product may remove it: the record stays.
    ensure!(!prefix.registry(INSTALLED)?.is_empty());
    prefix.lacks(PROGRAM_FILES)
}

/// The pack's own MSI: what Windows says of code integrity in Wine is that test signing is off.
fn refused(kit: &Kit<'_>) -> Result<()> {
    const STATE: &str = r"HKLM\System\CurrentControlSet\Control\SecureBoot\State";
    let prefix = kit.ten()?;
    for (noted, expected) in [(None, false), (Some("0"), false), (Some("1"), true)] {
        if let Some(value) = noted {
            prefix.set(STATE, "UEFISecureBootEnabled", "REG_DWORD", value)?;
        }
        prefix.msiexec_ends(&["/i", &kit.shipped.path], exit::FAILURE)?;
        let log = prefix.msi_log();
        ensure!(
            log.contains("WinPVRefusal") && log.contains("bcdedit /set testsigning on"),
            "no clear refusal:\n{log}"
        );
        ensure!(
            log.contains("Secure Boot is on") == expected,
            "UEFISecureBootEnabled {noted:?}:\n{log}"
        );
        kit.shipped.is_absent(&prefix)?;
        prefix.lacks(PROGRAM_FILES)?;
        prefix.unregistered(WINPV)?;
        ensure!(prefix.log().is_empty(), "the helper ran:\n{}", prefix.log());
    }
    Ok(())
}

fn feature(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    // The test-signed pack: without its boot driver nothing is refused.
    prefix.msiexec_ends(&["/i", &kit.shipped.path, "ADDLOCAL=WinPV"], exit::SUCCESS)?;
    let folder = kit.shipped.folder();
    ensure!(prefix.find(&format!(r"{folder}\winpv-setup.exe")).is_some());
    prefix.lacks(&format!(r"{folder}\vioblk"))?;
    prefix.unregistered(INSTALLED)
}

fn restart(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    // As the helper leaves it when a device cannot take its new driver before a restart.
    prefix.set(
        r"HKLM\Software\WinPV\Setup\RestartNeeded",
        "test",
        "REG_SZ",
        "test",
    )?;
    prefix.msiexec_ends(&["/i", &kit.trusted.path], exit::RESTART)?;
    kit.trusted.is_installed(&prefix)
}

fn windows_7(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.template.prefix(Windows::Seven)?;
    prefix.msiexec_ends(&["/i", &kit.trusted.path], exit::FAILURE)?;
    let log = prefix.msi_log();
    ensure!(log.contains("WINPVBUILD = 7601"), "{log}");
    kit.trusted.is_absent(&prefix)?;
    prefix.lacks(PROGRAM_FILES)
}

fn wrong_platform(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    prefix.msiexec_ends(&["/i", &windows_path(&kit.arm64)], exit::WRONG_PLATFORM)?;
    prefix.lacks(PROGRAM_FILES)
}

fn by_hand(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    let setup = format!(r"C:\{}\winpv-setup.exe", kit.trusted.folder());
    let inf = format!(r"C:\{}\vioblk\vioblk.inf", kit.trusted.folder());
    let (code, text) = prefix.run(&setup, &["--help"])?;
    ensure!(
        code == 0 && text.contains("usage: winpv-setup"),
        "{code} {text}"
    );
    let (code, text) = prefix.run(&setup, &["explode"])?;
    ensure!(code == 1 && text.contains("explode"), "{code} {text}");
    let install = [
        "install",
        "--driver",
        "vioblk",
        "--inf",
        &inf,
        "--boot-start",
        "--product",
        "{hand}",
        "--version",
        "1.0.0.0",
        "--class",
    ];
    let with = |tail: &[&'static str]| [install.as_slice(), tail].concat();
    let (code, text) = prefix.run(&setup, &with(&["test"]))?;
    ensure!(
        code == 2 && text.contains("nothing was changed"),
        "{code} {text}"
    );
    let uninstall = [
        "uninstall",
        "--driver",
        "vioblk",
        "--inf",
        &inf,
        "--product",
        &kit.trusted.product,
        "--dry-run",
    ];
    let (code, text) = prefix.run(&setup, &uninstall)?;
    ensure!(
        code == 0 && text.contains("plan: would remove"),
        "{code} {text}"
    );
    let (code, text) = prefix.run(&setup, &with(&["whcp", "--dry-run"]))?;
    ensure!(
        code == 0 && text.contains("plan: would add"),
        "{code} {text}"
    );
    kit.trusted.is_installed(&prefix)?;
    // A package whose INF is not there: a Windows function fails, and the log says which.
    let (code, text) = prefix.run(
        &setup,
        &[
            "install",
            "--driver",
            "x",
            "--inf",
            r"C:\x.inf",
            "--class",
            "whcp",
            "--product",
            "{hand}",
            "--version",
            "1",
        ],
    )?;
    ensure!(
        code == 3 && text.contains("SetupCopyOEMInfW failed"),
        "{code} {text}"
    );
    Ok(())
}
