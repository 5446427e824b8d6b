//! Entries of the system event log, and changes that a miniport announces.
//!
//! source: storport.h; since: Windows 7

use crate::types::{BOOLEAN, PVOID};

pub const STOR_CURRENT_LOG_INTERFACE_REVISION: u32 = 0x0100;

pub type STOR_EVENT_ASSOCIATION_ENUM = i32;
pub const StorEventAdapterAssociation: STOR_EVENT_ASSOCIATION_ENUM = 0;
pub const StorEventLunAssociation: STOR_EVENT_ASSOCIATION_ENUM = 1;
pub const StorEventTargetAssociation: STOR_EVENT_ASSOCIATION_ENUM = 2;

#[repr(C)]
pub struct STOR_LOG_EVENT_DETAILS {
    pub InterfaceRevision: u32,
    pub Size: u32,
    pub Flags: u32,
    pub EventAssociation: STOR_EVENT_ASSOCIATION_ENUM,
    pub PathId: u32,
    pub TargetId: u32,
    pub LunId: u32,
    pub StorportSpecificErrorCode: BOOLEAN,
    pub ErrorCode: u32,
    pub UniqueId: u32,
    pub DumpDataSize: u32,
    pub DumpData: PVOID,
    pub StringCount: u32,
    pub StringList: *mut *mut u16,
}

/// since: Windows Server 2003
pub const SP_INTERNAL_ADAPTER_ERROR: u32 = 0x0006;
/// since: Windows Server 2003
pub const SP_PROTOCOL_ERROR: u32 = 0x0005;
