//! The routines that StorPort calls.

use crate::disk::Disk;
use crate::events;
use crate::ffi::device_extension::{self, Memory};
use crate::ffi::extension::{self, Given, GivenUsual};
use crate::ffi::lock::{Locks, QueueCell};
use crate::ffi::unit::unit_control;
use core::ffi::{c_char, c_void};
use core::mem::offset_of;
use core::ptr::NonNull;
use nt::irql::{Device, Dispatch};
use nt_sys::types::{BOOLEAN, FALSE, TRUE};
use storport::sys::*;
use storport::{Adapter, Dump, FindAdapter, Miniport, Srb, SrbStatus, StorStatus};

/// What DriverEntry registers; `dump`: in the dump stack.
#[inline]
// so that the routines which each request takes are compiled in the crate of DriverEntry, for speed
#[must_use]
pub fn miniport(dump: bool) -> Miniport {
    Miniport {
        find_adapter,
        initialize,
        build_io: None,
        start_io,
        interrupt,
        reset_bus,
        adapter_control,
        unit_control: Some(unit_control),
        device_extension: device_extension::size((!dump).then(nt::cpu::active_count)),
        unit_extension: 0,
        // HwFindAdapter sets the size that the device needs.
        request_extension: extension::size(crate::limits::MAX_SEGMENTS),
        access_ranges: 6,
        features: STOR_FEATURE_DUMP_POINTERS | STOR_FEATURE_DUMP_RESUME_CAPABLE,
    }
}

/// # Safety
/// `extension` is the device extension that StorPort gave to the running routine.
pub(super) unsafe fn disk(extension: *mut c_void) -> Option<&'static Disk> {
    // SAFETY: the caller's promise.
    unsafe { device_extension::disk(extension) }
}

unsafe extern "system" fn find_adapter(
    extension: *mut c_void,
    _context: *mut c_void,
    _bus: *mut c_void,
    arguments: *mut c_char,
    config: *mut PORT_CONFIGURATION_INFORMATION,
    _again: *mut BOOLEAN,
) -> u32 {
    // SAFETY: StorPort calls HwFindAdapter before any other routine of the adapter, and after all of them have ended.
    let memory = unsafe { Memory::new(extension) };
    // SAFETY: the arguments of this call.
    let find = unsafe { FindAdapter::from_raw(extension, arguments, config) };
    let (Some(memory), Some(mut find)) = (memory, find) else {
        return SP_RETURN_BAD_CONFIG;
    };
    let dump = find
        .dump()
        .or_else(|| memory.is_dump().then_some(Dump::Transfer));
    if dump.is_some() {
        find.mark_dump_memory(extension, memory.bytes());
    }
    if dump == Some(Dump::MarkMemory) {
        crate::dump::mark(&mut find);
        return SP_RETURN_FOUND;
    }
    match crate::find::find(&mut find, memory, dump.is_some()) {
        Ok(()) => SP_RETURN_FOUND,
        Err(event) => {
            // In the dump stack nobody could read it.
            if dump.is_none() {
                events::write(find.adapter(), event);
            }
            SP_RETURN_ERROR
        }
    }
}

/// The one unit, as StorPort wants it named.
static UNIT: STOR_ADDR_BTL8 = STOR_ADDR_BTL8 {
    Type: STOR_ADDRESS_TYPE_BTL8,
    Port: 0,
    AddressLength: STOR_ADDR_BTL8_ADDRESS_LENGTH,
    Path: 0,
    Target: 0,
    Lun: 0,
    Reserved: 0,
};

/// Has StorPort look at the unit again; [`Disk::looked`] follows. Any IRQL.
pub fn unit_changed(adapter: Adapter) -> Result<(), StorStatus> {
    adapter.unit_changed(&UNIT, state_changed)
}

unsafe extern "system" fn state_changed(
    extension: *mut c_void,
    _context: *mut c_void,
    _kind: i16,
    _address: *mut c_void,
    _status: u32,
) {
    // SAFETY: StorPort's device extension.
    if let Some(disk) = unsafe { disk(extension) } {
        disk.looked();
    }
}

/// Sets HwMSInterruptRoutine; StorPort falls back on HwInterrupt if the device has no messages.
pub fn set_interrupt_routine(config: &mut PORT_CONFIGURATION_INFORMATION) {
    config.HwMSInterruptRoutine = Some(message_interrupt);
    config.InterruptSynchronizationMode = InterruptSynchronizePerMessage;
}

/// Sets the depth of the one unit, if this Windows knows the members (Windows 8).
pub fn set_depth(config: &mut PORT_CONFIGURATION_INFORMATION, depth: u32) {
    let end = offset_of!(PORT_CONFIGURATION_INFORMATION, InitialLunQueueDepth)
        .saturating_add(size_of::<u32>());
    if config.Length as usize >= end {
        config.MaxIOsPerLun = depth;
        config.InitialLunQueueDepth = depth;
    }
}

#[inline] // as it names the next
unsafe extern "system" fn initialize(extension: *mut c_void) -> BOOLEAN {
    // SAFETY: StorPort's device extension.
    let Some(disk) = (unsafe { disk(extension) }) else {
        return FALSE;
    };
    let polled = disk.rules.polled;
    // Asked first, so that a refusal leaves no live device behind. The dump stack has no such routine.
    if !polled
        && !disk
            .adapter
            .enable_passive_initialization(passive_initialize)
    {
        return FALSE;
    }
    // SAFETY: HwInitialize runs at DIRQL with the interrupt lock held. MS: nc-storport-hw_initialize
    let at = unsafe { Device::assume() };
    let live = disk.initialize(at);
    // In the dump stack requests may follow at once, and nobody could be told why not; else the passive routine tells.
    BOOLEAN::from(live || !polled)
}

#[inline] // as it names the next
unsafe extern "system" fn passive_initialize(extension: *mut c_void) -> BOOLEAN {
    // SAFETY: StorPort's device extension.
    let Some(disk) = (unsafe { disk(extension) }) else {
        return FALSE;
    };
    for cell in disk.queues {
        // SAFETY: the cells lie in the device extension and never move; no DPC is queued before `State::let_dpcs_run`.
        unsafe { cell.dpc.initialize(disk.adapter, queue_dpc) };
    }
    // SAFETY: as above.
    unsafe { disk.service.initialize(disk.adapter, service_dpc) };
    BOOLEAN::from(disk.passive())
}

#[inline] // see `miniport`
unsafe extern "system" fn queue_dpc(
    _dpc: *mut STOR_DPC,
    extension: *mut c_void,
    cell: *mut c_void,
    _unused: *mut c_void,
) {
    // SAFETY: StorPort's device extension; the DPC was initialised for the disk in it.
    let (adapter, disk) = unsafe { device_extension::started_disk(extension) };
    // SAFETY: `ffi::dpc` alone queues these DPCs, and gives them their cell, which lies in the device extension.
    let cell = unsafe { &*cell.cast::<QueueCell>() };
    // SAFETY: a DPC runs at DISPATCH_LEVEL.
    let at = unsafe { Dispatch::assume() };
    // SAFETY: as above.
    let locks = unsafe { Locks::assume(adapter) };
    disk.process(at, locks, cell);
}

unsafe extern "system" fn service_dpc(
    _dpc: *mut STOR_DPC,
    extension: *mut c_void,
    _first: *mut c_void,
    _second: *mut c_void,
) {
    // SAFETY: StorPort's device extension.
    let Some(disk) = (unsafe { disk(extension) }) else {
        return;
    };
    // SAFETY: a DPC runs at DISPATCH_LEVEL.
    disk.service(unsafe { Dispatch::assume() });
}

/// Has the service DPC look at a late reset again in so many microseconds. IRQL <= DISPATCH_LEVEL
pub fn look_later(adapter: Adapter, microseconds: u32) {
    adapter.request_timer(timer, microseconds);
}

unsafe extern "system" fn timer(extension: *mut c_void) {
    // SAFETY: StorPort's device extension.
    if let Some(disk) = unsafe { disk(extension) } {
        // HwStartIo of other channels may run at the same time (MS: nc-storport-hw_timer): the DPC knows how to deal with that.
        disk.time_to_look();
    }
}

unsafe extern "system" fn message_interrupt(extension: *mut c_void, message: u32) -> BOOLEAN {
    // SAFETY: StorPort's device extension; it knows this routine only by what a HwFindAdapter that succeeded has left in the configuration
    // (`set_interrupt_routine`).
    let (adapter, disk) = unsafe { device_extension::started_disk(extension) };
    disk.message(adapter, message);
    // A message belongs to one device only.
    TRUE
}

unsafe extern "system" fn interrupt(extension: *mut c_void) -> BOOLEAN {
    // SAFETY: StorPort's device extension.
    let Some(disk) = (unsafe { disk(extension) }) else {
        return FALSE;
    };
    if disk.rules.polled {
        // SAFETY: the dump stack runs on one processor, which nothing interrupts: what DISPATCH_LEVEL promises and more.
        let at = unsafe { Dispatch::assume() };
        let before = disk.finished(at);
        disk.process_polled(at);
        return BOOLEAN::from(disk.polled(at, before));
    }
    BOOLEAN::from(disk.interrupt())
}

/// There is no HwBuildIo. What it is for, to prepare requests without the lock that HwStartIo runs under, HwStartIo does itself before it
/// locks a queue: with concurrent channels StorPort takes no lock for it. MS: nc-storport-hw_startio
#[inline] // see `miniport`
unsafe extern "system" fn start_io(
    extension: *mut c_void,
    srb: *mut SCSI_REQUEST_BLOCK,
) -> BOOLEAN {
    // SAFETY: StorPort's device extension; requests come only after HwFindAdapter (`started_disk`).
    let (adapter, disk) = unsafe { device_extension::started_disk(extension) };
    // SAFETY: the block is the driver's from this call on, and this is its only name until the end of the function.
    let srb = unsafe { Srb::given(srb) };
    // SAFETY: HwStartIo runs at DISPATCH_LEVEL in full-duplex mode (MS: nc-storport-hw_startio); the dump stack runs on one processor,
    // which nothing interrupts: what DISPATCH_LEVEL promises and more.
    let at = unsafe { Dispatch::assume() };
    // SAFETY: as above.
    let locks = unsafe { Locks::assume(adapter) };
    // SAFETY: HwStartIo, as said above.
    let block = unsafe { GivenUsual::new(&srb) };
    if block
        .and_then(|block| disk.start_short(at, locks, block))
        .is_none()
    {
        start_any(disk, at, srb);
    }
    TRUE
}

/// The same for a block that is not like nearly every other.
#[cold]
#[inline(never)] // as few requests come here, or long ones
fn start_any(disk: &Disk, at: Dispatch, srb: Srb) {
    // SAFETY: HwStartIo, whose block this still is.
    match unsafe { Given::new(&srb) } {
        Some(block) => disk.start_any(at, block),
        None => disk.adapter.complete(srb, SrbStatus::Error),
    }
}

unsafe extern "system" fn reset_bus(extension: *mut c_void, _path: u32) -> BOOLEAN {
    // SAFETY: StorPort's device extension.
    let Some(disk) = (unsafe { disk(extension) }) else {
        return FALSE;
    };
    // SAFETY: HwResetBus runs at DISPATCH_LEVEL. MS: nc-storport-hw_reset_bus
    BOOLEAN::from(disk.reset_bus(unsafe { Dispatch::assume() }))
}

/// Adapter control that the driver carries out.
const CONTROLS: [SCSI_ADAPTER_CONTROL_TYPE; 4] = [
    ScsiQuerySupportedControlTypes,
    ScsiStopAdapter,
    ScsiRestartAdapter,
    ScsiAdapterSurpriseRemoval,
];

#[expect(non_upper_case_globals, reason = "the constants are Microsoft's")]
unsafe extern "system" fn adapter_control(
    extension: *mut c_void,
    control: SCSI_ADAPTER_CONTROL_TYPE,
    parameters: *mut c_void,
) -> SCSI_ADAPTER_CONTROL_STATUS {
    // SAFETY: StorPort's device extension.
    let Some(disk) = (unsafe { disk(extension) }) else {
        return ScsiAdapterControlUnsuccessful;
    };
    let done = match control {
        ScsiQuerySupportedControlTypes => {
            // SAFETY: for this control StorPort passes a list. MS: ne-storport-scsi_adapter_control_type
            unsafe { list_controls(parameters, &CONTROLS) }
        }
        ScsiStopAdapter => {
            disk.stop();
            true
        }
        // SAFETY: ScsiRestartAdapter comes at DIRQL with the interrupt lock held. MS: nc-storport-hw_adapter_control
        ScsiRestartAdapter => disk.restart(unsafe { Device::assume() }),
        ScsiAdapterSurpriseRemoval => {
            disk.removed();
            true
        }
        _ => false,
    };
    if done {
        ScsiAdapterControlSuccess
    } else {
        ScsiAdapterControlUnsuccessful
    }
}

/// Marks the supported controls, as far as the list goes.
///
/// # Safety
/// `parameters` is NULL or a SCSI_SUPPORTED_CONTROL_TYPE_LIST with MaxControlType entries.
pub(super) unsafe fn list_controls(parameters: *mut c_void, controls: &[i32]) -> bool {
    let Some(list) = NonNull::new(parameters) else {
        return false;
    };
    let list = list.cast::<SCSI_SUPPORTED_CONTROL_TYPE_LIST>().as_ptr();
    // SAFETY: the caller's promise.
    let max = unsafe { (*list).MaxControlType };
    // SAFETY: the array begins behind the count.
    let entries = unsafe { &raw mut (*list).SupportedTypeList };
    for &control in controls {
        if let Ok(index) = u32::try_from(control)
            && index < max
        {
            // SAFETY: the list has `max` entries.
            unsafe {
                entries
                    .cast::<BOOLEAN>()
                    .wrapping_add(index as usize)
                    .write(TRUE)
            };
        }
    }
    true
}
