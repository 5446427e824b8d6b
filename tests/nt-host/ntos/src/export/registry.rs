//! The registry, as far as a miniport reads it: keys with values that the host was told.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::rtl::read_unicode;
use super::table::register as export;
use crate::abi::OBJECT_ATTRIBUTES;
use crate::guest;

/// STATUS_OBJECT_NAME_NOT_FOUND, STATUS_INVALID_HANDLE, STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER.
const NOT_FOUND: u64 = 0xc000_0034;
const INVALID_HANDLE: u64 = 0xc000_0008;
const OVERFLOW: u64 = 0x8000_0005;
const TOO_SMALL: u64 = 0xc000_0023;
const INVALID_PARAMETER: u64 = 0xc000_000d;
/// KeyValuePartialInformation (wdm.h); its structure is TitleIndex, Type, DataLength, Data.
const PARTIAL: u32 = 2;
const PARTIAL_HEADER: usize = 12;
/// Handles lie away from those of threads.
const FIRST_HANDLE: u64 = 0x8000_0004;

/// REG_SZ, REG_BINARY, REG_DWORD and so on, with the bytes as Windows keeps them.
#[derive(Clone, Debug)]
pub struct Value {
    /// REG_* type.
    pub kind: u32,
    /// The data.
    pub data: Vec<u8>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, BTreeMap<String, Value>>,
    open: BTreeMap<u64, String>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

pub(super) fn boot() {
    STATE.take();
}

/// Sets a value; `key` is the full path (`\Registry\Machine\…`).
pub fn set_value(key: &str, name: &str, value: Value) {
    STATE.with_borrow_mut(|s| {
        s.keys
            .entry(key.to_lowercase())
            .or_default()
            .insert(name.to_lowercase(), value);
    });
}

/// Closes a key; `false` when the handle is none.
pub(super) fn close(handle: u64) -> bool {
    STATE.with_borrow_mut(|s| s.open.remove(&handle).is_some())
}

fn text(string: usize) -> String {
    String::from_utf16_lossy(&read_unicode(string)).to_lowercase()
}

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    export(k, "ZwOpenKey", |c| {
        let attributes = c.ptr(2);
        let name = text(OBJECT_ATTRIBUTES::ObjectName.get(attributes) as usize);
        let root = OBJECT_ATTRIBUTES::RootDirectory.get(attributes);
        let handle = STATE.with_borrow_mut(|s| {
            let path = match s.open.get(&root) {
                Some(base) => format!("{base}\\{name}"),
                None if root != 0 => return Err(INVALID_HANDLE),
                None => name,
            };
            let path = path.trim_end_matches('\\').to_owned();
            let below = format!("{path}\\");
            if !s
                .keys
                .keys()
                .any(|key| *key == path || key.starts_with(&below))
            {
                return Err(NOT_FOUND);
            }
            let handle = s
                .open
                .keys()
                .next_back()
                .map_or(FIRST_HANDLE, |last| last + 4);
            s.open.insert(handle, path);
            Ok(handle)
        });
        match handle {
            Ok(handle) => {
                guest::write_u64(c.ptr(0), handle);
                0
            }
            Err(status) => status,
        }
    });
    // (KeyHandle, ValueName, KeyValueInformationClass, KeyValueInformation, Length, ResultLength)
    export(k, "ZwQueryValueKey", |c| {
        let name = text(c.ptr(1));
        let value = STATE.with_borrow(|s| {
            let key = s.open.get(&c.arg(0)).ok_or(INVALID_HANDLE)?;
            s.keys
                .get(key)
                .and_then(|values| values.get(&name))
                .cloned()
                .ok_or(NOT_FOUND)
        });
        let value = match value {
            Ok(value) => value,
            Err(status) => return status,
        };
        if c.u32(2) != PARTIAL {
            return INVALID_PARAMETER;
        }
        let (at, room) = (c.ptr(3), c.u32(4) as usize);
        guest::write_u32(c.ptr(5), (PARTIAL_HEADER + value.data.len()) as u32);
        if room < PARTIAL_HEADER {
            return TOO_SMALL;
        }
        for (offset, field) in [(0, 0), (4, value.kind), (8, value.data.len() as u32)] {
            guest::write_u32(at + offset, field);
        }
        let fits = value.data.len().min(room - PARTIAL_HEADER);
        guest::write(
            at + PARTIAL_HEADER,
            value.data.get(..fits).unwrap_or_default(),
        );
        if fits == value.data.len() {
            0
        } else {
            OVERFLOW
        }
    });
}
