//! Functions that not every Windows has, or not every Wine.

use core::ffi::{CStr, c_void};
use core::ptr::null_mut;

use super::import::{GetProcAddress, LoadLibraryExW};
use super::text::wide;

/// A function of a library, from System32 and nowhere else.
pub fn function(library: &str, name: &CStr) -> Option<*const c_void> {
    const LOAD_LIBRARY_SEARCH_SYSTEM32: u32 = 0x800;
    let library = wide(library);
    // SAFETY: the name ends in zero. The library stays loaded until the process ends.
    let module =
        unsafe { LoadLibraryExW(library.as_ptr(), null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
    if module.is_null() {
        return None;
    }
    // SAFETY: the module is loaded and the name ends in zero.
    let function = unsafe { GetProcAddress(module, name.as_ptr().cast()) };
    (!function.is_null()).then_some(function)
}
