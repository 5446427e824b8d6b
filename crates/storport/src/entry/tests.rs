//! Registration with a port driver of either age. Linux has no storport.sys, so its one function stands here.

use super::*;
use nt_sys::types::{BOOLEAN, STATUS_REVISION_MISMATCH, STATUS_SUCCESS};
use std::cell::{Cell, RefCell};
use std::vec::Vec;

std::thread_local! {
    /// The sizes that the port driver of this test takes.
    static KNOWN: Cell<&'static [u32]> = const { Cell::new(&[]) };
    /// What it was given.
    static SEEN: RefCell<Vec<HW_INITIALIZATION_DATA>> = const { RefCell::new(Vec::new()) };
}

/// MS: nf-storport-storportinitialize.
#[unsafe(no_mangle)]
extern "system" fn StorPortInitialize(
    _driver: PVOID,
    _path: PVOID,
    data: *mut HW_INITIALIZATION_DATA,
    _context: PVOID,
) -> NTSTATUS {
    // SAFETY: the caller's structure is whole, whatever size it states.
    let data = unsafe { data.read() };
    SEEN.with_borrow_mut(|seen| seen.push(data));
    if KNOWN.get().contains(&data.HwInitializationDataSize) {
        STATUS_SUCCESS
    } else {
        STATUS_REVISION_MISMATCH
    }
}

unsafe extern "system" fn found(
    _: PVOID,
    _: PVOID,
    _: PVOID,
    _: *mut core::ffi::c_char,
    _: *mut PORT_CONFIGURATION_INFORMATION,
    _: *mut BOOLEAN,
) -> u32 {
    SP_RETURN_FOUND
}
unsafe extern "system" fn yes(_: PVOID) -> BOOLEAN {
    TRUE
}
unsafe extern "system" fn take(_: PVOID, _: *mut SCSI_REQUEST_BLOCK) -> BOOLEAN {
    TRUE
}
unsafe extern "system" fn reset(_: PVOID, _: u32) -> BOOLEAN {
    TRUE
}
unsafe extern "system" fn control(
    _: PVOID,
    _: SCSI_ADAPTER_CONTROL_TYPE,
    _: PVOID,
) -> SCSI_ADAPTER_CONTROL_STATUS {
    ScsiAdapterControlSuccess
}

const MINIPORT: Miniport = Miniport {
    find_adapter: found,
    initialize: yes,
    build_io: None,
    start_io: take,
    interrupt: yes,
    reset_bus: reset,
    adapter_control: control,
    unit_control: None,
    device_extension: 4096,
    unit_extension: 8,
    request_extension: 512,
    access_ranges: 6,
    features: 0,
};

/// Registers with a port driver that takes these sizes: its answer, and the sizes that it was offered.
fn register(known: &'static [u32]) -> (NTSTATUS, Vec<u32>) {
    register_one(&MINIPORT, known)
}

fn register_one(miniport: &Miniport, known: &'static [u32]) -> (NTSTATUS, Vec<u32>) {
    KNOWN.set(known);
    SEEN.take();
    // SAFETY: the port driver above does not look at the driver object or the path.
    let status = unsafe { miniport.register(null_mut(), null_mut()) };
    (
        status,
        SEEN.with_borrow(|seen| {
            seen.iter()
                .map(|data| data.HwInitializationDataSize)
                .collect()
        }),
    )
}

#[test]
fn the_newest_size_comes_first_and_is_enough_where_it_is_known() {
    assert_eq!(register(&[208, 136]), (STATUS_SUCCESS, std::vec![208]));
}

#[test]
fn a_port_driver_from_before_windows_8_gets_the_older_size() {
    assert_eq!(register(&[136]), (STATUS_SUCCESS, std::vec![208, 136]));
}

#[test]
fn an_unknown_port_driver_gets_an_honest_failure() {
    assert_eq!(
        register(&[]),
        (STATUS_REVISION_MISMATCH, std::vec![208, 136])
    );
}

#[test]
fn the_structure_says_what_the_miniport_is() {
    register(&[208]);
    let data = SEEN.with_borrow(|seen| seen[0]);
    assert_eq!(
        (
            data.DeviceExtensionSize,
            data.SpecificLuExtensionSize,
            data.SrbExtensionSize
        ),
        (4096, 8, 512)
    );
    assert_eq!(
        (data.AdapterInterfaceType, data.NumberOfAccessRanges),
        (PCIBus, 6)
    );
    let demanded = [
        data.NeedPhysicalAddresses,
        data.TaggedQueuing,
        data.AutoRequestSense,
        data.MultipleRequestPerLu,
    ];
    assert_eq!(demanded, [TRUE; 4]);
    assert_eq!(
        (data.SrbTypeFlags, data.AddressTypeFlags),
        (SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK, ADDRESS_TYPE_FLAG_BTL8)
    );
    assert!(data.HwStartIo.is_some() && data.HwBuildIo.is_none() && data.HwResetBus.is_some());
    assert!(data.HwUnitControl.is_none() && data.HwDmaStarted.is_none() && data.Reserved.is_null());
}

#[test]
fn a_miniport_that_wants_to_prepare_requests_says_so() {
    let miniport = Miniport {
        build_io: Some(take),
        ..MINIPORT
    };
    register_one(&miniport, &[208]);
    let data = SEEN.with_borrow(|seen| seen[0]);
    assert!(data.HwBuildIo.is_some());
}
