//! The roots that signatures must lead to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::find::Place;
use crate::process::Run;

/// Folder of a pack with the certificates that go with it.
const CERTIFICATES: &str = "cert";

/// Trusted certificates.
#[derive(Clone, Debug)]
pub struct Anchors {
    /// All of them, PEM.
    pub file: PathBuf,
    /// Where they came from.
    pub from: Vec<String>,
}

impl Anchors {
    /// The certificates that the user names; None if there are none.
    ///
    /// # Errors
    ///
    /// A file holds no certificate.
    pub fn given(files: &[PathBuf], scratch: &Path) -> Result<Option<Anchors>> {
        let places: Vec<Place> = files.iter().map(|file| Place::new(file)).collect();
        Anchors::write(&places, &scratch.join("trusted.pem"))
    }

    /// The roots that a pack brings along in `cert/`.
    ///
    /// # Errors
    ///
    /// A file there is no certificate.
    pub fn of_pack(pack: &Place, scratch: &Path) -> Result<Option<Anchors>> {
        let folder = pack.join(CERTIFICATES);
        let mut roots = Vec::new();
        for file in super::find::files(&folder)? {
            if file.has_ending("cer") && is_root(&file.path)? {
                roots.push(file);
            }
        }
        let number = fs::read_dir(scratch)?.count();
        Anchors::write(&roots, &scratch.join(format!("trusted-{number}.pem")))
    }

    fn write(files: &[Place], to: &Path) -> Result<Option<Anchors>> {
        let mut all = String::new();
        for file in files {
            all.push_str(&pem(&file.path)?);
        }
        if files.is_empty() {
            return Ok(None);
        }
        fs::write(to, all)?;
        Ok(Some(Anchors {
            file: to.to_owned(),
            from: files.iter().map(|file| file.label.clone()).collect(),
        }))
    }
}

/// A PEM file as it is, with all its certificates; a DER certificate as PEM.
fn pem(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(format!("{text}\n"));
    }
    openssl_x509(file, &[])
        .with_context(|| format!("{} is no certificate, PEM or DER", file.display()))
}

/// A DER certificate as PEM, or what else `arguments` ask for.
pub fn openssl_x509(file: &Path, arguments: &[&str]) -> Result<String> {
    let run = Run::new("openssl").args(["x509", "-inform", "DER"]);
    Ok(run.args(arguments).arg("-in").arg(file).ok()?.stdout)
}

/// Issued by itself.
fn is_root(file: &Path) -> Result<bool> {
    let names = openssl_x509(file, &["-noout", "-subject_hash", "-issuer_hash"])
        .with_context(|| format!("{} is no certificate", file.display()))?;
    let mut lines = names.lines();
    Ok(lines.next() == lines.next())
}
