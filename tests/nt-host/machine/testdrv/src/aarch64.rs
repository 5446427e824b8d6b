//! Instructions that only ARM64 has.

use core::arch::{asm, naked_asm};

use crate::HostClobber;

/// Fills every register that a callee must preserve, calls the host, and returns how many changed.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn preserved() -> u64 {
    naked_asm!(
        "stp x29, x30, [sp, #-176]!",
        "stp x19, x20, [sp, #16]", "stp x21, x22, [sp, #32]", "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]", "stp x27, x28, [sp, #80]", "stp d8, d9, [sp, #96]", "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]", "stp d14, d15, [sp, #144]", "str x18, [sp, #160]",
        "mov x19, #19", "mov x20, #20", "mov x21, #21", "mov x22, #22", "mov x23, #23", "mov x24, #24",
        "mov x25, #25", "mov x26, #26", "mov x27, #27", "mov x28, #28", "mov x29, #29",
        "fmov d8, x19", "fmov d9, x20", "fmov d10, x21", "fmov d11, x22", "fmov d12, x23", "fmov d13, x24",
        "fmov d14, x25", "fmov d15, x26",
        "bl {host}",
        "mov x0, #0",
        ".macro CHECK register, value", "cmp \\register, \\value", "cinc x0, x0, ne", ".endm",
        "CHECK x19, #19", "CHECK x20, #20", "CHECK x21, #21", "CHECK x22, #22", "CHECK x23, #23", "CHECK x24, #24",
        "CHECK x25, #25", "CHECK x26, #26", "CHECK x27, #27", "CHECK x28, #28", "CHECK x29, #29",
        "fmov x1, d8", "CHECK x1, #19", "fmov x1, d9", "CHECK x1, #20", "fmov x1, d10", "CHECK x1, #21",
        "fmov x1, d11", "CHECK x1, #22", "fmov x1, d12", "CHECK x1, #23", "fmov x1, d13", "CHECK x1, #24",
        "fmov x1, d14", "CHECK x1, #25", "fmov x1, d15", "CHECK x1, #26",
        "ldr x1, [sp, #160]", "CHECK x18, x1",
        ".purgem CHECK",
        "ldp x19, x20, [sp, #16]", "ldp x21, x22, [sp, #32]", "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]", "ldp x27, x28, [sp, #80]", "ldp d8, d9, [sp, #96]", "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]", "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #176",
        "ret",
        host = sym HostClobber,
    )
}

/// Accesses 4 KiB at `x0` in every way that a compiler may choose; the answer depends on all of them, and on
/// the registers and flags that an access must leave alone, those below the stack pointer included.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn access_all(memory: *mut u8) -> u64 {
    naked_asm!(
        "stp x19, x20, [sp, #-32]!",
        "stp x21, x22, [sp, #16]",
        "mov x19, x0",
        "mov x20, #0x7c15",
        "movk x20, #0x9e37, lsl #48",
        "movk x20, #0x79b9, lsl #16",
        // x20 = (rotate x20) ^ x21.
        ".macro FOLD",
        "eor x20, x21, x20, ror #7",
        "add x20, x20, x20, lsl #3",
        ".endm",
        // Stores of each width and addressing.
        "mov w1, #0x81",
        "strb w1, [x19]",
        "mov w1, #0x8283",
        "strh w1, [x19, #2]",
        "movk w1, #0x8485, lsl #16",
        "str w1, [x19, #4]",
        "mvn x1, x20",
        "str x1, [x19, #8]",
        "str xzr, [x19, #256]",
        "stur x20, [x19, #17]",
        "stur w20, [x19, #29]",
        "mov x2, #5",
        "str x20, [x19, x2, lsl #3]",
        "mov w2, #-8",
        "add x3, x19, #64",
        "str x1, [x3, w2, sxtw]",
        "mov x3, x19",
        "str x20, [x3, #72]!",
        "str w1, [x3], #8",
        "sub x21, x3, x19",
        "FOLD",
        "stp x1, x20, [x19, #96]",
        "stp w20, w1, [x19, #112]",
        "mov x3, x19",
        "stp x20, xzr, [x3, #128]!",
        "sub x21, x3, x19",
        "FOLD",
        "stlr x20, [x19]",
        "add x3, x19, #148",
        "stlr w1, [x3]",
        "stlrb w20, [x3]",
        "add x3, x3, #2",
        "stlrh w20, [x3]",
        // Loads of each width and extension.
        "mov x21, #-1",
        "ldrb w21, [x19]",
        "FOLD",
        "mov x21, #-1",
        "ldrh w21, [x19, #2]",
        "FOLD",
        "mov x21, #-1",
        "ldr w21, [x19, #4]",
        "FOLD",
        "ldr x21, [x19, #8]",
        "FOLD",
        "ldrsb w21, [x19, #3]",
        "FOLD",
        "ldrsb x21, [x19, #3]",
        "FOLD",
        "ldrsh w21, [x19, #4]",
        "FOLD",
        "ldrsh x21, [x19, #4]",
        "FOLD",
        "ldrsw x21, [x19, #8]",
        "FOLD",
        "ldur x21, [x19, #13]",
        "FOLD",
        "ldursw x21, [x19, #29]",
        "FOLD",
        "ldr wzr, [x19]",
        "mov x2, #3",
        "ldr x21, [x19, x2, lsl #3]",
        "FOLD",
        "ldrh w21, [x19, x2, lsl #1]",
        "FOLD",
        "ldrsb x21, [x19, x2]",
        "FOLD",
        "add x3, x19, #40",
        "ldr x21, [x3], #-8",
        "FOLD",
        "ldr w21, [x3, #4]!",
        "FOLD",
        "sub x21, x3, x19",
        "FOLD",
        "ldp x21, x4, [x19, #96]",
        "FOLD",
        "eor x21, x21, x4",
        "FOLD",
        "ldp w21, w4, [x19, #112]",
        "FOLD",
        "ldpsw x21, x4, [x19, #112]",
        "FOLD",
        "eor x21, x4, x21",
        "FOLD",
        "ldnp x21, x4, [x19, #32]",
        "FOLD",
        "ldar x21, [x19]",
        "FOLD",
        "add x3, x19, #148",
        "ldar w21, [x3]",
        "FOLD",
        "ldarb w21, [x3]",
        "FOLD",
        "ldarh w21, [x3]",
        "FOLD",
        // Vector registers.
        "ldr q0, [x19, #16]",
        "str q0, [x19, #160]",
        "ldr d1, [x19, #8]",
        "str d1, [x19, #176]",
        "ldr s2, [x19, #4]",
        "str s2, [x19, #184]",
        "ldr b3, [x19, #1]",
        "str b3, [x19, #189]",
        "ldr h4, [x19, #2]",
        "str h4, [x19, #190]",
        "ldp q0, q1, [x19, #32]",
        "stp q1, q0, [x19, #192]",
        "ldp d5, d6, [x19, #96]",
        "stp d6, d5, [x19, #224]",
        "fmov x21, d6",
        "FOLD",
        // Flags and the red zone survive an access.
        "str x20, [sp, #-8]",
        "cmp x19, x19",
        "ldr x4, [x19, #8]",
        "cset x21, eq",
        "FOLD",
        "ldr x21, [sp, #-8]",
        "FOLD",
        "mov x0, x20",
        ".purgem FOLD",
        "ldp x21, x22, [sp, #16]",
        "ldp x19, x20, [sp], #32",
        "ret",
    )
}

/// A word of the processor region.
#[unsafe(no_mangle)]
pub extern "C" fn region(offset: u64) -> u64 {
    let value;
    // SAFETY: the test sets the region.
    unsafe { asm!("ldr {}, [x18, {}]", out(reg) value, in(reg) offset) };
    value
}

#[unsafe(no_mangle)]
pub extern "C" fn fail_fast(code: u32) {
    // SAFETY: does not return.
    unsafe { asm!("brk #0xf003", in("w0") code, options(noreturn)) };
}

#[unsafe(no_mangle)]
pub extern "C" fn illegal() {
    // SAFETY: does not return.
    unsafe { asm!("udf #0", options(noreturn)) };
}

#[unsafe(no_mangle)]
pub extern "C" fn privileged() {
    // SAFETY: faults.
    unsafe { asm!("msr vbar_el1, xzr") };
}

#[unsafe(no_mangle)]
pub extern "C" fn breakpoint() {
    // SAFETY: stops.
    unsafe { asm!("brk #0xf000") };
}

/// Calls an address without asking control flow guard.
#[unsafe(no_mangle)]
pub extern "C" fn jump_to(address: u64) {
    // SAFETY: or not: that is what is tested.
    unsafe { asm!("blr {}", in(reg) address, clobber_abi("C")) };
}

/// Leaves the stack pointer where there is no stack, then faults.
#[unsafe(no_mangle)]
pub extern "C" fn lose_stack() {
    // SAFETY: does not return.
    unsafe {
        asm!(
            "mov x0, #0x1000",
            "mov sp, x0",
            "str x0, [sp, #-8]!",
            options(noreturn)
        )
    };
}
