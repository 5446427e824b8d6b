//! The registers of trapped code, and the way back to it.

use std::arch::global_asm;

use super::{emulate, guard};
use crate::fault::FaultKind;
use crate::trap;

/// Records that follow the general registers in a signal frame (Linux asm/sigcontext.h).
const FPSIMD_MAGIC: u32 = 0x4650_8001;

/// Linux system call number.
const RT_SIGRETURN: u32 = 139;

/// What the kernel's signal frame says of floating-point and vector registers.
#[repr(C)]
#[derive(Clone, Copy)]
struct FpSimd {
    magic: u32,
    size: u32,
    fpsr: u32,
    fpcr: u32,
    vregs: [u128; 32],
}

/// The kernel's `struct sigcontext`.
#[repr(C, align(16))]
struct MContext {
    fault_address: usize,
    regs: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    _pad: u64,
    /// Only this record and a zero after it are needed to return.
    fpsimd: FpSimd,
    end: [u32; 2],
    _unused: [u8; 4096 - size_of::<FpSimd>() - 8],
}

/// The kernel's `struct ucontext`.
#[repr(C)]
struct UContext {
    flags: u64,
    link: u64,
    stack: libc::stack_t,
    sigmask: [u64; 16],
    mcontext: MContext,
}

/// Registers of trapped code, in the form from which the kernel restores them: `struct rt_sigframe`.
#[repr(C)]
pub struct Frame {
    _info: [u64; 16],
    ucontext: UContext,
    signal: i32,
    address: usize,
}

/// A signal while its handler runs.
pub struct Signal {
    ucontext: *mut UContext,
    signal: i32,
    address: usize,
}

unsafe extern "C" {
    fn hm_trap();
}

// Entered by returning from the signal handler with the frame in x0 and at sp. The kernel loads every register
// from the frame, the program counter among them, which no instruction can do without a register to spare.
global_asm!(
    ".globl hm_trap",
    ".type hm_trap, @function",
    "hm_trap:",
    "mov x19, x0",
    "mov x29, xzr",
    "bl {on_trap}",
    "mov sp, x19",
    "mov x8, {rt_sigreturn}",
    "svc #0",
    on_trap = sym trap::on_trap,
    rt_sigreturn = const RT_SIGRETURN,
);

/// Nothing is needed.
pub fn init() {}

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

    fn ucontext(&self) -> &UContext {
        // SAFETY: `new`'s caller promised a valid one, and its layout is the kernel's.
        unsafe { &*self.ucontext }
    }

    /// The faulting data address.
    pub fn address(&self) -> usize {
        self.address
    }

    /// The interrupted stack pointer.
    pub fn sp(&self) -> usize {
        self.ucontext().mcontext.sp as usize
    }

    /// The vector registers, wherever among the records they are.
    fn fpsimd(&self) -> FpSimd {
        let mut at = (&raw const self.ucontext().mcontext.fpsimd).cast::<u32>();
        loop {
            // SAFETY: the kernel's records are inside the frame and end with a zero one.
            let magic = unsafe { at.read() };
            if magic == FPSIMD_MAGIC {
                // SAFETY: as above.
                return unsafe { at.cast::<FpSimd>().read() };
            }
            assert!(magic != 0, "a signal frame without vector registers");
            // SAFETY: as above.
            let size = unsafe { at.wrapping_add(1).read() };
            at = at.wrapping_byte_add(size as usize);
        }
    }

    /// Makes the handler's return go to [`trap::on_trap`], with a frame below `top`.
    ///
    /// # Safety
    /// The stack below `top` is free.
    pub unsafe fn continue_on(&self, top: usize) {
        let from = self.ucontext();
        let at = (top - size_of::<Frame>()) & !15;
        let frame = at as *mut Frame;
        // SAFETY: the caller promises the stack.
        unsafe { frame.write_bytes(0, 1) };
        // SAFETY: all zeroes is a valid frame.
        let frame = unsafe { &mut *frame };
        frame.signal = self.signal;
        frame.address = self.address;
        frame.ucontext.flags = from.flags;
        frame.ucontext.stack = from.stack;
        frame.ucontext.sigmask = from.sigmask;
        let to = &mut frame.ucontext.mcontext;
        to.regs = from.mcontext.regs;
        to.sp = from.mcontext.sp;
        to.pc = from.mcontext.pc;
        to.pstate = from.mcontext.pstate;
        to.fpsimd = self.fpsimd();
        // SAFETY: as in `ucontext`; `from` is not used any more.
        let registers = unsafe { &mut (*self.ucontext).mcontext };
        registers.regs[0] = at as u64;
        registers.sp = at as u64;
        registers.pc = hm_trap as *const () as u64;
    }
}

impl Frame {
    /// The stack pointer.
    pub fn sp(&self) -> usize {
        self.ucontext.mcontext.sp as usize
    }

    /// The program counter.
    pub fn pc(&self) -> usize {
        self.ucontext.mcontext.pc as usize
    }

    /// A general register; 31 is zero.
    pub fn gpr(&self, number: u8) -> u64 {
        self.ucontext
            .mcontext
            .regs
            .get(number as usize)
            .copied()
            .unwrap_or(0)
    }

    /// Changes one; 31 is nowhere.
    pub fn set_gpr(&mut self, number: u8, value: u64) {
        if let Some(register) = self.ucontext.mcontext.regs.get_mut(number as usize) {
            *register = value;
        }
    }

    /// A register as the base of an address; 31 is the stack pointer.
    pub fn base(&self, number: u8) -> u64 {
        if number == 31 {
            self.ucontext.mcontext.sp
        } else {
            self.gpr(number)
        }
    }

    /// Changes one.
    pub fn set_base(&mut self, number: u8, value: u64) {
        if number == 31 {
            self.ucontext.mcontext.sp = value;
        } else {
            self.set_gpr(number, value);
        }
    }

    /// A vector register.
    pub fn vector(&self, number: u8) -> u128 {
        self.ucontext.mcontext.fpsimd.vregs[number as usize & 31]
    }

    /// Changes one.
    pub fn set_vector(&mut self, number: u8, value: u128) {
        self.ucontext.mcontext.fpsimd.vregs[number as usize & 31] = value;
    }

    /// Goes on with the next instruction.
    pub fn skip(&mut self) {
        self.ucontext.mcontext.pc += 4;
    }

    /// Goes on behind a hint.
    pub fn skip_hint(&mut self) {
        self.skip();
    }

    /// The instruction, which was fetched and so can be read.
    pub fn instruction(&self) -> u32 {
        // SAFETY: the processor executed it.
        unsafe { (self.pc() as *const u32).read() }
    }

    /// The address that a data access faulted on.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Whether it is a load or a store that faulted.
    pub fn is_access(&self) -> bool {
        self.signal == libc::SIGSEGV && self.pc() != self.address
    }

    fn is_refused_call(&self) -> bool {
        self.signal == libc::SIGILL && self.pc() == guard::refused()
    }

    /// What stopped it.
    pub fn kind(&self) -> FaultKind {
        /// winnt.h: __fastfail, with the code in w0.
        const FAST_FAIL: u32 = 0xf003;
        match self.signal {
            libc::SIGILL if self.is_refused_call() => FaultKind::CfgViolation,
            libc::SIGILL if emulate::is_system(self.instruction()) => FaultKind::Privileged,
            libc::SIGILL => FaultKind::IllegalInstruction,
            libc::SIGVTALRM => FaultKind::Hang,
            libc::SIGFPE => FaultKind::Arithmetic,
            libc::SIGTRAP if self.instruction() == 0xd420_0000 | FAST_FAIL << 5 => {
                FaultKind::FastFail(self.gpr(0) as u32)
            }
            libc::SIGTRAP => FaultKind::Breakpoint,
            libc::SIGBUS => FaultKind::Bus,
            _ if !self.is_access() => FaultKind::Execute,
            _ if emulate::is_store(self.instruction()) => FaultKind::Write,
            _ => FaultKind::Read,
        }
    }

    /// The address to report.
    pub fn fault_address(&self) -> usize {
        match self.signal {
            _ if self.is_refused_call() => self.gpr(15) as usize,
            libc::SIGSEGV | libc::SIGBUS => self.address,
            _ => 0,
        }
    }

    /// The instruction to report.
    pub fn fault_pc(&self) -> usize {
        if self.is_refused_call() {
            self.gpr(30) as usize
        } else {
            self.pc()
        }
    }
}
