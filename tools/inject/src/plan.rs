//! What an injection will do to one installation of Windows: every file and every registry value that is not so already.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::boot;
use crate::first_boot;
use crate::hive::Hive;
use crate::newer;

use crate::package::{Certificate, Pack, Package};
use crate::refusal::Refusal;
use crate::registry::Edit;
use crate::signatures;
use crate::trust::Trust;
use crate::windows::{Tree, Windows};

/// What the user allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// Switch testsigning on in the BCD.
    pub enable_testsigning: bool,
    /// Put test-signed drivers into an image whose boot configuration cannot be seen.
    pub accept_test_signed: bool,
    /// Put drivers that Microsoft attested without tests into a Windows Server.
    pub accept_attestation_on_server: bool,
    /// Put a driver in the place of a newer one.
    pub allow_older: bool,
}

/// A file that shall be in the image.
pub struct File {
    /// Where, from the root of the volume.
    pub path: String,
    /// The content, outside the image.
    pub local: PathBuf,
    /// Length in bytes.
    pub size: usize,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Edits of one hive.
pub struct HiveEdits {
    /// What messages call it.
    pub name: String,
    /// The file system it lies on; empty for that of Windows.
    pub device: String,
    /// Its path there.
    pub path: String,
    /// The copy to edit.
    pub hive: Hive,
    /// What to write.
    pub edits: Vec<Edit>,
    /// Keys to remove, with all below them.
    pub removed: Vec<String>,
}

impl HiveEdits {
    fn is_done(&self) -> bool {
        self.edits.is_empty() && self.removed.is_empty()
    }
}

/// Everything that will be done to one installation.
pub struct Plan {
    /// What messages call it.
    pub target: String,
    /// What was found.
    pub found: String,
    /// Files that are missing or different.
    pub files: Vec<File>,
    /// Hives with something to write.
    pub hives: Vec<HiveEdits>,
    /// What the user must know.
    pub notes: Vec<String>,
}

impl Plan {
    /// Looks at `tree` and works out what `pack` needs there; copies and files to write go to `scratch`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], or the image cannot be read.
    pub fn make(
        tree: &mut dyn Tree,
        pack: &Pack,
        consent: Consent,
        scratch: &Path,
    ) -> Result<Plan> {
        let windows = Windows::find(tree, scratch)?;
        let packages: Vec<&Package> = pack
            .packages
            .iter()
            .filter(|package| package.machine == windows.machine)
            .collect();
        if packages.is_empty() {
            let mut names: Vec<_> = pack.packages.iter().map(|p| p.machine.name()).collect();
            names.dedup();
            return Err(Refusal::WrongArchitecture(windows.machine, names.join(", ")).into());
        }
        let mut notes = Vec::new();
        let boot_edits =
            signatures::judge(tree, &windows, &packages, consent, scratch, &mut notes)?;

        let mut system = Vec::new();
        let mut removed = Vec::new();
        let mut wanted: Vec<(String, &[u8])> = Vec::new();
        for package in packages.iter().filter(|package| package.is_boot_start()) {
            let change = boot::change(&windows, package)?;
            system.extend(change.edits);
            removed.extend(change.removed);
            if change.needs_driver {
                let path = boot::driver_path(&windows, package);
                newer::check(tree, &path, package, consent, scratch, &mut notes)?;
                wanted.push((path, package.driver()));
            } else {
                notes.push(format!(
                    "{}: Windows has installed it already and keeps running its own copy until it installs the staged one",
                    package.name
                ));
            }
        }
        notes.extend(boot::bus_note(&windows)?);
        let folder = format!("{}/{}", windows.root, first_boot::FOLDER);
        for package in &packages {
            for (name, bytes) in &package.files {
                wanted.push((format!("{folder}/{}/{name}", package.name), bytes));
            }
        }
        let certificates: &[Certificate] = if packages.iter().any(|p| p.trust == Trust::Test) {
            &pack.certificates
        } else {
            &[]
        };
        let script = first_boot::script(certificates);
        if windows.is_pe {
            notes.push(pe_note(&packages));
        } else {
            for certificate in certificates {
                wanted.push((format!("{folder}/{}", certificate.name), &certificate.der));
            }
            wanted.push((
                format!("{folder}/{}", first_boot::SCRIPT),
                script.as_bytes(),
            ));
        }
        let files = missing_files(tree, wanted, scratch)?;
        let software = if windows.is_pe {
            Vec::new()
        } else {
            first_boot::edits(&windows, &packages, !files.is_empty())?
        };
        let found = format!(
            "{}, build {}, {}{}",
            windows.product,
            windows.build,
            windows.machine,
            if windows.is_pe { ", Windows PE" } else { "" }
        );
        let path = |name| Windows::hive_path(&windows.root, name);
        let mut hives = vec![
            HiveEdits {
                name: r"HKLM\SYSTEM".to_owned(),
                device: String::new(),
                path: path("SYSTEM"),
                edits: windows.system.missing(system)?,
                removed,
                hive: windows.system,
            },
            HiveEdits {
                name: r"HKLM\SOFTWARE".to_owned(),
                device: String::new(),
                path: path("SOFTWARE"),
                edits: windows.software.missing(software)?,
                removed: Vec::new(),
                hive: windows.software,
            },
        ];
        hives.extend(boot_edits);
        hives.retain(|hive| !hive.is_done());
        Ok(Plan {
            target: tree.name(),
            found,
            files,
            hives,
            notes,
        })
    }

    /// True if the image is already as it should be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.files.is_empty() && self.hives.is_empty()
    }

    /// Writes the edits into the copies of the hives.
    ///
    /// # Errors
    ///
    /// hivex fails.
    pub fn edit_hives(&self) -> Result<()> {
        self.hives.iter().try_for_each(|hive| {
            hive.hive.merge(&hive.edits)?;
            hive.hive.remove(&hive.removed)
        })
    }

    /// For `--json`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| json!({ "path": file.path, "size": file.size, "sha256": file.sha256 }))
            .collect();
        let edits: Vec<_> = self
            .hives
            .iter()
            .flat_map(|hive| hive.edits.iter().map(|edit| edit.json(&hive.name)))
            .collect();
        let removed: Vec<_> = self
            .hives
            .iter()
            .flat_map(|hive| {
                hive.removed
                    .iter()
                    .map(|key| json!({ "hive": hive.name, "key": key }))
            })
            .collect();
        json!({
            "target": self.target,
            "found": self.found,
            "files": files,
            "registry": edits,
            "registry_removed": removed,
            "notes": self.notes,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.target, self.found)?;
        if self.is_done() {
            writeln!(f, "  nothing to do")?;
        }
        for file in &self.files {
            writeln!(f, "  file  {} ({} bytes)", file.path, file.size)?;
        }
        for hive in &self.hives {
            let mut key = None;
            for edit in &hive.edits {
                if key != Some(&edit.key) {
                    key = Some(&edit.key);
                    writeln!(f, "  key   {}\\{}", hive.name, edit.key)?;
                }
                let name = if edit.name.is_empty() {
                    "(default)"
                } else {
                    &edit.name
                };
                writeln!(f, "        {name} = {}", edit.value)?;
            }
            for key in &hive.removed {
                writeln!(f, "  key   {}\\{key}\n        is removed", hive.name)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}

fn pe_note(packages: &[&Package]) -> String {
    let other: Vec<_> = packages
        .iter()
        .filter(|package| !package.is_boot_start())
        .map(|package| {
            format!(
                r"drvload X:\Windows\Drivers\WinPV\{}\{}",
                package.name, package.inf
            )
        })
        .collect();
    // MS: "Drvload Command-Line Options": adds drivers to a running Windows PE.
    if other.is_empty() {
        "Windows PE starts the storage drivers at boot and forgets everything else when it ends; the Windows that Setup \
         installs needs the drivers in install.wim as well"
            .to_owned()
    } else {
        format!(
            "Windows PE starts the storage drivers at boot; start the others with {}",
            other.join(", ")
        )
    }
}

/// Compares with what is in the image and lays the files that differ out in `scratch`.
fn missing_files(
    tree: &mut dyn Tree,
    wanted: Vec<(String, &[u8])>,
    scratch: &Path,
) -> Result<Vec<File>> {
    let old = scratch.join("old");
    let mut files = Vec::new();
    for (number, (path, bytes)) in wanted.into_iter().enumerate() {
        if tree.fetch(&path, &old)? && fs::read(&old)? == bytes {
            continue;
        }
        let local = scratch.join(format!("file-{number}"));
        fs::write(&local, bytes)?;
        let digest = Sha256::digest(bytes);
        files.push(File {
            path,
            local,
            size: bytes.len(),
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
