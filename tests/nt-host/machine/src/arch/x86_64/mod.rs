//! x64: crossing between the Windows and the System V calling convention.

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
pub const MACHINE: u16 = object::pe::IMAGE_FILE_MACHINE_AMD64;
/// IMAGE_REL_BASED_* of a 64-bit address, the only one that occurs.
pub const RELOCATION: u16 = object::pe::IMAGE_REL_BASED_DIR64;
/// An instruction that is as long as the hint of a waiting loop (`pause`) and traps: `ud2`.
pub const UNDEFINED: [u8; 2] = [0x0f, 0x0b];
/// Bytes below the stack pointer that host code may use (System V).
pub const HOST_RED_ZONE: usize = 128;
/// Bytes below the stack pointer that driver code may use (Windows x64: none).
pub const DRIVER_RED_ZONE: usize = 0;

/// What [`cpu::import`] returns.
pub type Returned = u64;

/// Makes it.
pub fn returned(value: u64, _: &Context) -> Returned {
    value
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

// Windows x64: rbx, rbp, rdi, rsi, r12-r15 and xmm6-xmm15 survive a call; System V: rbx, rbp, r12-r15. What the
// driver expects beyond the host's promise is saved by the compiler, in `import`, which has the Windows
// convention. What the host expects of the driver is less than the driver promises.
global_asm!(
    ".globl hm_enter",
    ".type hm_enter, @function",
    "hm_enter:",
    "push rbp",
    "push rbx",
    "sub rsp, 8",
    "cld",
    "mov rbx, rdi",
    "mov [rdi + {host_sp}], rsp",
    "mov rax, rsi",
    "mov r11, rdx",
    "mov rsp, [rdi + {driver_sp}]",
    "sub rsp, 96",
    "movups xmm0, [r11 + 32]",
    "movups [rsp + 32], xmm0",
    "movups xmm0, [r11 + 48]",
    "movups [rsp + 48], xmm0",
    "movups xmm0, [r11 + 64]",
    "movups [rsp + 64], xmm0",
    "movups xmm0, [r11 + 80]",
    "movups [rsp + 80], xmm0",
    "mov rcx, [r11]",
    "mov rdx, [r11 + 8]",
    "mov r8, [r11 + 16]",
    "mov r9, [r11 + 24]",
    "xor ebp, ebp",
    "call rax",
    "mov rsp, [rbx + {host_sp}]",
    "cld",
    "add rsp, 8",
    "pop rbx",
    "pop rbp",
    "ret",
    ".globl hm_on_host",
    ".type hm_on_host, @function",
    "hm_on_host:",
    "push rbp",
    "mov rbp, rsp",
    "mov [rdi + {driver_sp}], rsp",
    "mov rsp, [rdi + {host_sp}]",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "call {dispatch}",
    "mov rsp, rbp",
    "pop rbp",
    "ret",
    ".globl hm_switch",
    ".type hm_switch, @function",
    "hm_switch:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rdi], rsp",
    "mov rsp, rsi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    host_sp = const offset_of!(Context, host_sp),
    driver_sp = const offset_of!(Context, driver_sp),
    dispatch = sym cpu::dispatch,
);

/// A stack pointer for [`switch`] that calls `start` on a new stack.
///
/// # Safety
/// `top` is aligned to 16 and the 64 bytes below it are writable.
pub unsafe fn first_sp(top: usize, start: extern "C" fn() -> !) -> usize {
    // Six registers, the address that `ret` takes, and the return address that `start` never uses.
    let sp = top - 64;
    let words = [0, 0, 0, 0, 0, 0, start as *const () as usize, 0];
    // SAFETY: the caller promises the memory.
    unsafe { (sp as *mut [usize; 8]).write(words) };
    sp
}

/// Sets the base of `gs`, which the System V convention leaves alone.
pub fn load_region(address: usize) {
    const ARCH_SET_GS: i32 = 0x1001;
    // asm/hwcap2.h: HWCAP2_FSGSBASE, programs may use the instructions.
    const FSGSBASE: u64 = 1 << 1;
    // SAFETY: asks the C library only.
    if unsafe { libc::getauxval(libc::AT_HWCAP2) } & FSGSBASE != 0 {
        // SAFETY: changes a register that no host code uses, by an instruction that Linux has enabled.
        unsafe {
            asm!("wrgsbase {}", in(reg) address, options(nomem, nostack, preserves_flags));
        }
        return;
    }
    // SAFETY: changes a register that no host code uses.
    let failed = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, address) } != 0;
    assert!(!failed, "arch_prctl: {}", std::io::Error::last_os_error());
}

/// Makes new code visible to the processor, which needs nothing for it.
pub fn synchronise_code(_: usize, _: usize) {}
