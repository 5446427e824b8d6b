//! What tests of several modules share.
#![expect(
    unsafe_code,
    reason = "lending memory is the caller's side of the contract"
)]

use core::cell::Cell;
use core::ptr::NonNull;

use vm_memory::{GuestAddress, GuestMemory, GuestMemoryMmap};

use crate::mem::{DeviceAddress, DmaRegion};
use crate::transport::{ConfigSpace, DeviceStopped, How, stop_bus_mastering};

/// A region of guest memory for the driver; the caller keeps the memory alive for longer than the region.
pub(crate) fn region(memory: &GuestMemoryMmap, address: u64, len: usize) -> DmaRegion {
    let slice = memory.get_slice(GuestAddress(address), len).unwrap();
    let base = NonNull::new(slice.ptr_guard_mut().as_ptr()).unwrap();
    // SAFETY: the mapping is readable and writable for `len` bytes, no reference into it exists, and its device side runs
    // on the same thread; the tests keep it mapped.
    unsafe { DmaRegion::new(base, DeviceAddress(address), len) }
}

/// A PCI function that obeys its command register.
struct Function(Cell<u16>);

impl ConfigSpace for Function {
    fn read16(&self, offset: u16) -> u16 {
        assert_eq!(offset, 4);
        self.0.get()
    }

    fn write16(&self, offset: u16, value: u16) {
        assert_eq!(offset, 4);
        self.0.set(value);
    }
}

/// A proof that some device has stopped.
pub(crate) fn stopped() -> DeviceStopped {
    let function = Function(Cell::new(0x0406));
    let proof = stop_bus_mastering(&function).unwrap();
    assert_eq!(proof.how(), How::BusMasterOff);
    assert_eq!(function.0.get(), 0x0402, "only the one bit is changed");
    proof
}
