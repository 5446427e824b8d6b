//! What one instruction is going to do, from its bytes and the registers.

use std::collections::HashMap;

use iced_x86::{
    Decoder, DecoderOptions, FastFormatter, Instruction, InstructionInfoFactory, MemorySize,
    Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};
use libc::user_regs_struct;

use crate::CountError;
use crate::ptrace::Child;
use crate::watched::Access;

/// The longest instruction that there is.
const LONGEST: usize = 15;

/// One instruction and what follows from its bytes alone.
pub struct Decoded {
    instruction: Instruction,
    memory: Vec<UsedMemory>,
    /// Orders all earlier loads and stores before all later ones.
    pub full_fence: bool,
    /// A string instruction with a repeat prefix: the processor stops after each element.
    pub repeats: bool,
    /// `syscall`.
    pub system_call: bool,
    /// `int3`: a marker.
    pub breakpoint: bool,
}

impl Decoded {
    /// Its bytes.
    pub fn len(&self) -> u64 {
        self.instruction.len() as u64
    }

    /// The memory that the instruction will touch, with these registers.
    pub fn accesses(&self, registers: &user_regs_struct) -> Result<Vec<Access>, CountError> {
        if self.memory.is_empty() || (self.repeats && registers.rcx == 0) {
            return Ok(Vec::new());
        }
        self.memory
            .iter()
            .filter_map(|used| self.access(used, registers).transpose())
            .collect()
    }

    fn access(
        &self,
        used: &UsedMemory,
        registers: &user_regs_struct,
    ) -> Result<Option<Access>, CountError> {
        let (reads, writes) = match used.access() {
            OpAccess::Read | OpAccess::CondRead => (true, false),
            OpAccess::Write | OpAccess::CondWrite => (false, true),
            OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
            OpAccess::None | OpAccess::NoMemAccess => return Ok(None),
        };
        let at = used.virtual_address(0, |register, _, _| value(registers, register));
        let at = at.ok_or_else(|| CountError::Instruction {
            at: self.instruction.ip(),
            text: self.text(),
        })?;
        // With a repeat prefix the whole has no known size; the processor stops after one element.
        let size = match used.memory_size() {
            MemorySize::Unknown => self.instruction.memory_size(),
            known => known,
        };
        Ok(Some(Access {
            at,
            len: size.size() as u64,
            reads,
            writes,
        }))
    }

    /// In assembler.
    pub fn text(&self) -> String {
        let mut text = String::new();
        FastFormatter::new().format(&self.instruction, &mut text);
        text
    }
}

/// Decoded instructions by address, valid for as long as the code stays as it is.
#[derive(Default)]
pub struct Code {
    known: HashMap<u64, Decoded>,
    info: Option<InstructionInfoFactory>,
}

impl Code {
    /// Forgets everything: code may have come and gone.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// The instruction at `at`.
    pub fn at(&mut self, child: Child, at: u64) -> Result<&Decoded, CountError> {
        if !self.known.contains_key(&at) {
            let decoded = self.decode(child, at)?;
            self.known.insert(at, decoded);
        }
        Ok(&self.known[&at])
    }

    fn decode(&mut self, child: Child, at: u64) -> Result<Decoded, CountError> {
        let mut bytes = [0; LONGEST];
        let read = child.read(at, &mut bytes);
        let bytes = &bytes[..read];
        let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            return Err(CountError::Instruction {
                at,
                text: format!("bytes {bytes:02x?}"),
            });
        }
        let info = self.info.get_or_insert_with(InstructionInfoFactory::new);
        let memory = info.info(&instruction).used_memory().to_vec();
        let with_memory = (0..instruction.op_count())
            .any(|operand| instruction.op_kind(operand) == OpKind::Memory);
        Ok(Decoded {
            full_fence: instruction.has_lock_prefix()
                || instruction.mnemonic() == Mnemonic::Mfence
                // Intel SDM volume 2, XCHG: locked with a memory operand, whether the prefix is there or not.
                || (instruction.mnemonic() == Mnemonic::Xchg && with_memory),
            repeats: instruction.is_string_instruction()
                && (instruction.has_rep_prefix() || instruction.has_repne_prefix()),
            system_call: instruction.mnemonic() == Mnemonic::Syscall,
            breakpoint: instruction.mnemonic() == Mnemonic::Int3,
            instruction,
            memory,
        })
    }
}

/// The value of a register that takes part in an address.
fn value(registers: &user_regs_struct, register: Register) -> Option<u64> {
    let full = match register.full_register() {
        Register::RAX => registers.rax,
        Register::RBX => registers.rbx,
        Register::RCX => registers.rcx,
        Register::RDX => registers.rdx,
        Register::RSI => registers.rsi,
        Register::RDI => registers.rdi,
        Register::RBP => registers.rbp,
        Register::RSP => registers.rsp,
        Register::R8 => registers.r8,
        Register::R9 => registers.r9,
        Register::R10 => registers.r10,
        Register::R11 => registers.r11,
        Register::R12 => registers.r12,
        Register::R13 => registers.r13,
        Register::R14 => registers.r14,
        Register::R15 => registers.r15,
        Register::FS => return Some(registers.fs_base),
        Register::GS => return Some(registers.gs_base),
        Register::CS | Register::DS | Register::ES | Register::SS => return Some(0),
        _ => return None,
    };
    match register.size() {
        8 => Some(full),
        4 => Some(full & 0xffff_ffff),
        2 => Some(full & 0xffff),
        // `xlat` adds AL.
        1 if register == Register::AL => Some(full & 0xff),
        _ => None,
    }
}
