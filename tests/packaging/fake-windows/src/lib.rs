//! Made-up Windows images for tests: what tools on Linux look at, and nothing that could run.
//!
//! The hives are made by the `regf` crate, not by hivex, which the tools under test edit them with. What is in them is what
//! libguestfs looks for when it inspects a Windows guest, and what `winpv inject` looks for.

#![forbid(unsafe_code)]

pub mod disk;
pub mod hives;
pub mod pe;
pub mod security;
pub mod wim;

use std::fs;
use std::path::Path;

use anyhow::Result;

/// What the made-up Windows shall be.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Number of the processor in PE headers.
    pub machine: u16,
    /// Build number.
    pub build: u32,
    /// Product name.
    pub product: &'static str,
    /// Windows PE, as in boot.wim.
    pub is_pe: bool,
    /// Windows Server.
    pub is_server: bool,
    /// Number of the control set in use; number 1 is always there as well.
    pub control_set: u32,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows {
            machine: pe::AMD64,
            build: 19045,
            product: "Windows 10 Pro",
            is_pe: false,
            is_server: false,
            control_set: 1,
        }
    }
}

impl Windows {
    /// The files: path below the volume's root, content.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let program = pe::program(self.machine);
        vec![
            ("Windows/System32/config/SYSTEM", hives::system(self)),
            ("Windows/System32/config/SOFTWARE", hives::software(self)),
            ("Windows/System32/ntoskrnl.exe", program.clone()),
            // libguestfs takes the processor from this one.
            ("Windows/System32/cmd.exe", program.clone()),
            ("Windows/explorer.exe", program),
        ]
    }

    /// Folders that are there without files of ours.
    pub const FOLDERS: &[&str] = &[
        "Windows/System32/drivers",
        "Windows/INF",
        "Windows/Temp",
        "Program Files",
        "ProgramData",
        "Users",
    ];

    /// Lays the files out below `root`.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub fn write(&self, root: &Path) -> Result<()> {
        for folder in Windows::FOLDERS {
            fs::create_dir_all(root.join(folder))?;
        }
        for (path, bytes) in self.files() {
            let path = root.join(path);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(path, bytes)?;
        }
        Ok(())
    }
}
