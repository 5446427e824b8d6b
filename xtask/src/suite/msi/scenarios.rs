//! What an administrator does with the MSI, and what is there afterwards.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use winpv_msi::Content;
use winpv_msi::check::Msi;

use super::kit::{INSTALLED, Kit, PROGRAM_FILES, UNINSTALL, WINPV, published};
use super::prefix::{Prefix, Template, exit};
use super::{Context, Outcome, devices, features, refusals};

/// Every scenario, each in a prefix of its own.
pub fn all(context: &Context, template: &Template) -> Result<Vec<Outcome>> {
    type Scenario = fn(&Kit<'_>) -> Result<()>;
    let scratch = tempfile::tempdir()?;
    let kit = Kit::make(context, template, scratch.path())?;
    let scenarios: &[(&str, Scenario)] = &[
        ("the tested MSI is the shipped one, but for its stamp", same),
        ("install", install),
        ("failing install is rolled back", failing_install),
        ("repair", repair),
        ("upgrade", upgrade),
        ("failing upgrade leaves the older version", failing_upgrade),
        ("another build of the same version replaces it", rebuilt),
        ("uninstall", uninstall),
        ("the boot driver stays", boot_driver),
        ("a package that has got the name of ours stays", reused),
        (
            "a device on another vendor's driver is told of",
            devices::taken,
        ),
        ("only what ADDLOCAL names", features::none),
        (
            "one feature a driver, added and removed alone",
            features::alone,
        ),
        ("WINPV_STAGEONLY leaves devices alone", features::stage),
        ("a needed restart ends with 3010", restart),
        ("downgrade is refused", refusals::downgrade),
        (
            "a test-signed boot driver is refused",
            refusals::test_signed,
        ),
        (
            "what the user may not read, the system reads and refuses",
            refusals::late,
        ),
        (
            "attestation on Windows Server has to be accepted",
            refusals::attestation,
        ),
        (
            "the boot configuration is read",
            refusals::boot_configuration,
        ),
        ("no rollback, no installation", refusals::no_rollback),
        ("Windows 7 is refused", refusals::windows_7),
        ("the ARM64 MSI is refused on x64", refusals::wrong_platform),
        (
            "an MSI for an emulated processor is refused",
            refusals::emulated_platform,
        ),
        (
            "a choice is 1 or nothing: 0 is refused",
            refusals::other_than_one,
        ),
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

/// The older build goes once the newer one is in place, though both have the same folder and component codes. Wine replaces a
/// program only by a later version, whatever REINSTALLMODE says, so that only INF and catalog show whose files are there.
fn rebuilt(kit: &Kit<'_>) -> Result<()> {
    let rebuilt = &kit.rebuilt;
    ensure!(rebuilt.product != kit.trusted.product);
    ensure!(rebuilt.folder() == kit.trusted.folder());
    let prefix = kit.with_trusted()?;
    prefix.msiexec_ends(&["/i", &rebuilt.path], exit::SUCCESS)?;
    for driver in &rebuilt.content.drivers {
        for (name, bytes) in &driver.files {
            let path = format!(r"{}\{}\{name}", rebuilt.folder(), driver.name);
            if bytes.starts_with(b"MZ") {
                prefix.find(&path).with_context(|| path)?;
            } else {
                prefix.holds(&path, bytes)?;
            }
        }
    }
    let version = rebuilt.content.version_text();
    prefix.registered(
        &format!(r"{UNINSTALL}\{}", rebuilt.product),
        &[("DisplayVersion", &version)],
    )?;
    prefix.unregistered(&format!(r"{UNINSTALL}\{}", kit.trusted.product))?;
    let records = prefix.registry(WINPV)?;
    ensure!(
        records.contains(&rebuilt.product) && !records.contains(&kit.trusted.product),
        "{records}"
    );
    // Nor does the newer build leave anything.
    prefix.msiexec_ends(&["/x", &rebuilt.path], exit::SUCCESS)?;
    rebuilt.is_absent(&prefix)?;
    prefix.lacks(PROGRAM_FILES)?;
    prefix.unregistered(WINPV)
}

fn uninstall(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    prefix.msiexec_ends(&["/x", &kit.trusted.path], exit::SUCCESS)?;
    kit.trusted.is_absent(&prefix)?;
    prefix.lacks(PROGRAM_FILES)?;
    prefix.unregistered(WINPV)?;
    prefix.logged("removed from its devices and from the driver store")
}

/// Somebody removed our package, and another vendor's was published under its name.
fn reused(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    let driver = kit.trusted.content.drivers.first().context("no driver")?;
    let path = format!(r"windows\inf\{}", published(&prefix, driver)?);
    let other = b"[Version]\r\nSignature=\"$Windows NT$\"\r\nProvider=Another\r\n";
    fs::write(prefix.find(&path).context("no published INF")?, other)?;
    prefix.msiexec_ends(&["/x", &kit.trusted.path], exit::SUCCESS)?;
    prefix.logged("is another package now and is left alone")?;
    let log = prefix.log();
    ensure!(!log.contains("removed from its devices"), "{log}");
    prefix.holds(&path, other)?;
    kit.trusted.is_absent(&prefix)?;
    prefix.unregistered(WINPV)
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

fn by_hand(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.with_trusted()?;
    dry_runs_leave_no_trace(kit, &prefix)?;
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

fn dry_runs_leave_no_trace(kit: &Kit<'_>, prefix: &Prefix) -> Result<()> {
    let setup = format!(r"C:\{}\winpv-setup.exe", kit.trusted.folder());
    let inf = format!(r"C:\{}\vioblk\vioblk.inf", kit.trusted.folder());
    let before = (prefix.log(), prefix.registry(WINPV)?);
    for (line, code, part) in [
        (
            "uninstall --driver vioblk --inf INF --product PRODUCT",
            0,
            "plan: would remove",
        ),
        (
            "install --driver vioblk --inf INF --product {hand} --version 1.0.0.0 --class whcp",
            0,
            "plan: would add",
        ),
        ("check --class test --boot-start", 2, "plan: check: FAILED"),
        ("explode", 1, "explode"),
    ] {
        let words = line
            .split(' ')
            .chain(["--dry-run"])
            .map(|word| match word {
                "INF" => &inf,
                "PRODUCT" => &kit.trusted.product,
                word => word,
            })
            .collect::<Vec<&str>>();
        let (found, text) = prefix.run(&setup, &words)?;
        ensure!(
            found == code && text.contains(part),
            "{line}: {found} {text}"
        );
    }
    ensure!(
        (prefix.log(), prefix.registry(WINPV)?) == before,
        "log or records changed:\n{}",
        prefix.log()
    );
    kit.trusted.is_installed(prefix)
}
