//! A driver that does one thing per export, each of which the loader's tests check.
//!
//! Its imports come from a library that does not exist, `host.sys`: the tests are its implementation.
#![no_std]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod load_config;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use core::hint::black_box;
use core::ptr::{read_volatile, write_volatile};

#[link(name = "host.sys", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn HostPrint(format: *const u8, ...) -> u32;
    #[rustfmt::skip]
    fn HostTen(
        a: u64,
        b: u32,
        c: u16,
        d: u8,
        e: u64,
        f: u32,
        g: u16,
        h: u8,
        i: i64,
        j: *const u8,
    ) -> u64;
    fn HostClobber() -> u64;
    fn HostCallBack(function: extern "C" fn(u64) -> u64, value: u64) -> u64;
    fn HostYield();
    fn HostPanic();
    static HostVariable: u32;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(no_mangle)]
static _fltused: i32 = 0;

/// In a section that is gone after it returned.
#[unsafe(no_mangle)]
#[unsafe(link_section = "INIT")]
pub extern "C" fn DriverEntry(object: *mut u64, registry: *const u16) -> u32 {
    // SAFETY: the test passes a place for the answer.
    unsafe { write_volatile(object, registry as u64) };
    0x1234
}

#[unsafe(no_mangle)]
#[rustfmt::skip]
pub extern "C" fn twelve(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64, i: u64, j: u64, k: u64, l: u64) -> u64 {
    [a, b, c, d, e, f, g, h, i, j, k, l].iter().fold(0_u64, |sum, value| sum.wrapping_mul(31).wrapping_add(*value))
}

#[unsafe(no_mangle)]
pub extern "C" fn print(value: u64) -> u32 {
    let text = c"text".as_ptr().cast::<u8>();
    // SAFETY: the format's arguments follow.
    unsafe {
        HostPrint(
            c"format".as_ptr().cast(),
            1_u32,
            -2_i64,
            text,
            value,
            5_u32,
            6_u64,
            7_u32,
        )
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn ten() -> u64 {
    let last = 10 as *const u8;
    // SAFETY: the host only looks at the values.
    unsafe { HostTen(1 << 40, 2, 3, 4, 5 << 40, 6, 7, 8, -9, last) }
}

#[unsafe(no_mangle)]
pub extern "C" fn variable() -> u32 {
    // SAFETY: bound to a variable of the test.
    unsafe { read_volatile(&raw const HostVariable) }
}

extern "C" fn rotate(x: u64) -> u64 {
    x.rotate_left(3)
}

extern "C" fn negate(x: u64) -> u64 {
    !x
}

extern "C" fn call_host_again(x: u64) -> u64 {
    if x == 0 {
        return 1;
    }
    // SAFETY: the host calls this function with that value.
    x + unsafe { HostCallBack(call_host_again, x - 1) }
}

/// Addresses that the loader must relocate, and calls that control flow guard must let through.
static TABLE: [extern "C" fn(u64) -> u64; 3] = [rotate, negate, call_host_again];

#[unsafe(no_mangle)]
pub extern "C" fn table(index: usize, value: u64) -> u64 {
    (black_box(&TABLE)[index % 3])(value)
}

#[unsafe(no_mangle)]
pub extern "C" fn call_pointer(function: extern "C" fn(u64) -> u64, value: u64) -> u64 {
    black_box(function)(value) + 1
}

type Twelve = extern "C" fn(u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64) -> u64;

/// An indirect call with arguments in every place.
#[unsafe(no_mangle)]
pub extern "C" fn call_twelve(function: Twelve) -> u64 {
    black_box(function)(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
}

/// An address inside a function, which is no call target.
#[unsafe(no_mangle)]
pub extern "C" fn inside() -> usize {
    rotate as *const () as usize + 1
}

#[unsafe(no_mangle)]
pub extern "C" fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX {
        0
    } else {
        overflow(depth + 1) + frame[(depth % 64) as usize]
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn use_stack(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == 0 {
        0
    } else {
        use_stack(depth - 1) + frame[(depth % 64) as usize]
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn read_from(address: *const u32) -> u32 {
    // SAFETY: or not: that is what is tested.
    unsafe { read_volatile(address) }
}

#[unsafe(no_mangle)]
pub extern "C" fn write_to(address: *mut u32, value: u32) {
    // SAFETY: or not: that is what is tested.
    unsafe { write_volatile(address, value) };
}

#[unsafe(no_mangle)]
pub extern "C" fn yield_n(times: u64) -> u64 {
    let mut sum = 0;
    for turn in 0..times {
        // SAFETY: no conditions.
        unsafe { HostYield() };
        sum += black_box(turn);
    }
    sum
}

#[unsafe(no_mangle)]
pub extern "C" fn clobber_n(times: u64) -> u64 {
    // SAFETY: no conditions.
    (0..times).map(|_| unsafe { HostClobber() }).sum()
}

#[unsafe(no_mangle)]
pub extern "C" fn spin() {
    loop {
        black_box(());
    }
}

/// Waits until a word has this value, or any larger one.
#[unsafe(no_mangle)]
pub extern "C" fn wait_for(word: *const u32, value: u32) -> u32 {
    loop {
        // SAFETY: the test passes a word of its own.
        let found = unsafe { read_volatile(word) };
        if found >= value {
            return found;
        }
        core::hint::spin_loop();
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn host_panic() {
    // SAFETY: no conditions.
    unsafe { HostPanic() };
}

#[unsafe(no_mangle)]
pub extern "C" fn poll(address: *const u32, times: u64) -> u64 {
    // SAFETY: the test passes a register.
    (0..times)
        .map(|_| u64::from(unsafe { read_volatile(address) }))
        .sum()
}

#[unsafe(no_mangle)]
pub extern "C" fn ring(address: *mut u16, times: u64) {
    for turn in 0..times {
        // SAFETY: the test passes a register.
        unsafe { write_volatile(address, turn as u16) };
    }
}

unsafe extern "C" {
    static __security_cookie: u64;
}

#[unsafe(no_mangle)]
pub extern "C" fn cookie() -> u64 {
    // SAFETY: defined in `load_config`.
    unsafe { read_volatile(&raw const __security_cookie) }
}
