//! The driver store, and its packages on devices, through SetupAPI and newdev.dll.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::{null, null_mut};

use super::file;
use super::import::{
    Bool, FILE_EXISTS, FILE_NOT_FOUND, Handle, INF_IN_USE, NO_MORE_ITEMS, SetupCopyOEMInfW,
    SetupSetNonInteractiveMode, SetupUninstallOEMInfW, last,
};
use super::library;
use super::log::windows_folder;
use super::text::{narrow, wide};
use crate::system::{Added, Removed, WinError};

/// MAX_PATH (minwindef.h).
const PATH_LEN: usize = 260;

/// Copies a package to the driver store (MS: "Preinstalling Driver Packages"; nf-setupapi-setupcopyoeminfw).
pub fn add(inf: &str) -> Result<Added, WinError> {
    const SPOST_PATH: u32 = 1;
    const SP_COPY_NOOVERWRITE: u32 = 8;
    no_windows();
    let inf = wide(inf);
    let mut name = vec![0_u16; PATH_LEN];
    let mut component: *mut u16 = null_mut();
    // SAFETY: the path ends in zero; `name` has PATH_LEN characters; `component` will point into it.
    let done = unsafe {
        SetupCopyOEMInfW(
            inf.as_ptr(),
            null(),
            SPOST_PATH,
            SP_COPY_NOOVERWRITE,
            name.as_mut_ptr(),
            PATH_LEN as u32,
            null_mut(),
            &raw mut component,
        )
    };
    let error = last("SetupCopyOEMInfW");
    if done == 0 && error.code != FILE_EXISTS {
        return Err(error);
    }
    let path = narrow(&name);
    let published = path.rsplit('\\').next().unwrap_or_default();
    Ok(Added {
        published: published.to_ascii_lowercase(),
        new: done != 0,
    })
}

/// Installs a package on the present devices that it fits better than their driver, or on all that it fits. The device nodes stay, and
/// with them what a network adapter's settings are tied to (nf-newdev-diinstalldriverw).
pub fn update_devices(inf: &str, force: bool) -> Result<bool, WinError> {
    // newdev.h
    const DIIRFLAG_FORCE_INF: u32 = 2;
    no_windows();
    let function = newdev(c"DiInstallDriverW").ok_or(WinError {
        function: "DiInstallDriverW",
        code: FILE_NOT_FOUND,
    })?;
    // SAFETY: newdev.h declares DiInstallDriverW so.
    let install: DiFunction = unsafe { core::mem::transmute(function) };
    let inf = wide(inf);
    let mut restart = 0;
    let flags = if force { DIIRFLAG_FORCE_INF } else { 0 };
    // SAFETY: the path ends in zero; `restart` receives the answer, so that no dialog is shown.
    let done = unsafe { install(null_mut(), inf.as_ptr(), flags, &raw mut restart) };
    let error = last("DiInstallDriverW");
    // No device was given the driver: none is there, or each has a better one.
    if done == 0 && error.code != NO_MORE_ITEMS {
        return Err(error);
    }
    Ok(restart != 0)
}

/// The INF with a published name; `None` if there is none.
pub fn published(name: &str) -> Result<Option<Vec<u8>>, WinError> {
    file::read(&path(name))
}

fn path(published: &str) -> String {
    format!(r"{}\INF\{published}", windows_folder())
}

/// Takes a package from its devices and from the store (nf-newdev-diuninstalldriverw, from Windows 10 1703). Where that function
/// is missing, a package that a device uses stays.
pub fn remove(published: &str) -> Result<Removed, WinError> {
    no_windows();
    let Some(function) = newdev(c"DiUninstallDriverW") else {
        return delete_unused(published);
    };
    // SAFETY: newdev.h declares DiUninstallDriverW so.
    let uninstall: DiFunction = unsafe { core::mem::transmute(function) };
    let inf = wide(&path(published));
    let mut restart = 0;
    // SAFETY: the path ends in zero; `restart` receives the answer, so that no dialog is shown.
    let done = unsafe { uninstall(null_mut(), inf.as_ptr(), 0, &raw mut restart) };
    let error = last("DiUninstallDriverW");
    judge_removal(done, error, restart != 0)
}

/// Removes a package unless a device, present or not, is installed with it (nf-setupapi-setupuninstalloeminfw, Flags 0).
pub fn delete_unused(published: &str) -> Result<Removed, WinError> {
    no_windows();
    let name = wide(published);
    // SAFETY: the name ends in zero; the last parameter is reserved.
    let done = unsafe { SetupUninstallOEMInfW(name.as_ptr(), 0, null_mut()) };
    judge_removal(done, last("SetupUninstallOEMInfW"), false)
}

fn judge_removal(done: Bool, error: WinError, restart: bool) -> Result<Removed, WinError> {
    match (done, error.code) {
        (0, INF_IN_USE) => Ok(Removed::InUse),
        (0, FILE_NOT_FOUND) => Ok(Removed::Missing),
        (0, _) => Err(error),
        _ => Ok(Removed::Gone { restart }),
    }
}

/// The shape that DiInstallDriverW and DiUninstallDriverW share (newdev.h).
type DiFunction = unsafe extern "system" fn(
    parent: Handle,
    inf: *const u16,
    flags: u32,
    restart: *mut Bool,
) -> Bool;

fn newdev(name: &core::ffi::CStr) -> Option<*const c_void> {
    library::function("newdev.dll", name)
}

/// Nobody sees a dialog in the installer's session: functions fail instead of showing one
/// (nf-setupapi-setupsetnoninteractivemode).
fn no_windows() {
    // SAFETY: sets a flag of this process.
    unsafe { SetupSetNonInteractiveMode(1) };
}
