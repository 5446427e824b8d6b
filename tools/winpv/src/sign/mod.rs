//! Authenticode signatures, made and checked by osslsigncode.

mod certificate;
mod countersignature;
mod root;
mod signer;
mod source;

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;

use crate::process::{Output, Run};

pub use certificate::Certificate;
pub(crate) use signer::PASSWORD;
pub use signer::Signer;
pub use source::{Args, Source};

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
    /// A cabinet.
    Cabinet,
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
