//! A miniport that does as little as a miniport can, except that one feature makes it break one rule.
//!
//! It completes every request at once; only the cases about DMA set the device's queue up and put descriptors on it. Where a case
//! strikes is in `cases.rs`.
#![no_std]
#![cfg(windows)]

mod cases;
mod imports;
mod virtio;

use core::ffi::{c_char, c_void};
use core::mem::zeroed;

use nt_sys::storport::{
    DUMP_MODE_MARK_MEMORY, HW_INITIALIZATION_DATA, PCIBus, PORT_CONFIGURATION_INFORMATION,
    SCSI_REQUEST_BLOCK, STOR_DPC, ScsiAdapterControlSuccess, ScsiQuerySupportedControlTypes,
    ScsiRestartAdapter, ScsiStopAdapter,
};
use virtio::Queue;

// The crate brings what every .sys needs at link time.
use nt as _;

/// The device extension.
pub struct Ext {
    /// The uncached extension.
    pub uncached: *mut u8,
    /// The device's first queue.
    pub queue: Queue,
    /// A DPC object, initialised in the passive initialisation.
    pub dpc: STOR_DPC,
    /// What a case wants to keep: a pool block, a mapped address.
    pub kept: *mut c_void,
    /// How often the case struck.
    pub strikes: u32,
    /// It was stopped and restarted.
    pub restarted: bool,
    /// HwResetBus was called since.
    pub reset: bool,
    /// Its DPC routine is under way.
    pub in_dpc: bool,
    /// It is an instance in the dump stack.
    pub dump: bool,
}

/// Bytes of the uncached extension and of an SRB extension; neither is a multiple of what memory comes in.
pub const UNCACHED: u32 = 8000;
/// See [`UNCACHED`].
pub const SRB_EXTENSION: u32 = 250;

const TRUE: u8 = 1;

/// srb.h: SRB_FUNCTION_RESET_DEVICE.
const RESET_DEVICE: u8 = 0x13;
/// srb.h: SRB_FUNCTION_RESET_LOGICAL_UNIT.
pub const RESET_LOGICAL_UNIT: u8 = 0x20;

/// Registers the miniport.
#[unsafe(no_mangle)]
pub extern "system" fn DriverEntry(driver: *mut c_void, path: *mut c_void) -> i32 {
    // SAFETY: all zeros is a value of this structure: no routines, no names.
    let mut data: HW_INITIALIZATION_DATA = unsafe { zeroed() };
    data.HwInitializationDataSize = size_of::<HW_INITIALIZATION_DATA>() as u32;
    data.AdapterInterfaceType = PCIBus;
    data.HwInitialize = Some(initialize);
    data.HwStartIo = Some(start_io);
    data.HwInterrupt = Some(interrupt);
    data.HwFindAdapter = Some(find_adapter);
    data.HwResetBus = Some(reset_bus);
    data.HwAdapterControl = Some(adapter_control);
    data.HwBuildIo = Some(build_io);
    data.DeviceExtensionSize = size_of::<Ext>() as u32;
    data.SrbExtensionSize = SRB_EXTENSION;
    data.NumberOfAccessRanges = 6;
    data.MapBuffers = 2;
    data.NeedPhysicalAddresses = TRUE;
    data.TaggedQueuing = u8::from(!cfg!(feature = "initialization-data"));
    data.AutoRequestSense = TRUE;
    data.MultipleRequestPerLu = TRUE;
    // SAFETY: DriverEntry's own arguments and a filled structure.
    unsafe { nt_sys::storport::StorPortInitialize(driver, path, &mut data, core::ptr::null_mut()) }
}

/// The extension that StorPort passes to every routine.
///
/// # Safety
/// `at` is such an extension, and no other reference to it lives.
unsafe fn ext<'a>(at: *mut c_void) -> &'a mut Ext {
    // SAFETY: StorPort allocated it with the size that DriverEntry named and filled it with zeros, which is a value of it.
    unsafe { &mut *at.cast::<Ext>() }
}

unsafe extern "system" fn find_adapter(
    extension: *mut c_void,
    _context: *mut c_void,
    _bus: *mut c_void,
    _text: *mut c_char,
    config: *mut PORT_CONFIGURATION_INFORMATION,
    _reserved: *mut u8,
) -> u32 {
    // SAFETY: StorPort passes the structure for the length of the call.
    let config = unsafe { &mut *config };
    config.MaximumTransferLength = 64 << 10;
    config.NumberOfPhysicalBreaks = 32;
    config.AlignmentMask = 3;
    config.NumberOfBuses = 1;
    config.MaximumNumberOfTargets = 1;
    config.MaximumNumberOfLogicalUnits = 1;
    config.SynchronizationModel = 1;
    config.Dma64BitAddresses = 2;
    config.HwMSInterruptRoutine = Some(message);
    cases::configure(config);
    let dump = config.DumpMode != 0;
    let bytes = cases::uncached(dump);
    // SAFETY: HwFindAdapter is where the uncached extension is asked for.
    let uncached =
        unsafe { nt_sys::storport::StorPortGetUncachedExtension(extension, config, bytes) };
    if uncached.is_null() {
        return 2;
    }
    // SAFETY: StorPort's extension, and nobody else runs yet.
    let ext = unsafe { ext(extension) };
    ext.uncached = uncached.cast();
    ext.dump = dump;
    if dump {
        cases::mark(extension, ext, bytes);
    }
    if config.DumpMode == DUMP_MODE_MARK_MEMORY {
        // The device is the other instance's.
        return 1;
    }
    // SAFETY: HwFindAdapter, with its configuration.
    unsafe { ext.queue.find(extension, config) };
    if dump {
        // The other instance's queue must not be used any more; none is needed.
        ext.queue.stop();
        return 1;
    }
    cases::found(extension, ext);
    1
}

unsafe extern "system" fn initialize(extension: *mut c_void) -> u8 {
    // SAFETY: StorPort's extension.
    let ext = unsafe { ext(extension) };
    if ext.dump {
        cases::dumping(extension);
        return TRUE;
    }
    ext.queue.start(extension, ext.uncached);
    imports::enable_passive(extension, passive);
    cases::initialized(extension, ext);
    TRUE
}

unsafe extern "system" fn passive(extension: *mut c_void) -> u8 {
    // SAFETY: StorPort's extension.
    let ext = unsafe { ext(extension) };
    imports::initialize_dpc(extension, &mut ext.dpc, dpc);
    cases::passive(extension, ext);
    TRUE
}

unsafe extern "system" fn build_io(extension: *mut c_void, srb: *mut SCSI_REQUEST_BLOCK) -> u8 {
    // SAFETY: StorPort's extension; calls on other CPUs touch only the counter, and a lost count does no harm to a case.
    cases::build_io(extension, unsafe { ext(extension) }, srb)
}

unsafe extern "system" fn start_io(extension: *mut c_void, srb: *mut SCSI_REQUEST_BLOCK) -> u8 {
    // SAFETY: StorPort's extension, under the StartIo lock.
    let ext = unsafe { ext(extension) };
    // SAFETY: the request is this routine's until it completes it.
    unsafe { answer(&mut *srb) };
    cases::start_io(extension, ext, srb);
    TRUE
}

/// Makes a disk of 1 MiB out of nothing: enough of an answer for each command of a bus scan.
fn answer(srb: &mut SCSI_REQUEST_BLOCK) {
    srb.SrbStatus = 1;
    if matches!(srb.Function, RESET_DEVICE | RESET_LOGICAL_UNIT) {
        // It resets nothing. SRB_STATUS_INVALID_REQUEST
        srb.SrbStatus = 6;
    }
    if srb.Function != 0 || srb.DataBuffer.is_null() {
        return;
    }
    let len = srb.DataTransferLength as usize;
    // SAFETY: a buffer that is mapped is as long as the request says.
    let data = unsafe { core::slice::from_raw_parts_mut(srb.DataBuffer.cast::<u8>(), len) };
    data.fill(0);
    let [operation, evpd, ..] = srb.Cdb;
    let mut put = |at: usize, value: u8| {
        if let Some(byte) = data.get_mut(at) {
            *byte = value;
        }
    };
    match (operation, evpd) {
        // READ CAPACITY (16) and (10): the last of 2048 blocks of 512 bytes.
        (0x9e, _) => [(6, 7), (7, 0xff), (10, 2)]
            .into_iter()
            .for_each(|(at, value)| put(at, value)),
        (0x25, _) => [(2, 7), (3, 0xff), (6, 2)]
            .into_iter()
            .for_each(|(at, value)| put(at, value)),
        // REPORT LUNS: one entry, unit 0.
        (0xa0, _) => put(3, 8),
        // INQUIRY: a direct-access device; no vital product data pages but the list.
        (0x12, 0) => [(2, 5), (4, 31)]
            .into_iter()
            .for_each(|(at, value)| put(at, value)),
        _ => {}
    }
}

unsafe extern "system" fn interrupt(extension: *mut c_void) -> u8 {
    // SAFETY: StorPort's extension, under the interrupt lock.
    cases::interrupt(extension, unsafe { ext(extension) });
    TRUE
}

unsafe extern "system" fn message(extension: *mut c_void, _message: u32) -> u8 {
    // SAFETY: as for the line.
    unsafe { interrupt(extension) }
}

unsafe extern "system" fn dpc(
    _dpc: *mut STOR_DPC,
    extension: *mut c_void,
    _first: *mut c_void,
    _second: *mut c_void,
) {
    // SAFETY: StorPort's extension.
    cases::dpc(extension, unsafe { ext(extension) });
}

unsafe extern "system" fn reset_bus(extension: *mut c_void, _path: u32) -> u8 {
    // SAFETY: StorPort's extension, under the StartIo lock.
    cases::reset_bus(extension, unsafe { ext(extension) });
    // Another rule has it that TRUE means that all requests are completed.
    u8::from(!cfg!(feature = "lost-request"))
}

unsafe extern "system" fn adapter_control(
    extension: *mut c_void,
    control: i32,
    parameters: *mut c_void,
) -> i32 {
    // SAFETY: StorPort's extension.
    let ext = unsafe { ext(extension) };
    if control == ScsiQuerySupportedControlTypes {
        for supported in [
            ScsiQuerySupportedControlTypes,
            ScsiStopAdapter,
            ScsiRestartAdapter,
        ] {
            // SAFETY: the list has an entry for each of the first types, behind its 4-byte count.
            unsafe { *parameters.cast::<u8>().add(4 + supported as usize) = TRUE };
        }
    } else if control == ScsiStopAdapter {
        if !cfg!(feature = "dma-after-stop") {
            ext.queue.stop();
        }
        cases::stopped(extension, ext);
    } else if control == ScsiRestartAdapter {
        ext.restarted = true;
        ext.queue.start(extension, ext.uncached);
    }
    ScsiAdapterControlSuccess
}
