//! The boot configuration: whether Windows may load test-signed drivers, and how to allow it.
//!
//! A BCD store is a registry hive: `Objects\{GUID}\Elements\XXXXXXXX`, value `Element`, where XXXXXXXX is the element's type
//! in hexadecimal digits (MS: BcdElementType gives its fields: class, format, subtype).

use std::collections::BTreeSet;

use anyhow::Result;

use crate::hive::Hive;
use crate::refusal::Refusal;
use crate::registry::{Edit, Value};

/// The object of the boot manager (MS: "BCD WMI provider", well-known GUIDs).
const BOOT_MANAGER: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
/// BcdBootMgrObject_DefaultObject: the entry that starts when nobody chooses.
const DEFAULT_OBJECT: &str = "23000003";
/// BcdLibraryObjectList_InheritedObjects.
const INHERITED_OBJECTS: &str = "14000006";
/// BcdLibraryBoolean_AllowPrereleaseSignatures, which `bcdedit /set testsigning` sets (MS: BcdLibraryElementTypes).
const ALLOW_PRERELEASE_SIGNATURES: &str = "16000049";
/// Type of an object that is an application for the Windows boot loader (MS: BcdObject, `Type`: 0x1 application, 0x02
/// boot application, 0x00003 Windows boot loader).
const OS_LOADER: u32 = 0x1020_0003;

/// A store.
pub struct Bcd {
    hive: Hive,
    /// The entries that a start can use.
    loaders: Vec<String>,
}

fn element(object: &str, element: &str) -> String {
    format!(r"Objects\{object}\Elements\{element}")
}

impl Bcd {
    /// Reads a store: the default entry, or all entries for the Windows boot loader if none is the default.
    ///
    /// # Errors
    ///
    /// It cannot be read, or holds no entry for Windows.
    pub fn open(hive: Hive, name: &str) -> Result<Bcd> {
        let default = hive.text(&element(BOOT_MANAGER, DEFAULT_OBJECT), "Element")?;
        let mut loaders = Vec::new();
        for object in hive.subkeys("Objects")? {
            let kind = hive.value(&format!(r"Objects\{object}\Description"), "Type")?;
            if kind == Some(Value::Dword(OS_LOADER)) {
                loaders.push(object);
            }
        }
        let is_default = |object: &String| {
            default
                .as_ref()
                .is_some_and(|default| default.eq_ignore_ascii_case(object))
        };
        if loaders.iter().any(is_default) {
            loaders.retain(is_default);
        }
        if loaders.is_empty() {
            return Err(
                Refusal::Registry(format!("entry for the Windows boot loader in {name}")).into(),
            );
        }
        Ok(Bcd { hive, loaders })
    }

    /// True if every entry that a start can use allows test-signed drivers.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn allows_test_signed(&self) -> Result<bool> {
        for loader in &self.loaders {
            if self.allowed(loader, &mut BTreeSet::new())? != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What an object says, or the first of those it inherits from that says anything.
    fn allowed(&self, object: &str, seen: &mut BTreeSet<String>) -> Result<Option<bool>> {
        // A store may be broken so that objects inherit from each other.
        if !seen.insert(object.to_lowercase()) {
            return Ok(None);
        }
        let own = self
            .hive
            .value(&element(object, ALLOW_PRERELEASE_SIGNATURES), "Element")?;
        if let Some(Value::Raw { bytes, .. }) = own {
            return Ok(Some(bytes.first().is_some_and(|byte| *byte != 0)));
        }
        let inherited = self
            .hive
            .value(&element(object, INHERITED_OBJECTS), "Element")?;
        if let Some(Value::Multi(objects)) = inherited {
            for object in objects {
                if let Some(allowed) = self.allowed(&object, seen)? {
                    return Ok(Some(allowed));
                }
            }
        }
        Ok(None)
    }

    /// The edits that allow test-signed drivers, without those that are there. A Boolean is one byte of REG_BINARY.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn edits(&self) -> Result<Vec<Edit>> {
        let edits = self.loaders.iter().map(|loader| {
            Edit::new(
                element(loader, ALLOW_PRERELEASE_SIGNATURES),
                "Element",
                Value::binary(&[1]),
            )
        });
        self.hive.missing(edits.collect())
    }

    /// The copy of the store.
    #[must_use]
    pub fn into_hive(self) -> Hive {
        self.hive
    }
}

#[cfg(test)]
mod tests;
