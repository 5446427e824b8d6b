//! Instructions that only x64 has.

use core::arch::{asm, naked_asm};

use crate::HostClobber;

/// Fills every register that a callee must preserve, calls the host, and returns a bit for each that changed.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn preserved() -> u64 {
    naked_asm!(
        "push rbx", "push rbp", "push rdi", "push rsi", "push r12", "push r13", "push r14", "push r15",
        "sub rsp, 200",
        "movups [rsp + 32], xmm6", "movups [rsp + 48], xmm7", "movups [rsp + 64], xmm8", "movups [rsp + 80], xmm9",
        "movups [rsp + 96], xmm10", "movups [rsp + 112], xmm11", "movups [rsp + 128], xmm12",
        "movups [rsp + 144], xmm13", "movups [rsp + 160], xmm14", "movups [rsp + 176], xmm15",
        "mov rbx, 0x101", "mov rbp, 0x202", "mov rdi, 0x303", "mov rsi, 0x404",
        "mov r12, 0x505", "mov r13, 0x606", "mov r14, 0x707", "mov r15, 0x808",
        "movq xmm6, rbx", "movq xmm7, rbp", "movq xmm8, rdi", "movq xmm9, rsi", "movq xmm10, r12",
        "movq xmm11, r13", "movq xmm12, r14", "movq xmm13, r15", "movq xmm14, rbx", "movq xmm15, rbp",
        "call {host}",
        "xor eax, eax",
        "cmp rbx, 0x101", "setne al", "mov rcx, rax",
        "cmp rbp, 0x202", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "cmp rdi, 0x303", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "cmp rsi, 0x404", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "cmp r12, 0x505", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "cmp r13, 0x606", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "cmp r14, 0x707", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "cmp r15, 0x808", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm6", "cmp rdx, 0x101", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm7", "cmp rdx, 0x202", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm8", "cmp rdx, 0x303", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm9", "cmp rdx, 0x404", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm10", "cmp rdx, 0x505", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm11", "cmp rdx, 0x606", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm12", "cmp rdx, 0x707", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm13", "cmp rdx, 0x808", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm14", "cmp rdx, 0x101", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "movq rdx, xmm15", "cmp rdx, 0x202", "setne al", "lea rcx, [rcx * 2]", "or rcx, rax",
        "mov rax, rcx",
        "movups xmm6, [rsp + 32]", "movups xmm7, [rsp + 48]", "movups xmm8, [rsp + 64]", "movups xmm9, [rsp + 80]",
        "movups xmm10, [rsp + 96]", "movups xmm11, [rsp + 112]", "movups xmm12, [rsp + 128]",
        "movups xmm13, [rsp + 144]", "movups xmm14, [rsp + 160]", "movups xmm15, [rsp + 176]",
        "add rsp, 200",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rsi", "pop rdi", "pop rbp", "pop rbx",
        "ret",
        host = sym HostClobber,
    )
}

/// Accesses 4 KiB at `rcx` in every way that a compiler or a person may choose; the answer depends on all of them,
/// and on the registers and flags that an access must leave alone.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn access_all(memory: *mut u8) -> u64 {
    naked_asm!(
        "push rbx",
        "push rsi",
        "push rdi",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 64",
        "mov r12, rcx",
        "mov r15, 0x9e3779b97f4a7c15",
        // r15 = (rotate r15) ^ r14, for each value in r14.
        ".macro FOLD",
        "rol r15, 7",
        "xor r15, r14",
        "imul r15, r15, 0x1b3",
        ".endm",
        // Immediates and registers of each width.
        "mov byte ptr [r12], 0x81",
        "mov word ptr [r12 + 2], 0x8283",
        "mov dword ptr [r12 + 4], 0x84858687",
        "mov qword ptr [r12 + 8], -3",
        "mov rax, 0x1122334455667788",
        "mov [r12 + 16], rax",
        "mov [r12 + 24], eax",
        "mov [r12 + 28], ax",
        "mov [r12 + 30], al",
        "mov [rcx + 31], ah",
        "mov rbx, r15",
        "mov [rcx + 32], bh",
        "mov r8, r15",
        "mov [r12 + 33], r8b",
        "mov rsi, r15",
        "mov [r12 + 34], sil",
        // Loads of each width and extension.
        "mov r14, -1",
        "mov r14b, [r12]",
        "FOLD",
        "mov r14, -1",
        "mov r14w, [r12 + 2]",
        "FOLD",
        "mov r14, -1",
        "mov r14d, [r12 + 4]",
        "FOLD",
        "mov r14, [r12 + 8]",
        "FOLD",
        "mov rax, -1",
        "mov ah, [rcx + 3]",
        "mov r14, rax",
        "FOLD",
        "mov r14, -1",
        "movzx r14w, byte ptr [r12]",
        "FOLD",
        "mov r14, -1",
        "movzx r14d, byte ptr [r12]",
        "FOLD",
        "mov r14, -1",
        "movzx r14, word ptr [r12 + 2]",
        "FOLD",
        "mov r14, -1",
        "movsx r14w, byte ptr [r12]",
        "FOLD",
        "mov r14, -1",
        "movsx r14d, byte ptr [r12]",
        "FOLD",
        "movsx r14, byte ptr [r12]",
        "FOLD",
        "movsx r14d, word ptr [r12 + 2]",
        "FOLD",
        "movsx r14, word ptr [r12 + 2]",
        "FOLD",
        "movsxd r14, dword ptr [r12 + 4]",
        "FOLD",
        // Addressing: index, scale, displacement.
        "mov r13, 5",
        "mov r14, [r12 + r13 * 8 - 24]",
        "FOLD",
        // Flags set before an access survive it; an access can set them.
        "stc",
        "mov r14, [r12 + 8]",
        "adc r14, 0",
        "FOLD",
        "cmp dword ptr [r12 + 4], 0x84858687",
        "sete r14b",
        "FOLD",
        "test byte ptr [r12], 0x80",
        "setnz r14b",
        "FOLD",
        "mov eax, 5",
        "cmp [r12 + 24], eax",
        "seta r14b",
        "FOLD",
        // Read, modify, write.
        "add dword ptr [r12 + 4], 7",
        "or word ptr [r12 + 2], 0x10",
        "and byte ptr [r12], 0x7f",
        "inc qword ptr [r12 + 8]",
        "lock or dword ptr [r12 + 24], 0x40",
        "lock add qword ptr [r12 + 16], 3",
        "not byte ptr [r12 + 30]",
        "stc",
        "adc dword ptr [r12 + 36], 1",
        "mov r14, 77",
        "xchg r14, [r12 + 40]",
        "FOLD",
        "mov r14, 9",
        "lock xadd [r12 + 40], r14",
        "FOLD",
        "mov rax, 86",
        "mov r14, 99",
        "lock cmpxchg [r12 + 40], r14",
        "setz r14b",
        "FOLD",
        "bts dword ptr [r12 + 48], 5",
        "shl byte ptr [r12 + 48], 1",
        "xor eax, eax",
        "xor edx, edx",
        "mov ebx, 1",
        "mov ecx, 2",
        "lock cmpxchg16b [r12 + 64]",
        "setz r14b",
        "FOLD",
        // Blocks and vector registers.
        "movups xmm0, [r12]",
        "movups [r12 + 80], xmm0",
        "movaps xmm1, [r12 + 16]",
        "movdqa [r12 + 96], xmm1",
        "movq xmm2, [r12 + 8]",
        "movsd [r12 + 112], xmm2",
        "movd xmm3, [r12 + 4]",
        "movss [r12 + 120], xmm3",
        "pxor xmm0, [r12 + 96]",
        "movq r14, xmm0",
        "FOLD",
        "mov rsi, r12",
        "lea rdi, [r12 + 128]",
        "mov ecx, 40",
        "cld",
        "rep movsb",
        "lea rsi, [r12]",
        "lea rdi, [rsp]",
        "mov ecx, 8",
        "rep movsq",
        "mov r14, [rsp + 8]",
        "FOLD",
        "mov eax, 0x5a5aa5a5",
        "lea rdi, [r12 + 200]",
        "mov ecx, 6",
        "rep stosd",
        "push qword ptr [r12 + 8]",
        "pop r14",
        "FOLD",
        "push r15",
        "pop qword ptr [r12 + 232]",
        // A load across two pages' boundary is one for the caller; an unaligned one inside is not.
        "mov r14, [r12 + 3]",
        "FOLD",
        "mov rax, r15",
        ".purgem FOLD",
        "add rsp, 64",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rdi",
        "pop rsi",
        "pop rbx",
        "ret",
    )
}

unsafe extern "C" {
    static __guard_check_icall_fptr: usize;
}

/// Asks the check pointer about an address with known values in every register, and returns how many changed.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn check(target: u64) -> u64 {
    naked_asm!(
        "push rbx", "push rdi", "push rsi",
        "sub rsp, 48",
        "mov rbx, rcx", "mov rax, 1", "mov rdx, 2", "mov r8, 3", "mov r9, 4", "mov rdi, 5", "mov rsi, 6",
        "movq xmm0, rdx", "movq xmm1, r8", "movq xmm2, r9", "movq xmm3, rdi", "movq xmm4, rsi", "movq xmm5, rax",
        "call [rip + {check}]",
        "mov [rsp + 40], rax",
        "xor r10d, r10d",
        ".macro SAME register, value", "xor r11d, r11d", "cmp \\register, \\value", "setne r11b", "add r10, r11", ".endm",
        "SAME rcx, rbx", "SAME rdx, 2", "SAME r8, 3", "SAME r9, 4", "SAME rdi, 5", "SAME rsi, 6",
        "movq rax, xmm0", "SAME rax, 2", "movq rax, xmm1", "SAME rax, 3", "movq rax, xmm2", "SAME rax, 4",
        "movq rax, xmm3", "SAME rax, 5", "movq rax, xmm4", "SAME rax, 6", "movq rax, xmm5", "SAME rax, 1",
        "mov rax, [rsp + 40]", "SAME rax, 1",
        ".purgem SAME",
        "mov rax, r10",
        "add rsp, 48",
        "pop rsi", "pop rdi", "pop rbx",
        "ret",
        check = sym __guard_check_icall_fptr,
    )
}

/// The IRQL by its register: reads it, writes `value`, reads it again.
#[unsafe(no_mangle)]
pub extern "C" fn task_priority(value: u64) -> u64 {
    let (before, after): (u64, u64);
    // SAFETY: changes no memory.
    unsafe {
        asm!("mov {}, cr8", "mov cr8, {}", "mov {}, cr8", out(reg) before, in(reg) value, out(reg) after)
    };
    before << 8 | after
}

/// A word of the processor region.
#[unsafe(no_mangle)]
pub extern "C" fn region(offset: u64) -> u64 {
    let value;
    // SAFETY: the test sets the region.
    unsafe { asm!("mov {}, gs:[{}]", out(reg) value, in(reg) offset) };
    value
}

#[unsafe(no_mangle)]
pub extern "C" fn fail_fast(code: u32) {
    // SAFETY: does not return.
    unsafe { asm!("int 0x29", in("ecx") code, options(noreturn)) };
}

#[unsafe(no_mangle)]
pub extern "C" fn illegal() {
    // SAFETY: does not return.
    unsafe { asm!("ud2", options(noreturn)) };
}

#[unsafe(no_mangle)]
pub extern "C" fn privileged() {
    // SAFETY: faults.
    unsafe { asm!("wrmsr", in("ecx") 0, in("eax") 0, in("edx") 0) };
}

#[unsafe(no_mangle)]
pub extern "C" fn breakpoint() {
    // SAFETY: stops.
    unsafe { asm!("int3") };
}

#[unsafe(no_mangle)]
pub extern "C" fn divide(by: u32) -> u32 {
    let quotient;
    // SAFETY: faults if zero.
    unsafe {
        asm!("div {:e}", in(reg) by, inout("eax") 100_u32 => quotient, inout("edx") 0_u32 => _)
    };
    quotient
}

/// Calls an address without asking control flow guard.
#[unsafe(no_mangle)]
pub extern "C" fn jump_to(address: u64) {
    // SAFETY: or not: that is what is tested.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

/// Leaves the stack pointer where there is no stack, then faults.
#[unsafe(no_mangle)]
pub extern "C" fn lose_stack() {
    // SAFETY: does not return.
    unsafe { asm!("mov rsp, 0x1000", "push rax", options(noreturn)) };
}
