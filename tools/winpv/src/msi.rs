//! Puts the MSI of a pack together: the drivers as they stand in `dist/`, and the helper program, built and signed here.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use winpv_inject::trust::{self, Trust};
use winpv_msi::{Content, Platform};

use crate::build::{self, Built, Form, Request};
use crate::drivers::{Arch, DRIVERS, Driver};
use crate::pack::hex;
use crate::resource::{self, FileKind, Messages, VersionInfo};
use crate::sbom::Binary;
use crate::sign::{Signer, Subject};
use crate::toolchain::Toolchain;
use crate::version::{Epoch, Version};

/// What winpv-check.dll offers the MSI.
const EXPORTS: [&str; 3] = ["winpv_check", "winpv_native", "winpv_restart"];
/// Package, folder and file name of the helper program.
const SETUP: &str = "winpv-setup";
const CHECK: &str = "winpv-check";

/// The helper program in its two forms, unsigned.
pub struct Helper {
    /// winpv-setup.exe.
    pub setup: Built,
    /// winpv-check.dll.
    pub check: Built,
}

/// Compiles and links the helper program.
pub fn build_helper(
    toolchain: &Toolchain,
    root: &Path,
    target_dir: &Path,
    arch: Arch,
    version: Version,
) -> Result<Helper> {
    let link = |stem: &str, form: Form<'_>, kind, description| {
        let extension = if kind == FileKind::Program {
            "exe"
        } else {
            "dll"
        };
        let info = VersionInfo {
            version,
            description,
            file_name: &format!("{stem}.{extension}"),
            kind,
            company: "WinPV",
        };
        build::build(
            toolchain,
            &Request {
                manifest: &root.join("Cargo.toml"),
                package: SETUP,
                features: "",
                arch,
                target_dir: &target_dir.join("driver"),
                out: &target_dir.join("sys").join(SETUP).join(arch.name()),
                stem,
                form,
                resources: Some(&resource::write(&info, &Messages::default())),
            },
        )
    };
    Ok(Helper {
        setup: link(
            SETUP,
            Form::Program,
            FileKind::Program,
            "Adds and removes WinPV's driver packages",
        )?,
        check: link(
            CHECK,
            Form::Library(&EXPORTS),
            FileKind::Library,
            "Checks for WinPV's installer whether Windows loads the drivers",
        )?,
    })
}

/// What an MSI is made from.
pub struct Options<'a> {
    /// The pack's folder with the finished driver packages; the MSI is put there as well.
    pub dist: &'a Path,
    /// The helper program.
    pub helper: &'a Helper,
    /// Processor.
    pub arch: Arch,
    /// The pack's version.
    pub version: Version,
    /// Signs the helper program and the MSI.
    pub signer: &'a Signer,
    /// The pack's date.
    pub epoch: Epoch,
}

/// The MSI's name below `dist/`.
#[must_use]
pub fn file_name(version: Version, arch: Arch) -> String {
    let [major, minor, patch, _] = version.0;
    let arch = match arch {
        Arch::Amd64 => "x64",
        Arch::Arm64 => "arm64",
    };
    format!("WinPV-{major}.{minor}.{patch}-{arch}.msi")
}

/// Writes, checks and signs the MSI.
pub fn make(options: &Options<'_>) -> Result<()> {
    let path = options.dist.join(file_name(options.version, options.arch));
    let bytes = winpv_msi::write(&content(options)?)?;
    let problems = winpv_msi::check::check(&bytes)?;
    if !problems.is_empty() {
        bail!(
            "the MSI for {} is not fit for Windows:\n  {}",
            options.arch,
            problems.join("\n  ")
        );
    }
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    options.signer.sign(
        &path,
        Subject::Installer,
        "WinPV virtio drivers",
        options.epoch,
    )
}

/// The helper program's two forms as they lie in the finished MSI, for the bill of materials.
pub fn binaries(dist: &Path, arch: Arch, version: Version) -> Result<Vec<Binary<'static>>> {
    let name = file_name(version, arch);
    let bytes = fs::read(dist.join(&name)).with_context(|| format!("cannot read {name}"))?;
    let content = winpv_msi::read(&bytes)?;
    let binary = |file: String, bytes: &[u8], kind| Binary {
        package: SETUP,
        arch,
        path: format!("{name}/{file}"),
        sha256: hex(&Sha256::digest(bytes)),
        kind,
    };
    Ok(vec![
        binary(format!("{SETUP}.exe"), &content.setup, "application"),
        binary(format!("{CHECK}.dll"), &content.check, "library"),
    ])
}

fn content(options: &Options<'_>) -> Result<Content> {
    let signed = |built: &Built, description: &str| -> Result<Vec<u8>> {
        let file = tempfile::NamedTempFile::new()?.into_temp_path();
        fs::copy(&built.image, &file)
            .with_context(|| format!("cannot read {}", built.image.display()))?;
        options
            .signer
            .sign(&file, Subject::Program, description, options.epoch)?;
        Ok(fs::read(&file)?)
    };
    let drivers: Vec<winpv_msi::Driver> = DRIVERS
        .iter()
        .map(|driver| package(options, driver))
        .collect::<Result<_>>()?;
    Ok(Content {
        platform: match options.arch {
            Arch::Amd64 => Platform::X64,
            Arch::Arm64 => Platform::Arm64,
        },
        version: options.version.0,
        signature: signature_class(&drivers)?.to_owned(),
        drivers,
        setup: signed(&options.helper.setup, "WinPV setup")?,
        check: signed(&options.helper.check, "WinPV setup")?,
        epoch: options.epoch.0,
    })
}

/// One driver's package, as it stands in the pack.
fn package(options: &Options<'_>, driver: &Driver) -> Result<winpv_msi::Driver> {
    let dir = options
        .dist
        .join("drivers")
        .join(driver.name)
        .join(options.arch.name());
    let mut paths: Vec<PathBuf> = fs::read_dir(&dir)
        .with_context(|| format!("cannot read {}", dir.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().context("no file name")?.to_string_lossy();
        files.push((name.into_owned(), fs::read(&path)?));
    }
    Ok(winpv_msi::Driver {
        name: driver.name.to_owned(),
        description: driver.description.to_owned(),
        boot_start: driver.boot_start,
        // A device that has a more specific id has the general one as well (MS: "Identifiers for PCI devices").
        hardware_ids: driver
            .hardware_ids
            .iter()
            .filter(|id| !id.contains("&SUBSYS_"))
            .map(|id| (*id).to_owned())
            .collect(),
        files,
    })
}

/// The signature class that the MSI is stamped with.
fn signature_class(drivers: &[winpv_msi::Driver]) -> Result<&'static str> {
    let mut signatures = Vec::new();
    for (name, bytes) in drivers.iter().flat_map(|driver| &driver.files) {
        if name.ends_with(".sys") {
            let trust = trust::classify(bytes).with_context(|| name.clone())?;
            signatures.push((name.as_str(), trust));
        }
    }
    weakest(&signatures)
}

/// The class of the driver which the fewest machines load.
fn weakest(signatures: &[(&str, Trust)]) -> Result<&'static str> {
    let least = signatures.iter().min_by_key(|(_, trust)| *trust);
    let (name, trust) = least.context("the MSI would hold no driver")?;
    if *trust == Trust::Unsigned {
        bail!("{name} is not signed: no Windows would load it");
    }
    Ok(class(*trust))
}

/// The class by which the helper program judges a driver with this signature.
#[must_use]
pub const fn class(trust: Trust) -> &'static str {
    match trust {
        Trust::Unsigned | Trust::Test => "test",
        Trust::Attestation => "attestation",
        Trust::Whcp => "whcp",
    }
}
