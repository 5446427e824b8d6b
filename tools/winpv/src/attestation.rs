//! The cabinets that Microsoft's hardware portal takes for attestation signing, one a processor.
//!
//! MS: "Attestation sign Windows drivers": nothing at the root, each package in a folder of its own with .inf, .sys, .pdb and
//! .cat (the catalog only tells whose it is, the portal makes a new one), all folders for the same processors, and the whole
//! signed with the company's EV certificate. MS: "Driver code signing requirements": folder names are to have fewer than 40
//! characters and no special ones; the whole path is held to that here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::drivers::{self, Arch};
use crate::sign::{Signer, Subject};
use crate::version::{Epoch, Version};

/// Folder of the cabinets below `dist/`.
pub const FOLDER: &str = "attestation";
/// Paths in the cabinet are shorter than this.
const PATH_LIMIT: usize = 40;

/// The cabinet's path below `dist/`.
#[must_use]
pub fn path(version: Version, arch: Arch) -> String {
    let [major, minor, patch, _] = version.0;
    format!("{FOLDER}/WinPV-{major}.{minor}.{patch}-{arch}.cab")
}

/// Writes and signs the cabinet of the finished packages in `dist`.
///
/// # Errors
///
/// A package is not complete, or has a name that the portal would refuse.
pub fn make(
    dist: &Path,
    arch: Arch,
    version: Version,
    signer: &Signer,
    epoch: Epoch,
) -> Result<()> {
    let mut members = Vec::new();
    for driver in drivers::packages() {
        // The symbols end in zeroes. Where a block has nothing after them all its matches have one distance, and libmspack, which
        // cabextract uses, takes the incomplete code that RFC 1951 §3.2.7 has for this case as damage.
        for from in [
            driver.symbols(arch),
            driver.file(arch, "sys"),
            driver.file(arch, "cat"),
            driver.file(arch, "inf"),
        ] {
            let from = dist.join(from);
            let file = from.file_name().context("no file name")?.to_string_lossy();
            let path = format!("{}\\{file}", driver.name);
            let bytes =
                fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            ensure!(
                path.len() < PATH_LIMIT,
                "{path} is too long for Microsoft's portal: give the driver a shorter name"
            );
            members.push((path, bytes));
        }
    }
    let members: Vec<_> = members
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    let cabinet = dist.join(path(version, arch));
    if let Some(folder) = cabinet.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&cabinet, winpv_msi::cabinet(&members, epoch.0)?)?;
    signer.sign(&cabinet, Subject::Cabinet, "WinPV drivers", epoch)
}
