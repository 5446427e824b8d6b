//! How strictly the running Windows checks drivers.

use core::ptr::{null, null_mut};

use super::import::{
    AdjustTokenPrivileges, CloseHandle, CodeIntegrityInformation, GetCurrentProcess,
    GetFirmwareEnvironmentVariableW, GetLastError, INVALID_FUNCTION, LookupPrivilegeValueW,
    NtQuerySystemInformation, OnePrivilege, OpenProcessToken,
};
use super::registry::Key;
use super::text::wide;
use crate::policy::{self, CodeIntegrity, Firmware};

/// Asks Windows and the firmware.
pub fn code_integrity() -> CodeIntegrity {
    CodeIntegrity {
        test_signing: test_signing(),
        secure_boot: policy::secure_boot(noted(), firmware()),
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
    let key = Key::open(r"SYSTEM\CurrentControlSet\Control\SecureBoot\State");
    key.ok()??.number("UEFISecureBootEnabled").ok()?
}

/// MS: nf-winbase-getfirmwareenvironmentvariablew; the variable is UEFI 2.10 §3.3's `SecureBoot` of EFI_GLOBAL_VARIABLE.
fn firmware() -> Firmware {
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
