//! The cabinets for Microsoft's portal: laid out as it asks, signed, and holding the very files of the pack.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::{Context, Outcome};
use winpv::attestation;
use winpv::drivers::{self, Arch};
use winpv::process::Run;
use winpv::sign;
use winpv::version::Version;

/// Every check on both cabinets.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let root = scratch.path().join("root.pem");
    Run::new("openssl")
        .args(["x509", "-inform", "DER", "-in"])
        .arg(context.dist.join("cert/winpv-test-root.cer"))
        .arg("-out")
        .arg(&root)
        .ok()?;
    let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
    let mut outcomes = Vec::new();
    for arch in Arch::ALL {
        let path = context.dist.join(attestation::path(version, arch));
        outcomes.push(Outcome::of(
            format!("{arch}: a folder for each package, with the files of the pack"),
            || members(&context.dist, &path, arch),
        ));
        outcomes.push(Outcome::of(
            format!("{arch}: signed, and a flipped byte breaks it (osslsigncode)"),
            || {
                let output = sign::verify(&root, &path)?;
                ensure!(output.status.success(), "{}", output.text());
                let mut bytes = fs::read(&path)?;
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                let damaged = scratch.path().join(format!("{arch}.cab"));
                fs::write(&damaged, bytes)?;
                let output = sign::verify(&root, &damaged)?;
                ensure!(!output.status.success(), "accepted:\n{}", output.text());
                Ok(())
            },
        ));
    }
    Ok(outcomes)
}

/// MS: "Attestation sign Windows drivers": no file at the root, one folder a package, .inf, .sys, .pdb and .cat in each, MSZIP.
/// MS: "Driver code signing requirements": names of folders have no special characters and fewer than 40.
fn members(dist: &Path, cabinet: &Path, arch: Arch) -> Result<()> {
    let bytes = fs::read(cabinet).with_context(|| format!("cannot read {}", cabinet.display()))?;
    let mut cabinet = cab::Cabinet::new(Cursor::new(bytes))?;
    ensure!(
        cabinet
            .folder_entries()
            .all(|folder| folder.compression_type() == cab::CompressionType::MsZip),
        "not compressed by MSZIP"
    );
    let names: BTreeSet<String> = cabinet
        .folder_entries()
        .flat_map(|folder| folder.file_entries())
        .map(|file| file.name().to_owned())
        .collect();
    let mut wanted = BTreeSet::new();
    for driver in drivers::packages() {
        for from in [
            driver.file(arch, "inf"),
            driver.file(arch, "sys"),
            driver.file(arch, "cat"),
            driver.symbols(arch),
        ] {
            let file = dist.join(from);
            let name = file.file_name().context("no file name")?;
            let name = format!("{}\\{}", driver.name, name.to_string_lossy());
            let mut packed = Vec::new();
            cabinet
                .read_file(&name)
                .with_context(|| format!("{name} is missing"))?
                .read_to_end(&mut packed)?;
            ensure!(
                packed == fs::read(&file)?,
                "{name} is not {}",
                file.display()
            );
            wanted.insert(name);
        }
    }
    ensure!(names == wanted, "there is {names:?}");
    for name in &names {
        let folder = name.split('\\').next().unwrap_or_default();
        ensure!(
            name.split('\\').count() == 2
                && name.len() < 40
                && folder.chars().all(|c| c.is_ascii_alphanumeric()),
            "the portal would refuse {name}"
        );
    }
    Ok(())
}
