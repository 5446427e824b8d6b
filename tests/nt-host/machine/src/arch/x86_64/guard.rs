//! Control flow guard: what stands behind the two pointers of an image's load configuration.

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

// Only r10 and r11 are free here: a call is under way. The target is in rax (dispatch) or rcx (check), the
// image's targets in r11. A refused call executes `ud2` with the target in rax and the stack as at the call.
global_asm!(
    ".macro HM_GUARD name, target",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    "mov r10, \\target",
    "sub r10, [r11 + {base}]",
    "cmp r10, [r11 + {size}]",
    "jae 2f",
    "mov r11, [r11 + {bits}]",
    "bt [r11], r10",
    "jnc 2f",
    ".ifc \\target,rax",
    "jmp rax",
    ".else",
    "ret",
    ".endif",
    "2:",
    "push rax",
    "push rcx",
    "push rdx",
    "push r8",
    "push r9",
    "sub rsp, 128",
    "movups [rsp + 32], xmm0",
    "movups [rsp + 48], xmm1",
    "movups [rsp + 64], xmm2",
    "movups [rsp + 80], xmm3",
    "movups [rsp + 96], xmm4",
    "movups [rsp + 112], xmm5",
    "mov rcx, \\target",
    "call {slow}",
    "mov r11, rax",
    "movups xmm0, [rsp + 32]",
    "movups xmm1, [rsp + 48]",
    "movups xmm2, [rsp + 64]",
    "movups xmm3, [rsp + 80]",
    "movups xmm4, [rsp + 96]",
    "movups xmm5, [rsp + 112]",
    "add rsp, 128",
    "pop r9",
    "pop r8",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "test r11, r11",
    ".ifc \\target,rax",
    "jz hm_guard_refused",
    "jmp rax",
    ".else",
    "jz 3f",
    "ret",
    "3:",
    "mov rax, rcx",
    "jmp hm_guard_refused",
    ".endif",
    ".endm",
    "HM_GUARD hm_guard_check, rcx",
    "HM_GUARD hm_guard_dispatch, rax",
    ".globl hm_guard_refused",
    ".type hm_guard_refused, @function",
    "hm_guard_refused:",
    "ud2",
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
        // mov r11, targets; mov r10, routine; jmp r10
        part[0..2].copy_from_slice(&[0x49, 0xbb]);
        part[2..10].copy_from_slice(&(targets as usize).to_le_bytes());
        part[10..12].copy_from_slice(&[0x49, 0xba]);
        part[12..20].copy_from_slice(&(routine as usize).to_le_bytes());
        part[20..23].copy_from_slice(&[0x41, 0xff, 0xe2]);
    }
    (0, CODE / 2)
}

/// Where a refused call faults.
pub fn refused() -> usize {
    hm_guard_refused as *const () as usize
}
