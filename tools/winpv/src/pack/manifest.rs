//! manifest.json and SHA256SUMS: what is in a pack, for whom, and what lies where on its ISO.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use winpv_inject::trust::classify;

use super::{MANIFEST, NAME, SUMS};
use crate::acceptance;
use crate::drivers::{self, Arch, DRIVERS, Driver};
use crate::iso;
use crate::version::{Epoch, Version};

/// Endings of the files that carry a signature.
const SIGNED: [&str; 4] = ["sys", "cat", "msi", "cab"];

/// One file of the pack.
pub struct Packed {
    /// Path below `dist/`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// Common name of the signing certificate.
    pub signed_by: Option<String>,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Packed {
    /// As manifest.json and `--json` have it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "path": self.path,
            "size": self.size,
            "signed_by": self.signed_by,
            "sha256": self.sha256,
        })
    }

    fn read(dist: &Path, path: String, signer: &str) -> Result<Packed> {
        let bytes = fs::read(dist.join(&path)).with_context(|| format!("cannot read {path}"))?;
        let signed = Path::new(&path)
            .extension()
            .is_some_and(|extension| SIGNED.iter().any(|signed| extension == *signed));
        Ok(Packed {
            path,
            size: bytes.len() as u64,
            signed_by: signed.then(|| signer.to_owned()),
            sha256: hex(&Sha256::digest(&bytes)),
        })
    }
}

/// What the manifest says of the pack as a whole.
pub struct About<'a> {
    /// The pack's version.
    pub version: Version,
    /// The pack's date.
    pub epoch: Epoch,
    /// What `rustc --version` says.
    pub compiler: &'a str,
    /// Common name of the signing certificate.
    pub signer: &'a str,
}

/// Describes the finished files in `dist` by manifest.json, writes the ISO, which holds it, and describes both by
/// SHA256SUMS. Returns every file but that last one, sorted by path.
///
/// # Errors
///
/// A file cannot be read or written, or xorriso fails.
pub fn describe(dist: &Path, about: &About<'_>) -> Result<Vec<Packed>> {
    let mut paths = files(dist)?;
    let read = |path: String| Packed::read(dist, path, about.signer);
    let mut packed: Vec<Packed> = paths.iter().cloned().map(read).collect::<Result<_>>()?;
    paths.push(MANIFEST.to_owned());
    let entries = iso::layout::layout(&paths)?;
    let mut packages = Vec::new();
    for driver in drivers::packages() {
        for arch in Arch::ALL {
            packages.push(package(dist, &driver, arch, about.version)?);
        }
    }
    let manifest = json!({
        "name": NAME,
        "version": about.version.to_string(),
        "date": about.epoch.us_date(),
        "source_date_epoch": about.epoch.0,
        "compiler": about.compiler,
        "minimum_windows": "Windows 10 1607, Windows Server 2016",
        "drivers": DRIVERS.iter().map(|driver| json!({
            "name": driver.name,
            "description": driver.description,
            "hardware_ids": driver.hardware_ids,
            "architectures": Arch::ALL.map(Arch::name),
        })).collect::<Vec<_>>(),
        "packages": packages,
        "files": packed.iter().map(Packed::json).collect::<Vec<_>>(),
        "iso": {
            "path": iso::file_name(about.version),
            "files": entries.iter().map(|entry| json!({
                "path": entry.path,
                "from": entry.from,
            })).collect::<Vec<_>>(),
        },
    });
    fs::write(
        dist.join(MANIFEST),
        serde_json::to_string_pretty(&manifest)? + "\n",
    )?;
    iso::write(dist, &entries, about.version, about.epoch)?;

    packed.push(read(MANIFEST.to_owned())?);
    packed.push(read(iso::file_name(about.version))?);
    packed.sort_by(|a, b| a.path.cmp(&b.path));
    let sums: String = packed
        .iter()
        .map(|file| format!("{}  {}\n", file.sha256, file.path))
        .collect();
    fs::write(dist.join(SUMS), sums)?;
    Ok(packed)
}

/// One package: for which devices and Windows it is, and where Windows accepts its signature.
fn package(dist: &Path, driver: &Driver, arch: Arch, version: Version) -> Result<Value> {
    let path = driver.file(arch, "sys");
    let trust = classify(&fs::read(dist.join(&path))?).with_context(|| path.clone())?;
    Ok(json!({
        "name": driver.name,
        "driver": path,
        "inf": driver.file(arch, "inf"),
        "catalog": driver.file(arch, "cat"),
        // The driver that it is, where it has a second name.
        "same_as": (driver.name != driver.source).then_some(driver.source),
        "architecture": arch.name(),
        "version": version.to_string(),
        "boot_start": driver.boot_start,
        "hardware_ids": driver.hardware_ids,
        "windows": acceptance::windows(arch).iter().map(|range| json!({
            "name": range.name,
            "server": range.server,
            "first_build": range.first_build,
            "last_build": range.last_build,
        })).collect::<Vec<_>>(),
        "signature": acceptance::class(trust),
        "accepted_by": acceptance::table(trust, arch),
    }))
}

/// Every file below a folder: paths from there, sorted.
fn files(base: &Path) -> Result<Vec<String>> {
    fn walk(base: &Path, dir: &Path, found: &mut Vec<String>) -> Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(base, &path, found)?;
            } else {
                found.push(path.strip_prefix(base)?.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(base, base, &mut found)?;
    found.sort();
    Ok(found)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
