//! Which Windows an image holds: processor, build, control set, full system or Windows PE.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::bcd::Partition;
use crate::hive::Hive;
use crate::refusal::Refusal;
use crate::registry::Value;

/// The first build that is served: Windows 10 1607, Windows Server 2016.
pub const OLDEST_BUILD: u32 = 14393;

/// A processor, by the number in a PE file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine(pub u16);

impl Machine {
    /// IMAGE_FILE_MACHINE_I386.
    pub const X86: Machine = Machine(0x014c);
    /// IMAGE_FILE_MACHINE_AMD64.
    pub const AMD64: Machine = Machine(0x8664);
    /// IMAGE_FILE_MACHINE_ARM64.
    pub const ARM64: Machine = Machine(0xaa64);

    /// The name that INF decorations and driver packages use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Machine::X86 => "x86",
            Machine::AMD64 => "amd64",
            Machine::ARM64 => "arm64",
            _ => "an unknown processor",
        }
    }

    /// Reads the processor of a PE file.
    #[must_use]
    pub fn of_pe(bytes: &[u8]) -> Option<Machine> {
        // MS: "PE Format": the offset of the signature is at 0x3c, the machine follows the signature.
        let field = bytes.get(0x3c..0x40)?;
        let at = u32::from_le_bytes([field[0], field[1], field[2], field[3]]) as usize;
        let header = bytes.get(at..at.checked_add(6)?)?;
        (bytes.starts_with(b"MZ") && header.starts_with(b"PE\0\0"))
            .then(|| Machine(u16::from_le_bytes([header[4], header[5]])))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Machine::X86 | Machine::AMD64 | Machine::ARM64 => f.write_str(self.name()),
            Machine(other) => write!(f, "an unknown processor (0x{other:04x})"),
        }
    }
}

/// One installation of Windows that an image holds; the paths of its files start at its volume's root.
pub trait Tree {
    /// What messages call it.
    fn name(&self) -> String;

    /// The folder of Windows, `Windows` as a rule.
    fn system_root(&self) -> String;

    /// Copies a file out of the image; false if it is not there. Case does not matter.
    ///
    /// # Errors
    ///
    /// The image cannot be read.
    fn fetch(&mut self, path: &str, to: &Path) -> Result<bool>;

    /// The boot configuration that can start it. `None` if the image is of a kind that has none.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if there should be one and is not; otherwise the image cannot be read.
    fn boot_stores(&mut self, scratch: &Path) -> Result<Option<BootStores>>;
}

/// The boot configuration of a disk.
#[derive(Debug)]
pub struct BootStores {
    /// The stores, at least one.
    pub stores: Vec<BootStore>,
    /// The disk's other partitions: an entry that starts one of them does not start this Windows.
    pub elsewhere: Vec<Partition>,
}

/// A file named BCD.
#[derive(Clone, Debug)]
pub struct BootStore {
    /// The file system it lies on, empty for that of Windows.
    pub device: String,
    /// Its path there.
    pub path: String,
    /// The copy.
    pub local: std::path::PathBuf,
}

impl fmt::Display for BootStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.path, self.device)
    }
}

/// What is known of an installation.
pub struct Windows {
    /// Processor.
    pub machine: Machine,
    /// Build number.
    pub build: u32,
    /// Such as `Windows 10 Pro`.
    pub product: String,
    /// Such as `ControlSet001`: first the one that the next start uses, then others that a start can fall back to.
    pub control_sets: Vec<String>,
    /// Windows PE, as in boot.wim.
    pub is_pe: bool,
    /// Windows Server, or perhaps: it does not say that it is a client.
    pub is_server: bool,
    /// The folder of Windows.
    pub root: String,
    /// Copy of the SYSTEM hive.
    pub system: Hive,
    /// Copy of the SOFTWARE hive.
    pub software: Hive,
}

impl Windows {
    /// Path of a hive in the image.
    #[must_use]
    pub fn hive_path(root: &str, name: &str) -> String {
        format!("{root}/System32/config/{name}")
    }

    /// Finds out what `tree` holds, with copies in `scratch`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it is nothing that can be served; otherwise the image cannot be read.
    pub fn find(tree: &mut dyn Tree, scratch: &Path) -> Result<Windows> {
        let root = tree.system_root();
        let kernel = scratch.join("ntoskrnl.exe");
        if !tree.fetch(&format!("{root}/System32/ntoskrnl.exe"), &kernel)? {
            return Err(Refusal::NoWindows(format!(": no {root}/System32/ntoskrnl.exe")).into());
        }
        let machine =
            Machine::of_pe(&std::fs::read(&kernel)?).context("ntoskrnl.exe is no PE file")?;
        // The kernel is the largest file that is fetched and is not needed again.
        std::fs::remove_file(&kernel)?;
        if ![Machine::AMD64, Machine::ARM64].contains(&machine) {
            return Err(Refusal::Architecture(machine).into());
        }
        let mut hive = |name: &str| {
            let local = scratch.join(name);
            let path = Windows::hive_path(&root, name);
            if !tree.fetch(&path, &local)? {
                return Err(Refusal::NoWindows(format!(": no {path}")).into());
            }
            Hive::open(local, name)
        };
        let (system, software) = (hive("SYSTEM")?, hive("SOFTWARE")?);
        const VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";
        let lacks = |what: &str| Refusal::Registry(what.to_owned());
        let build = software
            .text(VERSION, "CurrentBuildNumber")?
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| lacks("CurrentBuildNumber"))?;
        if build < OLDEST_BUILD {
            return Err(Refusal::TooOld(build).into());
        }
        let control_sets = control_sets(&system)?;
        let Some(control_set) = control_sets.first() else {
            return Err(lacks(r"control set that Select\Default or Select\Current names").into());
        };
        // Windows 8 and later match devices by it at boot (libguestfs-common, inject_virtio_win.ml, add_guestor_to_registry).
        if system.values("DriverDatabase")?.is_none() {
            return Err(lacks("DriverDatabase in SYSTEM").into());
        }
        let product = software
            .text(VERSION, "ProductName")?
            .unwrap_or_else(|| "Windows".to_owned());
        // Windows PE alone has this key (google/glazier and others tell it by that).
        let is_pe = system
            .values(&format!(r"{control_set}\Control\MiniNT"))?
            .is_some();
        // MS: "Bug Check 0x9A": the product is WinNT, or LanmanNT or ServerNT.
        let kind = format!(r"{control_set}\Control\ProductOptions");
        let kind = system.text(&kind, "ProductType")?;
        let is_server = !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("WinNT"));
        Ok(Windows {
            machine,
            build,
            product,
            control_sets,
            is_pe,
            is_server,
            root,
            system,
            software,
        })
    }
}

/// The control sets that a start can use: Default is what it takes, Current what the last one took, LastKnownGood what it
/// falls back to (MS: KB 102984, "ControlSet\\Select Subkey Entries").
fn control_sets(system: &Hive) -> Result<Vec<String>> {
    let mut sets = Vec::new();
    for name in ["Default", "Current", "LastKnownGood"] {
        let Some(Value::Dword(number)) = system.value("Select", name)? else {
            continue;
        };
        let set = format!("ControlSet{number:03}");
        if !sets.contains(&set) && system.values(&format!(r"{set}\Services"))?.is_some() {
            sets.push(set);
        }
    }
    Ok(sets)
}
