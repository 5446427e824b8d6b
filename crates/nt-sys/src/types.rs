//! Scalar types and the small structures that every part of the kernel ABI shares.
//!
//! source: ntdef.h; since: Windows XP

use core::ffi::c_void;

pub type PVOID = *mut c_void;
pub type BOOLEAN = u8;
pub type NTSTATUS = i32;
pub type KIRQL = u8;
pub type ULONG_PTR = usize;
/// A spin lock: 0 when free. source: wdm.h; since: Windows XP
pub type KSPIN_LOCK = usize;

pub const FALSE: BOOLEAN = 0;
pub const TRUE: BOOLEAN = 1;

pub const STATUS_SUCCESS: NTSTATUS = 0;
pub const STATUS_UNSUCCESSFUL: NTSTATUS = 0xC000_0001_u32 as NTSTATUS;
pub const STATUS_REVISION_MISMATCH: NTSTATUS = 0xC000_0059_u32 as NTSTATUS;

/// A 64-bit number. Returned and passed by value, so it must be an aggregate of eight bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LARGE_INTEGER {
    pub QuadPart: i64,
}

pub type PHYSICAL_ADDRESS = LARGE_INTEGER;

#[repr(C)]
pub struct SINGLE_LIST_ENTRY {
    pub Next: *mut SINGLE_LIST_ENTRY,
}

/// A set of processors within one group. source: wdm.h; since: Windows 7
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GROUP_AFFINITY {
    pub Mask: usize,
    pub Group: u16,
    pub Reserved: [u16; 3],
}

/// One processor. source: ntdef.h; since: Windows 7
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PROCESSOR_NUMBER {
    pub Group: u16,
    pub Number: u8,
    pub Reserved: u8,
}
