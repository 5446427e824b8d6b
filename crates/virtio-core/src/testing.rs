//! What tests of several modules share.
#![expect(
    unsafe_code,
    reason = "lending memory is the caller's side of the contract"
)]

use core::ptr::NonNull;

use vm_memory::{GuestAddress, GuestMemory, GuestMemoryMmap};

use crate::mem::{DeviceAddress, DmaRegion};

/// A region of guest memory for the driver; the caller keeps the memory alive for longer than the region.
pub(crate) fn region(memory: &GuestMemoryMmap, address: u64, len: usize) -> DmaRegion {
    let slice = memory.get_slice(GuestAddress(address), len).unwrap();
    let base = NonNull::new(slice.ptr_guard_mut().as_ptr()).unwrap();
    // SAFETY: the mapping is readable and writable for `len` bytes, no reference into it exists, and its device side runs
    // on the same thread; the tests keep it mapped.
    unsafe { DmaRegion::new(base, DeviceAddress(address), len) }
}
