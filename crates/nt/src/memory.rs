//! Memory as the processors see it.

use core::ptr::NonNull;
use nt_sys::ntoskrnl::MmGetPhysicalAddress;

/// The physical address of a byte of resident memory, by which no device may be told to find it: only the platform's DMA interface
/// knows that address. Any IRQL.
///
/// # Safety
/// The byte is in memory that stays resident during the call (MS: nf-ntddk-mmgetphysicaladdress).
#[must_use]
pub unsafe fn physical_address(va: NonNull<u8>) -> u64 {
    // SAFETY: the caller's promise.
    let found = unsafe { MmGetPhysicalAddress(va.as_ptr().cast()) };
    found.QuadPart.cast_unsigned()
}
