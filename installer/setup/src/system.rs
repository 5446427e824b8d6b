//! The part of Windows that the program uses, as a trait.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::content::Content;
use crate::policy::CodeIntegrity;

/// A Windows function failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WinError {
    /// Its name.
    pub function: &'static str,
    /// What GetLastError or the function itself returned.
    pub code: u32,
}

impl WinError {
    /// What to do about the codes that users meet. The SPAPI codes are those of setupapi.h.
    const fn advice(self) -> &'static str {
        match self.code {
            5 => " (run as administrator)",
            0xE000_0241..=0xE000_0243 | 0x800B_0109 => {
                " (Windows does not trust the signer: add cert\\*.cer to Root and TrustedPublisher)"
            }
            0xE000_0247 => {
                " (the driver store refused the package: see \\Windows\\INF\\setupapi.dev.log)"
            }
            0xE000_0248 | 0xE000_0249 => " (a policy forbids installing this device or driver)",
            0xE000_024B => " (the catalog does not fit the files: the package was changed)",
            _ => "",
        }
    }
}

impl fmt::Display for WinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} failed with error {:#x}{}",
            self.function,
            self.code,
            self.advice()
        )
    }
}

impl core::error::Error for WinError {}

/// What adding a package did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The package's name in the driver store.
    pub published: String,
    /// False if the store had it already.
    pub new: bool,
}

/// What removing a package did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone {
        /// Windows needs a restart to finish.
        restart: bool,
    },
    /// A device uses it, and it stayed.
    InUse,
    /// It was not there.
    Missing,
}

/// A present device and what it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Device {
    /// Its instance id.
    pub id: String,
    /// Its service; empty if it has none.
    pub service: String,
    /// The published INF that it was installed with; empty if it has no driver.
    pub inf: String,
    /// Who provides that driver, as the INF says.
    pub provider: String,
    /// The driver's version.
    pub version: String,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inf.is_empty() {
            return f.write_str("no driver");
        }
        let service = if self.service.is_empty() {
            "no service"
        } else {
            &self.service
        };
        let Device {
            inf,
            provider,
            version,
            ..
        } = self;
        write!(f, "{service} ({inf}, {provider} {version})")
    }
}

/// Where records are kept, by driver name or by published name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Committed: driver name to [`crate::record::Installed`].
    Installed,
    /// In a transaction: driver name to [`crate::record::Pending`].
    Pending,
    /// Packages of ours that a newer one replaced and that wait for removal: published name to [`crate::record::Superseded`].
    Superseded,
}

/// What the program asks of Windows. Every function that changes something is followed by a line in the log.
pub trait System {
    /// Writes one line to the log.
    fn log(&mut self, line: fmt::Arguments<'_>);
    /// What the INF with this published name is now; `None` if there is none.
    fn content(&mut self, published: &str) -> Result<Option<Content>, WinError>;
    /// The machine's own processor, if it is another one than this program is for: an IMAGE_FILE_MACHINE value (winnt.h).
    fn foreign_machine(&mut self) -> Option<u16>;
    /// Copies the package of `inf` to the driver store.
    fn add_package(&mut self, inf: &str) -> Result<Added, WinError>;
    /// Gives the package of `inf` to the present devices that it fits better than what they have, or with `force` to every one that
    /// it fits, in place. True: restart needed.
    fn update_devices(&mut self, inf: &str, force: bool) -> Result<bool, WinError>;
    /// Takes a package from its devices, which fall back to the next best driver, and from the driver store.
    fn remove_package(&mut self, published: &str) -> Result<Removed, WinError>;
    /// Removes a package from the driver store unless a device uses it.
    fn delete_unused_package(&mut self, published: &str) -> Result<Removed, WinError>;
    /// The present devices with one of these hardware ids.
    fn devices(&mut self, hardware_ids: &[String]) -> Result<Vec<Device>, WinError>;
    /// How many present devices run on a service.
    fn present_devices(&mut self, service: &str) -> Result<usize, WinError>;
    /// Whether a service is started by the boot loader; false if there is no such service.
    fn starts_at_boot(&mut self, service: &str) -> Result<bool, WinError>;
    /// Reads a record.
    fn read(&mut self, table: Table, name: &str) -> Result<Option<String>, WinError>;
    /// Writes a record and does not return before it is on disk.
    fn write(&mut self, table: Table, name: &str, text: &str) -> Result<(), WinError>;
    /// Deletes a record, if it is there.
    fn erase(&mut self, table: Table, name: &str) -> Result<(), WinError>;
    /// The names of all records of a table.
    fn names(&mut self, table: Table) -> Result<Vec<String>, WinError>;
    /// Notes until the next start of Windows that it is needed.
    fn request_restart(&mut self) -> Result<(), WinError>;
    /// Whether such a note is there.
    fn restart_requested(&mut self) -> bool;
    /// How strictly this Windows checks drivers.
    fn code_integrity(&mut self) -> CodeIntegrity;
}
