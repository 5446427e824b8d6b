//! One piece of code per import, so that the host learns which one was called.

use std::arch::global_asm;
use std::sync::OnceLock;

use crate::cpu::{self, MAX_IMPORTS};
use crate::sys;

/// Also the alignment that control flow guard prefers for call targets.
const STRIDE: usize = 16;

unsafe extern "C" {
    fn hm_import();
}

// The first four arguments go to the places that the Windows convention keeps for them, right below
// those on the stack.
global_asm!(
    ".globl hm_import",
    ".type hm_import, @function",
    "hm_import:",
    "mov [rsp + 8], rcx",
    "mov [rsp + 16], rdx",
    "mov [rsp + 24], r8",
    "mov [rsp + 32], r9",
    "mov ecx, eax",
    "lea rdx, [rsp + 8]",
    "mov r8, [rsp]",
    "sub rsp, 40",
    "call {import}",
    "add rsp, 40",
    "ret",
    import = sym cpu::import,
);

fn base() -> usize {
    static BASE: OnceLock<usize> = OnceLock::new();
    *BASE.get_or_init(|| {
        let count = MAX_IMPORTS as usize;
        // The last stub's place is that of the jump that all others share.
        let mut code = vec![0xcc_u8; (count + 1) * STRIDE];
        let shared = count * STRIDE;
        for (id, stub) in code.chunks_exact_mut(STRIDE).take(count).enumerate() {
            // mov eax, id; jmp shared
            stub[0] = 0xb8;
            stub[1..5].copy_from_slice(&(id as u32).to_le_bytes());
            stub[5] = 0xe9;
            let distance = shared - (id * STRIDE + 10);
            stub[6..10].copy_from_slice(&(distance as u32).to_le_bytes());
        }
        // jmp [rip + 0]; its target
        code[shared..shared + 6].copy_from_slice(&[0xff, 0x25, 0, 0, 0, 0]);
        code[shared + 6..shared + 14]
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
