//! The ISO of a pack: ISO 9660 with Joliet and Rock Ridge names, the same bytes for the same files.

mod fields;
pub mod layout;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::drivers::DRIVERS;
use crate::process::Run;
use crate::version::{Epoch, Version};

pub use layout::Entry;
pub use winpv_inject::package::extract;

/// The texts of a medium: path below `dist/`, content.
const TEXTS: [(&str, &str); 4] = [
    ("README.txt", include_str!("texts/README.txt")),
    (
        "examples/autounattend.xml",
        include_str!("texts/autounattend.xml"),
    ),
    ("examples/winpeshl.ini", include_str!("texts/winpeshl.ini")),
    ("examples/winpv.cmd", include_str!("texts/winpv.cmd")),
];

/// What collects the findings of a real Windows: copied from the folder `docs` of the sources as it is.
const COLLECT: [&str; 3] = [
    "collect/Collect-WinPV.ps1",
    "collect/Read-VioblkStatistics.ps1",
    "collect/report.schema.json",
];

/// The ISO's name below `dist/`.
#[must_use]
pub fn file_name(version: Version) -> String {
    let [major, minor, patch, _] = version.0;
    format!("WinPV-{major}.{minor}.{patch}.iso")
}

/// Writes the read-me and the examples into `dist`, with the line ends that Windows wants, and copies what collects findings.
///
/// # Errors
///
/// They cannot be written, or the sources at `root` are not complete.
pub fn write_texts(dist: &Path, root: &Path, version: Version) -> Result<()> {
    for (path, text) in TEXTS {
        let path = dist.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = fields::fill(text, version, DRIVERS).replace('\n', "\r\n");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for path in COLLECT {
        let (from, to) = (root.join("docs").join(path), dist.join(path));
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// Writes the ISO of these files into `dist`. A file with several places is stored once.
///
/// # Errors
///
/// xorriso is missing or fails.
pub fn write(dist: &Path, entries: &[Entry], version: Version, epoch: Epoch) -> Result<()> {
    let mut list = String::new();
    for Entry { path, from } in entries {
        // xorriso's list has a file a line, its places parted by an equals sign, with the backslash as escape.
        let plain = |text: &str| !text.contains(['=', '\\', '\n']);
        ensure!(plain(path) && plain(from), "{from} has an unusable name");
        list.push_str(&format!("/{path}={from}\n"));
    }
    let scratch = tempfile::NamedTempFile::new()?;
    fs::write(&scratch, list)?;
    let [major, minor, patch, _] = version.0;
    let output = Run::new("xorriso")
        .dir(dist)
        // Dates that no option sets are this one; no other has a place in the ISO.
        .env("SOURCE_DATE_EPOCH", epoch.0.to_string())
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        // Nobody's start-up file.
        .arg("-no_rc")
        .args(["-as", "mkisofs", "-quiet"])
        .args(["-volid", &format!("WINPV_{major}_{minor}_{patch}")])
        // Otherwise xorriso's version.
        .args(["-preparer", "WINPV"])
        .args([
            "-iso-level",
            "3",
            "-joliet",
            "-joliet-long",
            "-rational-rock",
        ])
        .args(["--set_all_file_dates", &format!("={}", epoch.0)])
        .args(["-uid", "0", "-gid", "0"])
        .args(["-file-mode", "0444", "-dir-mode", "0555"])
        .args(["-o", &file_name(version)])
        .args(["-graft-points", "-path-list"])
        .arg(scratch.path())
        .deadline(Duration::from_secs(300));
    output.ok().context("cannot write the ISO")?;
    Ok(())
}
