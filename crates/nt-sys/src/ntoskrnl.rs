//! What drivers take from the kernel itself.
//!
//! source: wdm.h; since: Windows XP

use crate::types::{
    KIRQL, KSPIN_LOCK, PHYSICAL_ADDRESS, PROCESSOR_NUMBER, PVOID, SINGLE_LIST_ENTRY, ULONG_PTR,
};

pub const PASSIVE_LEVEL: KIRQL = 0;
pub const APC_LEVEL: KIRQL = 1;
pub const DISPATCH_LEVEL: KIRQL = 2;

/// since: Windows 7
pub const ALL_PROCESSOR_GROUPS: u16 = 0xFFFF;

/// The bug check that Windows reserves for a driver or application that asked for it. source: bugcodes.h
pub const MANUALLY_INITIATED_CRASH1: u32 = 0xDEAD_DEAD;

pub type KDEFERRED_ROUTINE = unsafe extern "system" fn(
    Dpc: *mut KDPC,
    DeferredContext: PVOID,
    SystemArgument1: PVOID,
    SystemArgument2: PVOID,
);

/// A deferred procedure call. StorPort embeds it in STOR_DPC; no driver of ours touches its members.
#[repr(C)]
pub struct KDPC {
    pub TargetInfoAsUlong: u32,
    pub DpcListEntry: SINGLE_LIST_ENTRY,
    pub ProcessorHistory: ULONG_PTR,
    pub DeferredRoutine: Option<KDEFERRED_ROUTINE>,
    pub DeferredContext: PVOID,
    pub SystemArgument1: PVOID,
    pub SystemArgument2: PVOID,
    pub DpcData: PVOID,
}

#[repr(C)]
pub struct KSPIN_LOCK_QUEUE {
    pub Next: *mut KSPIN_LOCK_QUEUE,
    pub Lock: *mut KSPIN_LOCK,
}

#[repr(C)]
pub struct KLOCK_QUEUE_HANDLE {
    pub LockQueue: KSPIN_LOCK_QUEUE,
    pub OldIrql: KIRQL,
}

#[cfg_attr(
    all(windows, not(target_arch = "x86")),
    link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")
)]
#[cfg_attr(
    all(windows, target_arch = "x86"),
    link(
        name = "ntoskrnl.exe",
        kind = "raw-dylib",
        modifiers = "+verbatim",
        import_name_type = "undecorated"
    )
)]
unsafe extern "system" {
    /// Any IRQL.
    pub fn KeBugCheckEx(
        BugCheckCode: u32,
        BugCheckParameter1: ULONG_PTR,
        BugCheckParameter2: ULONG_PTR,
        BugCheckParameter3: ULONG_PTR,
        BugCheckParameter4: ULONG_PTR,
    ) -> !;
    /// Any IRQL. since: Windows 7
    pub fn KeQueryActiveProcessorCountEx(GroupNumber: u16) -> u32;
    /// Any IRQL; the answer holds only while the thread cannot move (IRQL >= DISPATCH_LEVEL). since: Windows 7
    pub fn KeGetCurrentProcessorNumberEx(ProcNumber: *mut PROCESSOR_NUMBER) -> u32;
    /// Any IRQL. `BaseAddress` has to be valid.
    pub fn MmGetPhysicalAddress(BaseAddress: PVOID) -> PHYSICAL_ADDRESS;
}
