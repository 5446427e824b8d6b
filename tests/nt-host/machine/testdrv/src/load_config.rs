//! IMAGE_LOAD_CONFIG_DIRECTORY64 as far as GuardFlags, which the linker finds by its name (winnt.h).

use core::arch::global_asm;

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".text",
    "testdrv_no_check: ret",
    "testdrv_no_dispatch: jmp rax"
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".text",
    "testdrv_no_check: ret",
    "testdrv_no_dispatch: br x15"
);

global_asm!(
    ".section .data,\"dw\"",
    ".p2align 3",
    ".globl __security_cookie",
    "__security_cookie: .quad 0x00002B992DDFA232",
    ".section .rdata,\"dr\"",
    ".p2align 3",
    ".globl __guard_check_icall_fptr",
    "__guard_check_icall_fptr: .quad testdrv_no_check",
    ".globl __guard_dispatch_icall_fptr",
    "__guard_dispatch_icall_fptr: .quad testdrv_no_dispatch",
    ".globl _load_config_used",
    "_load_config_used: .long 148",
    ".zero 84",
    ".quad __security_cookie",
    ".zero 16",
    ".quad __guard_check_icall_fptr",
    ".quad __guard_dispatch_icall_fptr",
    ".quad __guard_fids_table",
    ".quad __guard_fids_count",
    ".long __guard_flags",
    ".text",
);
