//! Windows itself: the functions, and the symbols that a program without a C runtime needs.

mod devices;
mod entry;
mod file;
mod guard;
mod import;
mod library;
mod log;
mod machine;
mod msi;
mod registry;
mod runtime;
mod store;
mod text;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::content::Content;
use crate::policy::CodeIntegrity;
use crate::system::{Added, Device, Removed, System, Table, WinError};
use log::Log;
use registry::{Key, Kind};

/// Below HKEY_LOCAL_MACHINE, which only administrators can write: what stands here decides what is removed later.
const RECORDS: &str = r"SOFTWARE\WinPV\Setup";
/// Gone after a restart, because the key is volatile.
const RESTART: &str = r"SOFTWARE\WinPV\Setup\RestartNeeded";
const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";

/// The running Windows.
struct Machine {
    log: Log,
}

impl Table {
    const fn key(self) -> &'static str {
        match self {
            Table::Installed => r"SOFTWARE\WinPV\Setup\Installed",
            Table::Pending => r"SOFTWARE\WinPV\Setup\Pending",
            Table::Superseded => r"SOFTWARE\WinPV\Setup\Superseded",
        }
    }
}

impl Machine {
    /// Removes our registry keys that hold nothing any more.
    fn tidy(&mut self) {
        for table in [Table::Installed, Table::Pending, Table::Superseded] {
            registry::delete_if_empty(table.key());
        }
        registry::delete_if_empty(RECORDS);
        registry::delete_if_empty(r"SOFTWARE\WinPV");
    }
}

impl System for Machine {
    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.line(line);
    }

    fn content(&mut self, published: &str) -> Result<Option<Content>, WinError> {
        Ok(store::published(published)?.map(|inf| Content::of(&inf)))
    }

    fn foreign_machine(&mut self) -> Option<u16> {
        machine::native().filter(|&native| native != machine::OWN)
    }

    fn add_package(&mut self, inf: &str) -> Result<Added, WinError> {
        store::add(inf)
    }

    fn update_devices(&mut self, inf: &str, force: bool) -> Result<bool, WinError> {
        store::update_devices(inf, force)
    }

    fn remove_package(&mut self, published: &str) -> Result<Removed, WinError> {
        store::remove(published)
    }

    fn delete_unused_package(&mut self, published: &str) -> Result<Removed, WinError> {
        store::delete_unused(published)
    }

    fn devices(&mut self, hardware_ids: &[String]) -> Result<Vec<Device>, WinError> {
        devices::with_ids(hardware_ids)
    }

    fn present_devices(&mut self, service: &str) -> Result<usize, WinError> {
        devices::on_service(service)
    }

    fn starts_at_boot(&mut self, service: &str) -> Result<bool, WinError> {
        // SERVICE_BOOT_START (winnt.h)
        const BOOT_START: u32 = 0;
        let path = alloc::format!(r"{SERVICES}\{service}");
        let start = match Key::open(&path)? {
            Some(key) => key.number("Start")?,
            None => None,
        };
        Ok(start == Some(BOOT_START))
    }

    fn read(&mut self, table: Table, name: &str) -> Result<Option<String>, WinError> {
        match Key::open(table.key())? {
            Some(key) => key.text(name),
            None => Ok(None),
        }
    }

    fn write(&mut self, table: Table, name: &str, text: &str) -> Result<(), WinError> {
        let key = Key::create(table.key(), Kind::Lasting)?;
        key.set_text(name, text)?;
        key.flush()
    }

    fn erase(&mut self, table: Table, name: &str) -> Result<(), WinError> {
        match Key::open(table.key())? {
            Some(key) => key.delete_value(name),
            None => Ok(()),
        }
    }

    fn names(&mut self, table: Table) -> Result<Vec<String>, WinError> {
        match Key::open(table.key())? {
            Some(key) => key.names(),
            None => Ok(Vec::new()),
        }
    }

    fn request_restart(&mut self) -> Result<(), WinError> {
        Key::create(RESTART, Kind::Volatile).map(|_| ())
    }

    fn restart_requested(&mut self) -> bool {
        restart_requested()
    }

    fn code_integrity(&mut self) -> CodeIntegrity {
        guard::code_integrity()
    }
}

fn restart_requested() -> bool {
    matches!(Key::open(RESTART), Ok(Some(_)))
}
