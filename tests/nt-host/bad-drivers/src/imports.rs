//! The imports that the cases need beyond those of the drivers, and StorPort's polymorphic calls with their arguments spelt out.

use core::ffi::c_void;

use nt_sys::storport::{
    EnablePassiveInitialization, InitializeDpc, IssueDpc, RequestComplete, SCSI_REQUEST_BLOCK,
    STOR_DPC, StorPortExtendedFunction, StorPortNotification,
};

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    /// MS: nf-wdm-mmgetphysicaladdress.
    pub safe fn MmGetPhysicalAddress(address: *mut c_void) -> u64;
    /// The function behind KeRaiseIrql on x64.
    pub safe fn KfRaiseIrql(level: u8) -> u8;
    /// No kernel has it.
    #[cfg(feature = "unknown-export-called")]
    pub safe fn WinPvNoSuchFunction();
}

#[link(name = "storport.sys", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    /// MS: nf-storport-storportfreedevicebase.
    pub fn StorPortFreeDeviceBase(extension: *mut c_void, address: *mut c_void);
    /// MS: nf-storport-storportquerysystemtime.
    pub fn StorPortQuerySystemTime(time: *mut nt_sys::types::LARGE_INTEGER);
}

/// StorPortMarkDumpMemory.
pub fn mark(extension: *mut c_void, at: *mut c_void, bytes: usize) {
    let none = 0_u32;
    // SAFETY: MarkDumpMemory takes an address, a length and flags.
    unsafe { StorPortExtendedFunction(code::MARK_DUMP_MEMORY, extension, at, bytes, none) };
}

/// Enables the passive initialisation.
pub fn enable_passive(
    extension: *mut c_void,
    routine: unsafe extern "system" fn(*mut c_void) -> u8,
) {
    let mut fine = 0_i32;
    // SAFETY: EnablePassiveInitialization takes a routine and the address of a LONG.
    unsafe { StorPortNotification(EnablePassiveInitialization, extension, routine, &mut fine) };
}

/// Initialises a DPC object.
pub fn initialize_dpc(
    extension: *mut c_void,
    dpc: *mut STOR_DPC,
    routine: nt_sys::storport::HW_DPC_ROUTINE,
) {
    // SAFETY: InitializeDpc takes a DPC object and its routine.
    unsafe { StorPortNotification(InitializeDpc, extension, dpc, routine) };
}

/// Queues a DPC.
pub fn issue_dpc(extension: *mut c_void, dpc: *mut STOR_DPC) {
    let mut queued = 0_i32;
    let none = core::ptr::null_mut::<c_void>();
    // SAFETY: IssueDpc takes a DPC object, two arguments and the address of a LONG.
    unsafe { StorPortNotification(IssueDpc, extension, dpc, none, none, &mut queued) };
}

/// Completes a request.
pub fn complete(extension: *mut c_void, srb: *mut SCSI_REQUEST_BLOCK) {
    // SAFETY: RequestComplete takes a request; that it may be the wrong one is what some cases are about.
    unsafe { StorPortNotification(RequestComplete, extension, srb) };
}

/// A lock handle, STOR_LOCK_HANDLE.
pub type Handle = nt_sys::storport::STOR_LOCK_HANDLE;

/// StorPortAcquireSpinLock.
pub fn acquire(extension: *mut c_void, kind: u32, context: *mut c_void, handle: &mut Handle) {
    // SAFETY: AcquireSpinLock takes the kind, a DPC object or NULL, and a handle.
    unsafe {
        StorPortNotification(
            nt_sys::storport::AcquireSpinLock,
            extension,
            kind,
            context,
            handle,
        )
    };
}

/// StorPortReleaseSpinLock.
pub fn release(extension: *mut c_void, handle: &mut Handle) {
    // SAFETY: ReleaseSpinLock takes a handle.
    unsafe { StorPortNotification(nt_sys::storport::ReleaseSpinLock, extension, handle) };
}

/// Codes of StorPortExtendedFunction, storport.h.
pub mod code {
    pub const ALLOCATE_POOL: i32 = 0;
    pub const FREE_POOL: i32 = 1;
    pub const LOG_SYSTEM_EVENT: i32 = 16;
    pub const ALLOCATE_CONTIGUOUS: i32 = 24;
    pub const INITIALIZE_WORKER: i32 = 29;
    pub const INITIALIZE_TIMER: i32 = 32;
    pub const MARK_DUMP_MEMORY: i32 = 45;
}

/// A function with one pointer-sized argument.
pub fn extended(extension: *mut c_void, code: i32, argument: *mut c_void) -> u32 {
    // SAFETY: the codes used here take one address.
    unsafe { StorPortExtendedFunction(code, extension, argument) }
}

/// StorPortAllocatePool; NULL when there is none.
pub fn allocate(extension: *mut c_void, bytes: u32) -> *mut u8 {
    let mut at = core::ptr::null_mut::<u8>();
    let tag = u32::from_le_bytes(*b"BadD");
    // SAFETY: AllocatePool takes a length, a tag and the address of a pointer.
    unsafe { StorPortExtendedFunction(code::ALLOCATE_POOL, extension, bytes, tag, &mut at) };
    at
}

/// StorPortFreePool.
pub fn free(extension: *mut c_void, at: *mut u8) {
    extended(extension, code::FREE_POOL, at.cast());
}
