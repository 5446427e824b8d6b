//! The load configuration directory: how Windows finds the driver's Control Flow Guard tables.
//!
//! Without it /GUARD:CF only sets a header bit and the kernel checks nothing. Layout: PE format, "The Load
//! Configuration Structure"; IMAGE_LOAD_CONFIG_DIRECTORY64 in winnt.h, 0x140 bytes in its newest form (the loader takes
//! what it knows of it). The linker supplies the `__guard_*` symbols and finds `_load_config_used` by its name.
//! It is assembly because `__guard_flags` is a number that only the linker knows, and Rust statics hold addresses.

use core::arch::global_asm;

// The functions behind the guard pointers until a kernel with Control Flow Guard puts its own there.
// x64 (dispatch): the target is in rax, and the guard jumps there.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".text",
    ".balign 16",
    "__winpv_guard_dispatch: jmp rax",
    ".balign 16",
    "__winpv_guard_check: ret",
);

// ARM64 (check): the target is in x15, and the guard returns to the caller, which then branches.
// ARM64 (dispatch): the target is in x9.
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".text",
    ".balign 16",
    "__winpv_guard_dispatch: br x9",
    ".balign 16",
    "__winpv_guard_check: ret",
);

// The pointers that calls go through, the cookie and the directory.
global_asm!(
    ".section .rdata,\"dr\"",
    ".balign 8",
    ".globl __guard_check_icall_fptr",
    "__guard_check_icall_fptr: .quad __winpv_guard_check",
    ".globl __guard_dispatch_icall_fptr",
    "__guard_dispatch_icall_fptr: .quad __winpv_guard_dispatch",
    // The loader replaces a cookie of this value (the linker's default on 64 bits) by a random one.
    ".data",
    ".balign 8",
    ".globl __security_cookie",
    "__security_cookie: .quad 0x00002B992DDFA232",
    ".section .rdata,\"dr\"",
    ".balign 8",
    ".globl _load_config_used",
    "_load_config_used:",
    ".long 0x140",                       // 0x00 Size
    ".zero 0x54",                        // 0x04 TimeDateStamp to EditList
    ".quad __security_cookie",           // 0x58 SecurityCookie
    ".zero 0x10",                        // 0x60 SEHandlerTable, SEHandlerCount (x86 only)
    ".quad __guard_check_icall_fptr",    // 0x70 GuardCFCheckFunctionPointer
    ".quad __guard_dispatch_icall_fptr", // 0x78 GuardCFDispatchFunctionPointer
    ".quad __guard_fids_table",          // 0x80 GuardCFFunctionTable
    ".quad __guard_fids_count",          // 0x88 GuardCFFunctionCount
    ".long __guard_flags",               // 0x90 GuardFlags
    ".zero 0x0C",                        // 0x94 CodeIntegrity
    ".quad __guard_iat_table",           // 0xA0 GuardAddressTakenIatEntryTable
    ".quad __guard_iat_count",           // 0xA8 GuardAddressTakenIatEntryCount
    ".quad __guard_longjmp_table",       // 0xB0 GuardLongJumpTargetTable
    ".quad __guard_longjmp_count",       // 0xB8 GuardLongJumpTargetCount
    ".zero 0x48",                        // 0xC0 DynamicValueRelocTable to VolatileMetadataPointer
    ".quad __guard_eh_cont_table",       // 0x108 GuardEHContinuationTable
    ".quad __guard_eh_cont_count",       // 0x110 GuardEHContinuationCount
    ".zero 0x28",                        // 0x118 XFG, CastGuard, GuardMemcpy: not used
    ".text",
);
