//! What the compiler and the loader expect where there is no C runtime.

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use super::import::{ExitProcess, GetProcessHeap, HeapAlloc, HeapFree};
use super::log;

// The same load configuration as the drivers': the file holds nothing of the kernel's.
#[path = "../../../../crates/nt/src/rt/load_config.rs"]
mod load_config;

/// Says that floating point is used; the compiler refers to it, Windows does not care.
#[unsafe(no_mangle)]
#[used]
pub static _fltused: i32 = 0;

/// The process's heap.
struct Heap;

/// What HeapAlloc guarantees on 64 bits (MEMORY_ALLOCATION_ALIGNMENT, winnt.h).
const ALIGNMENT: usize = 16;

// SAFETY: HeapAlloc returns memory that nobody else has, aligned to 16, or null; it stays until HeapFree.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return core::ptr::null_mut();
        }
        // SAFETY: returns a handle that lives as long as the process.
        let heap = unsafe { GetProcessHeap() };
        // SAFETY: the heap serializes its callers.
        unsafe { HeapAlloc(heap, 0, layout.size()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: as above.
        let heap = unsafe { GetProcessHeap() };
        // SAFETY: the caller got `memory` from `alloc` and gives it up.
        unsafe { HeapFree(heap, 0, memory) };
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

/// A bug of ours: the installation fails, and the MSI rolls it back.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    log::Log::open().line(format_args!("FAILED: {info}"));
    // SAFETY: nothing of ours continues.
    unsafe { ExitProcess(70) }
}
