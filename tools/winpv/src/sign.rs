//! Authenticode signatures, made and checked by osslsigncode.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::keys::Keys;
use crate::process::{Output, Run};
use crate::version::Epoch;

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A PE image; page hashes are added, which the kernel checks as it pages a boot-start driver in.
    Image,
    /// A catalog.
    Catalog,
    /// A program or library.
    Program,
    /// An MSI.
    Installer,
}

/// Signs a file in place. `epoch` becomes the signing time, so that the same input gives the same signature.
pub fn sign(
    keys: &Keys,
    file: &Path,
    subject: Subject,
    description: &str,
    epoch: Epoch,
) -> Result<()> {
    let signed = file.with_extension("signed");
    // osslsigncode refuses to overwrite what an interrupted run left.
    if signed.exists() {
        fs::remove_file(&signed)?;
    }
    let mut run = Run::new("osslsigncode")
        .arg("sign")
        .arg("-certs")
        .arg(keys.chain())
        .arg("-key")
        .arg(keys.signing_key());
    if subject == Subject::Image {
        run = run.arg("-ph");
    }
    run.args([
        "-h",
        "sha256",
        "-time",
        &epoch.0.to_string(),
        "-n",
        description,
        "-in",
    ])
    .arg(file)
    .arg("-out")
    .arg(&signed)
    .ok()
    .with_context(|| format!("cannot sign {}", file.display()))?;
    fs::rename(&signed, file).with_context(|| format!("cannot replace {}", file.display()))
}

/// Checks a file's own signature against a root certificate.
pub fn verify(root: &Path, file: &Path) -> Result<Output> {
    Run::new("osslsigncode")
        .args(["verify", "-CAfile"])
        .arg(root)
        .arg("-in")
        .arg(file)
        .output()
}

/// Checks a PE image against a catalog, and the catalog against a root certificate.
pub fn verify_by_catalog(root: &Path, catalog: &Path, file: &Path) -> Result<Output> {
    Run::new("osslsigncode")
        .args(["verify", "-CAfile"])
        .arg(root)
        .arg("-catalog")
        .arg(catalog)
        .arg("-in")
        .arg(file)
        .output()
}
