//! ARM64: crossing between Windows and Linux, which agree on everything but x18.

mod emulate;
mod frame;
pub mod guard;
pub mod stubs;

use std::arch::{asm, global_asm};
use std::mem::offset_of;

use crate::context::Context;
use crate::cpu::{self, MAX_ARGUMENTS};

pub use emulate::{emulate, emulate_privileged, finish_step, forget_code, hints};
pub use frame::{Frame, Signal, init};

/// IMAGE_FILE_HEADER.Machine of images that run here.
pub const MACHINE: u16 = object::pe::IMAGE_FILE_MACHINE_ARM64;
/// IMAGE_REL_BASED_* of a 64-bit address, the only one that occurs.
pub const RELOCATION: u16 = object::pe::IMAGE_REL_BASED_DIR64;
/// An instruction that traps: `udf #0`.
pub const UNDEFINED: [u8; 4] = [0; 4];
/// Bytes below the stack pointer that host code may use (AAPCS64: none).
pub const HOST_RED_ZONE: usize = 0;
/// Bytes below the stack pointer that driver code may use (Windows ARM64 ABI).
pub const DRIVER_RED_ZONE: usize = 16;

/// What [`cpu::import`] returns, in x0 and x1.
#[repr(C)]
pub struct Returned {
    value: u64,
    region: usize,
}

/// Makes it.
pub fn returned(value: u64, context: &Context) -> Returned {
    Returned {
        value,
        region: context.region.get(),
    }
}

#[expect(
    improper_ctypes,
    reason = "assembly reads the first fields only, whose order is fixed"
)]
unsafe extern "C" {
    /// Calls driver code on `context`'s driver stack, leaving its host stack pointer in it.
    #[link_name = "hm_enter"]
    pub fn enter(context: *const Context, address: usize, args: &[u64; MAX_ARGUMENTS]) -> u64;
    /// Calls [`cpu::dispatch`] on `context`'s host stack, leaving its driver stack pointer in it.
    #[link_name = "hm_on_host"]
    pub fn on_host(
        context: *const Context,
        id: u64,
        args: *const u64,
        return_address: usize,
    ) -> u64;
    /// Leaves the current stack pointer in `save` and goes on with the stack `to`.
    #[link_name = "hm_switch"]
    pub fn switch(save: *mut usize, to: usize);
}

// Both conventions preserve x19-x29 and d8-d15. x18 is the driver's processor region on Windows and any
// function's scratch register on Linux: it is loaded whenever driver code is entered.
global_asm!(
    ".globl hm_enter",
    ".type hm_enter, @function",
    "hm_enter:",
    "stp x29, x30, [sp, #-32]!",
    "str x19, [sp, #16]",
    "mov x19, x0",
    "mov x9, sp",
    "str x9, [x19, {host_sp}]",
    "ldr x9, [x19, {driver_sp}]",
    "sub sp, x9, #32",
    "mov x16, x1",
    "mov x17, x2",
    "ldp x0, x1, [x17, #64]",
    "stp x0, x1, [sp]",
    "ldp x0, x1, [x17, #80]",
    "stp x0, x1, [sp, #16]",
    "ldp x0, x1, [x17]",
    "ldp x2, x3, [x17, #16]",
    "ldp x4, x5, [x17, #32]",
    "ldp x6, x7, [x17, #48]",
    "ldr x18, [x19, {region}]",
    "mov x29, xzr",
    "blr x16",
    "ldr x9, [x19, {host_sp}]",
    "mov sp, x9",
    "ldr x19, [sp, #16]",
    "ldp x29, x30, [sp], #32",
    "ret",
    ".globl hm_on_host",
    ".type hm_on_host, @function",
    "hm_on_host:",
    "stp x29, x30, [sp, #-16]!",
    "mov x29, sp",
    "mov x9, sp",
    "str x9, [x0, {driver_sp}]",
    "ldr x9, [x0, {host_sp}]",
    "mov sp, x9",
    "mov x0, x1",
    "mov x1, x2",
    "mov x2, x3",
    "bl {dispatch}",
    "mov sp, x29",
    "ldp x29, x30, [sp], #16",
    "ret",
    ".globl hm_switch",
    ".type hm_switch, @function",
    "hm_switch:",
    "stp x29, x30, [sp, #-160]!",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    "mov x9, sp",
    "str x9, [x0]",
    "mov sp, x1",
    "ldp x19, x20, [sp, #16]",
    "ldp x21, x22, [sp, #32]",
    "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",
    "ldp x27, x28, [sp, #80]",
    "ldp d8, d9, [sp, #96]",
    "ldp d10, d11, [sp, #112]",
    "ldp d12, d13, [sp, #128]",
    "ldp d14, d15, [sp, #144]",
    "ldp x29, x30, [sp], #160",
    "ret",
    host_sp = const offset_of!(Context, host_sp),
    driver_sp = const offset_of!(Context, driver_sp),
    region = const offset_of!(Context, region),
    dispatch = sym cpu::dispatch,
);

/// A stack pointer for [`switch`] that calls `start` on a new stack.
///
/// # Safety
/// `top` is aligned to 16 and the 160 bytes below it are writable.
pub unsafe fn first_sp(top: usize, start: extern "C" fn() -> !) -> usize {
    let sp = top - 160;
    let mut words = [0; 20];
    words[1] = start as *const () as usize;
    // SAFETY: the caller promises the memory.
    unsafe { (sp as *mut [usize; 20]).write(words) };
    sp
}

/// Nothing: x18 is loaded on every entry, as host code uses it too.
pub fn load_region(_: usize) {}

/// Makes new code visible to the processor (Arm ARM B2.4.4: clean data, then invalidate instructions).
pub fn synchronise_code(at: usize, len: usize) {
    let ctr: usize;
    // SAFETY: Linux lets user code read this register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack)) };
    let lines = [4 << (ctr >> 16 & 0xf), 4 << (ctr & 0xf)];
    for line in (at & !(lines[0] - 1)..at + len).step_by(lines[0]) {
        // SAFETY: a mapped address.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: orders the cleaning before the invalidation; nothing weaker waits for cache maintenance.
    unsafe { asm!("dsb ish", options(nostack)) };
    for line in (at & !(lines[1] - 1)..at + len).step_by(lines[1]) {
        // SAFETY: a mapped address.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: completes the invalidation and drops instructions fetched before it.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}
