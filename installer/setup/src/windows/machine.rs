//! The machine's processor.

use super::import::{Bool, GetCurrentProcess, Handle};
use super::library;

/// IMAGE_FILE_MACHINE_AMD64 and IMAGE_FILE_MACHINE_ARM64 (winnt.h).
const AMD64: u16 = 0x8664;
const ARM64: u16 = 0xAA64;

/// What this program is for.
pub const OWN: u16 = if cfg!(target_arch = "aarch64") {
    ARM64
} else {
    AMD64
};

/// The machine's own processor, also where this program is emulated; `None` if Windows does not say.
///
/// MS: nf-wow64apiset-iswow64process2, pNativeMachine: "the native architecture of host system". Windows 11 on ARM64 runs x64
/// programs and shows them an x64 machine elsewhere, in GetNativeSystemInfo for one (wixtoolset/issues#6556). The function came
/// with Windows 10 1709, as Windows for ARM64 did: without it the machine is none.
pub fn native() -> Option<u16> {
    /// IsWow64Process2 (wow64apiset.h).
    type Function =
        unsafe extern "system" fn(process: Handle, machine: *mut u16, native: *mut u16) -> Bool;
    let function = library::function("kernel32.dll", c"IsWow64Process2")?;
    // SAFETY: wow64apiset.h declares IsWow64Process2 so.
    let is_wow64_process2: Function = unsafe { core::mem::transmute(function) };
    let (mut emulated, mut native) = (0, 0);
    // SAFETY: returns a constant.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: the handle stands for this process; both answers are ours.
    let done = unsafe { is_wow64_process2(process, &raw mut emulated, &raw mut native) };
    (done != 0).then_some(native)
}
