//! What a driver did that a processor refuses.

/// Why the processor stopped the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A load from memory that is not there or not readable.
    Read,
    /// A store to memory that is not there or not writable.
    Write,
    /// A jump to memory that is not there or not executable.
    Execute,
    /// The driver's stack is used up: the address lies in the guard page below it.
    StackOverflow,
    /// An instruction that does not exist (`ud2`, `udf`: also what Rust's abort compiles to).
    IllegalInstruction,
    /// An instruction that only a kernel may execute and that this machine does not emulate.
    Privileged,
    /// `__fastfail` with its code (x64 `int 29h`, ARM64 `brk #0xF003`).
    FastFail(u32),
    /// A breakpoint instruction.
    Breakpoint,
    /// An integer division by zero or its overflow.
    Arithmetic,
    /// A misaligned access, or one beyond the end of a shared file.
    Bus,
    /// The driver computed for longer than [`crate::cpu::set_time_limit`] allows, without a crossing.
    Hang,
    /// An indirect call to an address that is in no function table; the address is the target.
    CfgViolation,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub kind: FaultKind,
    /// The data address, the jump target, or 0 where neither applies.
    pub address: usize,
    /// The instruction. For [`FaultKind::CfgViolation`] the instruction after the call.
    pub pc: usize,
    /// The stack pointer at that instruction.
    pub sp: usize,
    /// Whether driver code was running. If not, host code touched what the driver gave it.
    pub in_driver: bool,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.address;
        match self.kind {
            FaultKind::Read => write!(f, "read of {at:#x}")?,
            FaultKind::Write => write!(f, "write to {at:#x}")?,
            FaultKind::Execute => write!(f, "jump to {at:#x}")?,
            FaultKind::StackOverflow => write!(f, "stack overflow at {at:#x}")?,
            FaultKind::IllegalInstruction => write!(f, "illegal instruction")?,
            FaultKind::Privileged => write!(f, "privileged instruction")?,
            FaultKind::FastFail(code) => write!(f, "fast fail with code {code}")?,
            FaultKind::Breakpoint => write!(f, "breakpoint")?,
            FaultKind::Arithmetic => write!(f, "arithmetic fault")?,
            FaultKind::Bus => write!(f, "bus error at {at:#x}")?,
            FaultKind::Hang => write!(f, "endless loop")?,
            FaultKind::CfgViolation => {
                write!(f, "indirect call to {at:#x}, which is no call target")?
            }
        }
        write!(
            f,
            " (pc {:#x}, {})",
            self.pc,
            if self.in_driver { "driver" } else { "host" }
        )
    }
}
