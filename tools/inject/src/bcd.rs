//! The boot configuration: whether Windows may load test-signed drivers, and how to allow it.
//!
//! A BCD store is a registry hive: `Objects\{GUID}\Elements\XXXXXXXX`, value `Element`, where XXXXXXXX is the element's type
//! in hexadecimal digits (MS: BcdElementType gives its fields: class, format, subtype).

mod device;

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;

pub use device::Partition;

use crate::hive::Hive;
use crate::registry::{Edit, Value};

/// The object of the boot manager (MS: "BCD WMI provider", well-known GUIDs).
const BOOT_MANAGER: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
/// What the boot manager starts or offers (MS: BcdBootMgrElementTypes): DefaultObject, DisplayOrder, and BootSequence, which
/// holds for the next start only. The tools' menu and the entries for resuming and recovery start no installed Windows.
const STARTED: [&str; 3] = ["23000003", "24000001", "24000002"];
/// BcdLibraryString_Description.
const DESCRIPTION: &str = "12000004";
/// BcdLibraryObjectList_InheritedObjects.
const INHERITED_OBJECTS: &str = "14000006";
/// BcdLibraryBoolean_AllowPrereleaseSignatures, which `bcdedit /set testsigning` sets (MS: BcdLibraryElementTypes).
const ALLOW_PRERELEASE_SIGNATURES: &str = "16000049";
/// BcdOSLoaderDevice_OSDevice: where the Windows lies that the entry starts (MS: BcdOSLoaderElementTypes).
const OS_DEVICE: &str = "21000001";
/// BcdOSLoaderBoolean_WinPEMode.
const WINPE_MODE: &str = "26000022";
/// Type of an object that is an application for the Windows boot loader (MS: BcdObject, `Type`: 0x1 application, 0x02
/// boot application, 0x00003 Windows boot loader).
const OS_LOADER: u32 = 0x1020_0003;

/// An entry for the Windows boot loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    object: String,
    /// What the menu shows.
    title: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" {}", self.title, self.object)
    }
}

/// A store.
pub struct Bcd {
    hive: Hive,
    /// The entries that can start the Windows in question.
    entries: Vec<Entry>,
    /// Those that start something else, and what.
    others: Vec<(Entry, &'static str)>,
}

fn element(object: &str, element: &str) -> String {
    format!(r"Objects\{object}\Elements\{element}")
}

impl Bcd {
    /// Reads a store. An entry of its menu counts as one that starts our Windows unless it certainly starts another:
    /// Windows PE, or one on a partition in `elsewhere`, the disk's partitions without that of our Windows. Copies of an
    /// entry with other settings are common, and each of them can be chosen in the menu.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn open(hive: Hive, elsewhere: &[Partition]) -> Result<Bcd> {
        let mut bcd = Bcd {
            hive,
            entries: Vec::new(),
            others: Vec::new(),
        };
        for object in bcd.started()? {
            let title = bcd.hive.text(&element(&object, DESCRIPTION), "Element")?;
            let title = title.unwrap_or_else(|| "without a name".to_owned());
            let device = bcd.found(&object, OS_DEVICE, &mut BTreeSet::new())?;
            let partition = match device {
                Some(Value::Raw { bytes, .. }) => Partition::of_device(&bytes),
                _ => None,
            };
            let is_pe = bcd.is_on(&object, WINPE_MODE)?;
            let entry = Entry { object, title };
            if is_pe {
                bcd.others.push((entry, "starts Windows PE"));
            } else if partition.is_some_and(|partition| elsewhere.contains(&partition)) {
                bcd.others.push((entry, "starts another partition"));
            } else {
                bcd.entries.push(entry);
            }
        }
        Ok(bcd)
    }

    /// The objects for the Windows boot loader that the boot manager names, each once.
    fn started(&self) -> Result<Vec<String>> {
        let mut objects: Vec<String> = Vec::new();
        for list in STARTED {
            let named = match self.hive.value(&element(BOOT_MANAGER, list), "Element")? {
                Some(Value::String(object)) => vec![object],
                Some(Value::Multi(objects)) => objects,
                _ => continue,
            };
            for object in named {
                let kind = format!(r"Objects\{object}\Description");
                let is_known = objects
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&object));
                if !is_known && self.hive.value(&kind, "Type")? == Some(Value::Dword(OS_LOADER)) {
                    objects.push(object);
                }
            }
        }
        Ok(objects)
    }

    /// The entries that can start our Windows.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that start something else, and what.
    #[must_use]
    pub fn others(&self) -> &[(Entry, &'static str)] {
        &self.others
    }

    /// The entries that can start our Windows and do not allow test-signed drivers.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn without_testsigning(&self) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        for entry in &self.entries {
            if !self.is_on(&entry.object, ALLOW_PRERELEASE_SIGNATURES)? {
                found.push(entry.clone());
            }
        }
        Ok(found)
    }

    /// True if a Boolean element is there and is on. It is one byte of REG_BINARY.
    fn is_on(&self, object: &str, name: &str) -> Result<bool> {
        let found = self.found(object, name, &mut BTreeSet::new())?;
        Ok(
            matches!(found, Some(Value::Raw { bytes, .. }) if bytes.first().is_some_and(|byte| *byte != 0)),
        )
    }

    /// An element of an object, or of the first of those it inherits from that has it.
    fn found(
        &self,
        object: &str,
        name: &str,
        seen: &mut BTreeSet<String>,
    ) -> Result<Option<Value>> {
        // A store may be broken so that objects inherit from each other.
        if !seen.insert(object.to_lowercase()) {
            return Ok(None);
        }
        let own = self.hive.value(&element(object, name), "Element")?;
        if own.is_some() {
            return Ok(own);
        }
        let inherited = self
            .hive
            .value(&element(object, INHERITED_OBJECTS), "Element")?;
        if let Some(Value::Multi(objects)) = inherited {
            for object in objects {
                let value = self.found(&object, name, seen)?;
                if value.is_some() {
                    return Ok(value);
                }
            }
        }
        Ok(None)
    }

    /// The edits that allow test-signed drivers in these entries.
    #[must_use]
    pub fn edits(entries: &[Entry]) -> Vec<Edit> {
        entries
            .iter()
            .map(|entry| {
                Edit::new(
                    element(&entry.object, ALLOW_PRERELEASE_SIGNATURES),
                    "Element",
                    Value::binary(&[1]),
                )
            })
            .collect()
    }

    /// The copy of the store.
    #[must_use]
    pub fn into_hive(self) -> Hive {
        self.hive
    }
}

#[cfg(test)]
mod tests;
