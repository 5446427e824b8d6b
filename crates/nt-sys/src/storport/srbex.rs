//! The extended request block: any address type, any CDB length, data blocks at offsets.
//!
//! source: storport.h, srb.h; since: Windows 8

use super::{STOR_DEVICE_POWER_STATE, STOR_PNP_ACTION, STOR_POWER_ACTION};
use crate::types::PVOID;

/// Value of STORAGE_REQUEST_BLOCK.Signature.
pub const SRB_SIGNATURE: u32 = 0x5352_4258;
pub const STORAGE_REQUEST_BLOCK_VERSION_1: u32 = 0x1;

/// The head that both request formats share.
#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct STORAGE_REQUEST_BLOCK_HEADER {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
}

/// A request. `SrbExDataOffset` begins an array of `NumSrbExData` offsets, each from the start of this block;
/// `AddressOffset` is counted from there too.
#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct STORAGE_REQUEST_BLOCK {
    pub Length: u16,
    pub Function: u8,
    pub SrbStatus: u8,
    pub ReservedUlong1: u32,
    pub Signature: u32,
    pub Version: u32,
    pub SrbLength: u32,
    pub SrbFunction: u32,
    pub SrbFlags: u32,
    pub ReservedUlong2: u32,
    pub RequestTag: u32,
    pub RequestPriority: u16,
    pub RequestAttribute: u16,
    pub TimeOutValue: u32,
    pub SystemStatus: u32,
    pub ZeroGuard1: u32,
    pub AddressOffset: u32,
    pub NumSrbExData: u32,
    pub DataTransferLength: u32,
    pub DataBuffer: PVOID,
    pub ZeroGuard2: PVOID,
    pub OriginalRequest: PVOID,
    pub ClassContext: PVOID,
    pub PortContext: PVOID,
    pub MiniportContext: PVOID,
    pub NextSrb: *mut STORAGE_REQUEST_BLOCK,
    pub SrbExDataOffset: [u32; 1],
}

pub type SRBEXDATATYPE = i32;
pub const SrbExDataTypeUnknown: SRBEXDATATYPE = 0;
pub const SrbExDataTypeBidirectional: SRBEXDATATYPE = 1;
pub const SrbExDataTypeScsiCdb16: SRBEXDATATYPE = 0x40;
pub const SrbExDataTypeScsiCdb32: SRBEXDATATYPE = 0x41;
pub const SrbExDataTypeScsiCdbVar: SRBEXDATATYPE = 0x42;
pub const SrbExDataTypeWmi: SRBEXDATATYPE = 0x60;
pub const SrbExDataTypePower: SRBEXDATATYPE = 0x61;
pub const SrbExDataTypePnP: SRBEXDATATYPE = 0x62;
pub const SrbExDataTypeIoInfo: SRBEXDATATYPE = 0x80;

/// The head of every data block; `Length` counts what follows it.
#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub Data: [u8; 1],
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_BIDIRECTIONAL {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub DataInTransferLength: u32,
    pub Reserved1: u32,
    pub DataInBuffer: PVOID,
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_SCSI_CDB16 {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub ScsiStatus: u8,
    pub SenseInfoBufferLength: u8,
    pub CdbLength: u8,
    pub Reserved: u8,
    pub Reserved1: u32,
    pub SenseInfoBuffer: PVOID,
    pub Cdb: [u8; 16],
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_SCSI_CDB32 {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub ScsiStatus: u8,
    pub SenseInfoBufferLength: u8,
    pub CdbLength: u8,
    pub Reserved: u8,
    pub Reserved1: u32,
    pub SenseInfoBuffer: PVOID,
    pub Cdb: [u8; 32],
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_SCSI_CDB_VAR {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub ScsiStatus: u8,
    pub SenseInfoBufferLength: u8,
    pub Reserved: [u8; 2],
    pub CdbLength: u32,
    pub Reserved1: [u32; 2],
    pub SenseInfoBuffer: PVOID,
    pub Cdb: [u8; 1],
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_WMI {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub WMISubFunction: u8,
    pub WMIFlags: u8,
    pub Reserved: [u8; 2],
    pub Reserved1: u32,
    pub DataPath: PVOID,
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_POWER {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub SrbPowerFlags: u8,
    pub Reserved: [u8; 3],
    pub DevicePowerState: STOR_DEVICE_POWER_STATE,
    pub PowerAction: STOR_POWER_ACTION,
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_PNP {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub PnPSubFunction: u8,
    pub Reserved: [u8; 3],
    pub PnPAction: STOR_PNP_ACTION,
    pub SrbPnPFlags: u32,
    pub Reserved1: u32,
}

#[repr(C)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
pub struct SRBEX_DATA_IO_INFO {
    pub Type: SRBEXDATATYPE,
    pub Length: u32,
    pub Flags: u32,
    pub Key: u32,
    pub RWLength: u32,
    pub IsWriteRequest: u8,
    pub CachePriority: u8,
    pub Reserved: [u8; 2],
    pub Reserved1: [u32; 2],
}
