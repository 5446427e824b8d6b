//! Symbols that the linker and the loader expect in every .sys.
//!
//! There is no `__chkstk` here on purpose: a function whose stack frame exceeds a page then fails to link.

/// Says that floating point is used; the compiler refers to it, the kernel does not care.
#[unsafe(no_mangle)]
#[used]
pub static _fltused: i32 = 0;

#[cfg(not(target_arch = "x86"))]
mod load_config;
