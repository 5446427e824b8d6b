//! A driver store, devices and a registry that remember, and that fail on demand.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::bcd::NextStart;
use crate::content::Content;
use crate::policy::{CodeIntegrity, SecureBoot};
use crate::system::{Added, Device, Removed, System, Table, WinError};

/// What Windows looks like from outside: compared before and after.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Published name to INF path.
    pub store: BTreeMap<String, String>,
    /// Service to the published names that its present devices could run on, best last; the last is what they run on.
    pub devices: BTreeMap<String, Vec<String>>,
    /// Records.
    pub records: BTreeMap<(Table, String), String>,
}

pub struct Fake {
    pub state: State,
    pub boot: BTreeSet<String>,
    pub restart_on_update: bool,
    /// Giving a package to devices adds it anew.
    pub rename_on_update: bool,
    pub restart: bool,
    pub code_integrity: CodeIntegrity,
    /// Whether the last update was forced.
    pub forced: bool,
    /// Present devices, and what each runs on before and after the next update.
    pub bound: (Vec<Device>, Vec<Device>),
    /// What the store says of a new package's name, if not the truth.
    pub publishes: Option<String>,
    pub log: Vec<String>,
    /// The call that fails, counted from 0 over those that change something.
    pub fail_at: Option<usize>,
    pub calls: usize,
    /// No published INF can be read.
    pub unreadable: bool,
    /// The machine's processor, if it is another one than the program's.
    pub foreign: Option<u16>,
}

pub const FAILURE: WinError = WinError {
    function: "Fake",
    code: 1234,
};

impl Fake {
    pub fn new() -> Fake {
        Fake {
            state: State::default(),
            boot: BTreeSet::new(),
            restart_on_update: false,
            rename_on_update: false,
            restart: false,
            code_integrity: CodeIntegrity {
                test_signing: Some(true),
                next_start: NextStart::Allows,
                secure_boot: SecureBoot::Off,
                server: Some(false),
            },
            forced: false,
            bound: (Vec::new(), Vec::new()),
            publishes: None,
            log: Vec::new(),
            fail_at: None,
            calls: 0,
            unreadable: false,
            foreign: None,
        }
    }

    fn call(&mut self) -> Result<(), WinError> {
        let number = self.calls;
        self.calls += 1;
        if self.fail_at == Some(number) {
            return Err(FAILURE);
        }
        Ok(())
    }

    pub fn logged(&self, part: &str) -> bool {
        self.log.iter().any(|line| line.contains(part))
    }

    /// Every place that a package is mentioned in, without those that wait for a restart.
    pub fn published(&self) -> Vec<&str> {
        self.state.store.keys().map(String::as_str).collect()
    }

    /// Plugs a device in that runs on nothing yet.
    pub fn plug(&mut self, service: &str) {
        self.state.devices.insert(service.to_string(), Vec::new());
    }

    /// Puts a package into the store under the lowest number that is free, from 5 on: Windows may give a number out again.
    pub fn publish(&mut self, inf: &str) -> String {
        let name = (5..)
            .map(|number| format!("oem{number}.inf"))
            .find(|name| !self.state.store.contains_key(name))
            .unwrap();
        self.state.store.insert(name.clone(), inf.to_string());
        name
    }

    fn service(inf: &str) -> String {
        let name = inf.rsplit('\\').next().unwrap();
        name.strip_suffix(".inf").unwrap().to_string()
    }
}

impl System for Fake {
    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.push(line.to_string());
    }

    fn content(&mut self, published: &str) -> Result<Option<Content>, WinError> {
        if self.unreadable {
            return Err(FAILURE);
        }
        let inf = self.state.store.get(published);
        Ok(inf.map(|inf| Content::of(inf.as_bytes())))
    }

    fn foreign_machine(&mut self) -> Option<u16> {
        self.foreign
    }

    fn add_package(&mut self, inf: &str) -> Result<Added, WinError> {
        self.call()?;
        if let Some((published, _)) = self.state.store.iter().find(|(_, there)| *there == inf) {
            return Ok(Added {
                published: published.clone(),
                new: false,
            });
        }
        let published = self.publish(inf);
        Ok(Added {
            published: self.publishes.clone().unwrap_or(published),
            new: true,
        })
    }

    fn update_devices(&mut self, inf: &str, force: bool) -> Result<bool, WinError> {
        self.call()?;
        self.forced = force;
        let (mut published, _) = self
            .state
            .store
            .iter()
            .find(|(_, there)| *there == inf)
            .map(|(name, inf)| (name.clone(), inf))
            .expect("updated with a package that is not in the store");
        if self.rename_on_update {
            // Under a new name before the old one is free.
            let renamed = self.publish(inf);
            self.state.store.remove(&published);
            published = renamed;
        }
        if let Some(drivers) = self.state.devices.get_mut(&Fake::service(inf)) {
            let store = &self.state.store;
            drivers.retain(|driver| *driver != published && store.contains_key(driver));
            drivers.push(published);
        }
        Ok(self.restart_on_update)
    }

    fn remove_package(&mut self, published: &str) -> Result<Removed, WinError> {
        self.call()?;
        for drivers in self.state.devices.values_mut() {
            drivers.retain(|driver| driver != published);
        }
        Ok(match self.state.store.remove(published) {
            Some(_) => Removed::Gone { restart: false },
            None => Removed::Missing,
        })
    }

    fn delete_unused_package(&mut self, published: &str) -> Result<Removed, WinError> {
        self.call()?;
        let used = |drivers: &Vec<String>| drivers.last().is_some_and(|driver| driver == published);
        if self.state.devices.values().any(used) {
            return Ok(Removed::InUse);
        }
        for drivers in self.state.devices.values_mut() {
            drivers.retain(|driver| driver != published);
        }
        Ok(match self.state.store.remove(published) {
            Some(_) => Removed::Gone { restart: false },
            None => Removed::Missing,
        })
    }

    fn devices(&mut self, hardware_ids: &[String]) -> Result<Vec<Device>, WinError> {
        assert!(!hardware_ids.is_empty());
        let after = self.bound.1.clone();
        Ok(core::mem::replace(&mut self.bound.0, after))
    }

    fn present_devices(&mut self, service: &str) -> Result<usize, WinError> {
        let running = self.state.devices.get(service);
        Ok(running.map_or(0, |drivers| usize::from(!drivers.is_empty())))
    }

    fn starts_at_boot(&mut self, service: &str) -> Result<bool, WinError> {
        Ok(self.boot.contains(service))
    }

    fn read(&mut self, table: Table, name: &str) -> Result<Option<String>, WinError> {
        Ok(self.state.records.get(&(table, name.to_string())).cloned())
    }

    fn write(&mut self, table: Table, name: &str, text: &str) -> Result<(), WinError> {
        self.call()?;
        self.state
            .records
            .insert((table, name.to_string()), text.to_string());
        Ok(())
    }

    fn erase(&mut self, table: Table, name: &str) -> Result<(), WinError> {
        self.call()?;
        self.state.records.remove(&(table, name.to_string()));
        Ok(())
    }

    fn names(&mut self, table: Table) -> Result<Vec<String>, WinError> {
        Ok(self
            .state
            .records
            .keys()
            .filter(|(at, _)| *at == table)
            .map(|(_, name)| name.clone())
            .collect())
    }

    fn request_restart(&mut self) -> Result<(), WinError> {
        self.restart = true;
        Ok(())
    }

    fn restart_requested(&mut self) -> bool {
        self.restart
    }

    fn code_integrity(&mut self) -> CodeIntegrity {
        self.code_integrity.clone()
    }
}
