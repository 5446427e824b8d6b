//! The MSIs that the scenarios install, and what each leaves on a machine.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use winpv::drivers::Arch;
use winpv_msi::check::{Msi, text};
use winpv_msi::{Content, Driver, Platform};
use winpv_setup::content;

use super::prefix::{Prefix, Template, Windows, exit};
use super::{Context, shipped};

pub const UNINSTALL: &str = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall";
pub const WINPV: &str = r"HKLM\Software\WinPV";
pub const INSTALLED: &str = r"HKLM\Software\WinPV\Setup\Installed";
pub const PROGRAM_FILES: &str = r"Program Files\WinPV";

/// An MSI on disk and what it was made from.
pub struct Package {
    pub path: String,
    pub content: Content,
    pub product: String,
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

    pub fn folder(&self) -> String {
        format!(r"{PROGRAM_FILES}\{}", self.content.version_text())
    }

    /// Fails unless every file is installed as it was packed.
    pub fn is_installed(&self, prefix: &Prefix) -> Result<()> {
        let folder = self.folder();
        prefix.holds(&format!(r"{folder}\winpv-setup.exe"), &self.content.setup)?;
        let version = self.content.version_text();
        let mut records = Vec::new();
        for driver in &self.content.drivers {
            for (name, bytes) in &driver.files {
                prefix.holds(&format!(r"{folder}\{}\{name}", driver.name), bytes)?;
            }
            let published = published(prefix, driver)?;
            let content = content::Content::of(inf(driver)?);
            let record = format!("{published}|added|{}|{version}|{content}", self.product);
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
    pub fn is_absent(&self, prefix: &Prefix) -> Result<()> {
        prefix.lacks(&self.folder())?;
        let records = prefix.registry(WINPV)?;
        ensure!(!records.contains(&self.product), "{records}");
        prefix.unregistered(&format!(r"{UNINSTALL}\{}", self.product))
    }
}

fn inf(driver: &Driver) -> Result<&[u8]> {
    let wanted = format!("{}.inf", driver.name);
    let found = driver.files.iter().find(|(name, _)| *name == wanted);
    Ok(&found.context("no INF")?.1)
}

/// The name in `\Windows\INF` of the file that is this driver's INF, byte for byte.
pub fn published(prefix: &Prefix, driver: &Driver) -> Result<String> {
    let bytes = inf(driver)?;
    let folder = prefix.find(r"windows\inf").context("no INF folder")?;
    let mut there = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().context("no name")?.to_string_lossy();
        if !path.is_file() {
            continue;
        }
        let found = fs::read(&path)?;
        if path.extension().is_some_and(|extension| extension == "inf") && found == bytes {
            return Ok(name.into_owned());
        }
        there.push(format!("{name} ({} bytes)", found.len()));
    }
    anyhow::bail!(
        "no INF of {} ({} bytes) is published; there are {}; the helper's log:\n{}\nWindows Installer's:\n{}",
        driver.name,
        bytes.len(),
        there.join(", "),
        prefix.log(),
        prefix.msi_log()
    )
}

pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.to_string_lossy().replace('/', r"\"))
}

/// The MSIs that the scenarios use.
pub struct Kit<'a> {
    pub template: &'a Template,
    /// As it is in the pack: its drivers have a test signature.
    pub shipped: Package,
    /// The same, stamped as signed by Microsoft: Wine has test signing off, and nothing can switch it on.
    pub trusted: Package,
    /// The next version, with another INF.
    pub newer: Package,
    /// The first version and a second driver that cannot be installed.
    pub failing: Package,
    /// The next version and a second driver that cannot be installed.
    pub failing_newer: Package,
    /// The first version from another build: the same INF, other bytes in every program.
    pub rebuilt: Package,
    /// The first version with a second driver.
    pub two: Package,
    /// As shipped, without the action that asks before the system does.
    pub unasked: Package,
    /// As `trusted`, but the launch condition wants the processor of the MSI for ARM64.
    pub emulated: Package,
    /// For ARM64.
    pub arm64: PathBuf,
}

impl<'a> Kit<'a> {
    pub fn make(context: &Context, template: &'a Template, dir: &Path) -> Result<Kit<'a>> {
        let path = shipped(context, Arch::Amd64)?;
        let bytes = fs::read(&path)?;
        let content = winpv_msi::read(&bytes)?;
        let trusted = Content {
            signature: "attestation".to_owned(),
            ..content.clone()
        };
        let newer = next_version(&trusted)?;
        let unasked = dir.join("unasked.msi");
        let without = without_action(&bytes, "WinPVCheck")?;
        fs::write(&unasked, &without)?;
        let emulated = dir.join("emulated.msi");
        let other = for_other_processor(&winpv_msi::write(&trusted)?)?;
        fs::write(&emulated, &other)?;
        let write = |name: &str, content: Content| Package::write(dir, name, content);
        Ok(Kit {
            template,
            emulated: Package::at(&emulated, trusted.clone(), &other)?,
            unasked: Package::at(&unasked, content.clone(), &without)?,
            shipped: Package::at(&path, content, &bytes)?,
            rebuilt: write("rebuilt.msi", another_build(&trusted)?)?,
            two: write("two.msi", with_second_driver(&trusted)?)?,
            failing: write("failing.msi", with_broken_driver(&trusted))?,
            failing_newer: write("failing-newer.msi", with_broken_driver(&newer))?,
            trusted: write("trusted.msi", trusted)?,
            newer: write("newer.msi", newer)?,
            arm64: shipped(context, Arch::Arm64)?,
        })
    }

    pub fn ten(&self) -> Result<Prefix> {
        self.template.prefix(Windows::Ten)
    }

    pub fn with_trusted(&self) -> Result<Prefix> {
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

/// Another build of the same version: programs and catalogs differ, INFs do not.
fn another_build(content: &Content) -> Result<Content> {
    let mut other = content.clone();
    other.epoch += 1;
    let mut changed = 0;
    for (name, bytes) in other
        .drivers
        .iter_mut()
        .flat_map(|driver| &mut driver.files)
    {
        if !name.ends_with(".inf") {
            bytes.extend([0; 8]);
            changed += 1;
        }
    }
    ensure!(changed > 0, "nothing differs");
    other.setup.extend([0; 8]);
    Ok(other)
}

/// Adds a driver for other devices that does not start at boot.
fn with_second_driver(content: &Content) -> Result<Content> {
    let mut content = content.clone();
    let first = content.drivers.first().context("no driver")?;
    let (old, new) = (first.name.clone(), "toynet");
    let files = first
        .files
        .iter()
        .map(|(name, bytes)| {
            let bytes = if name.ends_with(".inf") {
                String::from_utf8(bytes.clone())?
                    .replace(&old, new)
                    .into_bytes()
            } else {
                bytes.clone()
            };
            Ok((name.replace(&old, new), bytes))
        })
        .collect::<Result<_>>()?;
    content.drivers.push(Driver {
        name: new.to_owned(),
        description: "A second driver".to_owned(),
        boot_start: false,
        hardware_ids: vec![r"PCI\VEN_1AF4&DEV_0001".to_owned()],
        files,
    });
    Ok(content)
}

/// Takes an action out of the sequence; the signature goes with it, and Wine asks for none.
fn without_action(bytes: &[u8], action: &str) -> Result<Vec<u8>> {
    let mut database = msi::Package::open(Cursor::new(bytes.to_vec()))?;
    let row = msi::Expr::col("Action").eq(msi::Expr::string(action));
    database.delete_rows(msi::Delete::from("InstallExecuteSequence").with(row))?;
    Ok(database.into_inner()?.into_inner())
}

/// Gives an MSI for x64 the launch condition of the one for ARM64: to this machine it then is what the MSI for x64 is to one that
/// emulates x64.
fn for_other_processor(bytes: &[u8]) -> Result<Vec<u8>> {
    let own = Platform::X64.machine().to_string();
    let other = Platform::Arm64.machine().to_string();
    let condition = Msi::open(bytes)?
        .rows("LaunchCondition")
        .iter()
        .map(|row| text(row, "Condition").to_owned())
        .find(|condition| condition.ends_with(&own))
        .context("no launch condition names the processor")?;
    let mut database = msi::Package::open(Cursor::new(bytes.to_vec()))?;
    let changed = condition.replace(&own, &other);
    let row = msi::Expr::col("Condition").eq(msi::Expr::string(condition));
    let query = msi::Update::table("LaunchCondition")
        .set("Condition", msi::Value::from(changed))
        .with(row);
    database.update_rows(query)?;
    Ok(database.into_inner()?.into_inner())
}

/// Adds a driver, last in the order, whose INF is a folder's worth of nothing.
fn with_broken_driver(content: &Content) -> Content {
    let mut content = content.clone();
    content.drivers.push(Driver {
        name: "zbroken".to_owned(),
        description: "A driver that cannot be installed".to_owned(),
        boot_start: false,
        hardware_ids: Vec::new(),
        files: vec![("zbroken.inf".to_owned(), b"[Version\r\n".to_vec())],
    });
    content
}
