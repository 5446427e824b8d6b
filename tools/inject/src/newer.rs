//! Whether the image has a newer driver than the pack: an older one must not take its place unasked.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::package::Package;
use crate::plan::Consent;
use crate::refusal::Refusal;
use crate::windows::Tree;

/// The version in a PE file's resources: four numbers, the first weighs most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u16; 4]);

impl Version {
    /// Finds the fixed part of a file's version (MS: VS_FIXEDFILEINFO, verrsrc.h): signature, version of the structure, and the
    /// file's version as two numbers, the upper half first. None if there is none.
    #[must_use]
    pub fn of_file(bytes: &[u8]) -> Option<Version> {
        const HEAD: [u8; 8] = [0xbd, 0x04, 0xef, 0xfe, 0x00, 0x00, 0x01, 0x00];
        let at = bytes.windows(HEAD.len()).position(|part| part == HEAD)?;
        let half = |offset: usize| {
            let at = at + HEAD.len() + offset;
            let bytes = bytes.get(at..at + 2)?;
            Some(u16::from_le_bytes(bytes.try_into().ok()?))
        };
        Some(Version([half(2)?, half(0)?, half(6)?, half(4)?]))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// Compares the package's driver with the file at `path` in the image, which it is to replace.
///
/// What is replaced is a file, so the versions in the two files' resources are compared: DriverVer is an INF's, and a file in
/// System32\drivers does not say which INF it came with.
///
/// # Errors
///
/// A [`Refusal`] if it is newer, or not known to be older; otherwise the image cannot be read.
pub fn check(
    tree: &mut dyn Tree,
    path: &str,
    package: &Package,
    consent: Consent,
    scratch: &Path,
    notes: &mut Vec<String>,
) -> Result<()> {
    let local = scratch.join("installed.sys");
    if !tree.fetch(path, &local)? {
        return Ok(());
    }
    let installed = fs::read(&local)?;
    let ours = package.driver();
    let (found, own) = (Version::of_file(&installed), Version::of_file(ours));
    let is_newer = match (found, own) {
        (Some(found), Some(own)) => found > own,
        // A file that says less than the one that takes its place.
        (None, _) => false,
        (Some(_), None) => true,
    };
    if installed == ours || !is_newer {
        return Ok(());
    }
    let text = |version: Option<Version>| {
        version.map_or("no version".to_owned(), |version| version.to_string())
    };
    let (found, own) = (text(found), text(own));
    if !consent.allow_older {
        return Err(Refusal::NewerDriver {
            path: path.to_owned(),
            found,
            own,
        }
        .into());
    }
    notes.push(format!("{path}: {found} is replaced by {own}"));
    Ok(())
}

#[cfg(test)]
mod tests;
