//! HwUnitControl: what StorPort says of the one disk.

use crate::ffi::entry::{disk, list_controls};
use core::ffi::c_void;
use core::ptr::NonNull;
use storport::sys::*;

/// Unit control that the driver takes. The disk has no power states of its own, so that ScsiUnitPower, which would come in the place of
/// requests to change them, is not among it.
const CONTROLS: [SCSI_UNIT_CONTROL_TYPE; 4] = [
    ScsiQuerySupportedUnitControlTypes,
    ScsiUnitStart,
    ScsiUnitRemove,
    ScsiUnitSurpriseRemoval,
];

#[expect(non_upper_case_globals, reason = "the constants are Microsoft's")]
pub unsafe extern "system" fn unit_control(
    extension: *mut c_void,
    control: SCSI_UNIT_CONTROL_TYPE,
    parameters: *mut c_void,
) -> SCSI_UNIT_CONTROL_STATUS {
    // SAFETY: StorPort's device extension. MS: nc-storport-hw_unit_control calls the argument the "per-unit storage area", but Microsoft's
    // own miniport takes it for the adapter's extension (Windows-driver-samples, storahci, AhciHwUnitControl).
    let Some(disk) = (unsafe { disk(extension) }) else {
        return ScsiUnitControlUnsuccessful;
    };
    let done = match control {
        ScsiQuerySupportedUnitControlTypes => {
            // SAFETY: for this control StorPort passes a list. MS: ne-storport-scsi_unit_control_type
            unsafe { list_controls(parameters, &CONTROLS) }
        }
        ScsiUnitStart | ScsiUnitRemove | ScsiUnitSurpriseRemoval => {
            // SAFETY: for these StorPort passes the address of the unit. MS: as above
            let ours = unsafe { is_ours(parameters) };
            if ours && control == ScsiUnitSurpriseRemoval {
                disk.unit_removed();
            }
            ours
        }
        _ => false,
    };
    if done {
        ScsiUnitControlSuccess
    } else {
        ScsiUnitControlUnsuccessful
    }
}

/// Whether the address is that of the one unit.
///
/// # Safety
/// `address` is NULL or a STOR_ADDR_BTL8.
unsafe fn is_ours(address: *mut c_void) -> bool {
    let Some(address) = NonNull::new(address.cast::<STOR_ADDR_BTL8>()) else {
        return false;
    };
    // SAFETY: the caller's promise.
    let address = unsafe { address.as_ref() };
    [address.Path, address.Target, address.Lun] == [0; 3]
}
