//! Processors of this machine.

use nt_sys::ntoskrnl::{
    ALL_PROCESSOR_GROUPS, KeGetCurrentProcessorNumberEx, KeQueryActiveProcessorCountEx,
};

/// Processors that are running now, over all groups; at least 1. Any IRQL.
#[must_use]
pub fn active_count() -> u32 {
    // SAFETY: takes a number and touches no memory of ours.
    unsafe { KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS) }.max(1)
}

/// System-wide index of the processor that runs this. Any IRQL; below DISPATCH_LEVEL it may be stale on return.
#[must_use]
pub fn current_index() -> u32 {
    // SAFETY: the argument is optional (MS: nf-wdm-kegetcurrentprocessornumberex) and NULL means "index only".
    unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) }
}
