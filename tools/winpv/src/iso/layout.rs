//! Where each file of a pack lies on the ISO.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::drivers::{Arch, DRIVERS};

/// The folder with every driver that Windows can boot from, by processor and otherwise flat.
pub const BOOT: &str = "boot";

/// What of `dist/` is for developers and for Microsoft's portal, and the packages that get folders of their own.
const LEFT_OUT: [&str; 3] = ["attestation/", "compatible/", "symbols/"];

/// The names by which the folders of the virtio-win ISO tell releases of Windows apart, and the processors for which it has
/// them. virt-v2v takes a driver only from a path with one of these and `amd64` (libguestfs-common,
/// mlcustomize/inject_virtio_win.ml, `virtio_iso_path_matches_guest_os`; it has no rule for ARM64).
pub const SYSTEMS: [(&str, &[Arch]); 6] = [
    ("2k16", &[Arch::Amd64]),
    ("2k19", &[Arch::Amd64]),
    ("2k22", &[Arch::Amd64]),
    ("2k25", &Arch::ALL),
    ("w10", &Arch::ALL),
    ("w11", &Arch::ALL),
];

/// How the virtio-win ISO spells a processor.
#[must_use]
pub const fn spelling(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "amd64",
        Arch::Arm64 => "ARM64",
    }
}

/// One file of the ISO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path on the ISO.
    pub path: String,
    /// The file below `dist/` that it is.
    pub from: String,
}

/// Lays the files of a pack out, sorted by path.
///
/// # Errors
///
/// Two files would get one place: two boot drivers have files of one name.
pub fn layout(files: &[String]) -> Result<Vec<Entry>> {
    let mut places = Places::default();
    for file in files {
        if !LEFT_OUT.iter().any(|folder| file.starts_with(folder)) {
            places.put(file.clone(), file)?;
        }
    }
    for driver in DRIVERS {
        for arch in Arch::ALL {
            if driver.boot_start {
                places.package(files, &driver.folder(arch), &format!("{BOOT}/{arch}"))?;
            }
        }
        let (Some(names), Some(other)) = (driver.compatible, driver.compatible()) else {
            continue;
        };
        for (system, archs) in SYSTEMS {
            for &arch in archs {
                let package = other.folder(arch);
                let spelled = spelling(arch);
                let folder = format!("{}/{system}/{spelled}", names.folder);
                places.package(files, &package, &folder)?;
                // The virtio-win ISO has what Setup needs a second time, by processor first, and not for ARM64.
                if other.boot_start && arch == Arch::Amd64 {
                    places.package(files, &package, &format!("{spelled}/{system}"))?;
                }
            }
        }
    }
    Ok(places
        .0
        .into_iter()
        .map(|(path, from)| Entry { path, from })
        .collect())
}

/// Paths on the ISO and the files that lie there.
#[derive(Default)]
struct Places(BTreeMap<String, String>);

impl Places {
    /// Every file of a package into one folder.
    fn package(&mut self, files: &[String], package: &str, folder: &str) -> Result<()> {
        let mut found = false;
        for file in files {
            let Some(name) = file
                .strip_prefix(package)
                .and_then(|rest| rest.strip_prefix('/'))
            else {
                continue;
            };
            self.put(format!("{folder}/{name}"), file)?;
            found = true;
        }
        ensure!(found, "{package} is not in the pack");
        Ok(())
    }

    fn put(&mut self, path: String, from: &str) -> Result<()> {
        let taken = self.0.insert(path.clone(), from.to_owned());
        ensure!(
            taken.is_none(),
            "{} and {from} would both be {path} on the ISO",
            taken.unwrap_or_default()
        );
        Ok(())
    }
}
