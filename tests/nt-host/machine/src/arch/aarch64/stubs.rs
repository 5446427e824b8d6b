//! One piece of code per import, so that the host learns which one was called.

use std::arch::global_asm;
use std::sync::OnceLock;

use crate::cpu::{self, MAX_IMPORTS};
use crate::sys;

const STRIDE: usize = 16;

unsafe extern "C" {
    fn hm_import();
}

// The eight arguments in registers go right below those on the stack.
global_asm!(
    ".globl hm_import",
    ".type hm_import, @function",
    "hm_import:",
    "stp x0, x1, [sp, #-64]!",
    "stp x2, x3, [sp, #16]",
    "stp x4, x5, [sp, #32]",
    "stp x6, x7, [sp, #48]",
    "mov x1, sp",
    "stp x29, x30, [sp, #-16]!",
    "mov x29, sp",
    "mov w0, w16",
    "mov x2, x30",
    "bl {import}",
    "mov x18, x1",
    "ldp x29, x30, [sp], #16",
    "add sp, sp, #64",
    "ret",
    import = sym cpu::import,
);

fn base() -> usize {
    static BASE: OnceLock<usize> = OnceLock::new();
    *BASE.get_or_init(|| {
        let count = MAX_IMPORTS as usize;
        // The last stub's place is that of the jump that all others share.
        let mut code = vec![0_u8; (count + 1) * STRIDE];
        let shared = count * STRIDE;
        let mut put = |at: usize, word: u32| code[at..at + 4].copy_from_slice(&word.to_le_bytes());
        for id in 0..count {
            // movz w16, #id; b shared
            put(id * STRIDE, 0x5280_0010 | (id as u32) << 5);
            let distance = (shared - (id * STRIDE + 4)) / 4;
            put(id * STRIDE + 4, 0x1400_0000 | distance as u32);
        }
        // ldr x17, [pc, #8]; br x17; its target
        put(shared, 0x5800_0051);
        put(shared + 4, 0xd61f_0220);
        code[shared + 8..shared + 16]
            .copy_from_slice(&(hm_import as *const () as usize).to_le_bytes());
        sys::map_code(&code)
    })
}

/// The stub of an import.
pub fn of(id: u32) -> usize {
    base() + id as usize * STRIDE
}

/// Whether the address is that of a stub.
pub fn is_stub(address: usize) -> bool {
    let offset = address.wrapping_sub(base());
    offset < MAX_IMPORTS as usize * STRIDE && offset.is_multiple_of(STRIDE)
}
