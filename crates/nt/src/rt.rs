//! Symbols that the linker expects in every .sys.

/// Says that floating point is used; the compiler refers to it, the kernel does not care.
#[unsafe(no_mangle)]
#[used]
pub static _fltused: i32 = 0;
