//! `--dry-run`: the same decisions on the same system, with every change replaced by a line that says what it would be.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::content::Content;
use crate::policy::CodeIntegrity;
use crate::system::{Added, Device, Removed, System, Table, WinError};

/// Stands for a name that the driver store has not given yet.
const UNKNOWN: &str = "oemN.inf";

/// Reads from a system and changes nothing in it.
pub struct Plan<'a, S>(pub &'a mut S);

impl<S: System> Plan<'_, S> {
    fn would(&mut self, what: fmt::Arguments<'_>) {
        self.0.log(format_args!("plan: would {what}"));
    }
}

impl<S: System> System for Plan<'_, S> {
    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.0.log(format_args!("plan: {line}"));
    }

    fn content(&mut self, published: &str) -> Result<Option<Content>, WinError> {
        self.0.content(published)
    }

    fn foreign_machine(&mut self) -> Option<u16> {
        self.0.foreign_machine()
    }

    fn add_package(&mut self, inf: &str) -> Result<Added, WinError> {
        self.would(format_args!("add {inf} to the driver store"));
        Ok(Added {
            published: UNKNOWN.to_string(),
            new: true,
        })
    }

    fn update_devices(&mut self, inf: &str, force: bool) -> Result<bool, WinError> {
        let which = if force {
            "every present device that it fits"
        } else {
            "present devices that it fits better than their driver"
        };
        self.would(format_args!("give {inf} to {which}"));
        Ok(false)
    }

    fn remove_package(&mut self, published: &str) -> Result<Removed, WinError> {
        self.would(format_args!(
            "remove {published} from its devices and from the driver store"
        ));
        Ok(Removed::Gone { restart: false })
    }

    fn delete_unused_package(&mut self, published: &str) -> Result<Removed, WinError> {
        self.would(format_args!(
            "remove {published} from the driver store unless a device uses it"
        ));
        Ok(Removed::Gone { restart: false })
    }

    fn devices(&mut self, hardware_ids: &[String]) -> Result<Vec<Device>, WinError> {
        self.0.devices(hardware_ids)
    }

    fn present_devices(&mut self, service: &str) -> Result<usize, WinError> {
        self.0.present_devices(service)
    }

    fn starts_at_boot(&mut self, service: &str) -> Result<bool, WinError> {
        self.0.starts_at_boot(service)
    }

    fn read(&mut self, table: Table, name: &str) -> Result<Option<String>, WinError> {
        self.0.read(table, name)
    }

    fn write(&mut self, table: Table, name: &str, text: &str) -> Result<(), WinError> {
        self.would(format_args!("note in {table:?}: {name} = {text}"));
        Ok(())
    }

    fn erase(&mut self, table: Table, name: &str) -> Result<(), WinError> {
        self.would(format_args!("delete the note {name} in {table:?}"));
        Ok(())
    }

    fn names(&mut self, table: Table) -> Result<Vec<String>, WinError> {
        self.0.names(table)
    }

    fn request_restart(&mut self) -> Result<(), WinError> {
        self.would(format_args!("ask for a restart"));
        Ok(())
    }

    fn restart_requested(&mut self) -> bool {
        self.0.restart_requested()
    }

    fn code_integrity(&mut self) -> CodeIntegrity {
        self.0.code_integrity()
    }
}
