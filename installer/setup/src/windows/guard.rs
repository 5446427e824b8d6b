//! How strictly the running Windows checks drivers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::{null, null_mut};

use super::import::{
    AdjustTokenPrivileges, Bool, CloseHandle, CodeIntegrityInformation, GetCurrentProcess,
    GetFirmwareEnvironmentVariableW, GetLastError, INVALID_FUNCTION, LookupPrivilegeValueW,
    NtQuerySystemInformation, OnePrivilege, OpenProcessToken, RtlGetVersion, VersionInfo,
};
use super::library;
use super::registry::Key;
use super::text::wide;
use crate::bcd::{self, NextStart};
use crate::policy::{self, CodeIntegrity, Firmware};
use crate::system::WinError;

/// Asks Windows and the firmware.
pub fn code_integrity() -> CodeIntegrity {
    CodeIntegrity {
        test_signing: test_signing(),
        next_start: bcd::next_start(&mut BootStore).unwrap_or(NextStart::Unknown),
        secure_boot: policy::secure_boot(noted(), firmware()),
        server: server(),
    }
}

/// The boot configuration of the running Windows, which has it loaded as a hive that administrators may read.
///
/// Microsoft documents the elements and their numbers, but not the hive's place; forensics.wiki, "Windows Boot Configuration Data", and
/// regedit show it. Where it is not found, nothing is known.
struct BootStore;

impl BootStore {
    fn key(path: &str) -> Result<Option<Key>, WinError> {
        Key::open_to_read(&format!(r"BCD00000000\Objects\{path}"))
    }

    fn element(object: &str, element: &str) -> Result<Option<Key>, WinError> {
        BootStore::key(&format!(r"{object}\Elements\{element}"))
    }
}

impl bcd::Store for BootStore {
    type Error = WinError;

    fn kind(&mut self, object: &str) -> Result<Option<u32>, WinError> {
        match BootStore::key(&format!(r"{object}\Description"))? {
            Some(key) => key.number("Type"),
            None => Ok(None),
        }
    }

    fn boolean(&mut self, object: &str, element: &str) -> Result<Option<bool>, WinError> {
        let value = match BootStore::element(object, element)? {
            Some(key) => key.byte("Element")?,
            None => None,
        };
        Ok(value.map(|byte| byte != 0))
    }

    fn object(&mut self, object: &str, element: &str) -> Result<Option<String>, WinError> {
        match BootStore::element(object, element)? {
            Some(key) => key.text("Element"),
            None => Ok(None),
        }
    }

    fn objects(&mut self, object: &str, element: &str) -> Result<Vec<String>, WinError> {
        match BootStore::element(object, element)? {
            Some(key) => key.texts("Element"),
            None => Ok(Vec::new()),
        }
    }
}

/// MS: ns-wdm-_osversioninfoexw: product type 1 is a workstation, 2 a domain controller, 3 a server.
fn server() -> Option<bool> {
    let mut info = VersionInfo {
        size: size_of::<VersionInfo>() as u32,
        ..VersionInfo::default()
    };
    // SAFETY: the structure has the size that it says.
    let status = unsafe { RtlGetVersion(&raw mut info) };
    match (status, info.product_type) {
        (0, 1) => Some(false),
        (0, 2 | 3) => Some(true),
        _ => None,
    }
}

/// MS: nf-winternl-ntquerysysteminformation, SYSTEM_CODEINTEGRITY_INFORMATION.
fn test_signing() -> Option<bool> {
    const SYSTEM_CODE_INTEGRITY_INFORMATION: u32 = 103;
    const CODEINTEGRITY_OPTION_TESTSIGN: u32 = 0x02;
    let length = size_of::<CodeIntegrityInformation>() as u32;
    let mut information = CodeIntegrityInformation { length, options: 0 };
    // SAFETY: the structure has the length that it says.
    let status = unsafe {
        NtQuerySystemInformation(
            SYSTEM_CODE_INTEGRITY_INFORMATION,
            &raw mut information,
            length,
            null_mut(),
        )
    };
    (status >= 0).then_some(information.options & CODEINTEGRITY_OPTION_TESTSIGN != 0)
}

/// What Windows noted when it was started; absent on a machine with a BIOS.
fn noted() -> Option<u32> {
    let key = Key::open_to_read(r"SYSTEM\CurrentControlSet\Control\SecureBoot\State");
    key.ok()??.number("UEFISecureBootEnabled").ok()?
}

/// Asks which firmware there is, which everyone may, then for its variable, which takes a privilege.
///
/// MS: nf-winbase-getfirmwaretype; nf-winbase-getfirmwareenvironmentvariablew; the variable is UEFI 2.10 §3.3's `SecureBoot` of EFI_GLOBAL_VARIABLE.
fn firmware() -> Firmware {
    if is_bios() {
        return Firmware::Bios;
    }
    let name = wide("SecureBoot");
    let guid = wide("{8BE4DF61-93CA-11D2-AA0D-00E098032B8C}");
    let mut value = [0_u8; 1];
    allow_firmware_access();
    // SAFETY: both names end in zero; `value` has one byte.
    let read = unsafe {
        GetFirmwareEnvironmentVariableW(name.as_ptr(), guid.as_ptr(), value.as_mut_ptr(), 1)
    };
    if read == 1 {
        let [value] = value;
        return Firmware::Variable(value);
    }
    // SAFETY: reads the calling thread's own error.
    if unsafe { GetLastError() } == INVALID_FUNCTION {
        Firmware::Bios
    } else {
        Firmware::Unreadable
    }
}

/// Whether Windows was started from a BIOS, as far as it says. Wine 8 lacks the function.
fn is_bios() -> bool {
    /// GetFirmwareType (winbase.h).
    type Function = unsafe extern "system" fn(kind: *mut u32) -> Bool;
    const FIRMWARE_TYPE_BIOS: u32 = 1;
    let Some(function) = library::function("kernel32.dll", c"GetFirmwareType") else {
        return false;
    };
    // SAFETY: winbase.h declares GetFirmwareType so.
    let firmware_type: Function = unsafe { core::mem::transmute(function) };
    let mut kind = 0;
    // SAFETY: `kind` receives the answer.
    let done = unsafe { firmware_type(&raw mut kind) };
    done != 0 && kind == FIRMWARE_TYPE_BIOS
}

/// Switches on the privilege that reading firmware variables takes. Where that fails, so does the reading, which is then told.
fn allow_firmware_access() {
    const TOKEN_ADJUST_PRIVILEGES: u32 = 0x20;
    const SE_PRIVILEGE_ENABLED: u32 = 2;
    let name = wide("SeSystemEnvironmentPrivilege");
    let mut privilege = OnePrivilege {
        count: 1,
        luid: [0; 2],
        attributes: SE_PRIVILEGE_ENABLED,
    };
    // SAFETY: the name ends in zero, and `luid` receives the value.
    if unsafe { LookupPrivilegeValueW(null(), name.as_ptr(), &raw mut privilege.luid) } == 0 {
        return;
    }
    let mut token = null_mut();
    // SAFETY: returns a constant.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: `token` receives the handle.
    if unsafe { OpenProcessToken(process, TOKEN_ADJUST_PRIVILEGES, &raw mut token) } == 0 {
        return;
    }
    // SAFETY: the token is open and `privilege` holds one entry.
    unsafe { AdjustTokenPrivileges(token, 0, &raw const privilege, 0, null_mut(), null_mut()) };
    // SAFETY: the handle is ours and is closed once.
    unsafe { CloseHandle(token) };
}
