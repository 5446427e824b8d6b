//! Calls between the driver and the host.

use crate::fault::Fault;

/// Most arguments that [`call`] passes.
pub const MAX_ARGUMENTS: usize = 12;

/// Import ids that [`crate::image::Binding::Function`] may carry: `0..MAX_IMPORTS`.
pub const MAX_IMPORTS: u32 = 16384;

/// Receives every call of an imported function: its id, its arguments as 8-byte slots (those that came
/// in registers first, then those on the stack, so that variable argument lists look like any other)
/// and the address that it returns to. Floating-point arguments are not passed on: no kernel interface
/// has any.
pub type Dispatch = fn(id: u32, args: *const u64, return_address: usize) -> u64;

/// Sets this thread's receiver of import calls. It runs on a host stack of its own, not on the driver's.
pub fn set_dispatch(f: Dispatch) {
    let _ = f;
}

/// Sets this thread's receiver of faults. It runs outside the signal handler on a stack of its own; it ends
/// the process or leaves with [`crate::fiber::abandon`].
pub fn set_fault(f: fn(&Fault) -> !) {
    let _ = f;
}

/// Sets the function called after each trapped device access of driver code: the place to pre-empt it.
pub fn set_after_mmio(f: fn()) {
    let _ = f;
}

/// Sets who answers a driver that reads or writes the task priority register (x64 `cr8`), which holds its IRQL.
pub fn set_irql_register(read: fn() -> u8, write: fn(u8)) {
    let _ = (read, write);
}

/// Sets what the driver finds in `gs` (x64) or `x18` (ARM64): its processor control region.
/// It belongs to the current fiber.
pub fn set_processor_region(address: usize) {
    let _ = address;
}

/// Calls driver code on the current fiber's driver stack.
///
/// # Panics
/// With more than [`MAX_ARGUMENTS`] arguments.
pub fn call(address: usize, args: &[u64]) -> u64 {
    assert!(args.len() <= MAX_ARGUMENTS);
    let _ = address;
    unimplemented!()
}

/// The code that a driver must call to reach import `id`.
pub fn import_stub(id: u32) -> usize {
    let _ = id;
    unimplemented!()
}
