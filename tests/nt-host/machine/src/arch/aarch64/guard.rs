//! Control flow guard: what stands behind the check pointer of an image's load configuration.

use std::arch::global_asm;
use std::mem::offset_of;

use crate::image::guard::{Targets, slow_check};

/// Bytes of code per image.
pub const CODE: usize = 64;

unsafe extern "C" {
    fn hm_guard_check();
    fn hm_guard_dispatch();
    fn hm_guard_refused();
}

// A call is under way with its target in x15, and the image's targets in x16. Everything but x16, x17 and
// the flags is left as it is. The dispatch form, which compilers for ARM64 do not use, then jumps there.
// A refused call executes `udf` with the stack and x30 as at the call.
global_asm!(
    ".macro HM_GUARD name, last:vararg",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    "stp x9, x10, [sp, #-16]!",
    "ldr x10, [x16, {base}]",
    "sub x9, x15, x10",
    "ldr x10, [x16, {size}]",
    "cmp x9, x10",
    "b.hs 2f",
    "ldr x10, [x16, {bits}]",
    "lsr x17, x9, #3",
    "ldrb w10, [x10, x17]",
    "and w9, w9, #7",
    "lsr w10, w10, w9",
    "tbz w10, #0, 2f",
    "ldp x9, x10, [sp], #16",
    "\\last",
    "2:",
    "stp x0, x1, [sp, #-288]!",
    "stp x2, x3, [sp, #16]",
    "stp x4, x5, [sp, #32]",
    "stp x6, x7, [sp, #48]",
    "stp x8, x11, [sp, #64]",
    "stp x12, x13, [sp, #80]",
    "stp x14, x15, [sp, #96]",
    "stp x18, x30, [sp, #112]",
    "stp x29, xzr, [sp, #128]",
    "stp q0, q1, [sp, #160]",
    "stp q2, q3, [sp, #192]",
    "stp q4, q5, [sp, #224]",
    "stp q6, q7, [sp, #256]",
    "mov x0, x15",
    "bl {slow}",
    "mov x17, x0",
    "ldp q0, q1, [sp, #160]",
    "ldp q2, q3, [sp, #192]",
    "ldp q4, q5, [sp, #224]",
    "ldp q6, q7, [sp, #256]",
    "ldp x29, xzr, [sp, #128]",
    "ldp x18, x30, [sp, #112]",
    "ldp x14, x15, [sp, #96]",
    "ldp x12, x13, [sp, #80]",
    "ldp x8, x11, [sp, #64]",
    "ldp x6, x7, [sp, #48]",
    "ldp x4, x5, [sp, #32]",
    "ldp x2, x3, [sp, #16]",
    "ldp x0, x1, [sp], #288",
    "ldp x9, x10, [sp], #16",
    "cbz x17, hm_guard_refused",
    "\\last",
    ".endm",
    "HM_GUARD hm_guard_check, ret",
    "HM_GUARD hm_guard_dispatch, br x15",
    ".globl hm_guard_refused",
    ".type hm_guard_refused, @function",
    "hm_guard_refused:",
    "udf #0",
    ".purgem HM_GUARD",
    base = const offset_of!(Targets, base),
    size = const offset_of!(Targets, size),
    bits = const offset_of!(Targets, bits),
    slow = sym slow_check,
);

/// Writes an image's routines; returns the offsets of (check, dispatch).
pub fn write(code: &mut [u8; CODE], targets: *const Targets) -> (usize, usize) {
    let routines = [hm_guard_check as *const (), hm_guard_dispatch as *const ()];
    for (routine, part) in routines.into_iter().zip(code.chunks_exact_mut(CODE / 2)) {
        // ldr x16, targets; ldr x17, routine; br x17
        let words: [u32; 4] = [0x5800_0090, 0x5800_00b1, 0xd61f_0220, 0];
        for (word, place) in words.iter().zip(part.chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        part[16..24].copy_from_slice(&(targets as usize).to_le_bytes());
        part[24..32].copy_from_slice(&(routine as usize).to_le_bytes());
    }
    (0, CODE / 2)
}

/// Where a refused call faults.
pub fn refused() -> usize {
    hm_guard_refused as *const () as usize
}
