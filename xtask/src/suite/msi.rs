//! The MSIs: tables and signatures of both, and everything that the x64 one does, in Wine.
//!
//! What Wine shows: the sequence of actions, conditions, rollback, files, records, the list of programs, the helper's log. What it
//! cannot show: a package that Windows refuses, a device that gets a driver. Wine's driver store takes any package, signed or not,
//! so nothing here rests on its answer.

mod devices;
mod features;
mod kit;
mod medium;
mod prefix;
mod refusals;
mod scenarios;
mod setupapi;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use winpv::drivers::{Arch, DRIVERS, PROVIDER};
use winpv::process::Run;
use winpv::sign;
use winpv::verify;
use winpv::version::Version;
use winpv_msi::check::{self, Msi, text};

use super::{Context, Outcome};

/// The pack's MSI for a processor.
fn shipped(context: &Context, arch: Arch) -> Result<PathBuf> {
    let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
    Ok(context.dist.join(winpv::msi::file_name(version, arch)))
}

/// Tables, payload and signatures of both MSIs.
pub fn tables(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let root = scratch.path().join("root.pem");
    Run::new("openssl")
        .args(["x509", "-inform", "DER", "-in"])
        .arg(context.dist.join("cert/winpv-test-root.cer"))
        .arg("-out")
        .arg(&root)
        .ok()?;
    let mut outcomes = vec![Outcome::of(
        "the helper knows the pack's drivers by the provider that their INFs name",
        || {
            let known = winpv_setup::policy::PROVIDER;
            ensure!(PROVIDER == known, "INFs: {PROVIDER}, helper: {known}");
            Ok(())
        },
    )];
    for arch in Arch::ALL {
        let path = shipped(context, arch)?;
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut test = |what: &str, run: &dyn Fn() -> Result<()>| {
            outcomes.push(Outcome::of(format!("MSI for {arch}: {what}"), run));
        };
        test("tables, sequences, payload (own rules)", &|| {
            let problems = check::check(&bytes)?;
            ensure!(problems.is_empty(), "{}", problems.join("\n"));
            Ok(())
        });
        test("a feature for every driver, with the pack's files", &|| {
            drivers(context, arch, &bytes)
        });
        test("read by another program (msiinfo)", &|| {
            msiinfo(&path, arch)
        });
        test("signed (osslsigncode)", &|| {
            let output = sign::verify(&root, &path)?;
            ensure!(output.status.success(), "{}", output.text());
            Ok(())
        });
        test(
            "a flipped byte breaks the signature (osslsigncode)",
            &|| {
                let mut damaged = bytes.clone();
                // In the middle lies the cabinet or a program, whatever the order of streams.
                let at = damaged.len() / 2;
                damaged[at] ^= 1;
                let file = scratch.path().join(format!("damaged-{arch}.msi"));
                fs::write(&file, damaged)?;
                let output = sign::verify(&root, &file)?;
                ensure!(!output.status.success(), "accepted:\n{}", output.text());
                Ok(())
            },
        );
        test("the helper's programs are signed (osslsigncode)", &|| {
            let mut msi = Msi::open(&bytes)?;
            for name in ["setup", "check"] {
                let file = scratch.path().join(format!("{name}-{arch}"));
                fs::write(&file, msi.stream(&format!("Binary.{name}"))?)?;
                let output = sign::verify(&root, &file)?;
                ensure!(output.status.success(), "{name}: {}", output.text());
            }
            Ok(())
        });
        test("the helper's programs are hardened (static rules)", &|| {
            let mut msi = Msi::open(&bytes)?;
            for name in ["setup", "check"] {
                let file = scratch.path().join(format!("{name}-{arch}.bin"));
                fs::write(&file, msi.stream(&format!("Binary.{name}"))?)?;
                hardened(&file).with_context(|| name)?;
            }
            Ok(())
        });
        test("the installed helper is the one that installs", &|| {
            let mut msi = Msi::open(&bytes)?;
            ensure!(msi.file("winpv_setup.exe")? == msi.stream("Binary.setup")?);
            Ok(())
        });
    }
    Ok(outcomes)
}

/// Every driver of the table is a feature, and its files are those of the pack, byte for byte.
fn drivers(context: &Context, arch: Arch, bytes: &[u8]) -> Result<()> {
    let content = winpv_msi::read(bytes)?;
    let names: Vec<&str> = content
        .drivers
        .iter()
        .map(|driver| driver.name.as_str())
        .collect();
    let wanted: Vec<&str> = DRIVERS.iter().map(|driver| driver.name).collect();
    ensure!(names == wanted, "features {names:?}, drivers {wanted:?}");
    for (driver, entry) in content.drivers.iter().zip(DRIVERS) {
        ensure!(driver.boot_start == entry.boot_start, "{}", driver.name);
        let dir = package(context, entry.name, arch);
        ensure!(
            driver.files.len() == fs::read_dir(&dir)?.count(),
            "{} has not every file of {}",
            driver.name,
            dir.display()
        );
        for (name, bytes) in &driver.files {
            ensure!(*bytes == fs::read(dir.join(name))?, "{name} differs");
        }
    }
    Ok(())
}

/// The rules for drivers that hold for programs as well.
fn hardened(file: &Path) -> Result<()> {
    const RULES: [&str; 7] = [
        "machine",
        "no-wx",
        "alignment",
        "aslr",
        "nx",
        "cfg",
        "checksum",
    ];
    let rows = verify::check_image(file, None)?;
    for rule in RULES {
        let row = rows
            .iter()
            .find(|row| row.rule == rule)
            .with_context(|| format!("no rule {rule}"))?;
        ensure!(row.verdict == "pass", "{rule}: {}", row.detail.join("\n"));
    }
    Ok(())
}

fn package(context: &Context, driver: &str, arch: Arch) -> PathBuf {
    context.dist.join("drivers").join(driver).join(arch.name())
}

/// GNOME's msitools read the same file by other code.
fn msiinfo(path: &Path, arch: Arch) -> Result<()> {
    let summary = Run::new("msiinfo").arg("suminfo").arg(path).ok()?.stdout;
    let template = match arch {
        Arch::Amd64 => "Template: x64;1033",
        Arch::Arm64 => "Template: Arm64;1033",
    };
    ensure!(summary.contains(template), "{summary}");
    let tables = Run::new("msiinfo").arg("tables").arg(path).ok()?.stdout;
    let bytes = fs::read(path)?;
    let msi = Msi::open(&bytes)?;
    for table in ["File", "CustomAction", "InstallExecuteSequence", "Upgrade"] {
        ensure!(tables.lines().any(|line| line == table), "{tables}");
        let exported = Run::new("msiinfo")
            .arg("export")
            .arg(path)
            .arg(table)
            .ok()?
            .stdout;
        // Three lines of heading, then a row a line.
        let rows = exported.lines().count().saturating_sub(3);
        ensure!(rows == msi.rows(table).len(), "{table}:\n{exported}");
        for row in msi.rows(table) {
            let key = text(row, "Action");
            ensure!(exported.contains(key), "{table}: no {key}");
        }
    }
    Ok(())
}

/// Installations in Wine.
pub fn wine(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::Builder::new().prefix("winpv-wine-").tempdir()?;
    let template = prefix::Template::make(scratch.path())?;
    let mut outcomes = scenarios::all(context, &template)?;
    outcomes.extend(setupapi::all(context, &template)?);
    outcomes.push(medium::script(context, &template));
    Ok(outcomes)
}
