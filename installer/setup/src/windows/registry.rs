//! Keys below HKEY_LOCAL_MACHINE.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr::{null, null_mut};

use super::import::{
    FILE_NOT_FOUND, HKEY_LOCAL_MACHINE, Handle, NO_MORE_ITEMS, PATH_NOT_FOUND, RegCloseKey,
    RegCreateKeyExW, RegDeleteKeyExW, RegDeleteValueW, RegEnumValueW, RegFlushKey, RegOpenKeyExW,
    RegQueryInfoKeyW, RegQueryValueExW, RegSetValueExW, SUCCESS,
};
use super::text::{narrow, wide};
use crate::system::WinError;

/// KEY_READ and KEY_WRITE (winnt.h).
const READ: u32 = 0x2_0019;
const WRITE: u32 = 0x2_0006;
/// REG_OPTION_VOLATILE (winnt.h).
const VOLATILE: u32 = 1;
/// REG_SZ, REG_BINARY, REG_DWORD and REG_MULTI_SZ (winnt.h).
const TEXT: u32 = 1;
const BINARY: u32 = 3;
const NUMBER: u32 = 4;
const TEXTS: u32 = 7;
/// The longest value name, without its zero (MS: "Registry Element Size Limits").
const NAME_LEN: usize = 16_383;
/// Bytes of the longest text that is read: more than any record of ours or list of boot entries has.
const VALUE_LEN: usize = 4096;

/// How long a new key lives.
#[derive(Clone, Copy)]
pub enum Kind {
    Lasting,
    /// Until Windows is restarted.
    Volatile,
}

/// An open key.
pub struct Key(Handle);

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is closed once.
        unsafe { RegCloseKey(self.0) };
    }
}

/// UTF-16 as the registry stores it.
pub fn units(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| pair.try_into().map_or(0, u16::from_le_bytes))
        .collect()
}

fn check(function: &'static str, code: u32) -> Result<(), WinError> {
    if code == SUCCESS {
        Ok(())
    } else {
        Err(WinError { function, code })
    }
}

impl Key {
    /// Opens a key, to change it if that is allowed; `None` if it is not there.
    pub fn open(path: &str) -> Result<Option<Key>, WinError> {
        Key::open_with(path, READ | WRITE).or_else(|_| Key::open_to_read(path))
    }

    /// Opens a key, not to change it; `None` if it is not there.
    pub fn open_to_read(path: &str) -> Result<Option<Key>, WinError> {
        Key::open_with(path, READ)
    }

    fn open_with(path: &str, access: u32) -> Result<Option<Key>, WinError> {
        let path = wide(path);
        let mut key = null_mut();
        // SAFETY: the path ends in zero and `key` receives the handle.
        let code =
            unsafe { RegOpenKeyExW(HKEY_LOCAL_MACHINE, path.as_ptr(), 0, access, &raw mut key) };
        match code {
            SUCCESS => Ok(Some(Key(key))),
            FILE_NOT_FOUND | PATH_NOT_FOUND => Ok(None),
            code => Err(WinError {
                function: "RegOpenKeyExW",
                code,
            }),
        }
    }

    /// Opens a key and makes it if it is not there.
    pub fn create(path: &str, kind: Kind) -> Result<Key, WinError> {
        let path = wide(path);
        let options = match kind {
            Kind::Lasting => 0,
            Kind::Volatile => VOLATILE,
        };
        let mut key = null_mut();
        // SAFETY: the path ends in zero, `key` receives the handle, the rest is optional.
        let code = unsafe {
            RegCreateKeyExW(
                HKEY_LOCAL_MACHINE,
                path.as_ptr(),
                0,
                null(),
                options,
                READ | WRITE,
                null(),
                &raw mut key,
                null_mut(),
            )
        };
        check("RegCreateKeyExW", code)?;
        Ok(Key(key))
    }

    /// Reads a value of one type into a buffer and returns its bytes; `None` if it is not there or is of another type.
    fn value<'a>(
        &self,
        name: &str,
        wanted: u32,
        buffer: &'a mut [u8],
    ) -> Result<Option<&'a [u8]>, WinError> {
        let name = wide(name);
        let mut length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let mut kind = 0;
        // SAFETY: the name ends in zero; `buffer` has the bytes that `length` says.
        let code = unsafe {
            RegQueryValueExW(
                self.0,
                name.as_ptr(),
                null_mut(),
                &raw mut kind,
                buffer.as_mut_ptr(),
                &raw mut length,
            )
        };
        match code {
            SUCCESS if kind == wanted => Ok(buffer.get(..length as usize)),
            FILE_NOT_FOUND | SUCCESS => Ok(None),
            code => Err(WinError {
                function: "RegQueryValueExW",
                code,
            }),
        }
    }

    /// A REG_DWORD value.
    pub fn number(&self, name: &str) -> Result<Option<u32>, WinError> {
        let value = self
            .value(name, NUMBER, &mut [0; 4])?
            .map(<[u8; 4]>::try_from);
        Ok(value.and_then(Result::ok).map(u32::from_le_bytes))
    }

    /// A REG_BINARY value of one byte.
    pub fn byte(&self, name: &str) -> Result<Option<u8>, WinError> {
        let mut data = [0; 1];
        let value = self.value(name, BINARY, &mut data)?;
        Ok(value.and_then(|bytes| bytes.first().copied()))
    }

    /// A REG_SZ value.
    pub fn text(&self, name: &str) -> Result<Option<String>, WinError> {
        let mut data = vec![0; VALUE_LEN];
        let value = self.value(name, TEXT, &mut data)?;
        Ok(value.map(|bytes| narrow(&units(bytes))))
    }

    /// A REG_MULTI_SZ value; no texts if it is not there.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, WinError> {
        let mut data = vec![0; VALUE_LEN];
        let value = self.value(name, TEXTS, &mut data)?;
        let all = units(value.unwrap_or_default());
        Ok(all
            .split(|&unit| unit == 0)
            .filter(|text| !text.is_empty())
            .map(narrow)
            .collect())
    }

    /// Sets a REG_SZ value.
    pub fn set_text(&self, name: &str, text: &str) -> Result<(), WinError> {
        let (name, text) = (wide(name), wide(text));
        let length = u32::try_from(size_of_val(text.as_slice())).unwrap_or(u32::MAX);
        // SAFETY: the name ends in zero; `text` has the bytes that `length` says.
        let code =
            unsafe { RegSetValueExW(self.0, name.as_ptr(), 0, TEXT, text.as_ptr().cast(), length) };
        check("RegSetValueExW", code)
    }

    /// Deletes a value, if it is there.
    pub fn delete_value(&self, name: &str) -> Result<(), WinError> {
        let name = wide(name);
        // SAFETY: the name ends in zero.
        match unsafe { RegDeleteValueW(self.0, name.as_ptr()) } {
            FILE_NOT_FOUND => Ok(()),
            code => check("RegDeleteValueW", code),
        }
    }

    /// The names of all values.
    pub fn names(&self) -> Result<Vec<String>, WinError> {
        let mut names = Vec::new();
        for index in 0.. {
            let mut name = vec![0_u16; NAME_LEN.saturating_add(1)];
            let mut length = u32::try_from(name.len()).unwrap_or(u32::MAX);
            // SAFETY: `name` has the characters that `length` says; the data is not asked for.
            let code = unsafe {
                RegEnumValueW(
                    self.0,
                    index,
                    name.as_mut_ptr(),
                    &raw mut length,
                    null_mut(),
                    null_mut(),
                    null_mut(),
                    null_mut(),
                )
            };
            if code == NO_MORE_ITEMS {
                break;
            }
            check("RegEnumValueW", code)?;
            names.push(narrow(&name));
        }
        Ok(names)
    }

    /// Returns once what was written is on disk.
    pub fn flush(&self) -> Result<(), WinError> {
        // SAFETY: the handle is open.
        check("RegFlushKey", unsafe { RegFlushKey(self.0) })
    }

    fn is_empty(&self) -> bool {
        let (mut keys, mut values) = (0, 0);
        // SAFETY: the two counts are ours, the rest is optional.
        let code = unsafe {
            RegQueryInfoKeyW(
                self.0,
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut keys,
                null_mut(),
                null_mut(),
                &raw mut values,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        code == SUCCESS && keys == 0 && values == 0
    }
}

/// Deletes a key that holds nothing. Best effort: what stays does no harm.
pub fn delete_if_empty(path: &str) {
    let empty = matches!(Key::open(path), Ok(Some(key)) if key.is_empty());
    if empty {
        let path = wide(path);
        // SAFETY: the path ends in zero.
        unsafe { RegDeleteKeyExW(HKEY_LOCAL_MACHINE, path.as_ptr(), 0, 0) };
    }
}
