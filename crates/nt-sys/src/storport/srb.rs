//! The SCSI request block: the request format of every StorPort, and its codes.
//!
//! source: storport.h, srb.h; since: Windows Server 2003

use crate::types::PVOID;

/// A request of at most 16 CDB bytes. Requests of other functions overlay the same storage.
#[repr(C)]
pub struct SCSI_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub ScsiStatus: u8,
    pub PathId: u8,
    pub TargetId: u8,
    pub Lun: u8,
    pub QueueTag: u8,
    pub QueueAction: u8,
    pub CdbLength: u8,
    pub SenseInfoBufferLength: u8,
    pub SrbFlags: u32,
    pub DataTransferLength: u32,
    pub TimeOutValue: u32,
    pub DataBuffer: PVOID,
    pub SenseInfoBuffer: PVOID,
    pub NextSrb: *mut SCSI_REQUEST_BLOCK,
    pub OriginalRequest: PVOID,
    pub SrbExtension: PVOID,
    pub QueueSortKey: u32,
    #[cfg(target_pointer_width = "64")]
    pub Reserved: u32,
    pub Cdb: [u8; 16],
}

/// SRB_FUNCTION_PNP in the SCSI_REQUEST_BLOCK format.
#[repr(C)]
pub struct SCSI_PNP_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub PnPSubFunction: u8,
    pub PathId: u8,
    pub TargetId: u8,
    pub Lun: u8,
    pub PnPAction: STOR_PNP_ACTION,
    pub SrbFlags: u32,
    pub DataTransferLength: u32,
    pub TimeOutValue: u32,
    pub DataBuffer: PVOID,
    pub SenseInfoBuffer: PVOID,
    pub NextSrb: *mut SCSI_REQUEST_BLOCK,
    pub OriginalRequest: PVOID,
    pub SrbExtension: PVOID,
    pub SrbPnPFlags: u32,
    #[cfg(target_pointer_width = "64")]
    pub Reserved: u32,
    pub Reserved4: [u8; 16],
}

/// SRB_FUNCTION_POWER in the SCSI_REQUEST_BLOCK format.
#[repr(C)]
pub struct SCSI_POWER_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub SrbPowerFlags: u8,
    pub PathId: u8,
    pub TargetId: u8,
    pub Lun: u8,
    pub DevicePowerState: STOR_DEVICE_POWER_STATE,
    pub SrbFlags: u32,
    pub DataTransferLength: u32,
    pub TimeOutValue: u32,
    pub DataBuffer: PVOID,
    pub SenseInfoBuffer: PVOID,
    pub NextSrb: *mut SCSI_REQUEST_BLOCK,
    pub OriginalRequest: PVOID,
    pub SrbExtension: PVOID,
    pub PowerAction: STOR_POWER_ACTION,
    #[cfg(target_pointer_width = "64")]
    pub Reserved: u32,
    pub Reserved5: [u8; 16],
}

pub const SRB_FUNCTION_EXECUTE_SCSI: u8 = 0x00;
pub const SRB_FUNCTION_IO_CONTROL: u8 = 0x02;
pub const SRB_FUNCTION_SHUTDOWN: u8 = 0x07;
pub const SRB_FUNCTION_FLUSH: u8 = 0x08;
pub const SRB_FUNCTION_ABORT_COMMAND: u8 = 0x10;
pub const SRB_FUNCTION_RESET_BUS: u8 = 0x12;
pub const SRB_FUNCTION_RESET_DEVICE: u8 = 0x13;
pub const SRB_FUNCTION_WMI: u8 = 0x17;
pub const SRB_FUNCTION_RESET_LOGICAL_UNIT: u8 = 0x20;
pub const SRB_FUNCTION_POWER: u8 = 0x24;
pub const SRB_FUNCTION_PNP: u8 = 0x25;
pub const SRB_FUNCTION_DUMP_POINTERS: u8 = 0x26;
pub const SRB_FUNCTION_FREE_DUMP_POINTERS: u8 = 0x27;
/// The block is a STORAGE_REQUEST_BLOCK. since: Windows 8
pub const SRB_FUNCTION_STORAGE_REQUEST_BLOCK: u8 = 0x28;

pub const SRB_STATUS_PENDING: u8 = 0x00;
pub const SRB_STATUS_SUCCESS: u8 = 0x01;
pub const SRB_STATUS_ABORTED: u8 = 0x02;
pub const SRB_STATUS_ABORT_FAILED: u8 = 0x03;
pub const SRB_STATUS_ERROR: u8 = 0x04;
pub const SRB_STATUS_BUSY: u8 = 0x05;
pub const SRB_STATUS_INVALID_REQUEST: u8 = 0x06;
pub const SRB_STATUS_INVALID_PATH_ID: u8 = 0x07;
pub const SRB_STATUS_NO_DEVICE: u8 = 0x08;
pub const SRB_STATUS_TIMEOUT: u8 = 0x09;
pub const SRB_STATUS_SELECTION_TIMEOUT: u8 = 0x0A;
pub const SRB_STATUS_COMMAND_TIMEOUT: u8 = 0x0B;
pub const SRB_STATUS_BUS_RESET: u8 = 0x0E;
pub const SRB_STATUS_PARITY_ERROR: u8 = 0x0F;
pub const SRB_STATUS_NO_HBA: u8 = 0x11;
pub const SRB_STATUS_DATA_OVERRUN: u8 = 0x12;
pub const SRB_STATUS_BAD_SRB_BLOCK_LENGTH: u8 = 0x15;
pub const SRB_STATUS_REQUEST_FLUSHED: u8 = 0x16;
pub const SRB_STATUS_INVALID_LUN: u8 = 0x20;
pub const SRB_STATUS_INVALID_TARGET_ID: u8 = 0x21;
pub const SRB_STATUS_BAD_FUNCTION: u8 = 0x22;
pub const SRB_STATUS_NOT_POWERED: u8 = 0x24;
pub const SRB_STATUS_INTERNAL_ERROR: u8 = 0x30;
/// Set by StorPort, not by a miniport.
pub const SRB_STATUS_QUEUE_FROZEN: u8 = 0x40;
/// The sense buffer holds what the device or miniport wrote.
pub const SRB_STATUS_AUTOSENSE_VALID: u8 = 0x80;

pub const SRB_FLAGS_QUEUE_ACTION_ENABLE: u32 = 0x0000_0002;
pub const SRB_FLAGS_DISABLE_AUTOSENSE: u32 = 0x0000_0020;
pub const SRB_FLAGS_DATA_IN: u32 = 0x0000_0040;
pub const SRB_FLAGS_DATA_OUT: u32 = 0x0000_0080;
pub const SRB_FLAGS_NO_DATA_TRANSFER: u32 = 0;

pub const SCSISTAT_GOOD: u8 = 0x00;
pub const SCSISTAT_CHECK_CONDITION: u8 = 0x02;
pub const SCSISTAT_CONDITION_MET: u8 = 0x04;
pub const SCSISTAT_BUSY: u8 = 0x08;
pub const SCSISTAT_RESERVATION_CONFLICT: u8 = 0x18;
pub const SCSISTAT_QUEUE_FULL: u8 = 0x28;

pub const SRB_POWER_FLAGS_ADAPTER_REQUEST: u8 = 0x01;
pub const SRB_PNP_FLAGS_ADAPTER_REQUEST: u32 = 0x01;

pub type STOR_PNP_ACTION = i32;
pub const StorStartDevice: STOR_PNP_ACTION = 0x0;
pub const StorRemoveDevice: STOR_PNP_ACTION = 0x2;
pub const StorStopDevice: STOR_PNP_ACTION = 0x4;
pub const StorQueryCapabilities: STOR_PNP_ACTION = 0x9;
pub const StorQueryResourceRequirements: STOR_PNP_ACTION = 0xB;
pub const StorFilterResourceRequirements: STOR_PNP_ACTION = 0xD;
pub const StorSurpriseRemoval: STOR_PNP_ACTION = 0x17;

/// What a disk answers to StorQueryCapabilities.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct STOR_DEVICE_CAPABILITIES {
    pub Version: u16,
    /// Microsoft's bit-fields, from DeviceD1 on.
    pub Flags: u32,
}

pub type STOR_DEVICE_POWER_STATE = i32;
pub const StorPowerDeviceUnspecified: STOR_DEVICE_POWER_STATE = 0;
pub const StorPowerDeviceD0: STOR_DEVICE_POWER_STATE = 1;
pub const StorPowerDeviceD3: STOR_DEVICE_POWER_STATE = 4;

pub type STOR_POWER_ACTION = i32;
pub const StorPowerActionNone: STOR_POWER_ACTION = 0;
pub const StorPowerActionSleep: STOR_POWER_ACTION = 2;
pub const StorPowerActionHibernate: STOR_POWER_ACTION = 3;
pub const StorPowerActionShutdown: STOR_POWER_ACTION = 4;
