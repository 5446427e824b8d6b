//! What the MSI calls itself, in winpv-check.dll: which processor there is, the check before anything is changed, and the question for a
//! restart after all.
//!
//! All are immediate custom actions (MS: "Custom Action Type 1"): only such can set the installation's properties. They answer
//! through properties whose names the MSI's conditions contain.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::import::{MORE_DATA, MsiGetPropertyW, MsiSetPropertyW, SUCCESS};
use super::text::{narrow, wide};
use super::{guard, machine, restart_requested};
use crate::policy::{self, Candidate, Class};

/// Runs when a boot-start driver is about to be installed. Sets `WinPVRefusal` to the reason if Windows would not load it, as far as
/// the rights of who started the installation let it know; `winpv-setup check` decides afterwards, as the system.
#[unsafe(no_mangle)]
extern "system" fn winpv_check(install: u32) -> u32 {
    // An MSI without a class is not ours: the strictest one applies.
    let candidate = Candidate {
        class: property(install, "WinPVSignature")
            .parse()
            .unwrap_or(Class::Test),
        boot_start: true,
        // Any other value than 1 stops the installation before this action (launch conditions).
        attestation_on_server: property(install, "WINPV_ACCEPT_ATTESTATION_ON_SERVER") == "1",
    };
    match policy::judge(candidate, &guard::code_integrity().at_best()) {
        Ok(()) => SUCCESS,
        Err(refusal) => set(
            install,
            "WinPVRefusal",
            &format!("WinPV was not installed: {refusal}."),
        ),
    }
}

/// Runs before the launch conditions. Sets `WinPVNativeMachine` to the machine's own processor, an IMAGE_FILE_MACHINE value in decimal,
/// if Windows says it.
#[unsafe(no_mangle)]
extern "system" fn winpv_native(install: u32) -> u32 {
    match machine::native() {
        Some(machine) => set(install, "WinPVNativeMachine", &format!("{machine}")),
        None => SUCCESS,
    }
}

/// Sets `WinPVRestart` if the program asked for a restart of Windows.
#[unsafe(no_mangle)]
extern "system" fn winpv_restart(install: u32) -> u32 {
    if restart_requested() {
        set(install, "WinPVRestart", "1")
    } else {
        SUCCESS
    }
}

/// A property's value; empty if it is not set.
fn property(install: u32, name: &str) -> String {
    let name = wide(name);
    let mut value = vec![0_u16; 64];
    let mut length = 64;
    // SAFETY: the name ends in zero; `value` has the characters that `length` says.
    let code =
        unsafe { MsiGetPropertyW(install, name.as_ptr(), value.as_mut_ptr(), &raw mut length) };
    if code != SUCCESS && code != MORE_DATA {
        return String::new();
    }
    narrow(&value)
}

/// Sets a property; the result is the custom action's.
fn set(install: u32, name: &str, value: &str) -> u32 {
    let (name, value) = (wide(name), wide(value));
    // SAFETY: both end in zero.
    unsafe { MsiSetPropertyW(install, name.as_ptr(), value.as_ptr()) }
}
