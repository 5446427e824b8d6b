//! The functions that are imported, and the few types they take.
//!
//! Sources: Microsoft's pages "setupapi.h", "newdev.h", "winreg.h", "winternl.h", "msiquery.h", "winbase.h" of the Windows API
//! reference. Every function here is in Windows 10 1607; what came later (DiUninstallDriverW: 1703) is looked up at run time.

use core::ffi::c_void;

use crate::system::WinError;

/// A handle of any kind.
pub type Handle = *mut c_void;
/// Win32's BOOL.
pub type Bool = i32;

/// INVALID_HANDLE_VALUE (handleapi.h).
pub const INVALID_HANDLE: Handle = usize::MAX as Handle;
/// HKEY_LOCAL_MACHINE (winreg.h): a 32-bit value, sign-extended.
pub const HKEY_LOCAL_MACHINE: Handle = 0xFFFF_FFFF_8000_0002_usize as Handle;

/// ERROR_SUCCESS (winerror.h).
pub const SUCCESS: u32 = 0;
/// ERROR_INVALID_FUNCTION (winerror.h).
pub const INVALID_FUNCTION: u32 = 1;
/// ERROR_FILE_NOT_FOUND (winerror.h).
pub const FILE_NOT_FOUND: u32 = 2;
/// ERROR_PATH_NOT_FOUND (winerror.h).
pub const PATH_NOT_FOUND: u32 = 3;
/// ERROR_FILE_EXISTS (winerror.h).
pub const FILE_EXISTS: u32 = 80;
/// ERROR_MORE_DATA (winerror.h).
pub const MORE_DATA: u32 = 234;
/// ERROR_NO_MORE_ITEMS (winerror.h).
pub const NO_MORE_ITEMS: u32 = 259;
/// ERROR_INF_IN_USE_BY_DEVICES (setupapi.h).
pub const INF_IN_USE: u32 = 0xE000_023D;

/// SP_DEVINFO_DATA (setupapi.h).
#[repr(C)]
pub struct DeviceInfo {
    /// cbSize
    pub size: u32,
    /// ClassGuid
    pub class: [u8; 16],
    /// DevInst
    pub instance: u32,
    /// Reserved
    pub reserved: usize,
}

const _: () = assert!(size_of::<DeviceInfo>() == 32);

/// SYSTEMTIME (minwinbase.h).
#[repr(C)]
#[derive(Default)]
pub struct Time {
    pub year: u16,
    pub month: u16,
    pub day_of_week: u16,
    pub day: u16,
    pub hour: u16,
    pub minute: u16,
    pub second: u16,
    pub milliseconds: u16,
}

/// SYSTEM_CODEINTEGRITY_INFORMATION (winternl.h).
#[repr(C)]
pub struct CodeIntegrityInformation {
    pub length: u32,
    pub options: u32,
}

/// OSVERSIONINFOEXW (winnt.h).
#[repr(C)]
pub struct VersionInfo {
    pub size: u32,
    pub major: u32,
    pub minor: u32,
    pub build: u32,
    pub platform: u32,
    pub service_pack: [u16; 128],
    pub service_pack_major: u16,
    pub service_pack_minor: u16,
    pub suite_mask: u16,
    pub product_type: u8,
    pub reserved: u8,
}

const _: () = assert!(size_of::<VersionInfo>() == 284);

impl Default for VersionInfo {
    fn default() -> VersionInfo {
        VersionInfo {
            size: 0,
            major: 0,
            minor: 0,
            build: 0,
            platform: 0,
            service_pack: [0; 128],
            service_pack_major: 0,
            service_pack_minor: 0,
            suite_mask: 0,
            product_type: 0,
            reserved: 0,
        }
    }
}

/// TOKEN_PRIVILEGES with one entry (winnt.h).
#[repr(C)]
pub struct OnePrivilege {
    pub count: u32,
    pub luid: [u32; 2],
    pub attributes: u32,
}

#[link(name = "kernel32", kind = "raw-dylib")]
unsafe extern "system" {
    pub fn CloseHandle(object: Handle) -> Bool;
    pub fn CreateDirectoryW(path: *const u16, security: *const c_void) -> Bool;
    pub fn CreateFileW(
        name: *const u16,
        access: u32,
        share: u32,
        security: *const c_void,
        disposition: u32,
        flags: u32,
        template: Handle,
    ) -> Handle;
    pub fn ExitProcess(code: u32) -> !;
    pub fn GetCommandLineW() -> *const u16;
    pub fn GetCurrentProcess() -> Handle;
    pub fn GetFirmwareEnvironmentVariableW(
        name: *const u16,
        guid: *const u16,
        buffer: *mut u8,
        size: u32,
    ) -> u32;
    pub fn GetLastError() -> u32;
    pub fn GetLocalTime(time: *mut Time);
    pub fn GetProcAddress(module: Handle, name: *const u8) -> *const c_void;
    pub fn GetProcessHeap() -> Handle;
    pub fn GetStdHandle(which: u32) -> Handle;
    pub fn GetSystemWindowsDirectoryW(buffer: *mut u16, size: u32) -> u32;
    pub fn HeapAlloc(heap: Handle, flags: u32, bytes: usize) -> *mut u8;
    pub fn HeapFree(heap: Handle, flags: u32, memory: *mut u8) -> Bool;
    pub fn LoadLibraryExW(name: *const u16, reserved: Handle, flags: u32) -> Handle;
    pub fn ReadFile(
        file: Handle,
        buffer: *mut u8,
        length: u32,
        read: *mut u32,
        overlapped: *mut c_void,
    ) -> Bool;
    pub fn WriteFile(
        file: Handle,
        buffer: *const u8,
        length: u32,
        written: *mut u32,
        overlapped: *mut c_void,
    ) -> Bool;
}

#[link(name = "advapi32", kind = "raw-dylib")]
unsafe extern "system" {
    pub fn AdjustTokenPrivileges(
        token: Handle,
        disable_all: Bool,
        new: *const OnePrivilege,
        length: u32,
        previous: *mut OnePrivilege,
        returned: *mut u32,
    ) -> Bool;
    pub fn LookupPrivilegeValueW(system: *const u16, name: *const u16, luid: *mut [u32; 2])
    -> Bool;
    pub fn OpenProcessToken(process: Handle, access: u32, token: *mut Handle) -> Bool;
    pub fn RegCloseKey(key: Handle) -> u32;
    pub fn RegCreateKeyExW(
        key: Handle,
        name: *const u16,
        reserved: u32,
        class: *const u16,
        options: u32,
        access: u32,
        security: *const c_void,
        result: *mut Handle,
        disposition: *mut u32,
    ) -> u32;
    pub fn RegDeleteKeyExW(key: Handle, name: *const u16, access: u32, reserved: u32) -> u32;
    pub fn RegDeleteValueW(key: Handle, name: *const u16) -> u32;
    pub fn RegEnumValueW(
        key: Handle,
        index: u32,
        name: *mut u16,
        name_length: *mut u32,
        reserved: *mut u32,
        kind: *mut u32,
        data: *mut u8,
        data_length: *mut u32,
    ) -> u32;
    pub fn RegFlushKey(key: Handle) -> u32;
    pub fn RegOpenKeyExW(
        key: Handle,
        name: *const u16,
        options: u32,
        access: u32,
        result: *mut Handle,
    ) -> u32;
    pub fn RegQueryInfoKeyW(
        key: Handle,
        class: *mut u16,
        class_length: *mut u32,
        reserved: *mut u32,
        subkeys: *mut u32,
        longest_subkey: *mut u32,
        longest_class: *mut u32,
        values: *mut u32,
        longest_name: *mut u32,
        longest_value: *mut u32,
        security: *mut u32,
        written: *mut u64,
    ) -> u32;
    pub fn RegQueryValueExW(
        key: Handle,
        name: *const u16,
        reserved: *mut u32,
        kind: *mut u32,
        data: *mut u8,
        length: *mut u32,
    ) -> u32;
    pub fn RegSetValueExW(
        key: Handle,
        name: *const u16,
        reserved: u32,
        kind: u32,
        data: *const u8,
        length: u32,
    ) -> u32;
}

#[link(name = "ntdll", kind = "raw-dylib")]
unsafe extern "system" {
    pub fn NtQuerySystemInformation(
        class: u32,
        information: *mut CodeIntegrityInformation,
        length: u32,
        returned: *mut u32,
    ) -> i32;
    pub fn RtlGetVersion(info: *mut VersionInfo) -> i32;
}

#[link(name = "setupapi", kind = "raw-dylib")]
unsafe extern "system" {
    pub fn SetupCopyOEMInfW(
        inf: *const u16,
        media: *const u16,
        media_type: u32,
        style: u32,
        destination: *mut u16,
        size: u32,
        required: *mut u32,
        component: *mut *mut u16,
    ) -> Bool;
    pub fn SetupDiDestroyDeviceInfoList(devices: Handle) -> Bool;
    pub fn SetupDiEnumDeviceInfo(devices: Handle, index: u32, info: *mut DeviceInfo) -> Bool;
    pub fn SetupDiGetClassDevsW(
        class: *const c_void,
        enumerator: *const u16,
        parent: Handle,
        flags: u32,
    ) -> Handle;
    pub fn SetupDiGetDeviceInstanceIdW(
        devices: Handle,
        info: *mut DeviceInfo,
        id: *mut u16,
        size: u32,
        required: *mut u32,
    ) -> Bool;
    pub fn SetupDiGetDeviceRegistryPropertyW(
        devices: Handle,
        info: *mut DeviceInfo,
        property: u32,
        kind: *mut u32,
        buffer: *mut u8,
        size: u32,
        required: *mut u32,
    ) -> Bool;
    pub fn SetupSetNonInteractiveMode(on: Bool) -> Bool;
    pub fn SetupUninstallOEMInfW(inf: *const u16, flags: u32, reserved: *mut c_void) -> Bool;
}

#[link(name = "msi", kind = "raw-dylib")]
unsafe extern "system" {
    pub fn MsiGetPropertyW(
        install: u32,
        name: *const u16,
        value: *mut u16,
        length: *mut u32,
    ) -> u32;
    pub fn MsiSetPropertyW(install: u32, name: *const u16, value: *const u16) -> u32;
}

/// The error of the function that was called last.
pub fn last(function: &'static str) -> WinError {
    // SAFETY: reads the calling thread's own error.
    let code = unsafe { GetLastError() };
    WinError { function, code }
}
