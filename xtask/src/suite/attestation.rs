//! The cabinets for Microsoft's portal: laid out as it asks, signed, and holding the very files of the pack.

use std::collections::BTreeSet;
use std::fs;
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
            format!("{arch}: a folder for each package, with the files of the pack (cabextract)"),
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
///
/// cabextract unpacks, which shares no code with the program that wrote the cabinet.
fn members(dist: &Path, cabinet: &Path, arch: Arch) -> Result<()> {
    let bytes = fs::read(cabinet).with_context(|| format!("cannot read {}", cabinet.display()))?;
    ensure!(compression(&bytes)? == [MSZIP], "not compressed by MSZIP");
    let scratch = tempfile::tempdir()?;
    Run::new("cabextract")
        .args(["--quiet", "--directory"])
        .arg(scratch.path())
        .arg(cabinet)
        .ok()?;
    let names = files(scratch.path(), "")?;
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
            let name = format!("{}/{}", driver.name, name.to_string_lossy());
            let packed = fs::read(scratch.path().join(&name))
                .with_context(|| format!("{name} is missing"))?;
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
        let folder = name.split('/').next().unwrap_or_default();
        ensure!(
            name.split('/').count() == 2
                && name.len() < 40
                && folder.chars().all(|c| c.is_ascii_alphanumeric()),
            "the portal would refuse {name}"
        );
    }
    Ok(())
}

/// tcompTYPE_MSZIP (MS-CAB §2.2, CFFOLDER.typeCompress).
const MSZIP: u16 = 1;

/// How each folder of a cabinet is compressed, without repeats, as its header says (MS-CAB §2.1 and §2.2).
fn compression(bytes: &[u8]) -> Result<Vec<u16>> {
    const RESERVE_PRESENT: u16 = 4;
    const TYPE_MASK: u16 = 0x000f;
    let word = |at: usize| -> Result<u16> {
        let bytes = bytes.get(at..at + 2).context("the cabinet is cut off")?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    ensure!(bytes.starts_with(b"MSCF"), "no cabinet");
    let (folders, flags) = (word(26)?, word(30)?);
    // Neither continued from another cabinet nor in another one: no names of those stand before the folders.
    ensure!(flags & !RESERVE_PRESENT == 0, "flags {flags:#x}");
    let (mut at, mut size) = (36, 8);
    if flags & RESERVE_PRESENT != 0 {
        // cbCFHeader, cbCFFolder, cbCFData, and what the signature keeps in the header.
        size += usize::from(word(38)? & 0xff);
        at += 4 + usize::from(word(36)?);
    }
    let mut kinds = Vec::new();
    for _ in 0..folders {
        kinds.push(word(at + 6)? & TYPE_MASK);
        at += size;
    }
    kinds.dedup();
    Ok(kinds)
}

/// The files below a folder, by their paths.
fn files(folder: &Path, below: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path(), &format!("{name}/"))?);
        } else {
            found.insert(name);
        }
    }
    Ok(found)
}
