//! The registers of trapped code, and the way back to it.

use std::arch::global_asm;
use std::mem::offset_of;

use iced_x86::{Code, Instruction, Mnemonic};

use super::emulate::{decode, memory_operands};
use super::guard;
use crate::fault::FaultKind;
use crate::{sys, trap};

/// The single-step flag.
pub const TF: u64 = 1 << 8;
/// The direction flag, which host code expects clear.
const DF: u64 = 1 << 10;
/// Breakpoint: `int3` was executed.
const BREAKPOINT: u64 = 3;
/// Page fault, and the bits of its error code.
const PAGE_FAULT: u64 = 14;
const ERROR_WRITE: u64 = 1 << 1;
const ERROR_EXECUTE: u64 = 1 << 4;
/// General protection: a privileged instruction or an address that cannot exist.
const PROTECTION: u64 = 13;

/// x87, SSE, AVX and AVX-512 state.
const XSAVE_MASK: u32 = 0xe7;
/// Its size in the standard format (Intel SDM vol. 1 §13.4: the last AVX-512 part ends at 2688).
const XSAVE_SIZE: usize = 2688;

/// Registers of trapped code. Assembly reads it: the order is fixed up to `ss`.
#[repr(C)]
pub struct Frame {
    /// In the order of instruction encodings; that of rsp is not used.
    gpr: [u64; 16],
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
    signal: i32,
    trap: u64,
    error: u64,
    address: usize,
}

/// A signal while its handler runs.
pub struct Signal {
    ucontext: *mut libc::ucontext_t,
    signal: i32,
    address: usize,
}

const GREGS: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

unsafe extern "C" {
    fn hm_trap();
}

// Entered by returning from the signal handler with the frame in rdi and below it only free stack. The frame
// holds the general registers; the rest is saved here, around the call.
global_asm!(
    ".globl hm_trap",
    ".type hm_trap, @function",
    "hm_trap:",
    "mov rbx, rdi",
    "lea rsp, [rdi - {xsave_size}]",
    "and rsp, -64",
    // XRSTOR wants the reserved part of the header zero, and XSAVE leaves it as it is.
    "xor eax, eax",
    "mov [rsp + 512], rax",
    "mov [rsp + 520], rax",
    "mov [rsp + 528], rax",
    "mov [rsp + 536], rax",
    "mov [rsp + 544], rax",
    "mov [rsp + 552], rax",
    "mov [rsp + 560], rax",
    "mov [rsp + 568], rax",
    "xor edx, edx",
    "mov eax, {mask}",
    "xsave64 [rsp]",
    "mov r12, rsp",
    "call {on_trap}",
    "mov rsp, r12",
    "xor edx, edx",
    "mov eax, {mask}",
    "xrstor64 [rsp]",
    "mov rsp, rbx",
    "mov rax, [rsp]",
    "mov rcx, [rsp + 8]",
    "mov rdx, [rsp + 16]",
    "mov rbx, [rsp + 24]",
    "mov rbp, [rsp + 40]",
    "mov rsi, [rsp + 48]",
    "mov rdi, [rsp + 56]",
    "mov r8, [rsp + 64]",
    "mov r9, [rsp + 72]",
    "mov r10, [rsp + 80]",
    "mov r11, [rsp + 88]",
    "mov r12, [rsp + 96]",
    "mov r13, [rsp + 104]",
    "mov r14, [rsp + 112]",
    "mov r15, [rsp + 120]",
    "lea rsp, [rsp + {rip}]",
    // Loads rip, rflags and rsp at once: nothing is left below the driver's stack pointer.
    "iretq",
    xsave_size = const XSAVE_SIZE,
    mask = const XSAVE_MASK,
    rip = const offset_of!(Frame, rip),
    on_trap = sym trap::on_trap,
);

/// Checks that the processor has what traps need.
pub fn init() {
    assert!(
        std::is_x86_feature_detected!("xsave"),
        "this needs a processor with XSAVE"
    );
}

impl Signal {
    /// The signal that a handler was called for.
    ///
    /// # Safety
    /// The pointers are those that the kernel passed to the handler.
    pub unsafe fn new(
        signal: i32,
        info: *mut libc::siginfo_t,
        ucontext: *mut libc::c_void,
    ) -> Signal {
        // SAFETY: the kernel's siginfo is valid.
        let info = unsafe { &*info };
        // SAFETY: every field of the union may be read as an address.
        let address = unsafe { info.si_addr() } as usize;
        Signal {
            ucontext: ucontext.cast(),
            signal,
            address,
        }
    }

    /// The faulting data address.
    pub fn address(&self) -> usize {
        self.address
    }

    /// The interrupted stack pointer.
    pub fn sp(&self) -> usize {
        self.register(libc::REG_RSP) as usize
    }

    /// The address of the `int3` that caused it, if one did.
    pub fn breakpoint(&self) -> Option<usize> {
        let is = self.signal == libc::SIGTRAP && self.register(libc::REG_TRAPNO) == BREAKPOINT;
        is.then(|| (self.register(libc::REG_RIP) as usize).wrapping_sub(1))
    }

    /// Has the interrupted code go on at another instruction once the handler returns.
    pub fn resume_at(&self, pc: usize) {
        self.set_register(libc::REG_RIP, pc as u64);
    }

    fn register(&self, register: i32) -> u64 {
        // SAFETY: `new`'s caller promised a valid ucontext.
        unsafe { (*self.ucontext).uc_mcontext.gregs[register as usize] as u64 }
    }

    fn set_register(&self, register: i32, value: u64) {
        // SAFETY: as in `register`; the kernel loads the registers from there.
        unsafe { (*self.ucontext).uc_mcontext.gregs[register as usize] = value as i64 };
    }

    /// Makes the handler's return go to [`trap::on_trap`], with a frame below `top`.
    ///
    /// # Safety
    /// The stack below `top` is free.
    pub unsafe fn continue_on(&self, top: usize) {
        let segments = self.register(libc::REG_CSGSFS);
        let rflags = self.register(libc::REG_EFL);
        let frame = Frame {
            gpr: GREGS.map(|register| self.register(register)),
            rip: self.register(libc::REG_RIP),
            cs: segments & 0xffff,
            rflags,
            rsp: self.register(libc::REG_RSP),
            ss: segments >> 48,
            signal: self.signal,
            trap: self.register(libc::REG_TRAPNO),
            error: self.register(libc::REG_ERR),
            address: self.address,
        };
        let at = (top - size_of::<Frame>()) & !63;
        // SAFETY: the caller promises the stack.
        unsafe { (at as *mut Frame).write(frame) };
        self.set_register(libc::REG_RDI, at as u64);
        self.set_register(libc::REG_RSP, at as u64);
        self.set_register(libc::REG_RIP, hm_trap as *const () as u64);
        self.set_register(libc::REG_EFL, rflags & !(TF | DF));
    }
}

impl Frame {
    /// The stack pointer.
    pub fn sp(&self) -> usize {
        self.rsp as usize
    }

    /// The instruction pointer.
    pub fn pc(&self) -> usize {
        self.rip as usize
    }

    /// A general register by its number in encodings.
    pub fn gpr(&self, number: usize) -> u64 {
        if number == 4 {
            self.rsp
        } else {
            self.gpr[number]
        }
    }

    /// Changes one.
    pub fn set_gpr(&mut self, number: usize, value: u64) {
        self.gpr[number] = value;
    }

    /// Goes on `len` bytes later.
    pub fn skip(&mut self, len: usize) {
        self.rip += len as u64;
    }

    /// Goes on behind a hint.
    pub fn skip_hint(&mut self) {
        self.skip(super::UNDEFINED.len());
    }

    /// Has the processor stop after one instruction, or not.
    pub fn single_step(&mut self, on: bool) {
        self.rflags = if on {
            self.rflags | TF
        } else {
            self.rflags & !TF
        };
    }

    /// The address that a data access faulted on.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Whether it is a load or a store that faulted.
    pub fn is_access(&self) -> bool {
        self.signal == libc::SIGSEGV && self.trap == PAGE_FAULT && self.error & ERROR_EXECUTE == 0
    }

    /// Whether a debug trap stopped it.
    pub fn is_debug_trap(&self) -> bool {
        self.signal == libc::SIGTRAP
    }

    /// Whether it is a general protection fault.
    pub fn is_protection(&self) -> bool {
        self.signal == libc::SIGSEGV && self.trap == PROTECTION
    }

    fn is_refused_call(&self) -> bool {
        self.signal == libc::SIGILL && self.pc() == guard::refused()
    }

    /// What stopped it.
    pub fn kind(&self) -> FaultKind {
        match self.signal {
            libc::SIGILL if self.is_refused_call() => FaultKind::CfgViolation,
            libc::SIGILL => FaultKind::IllegalInstruction,
            libc::SIGVTALRM => FaultKind::Hang,
            libc::SIGFPE => FaultKind::Arithmetic,
            libc::SIGTRAP => FaultKind::Breakpoint,
            libc::SIGBUS => FaultKind::Bus,
            _ if self.is_protection() => self.protection().0,
            _ if self.error & ERROR_EXECUTE != 0 => FaultKind::Execute,
            _ if self.error & ERROR_WRITE != 0 => FaultKind::Write,
            _ => FaultKind::Read,
        }
    }

    /// The address to report.
    pub fn fault_address(&self) -> usize {
        match self.signal {
            _ if self.is_refused_call() => self.gpr[0] as usize,
            libc::SIGSEGV if self.is_protection() => self.protection().1,
            libc::SIGSEGV | libc::SIGBUS => self.address,
            _ => 0,
        }
    }

    /// The instruction to report.
    pub fn fault_pc(&self) -> usize {
        if self.is_refused_call() {
            let mut caller = [0; 8];
            sys::peek(self.sp(), &mut caller);
            return usize::from_le_bytes(caller);
        }
        // `int3` is a trap: the instruction pointer is already behind it.
        if self.is_debug_trap() {
            self.pc() - 1
        } else {
            self.pc()
        }
    }

    /// What a general protection fault was for.
    fn protection(&self) -> (FaultKind, usize) {
        let instruction = decode(self.pc());
        match instruction.mnemonic() {
            // winnt.h: __fastfail is int 29h with the code in ecx, DbgRaiseAssertionFailure is int 2Ch.
            Mnemonic::Int if instruction.immediate8() == 0x29 => {
                (FaultKind::FastFail(self.gpr[1] as u32), 0)
            }
            Mnemonic::Int if instruction.immediate8() == 0x2c => (FaultKind::Breakpoint, 0),
            Mnemonic::Int => (FaultKind::Privileged, 0),
            _ if instruction.is_privileged() => (FaultKind::Privileged, 0),
            _ => self.impossible_address(&instruction),
        }
    }

    /// A load, store or jump whose address is not canonical: the processor does not say which.
    fn impossible_address(&self, instruction: &Instruction) -> (FaultKind, usize) {
        let jump = instruction.code() == Code::INVALID
            || instruction.is_stack_instruction()
            || instruction.is_jmp_near_indirect();
        let operand = memory_operands(self, instruction)
            .into_iter()
            .find(|operand| !jump || !is_canonical(operand.va));
        match operand {
            Some(operand) if operand.writes && !operand.reads => (FaultKind::Write, operand.va),
            Some(operand) => (FaultKind::Read, operand.va),
            None => (FaultKind::Execute, self.pc()),
        }
    }
}

fn is_canonical(va: usize) -> bool {
    let top = va as i64 >> 47;
    top == 0 || top == -1
}
