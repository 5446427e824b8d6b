//! The routines that a miniport gives to StorPort.
//!
//! source: storport.h; since: Windows Server 2003

use super::{PORT_CONFIGURATION_INFORMATION, SCSI_REQUEST_BLOCK, STOR_DPC};
use super::{
    SCSI_ADAPTER_CONTROL_STATUS, SCSI_ADAPTER_CONTROL_TYPE, SCSI_UNIT_CONTROL_STATUS,
    SCSI_UNIT_CONTROL_TYPE,
};
use crate::types::{BOOLEAN, PVOID};
use core::ffi::c_char;

/// IRQL: DIRQL of the interrupt, or PASSIVE_LEVEL when the miniport has none.
pub type HW_INITIALIZE = unsafe extern "system" fn(DeviceExtension: PVOID) -> BOOLEAN;
/// IRQL: DISPATCH_LEVEL; the StartIo lock is held in half-duplex mode.
pub type HW_STARTIO =
    unsafe extern "system" fn(DeviceExtension: PVOID, Srb: *mut SCSI_REQUEST_BLOCK) -> BOOLEAN;
/// IRQL: DISPATCH_LEVEL, no lock.
pub type HW_BUILDIO =
    unsafe extern "system" fn(DeviceExtension: PVOID, Srb: *mut SCSI_REQUEST_BLOCK) -> BOOLEAN;
/// IRQL: DIRQL. TRUE if the interrupt was the device's.
pub type HW_INTERRUPT = unsafe extern "system" fn(DeviceExtension: PVOID) -> BOOLEAN;
/// IRQL: PASSIVE_LEVEL. Answers with an SP_RETURN_* code.
pub type HW_FIND_ADAPTER = unsafe extern "system" fn(
    DeviceExtension: PVOID,
    HwContext: PVOID,
    BusInformation: PVOID,
    ArgumentString: *mut c_char,
    ConfigInfo: *mut PORT_CONFIGURATION_INFORMATION,
    Reserved3: *mut BOOLEAN,
) -> u32;
/// IRQL: DISPATCH_LEVEL, StartIo lock held.
pub type HW_RESET_BUS = unsafe extern "system" fn(DeviceExtension: PVOID, PathId: u32) -> BOOLEAN;
pub type HW_DMA_STARTED = unsafe extern "system" fn(DeviceExtension: PVOID);
pub type HW_ADAPTER_STATE = unsafe extern "system" fn(
    DeviceExtension: PVOID,
    Context: PVOID,
    SaveState: BOOLEAN,
) -> BOOLEAN;
/// IRQL: by control type (MS: nc-storport-hw_adapter_control).
pub type HW_ADAPTER_CONTROL = unsafe extern "system" fn(
    DeviceExtension: PVOID,
    ControlType: SCSI_ADAPTER_CONTROL_TYPE,
    Parameters: PVOID,
) -> SCSI_ADAPTER_CONTROL_STATUS;
/// since: Windows 8
pub type HW_UNIT_CONTROL = unsafe extern "system" fn(
    DeviceExtension: PVOID,
    ControlType: SCSI_UNIT_CONTROL_TYPE,
    Parameters: PVOID,
) -> SCSI_UNIT_CONTROL_STATUS;
/// IRQL: PASSIVE_LEVEL.
pub type HW_PASSIVE_INITIALIZE_ROUTINE =
    unsafe extern "system" fn(DeviceExtension: PVOID) -> BOOLEAN;
/// IRQL: DISPATCH_LEVEL.
/// With the StartIo lock held. MS: nc-storport-hw_timer
pub type HW_TIMER = unsafe extern "system" fn(HwDeviceExtension: PVOID);
pub type HW_DPC_ROUTINE = unsafe extern "system" fn(
    Dpc: *mut STOR_DPC,
    HwDeviceExtension: PVOID,
    SystemArgument1: PVOID,
    SystemArgument2: PVOID,
);
/// IRQL: DIRQL of the message. since: Windows Vista
pub type HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE =
    unsafe extern "system" fn(HwDeviceExtension: PVOID, MessageId: u32) -> BOOLEAN;
pub type HW_FREE_ADAPTER_RESOURCES = unsafe extern "system" fn(DeviceExtension: PVOID);
pub type HW_PROCESS_SERVICE_REQUEST = unsafe extern "system" fn(DeviceExtension: PVOID, Irp: PVOID);
pub type HW_COMPLETE_SERVICE_IRP = unsafe extern "system" fn(DeviceExtension: PVOID);
pub type HW_INITIALIZE_TRACING = unsafe extern "system" fn(Arg1: PVOID, Arg2: PVOID);
pub type HW_CLEANUP_TRACING = unsafe extern "system" fn(Arg1: PVOID);
/// IRQL: not documented. Called when a StateChangeDetectedCall has been dealt with. since: Windows 8
pub type HW_STATE_CHANGE = unsafe extern "system" fn(
    HwDeviceExtension: PVOID,
    Context: PVOID,
    AddressType: i16,
    Address: PVOID,
    Status: u32,
);
/// IRQL: PASSIVE_LEVEL. since: Windows 8
pub type HW_TRACING_ENABLED = unsafe extern "system" fn(HwDeviceExtension: PVOID, Enabled: BOOLEAN);
