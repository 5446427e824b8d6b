//! What the running miniport and the one in the dump stack exchange with StorPort.
//!
//! source: storport.h; since: Windows 8

use super::{ACCESS_RANGE, INTERFACE_TYPE, STORPORT_FUNCTION_CODE};
use crate::types::{BOOLEAN, PVOID};

/// `FeatureSupport`: the miniport answers SRB_FUNCTION_DUMP_POINTERS.
pub const STOR_FEATURE_DUMP_POINTERS: u32 = 0x8;
/// `FeatureSupport`: the miniport in the dump stack works after a resume from hibernation.
pub const STOR_FEATURE_DUMP_RESUME_CAPABLE: u32 = 0x20;

/// `DumpMode`: the miniport only says which memory it would need.
pub const DUMP_MODE_MARK_MEMORY: u8 = 3;

pub const ExtFunctionMarkDumpMemory: STORPORT_FUNCTION_CODE = 45;

pub const DUMP_MINIPORT_VERSION_1: u16 = 0x0100;
pub const DUMP_MINIPORT_NAME_LENGTH: usize = 15;

/// The answer to SRB_FUNCTION_DUMP_POINTERS.
#[repr(C)]
pub struct MINIPORT_DUMP_POINTERS {
    pub Version: u16,
    pub Size: u16,
    pub DriverName: [u16; DUMP_MINIPORT_NAME_LENGTH],
    /// struct _ADAPTER_OBJECT *
    pub AdapterObject: PVOID,
    pub MappedRegisterBase: PVOID,
    pub CommonBufferSize: u32,
    pub MiniportPrivateDumpData: PVOID,
    pub SystemIoBusNumber: u32,
    pub AdapterInterfaceType: INTERFACE_TYPE,
    pub MaximumTransferLength: u32,
    pub NumberOfPhysicalBreaks: u32,
    pub AlignmentMask: u32,
    pub NumberOfAccessRanges: u32,
    /// An array of NumberOfAccessRanges elements.
    pub AccessRanges: *mut ACCESS_RANGE,
    pub NumberOfBuses: u8,
    pub Master: BOOLEAN,
    pub MapBuffers: BOOLEAN,
    pub MaximumNumberOfTargets: u8,
}
