//! A panic stops the machine with a bug check that says where it happened.
//!
//! Only in a linked driver: the shipped code has no panicking path left, so this is what remains if that is wrong.

use core::panic::PanicInfo;
use nt_sys::ntoskrnl::{KeBugCheckEx, MANUALLY_INITIATED_CRASH1};

/// Bug check 0xDEADDEAD: 1 = address of the file name, 2 = its length in bytes, 3 = line, 4 = 0x57505631 ("WPV1").
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    const MARK: usize = 0x5750_5631;
    let (file, line) = match info.location() {
        Some(location) => (location.file(), location.line() as usize),
        None => ("", 0),
    };
    // SAFETY: legal at any IRQL, and it does not return.
    unsafe {
        KeBugCheckEx(
            MANUALLY_INITIATED_CRASH1,
            file.as_ptr() as usize,
            file.len(),
            line,
            MARK,
        )
    }
}
