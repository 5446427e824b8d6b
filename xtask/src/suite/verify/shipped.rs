//! The pack as it is: nothing is wrong with it, all of it is looked at, and one changed bit in any package is found.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use driver_catalog::{Catalog, pkcs7};
use serde_json::Value;
use winpv::attestation;
use winpv::drivers::{self, Arch, DRIVERS, Driver};
use winpv::pack::MANIFEST;
use winpv::process::Run;
use winpv::verify::report::{Counts, Report};
use winpv::verify::{self, Options};
use winpv::version::Version;

use super::super::{Context, Outcome};

/// Every check.
pub fn all(context: &Context) -> Vec<Outcome> {
    let mut outcomes = vec![
        Outcome::of(
            "the pack has no finding, and all of it is looked at",
            || whole(context),
        ),
        Outcome::of("a catalog alone is checked with its package", || {
            catalogs_alone(context)
        }),
        Outcome::of("archives are named while they are checked", || {
            progress(context)
        }),
    ];
    for driver in drivers::packages() {
        for arch in Arch::ALL {
            outcomes.push(Outcome::of(
                format!("a flipped bit in {} for {arch} is found", driver.name),
                || flipped(context, &driver, arch),
            ));
        }
    }
    outcomes
}

/// Everything in dist/: packages, MSIs, cabinets, ISO, checksums, manifest.
fn whole(context: &Context) -> Result<()> {
    let report = verify::verify(&context.dist, &Options::default())?;
    for finding in &report.findings {
        println!("{finding}");
    }
    ensure!(report.findings.is_empty(), "{}", report.summary());
    let expected = expected(context)?;
    ensure!(
        report.counts == expected,
        "{}, and not {expected:?}",
        report.summary()
    );
    Ok(())
}

/// How much there is to look at, by the table of drivers and by what the manifest says of the ISO.
fn expected(context: &Context) -> Result<Counts> {
    let manifest: Value = serde_json::from_slice(&fs::read(context.dist.join(MANIFEST))?)?;
    let on_iso = |ending: &str| -> Result<usize> {
        let files = manifest["iso"]["files"].as_array();
        let files = files.context("the manifest names no files of the ISO")?;
        let paths = files.iter().filter_map(|file| file["path"].as_str());
        Ok(paths.filter(|path| path.ends_with(ending)).count())
    };
    let processors = Arch::ALL.len();
    let in_folder = drivers::packages().count() * processors;
    // One for each processor: in the folder, and on the ISO.
    let (installers, cabinets) = (processors + on_iso(".msi")?, processors);
    ensure!(installers == 2 * processors, "{installers} MSIs");
    // A processor's cabinet has all packages for it, its MSI those that are not there for other tools' sake.
    let packages = in_folder + in_folder + installers * DRIVERS.len() + on_iso(".inf")?;
    Ok(Counts {
        packages,
        // INF and driver.
        members: packages * 2,
        drivers: packages,
        // Catalog and driver; an MSI and the two programs in it; a cabinet.
        signatures: packages * 2 + installers * 3 + cabinets,
        archives: installers + cabinets + 1,
    })
}

/// Each catalog in dist/, named by itself.
fn catalogs_alone(context: &Context) -> Result<()> {
    for driver in drivers::packages() {
        for arch in Arch::ALL {
            let path = context.dist.join(driver.file(arch, "cat"));
            let report = verify::verify(&path, &Options::default())?;
            let (counts, findings) = (report.counts, &report.findings);
            // Nothing beside it says that the test root is to be trusted.
            ensure!(
                (counts.packages, counts.members) == (1, 2)
                    && findings
                        .iter()
                        .all(|finding| finding.rule == "root-unknown"),
                "{}: {}: {findings:?}",
                path.display(),
                report.summary()
            );
        }
    }
    Ok(())
}

/// The program itself, where no terminal is: a line for each archive on the standard error, and none in the report.
fn progress(context: &Context) -> Result<()> {
    let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
    let cabinet = context.dist.join(attestation::path(version, Arch::Amd64));
    let output = Run::new(env::current_exe()?)
        .arg("verify")
        .arg("--ca")
        .arg(root(context))
        .arg(&cabinet)
        .ok()?;
    let line = format!("check {}: ", cabinet.display());
    ensure!(
        output.stderr.starts_with(&line) && !output.stdout.contains(&line),
        "{}",
        output.text()
    );
    Ok(())
}

fn root(context: &Context) -> std::path::PathBuf {
    context.dist.join("cert/winpv-test-root.cer")
}

/// One package of the pack with one bit changed in one of its files, in its catalog in the list and in each certificate.
fn flipped(context: &Context, driver: &Driver, arch: Arch) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    for ending in ["inf", "cat", "sys"] {
        let from = context.dist.join(driver.file(arch, ending));
        let name = from.file_name().context("a name")?;
        fs::copy(&from, scratch.path().join(name))?;
    }
    let read = |ending: &str| {
        let file = scratch.path().join(format!("{}.{ending}", driver.name));
        let bytes = fs::read(&file)?;
        Ok::<_, anyhow::Error>((file, bytes))
    };
    let middle = |ending: &str| Ok::<_, anyhow::Error>(read(ending)?.1.len() / 2);
    let (_, catalog) = read("cat")?;
    let parts = Catalog::parse(&catalog)?;
    let list = parts.time.as_bytes();
    let list = catalog.windows(list.len()).position(|part| part == list);
    let mut flips = vec![
        ("inf", middle("inf")?, &["file-changed"][..]),
        (
            "sys",
            middle("sys")?,
            &["checksum", "file-changed", "signature-digest"],
        ),
        (
            "cat",
            list.context("no date in the list")?,
            &["signature-digest"],
        ),
    ];
    for certificate in &parts.certificates {
        let len = certificate.len();
        let at = catalog.windows(len).position(|part| part == certificate);
        // The signer's leads to a root; nothing leads to the copy of the root.
        let wanted = match pkcs7::Certificate::parse(certificate)?.is_self_issued() {
            true => &["certificate-stray"][..],
            false => &["chain-broken"],
        };
        // The last byte: of its issuer's signature.
        flips.push(("cat", at.context("no certificate")? + len - 1, wanted));
    }
    ensure!(
        flips.len() == 5,
        "{} certificates",
        parts.certificates.len()
    );
    for (ending, at, wanted) in flips {
        let (file, before) = read(ending)?;
        let mut bytes = before.clone();
        bytes[at] ^= 1;
        fs::write(&file, bytes)?;
        let report = check(context, scratch.path())?;
        fs::write(&file, before)?;
        let findings = report.findings.iter();
        let found: BTreeSet<&str> = findings.map(|finding| finding.rule).collect();
        ensure!(
            wanted.iter().all(|rule| found.contains(rule)),
            "{}: found {found:?}, not {wanted:?}",
            file.display()
        );
    }
    Ok(())
}

fn check(context: &Context, folder: &Path) -> Result<Report> {
    let options = Options {
        roots: vec![root(context)],
        strict: true,
        ..Options::default()
    };
    verify::verify(folder, &options)
}
