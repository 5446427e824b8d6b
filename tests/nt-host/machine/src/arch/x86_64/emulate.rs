//! Carrying out an access to a device: the usual moves here, every other instruction by the processor itself.

use std::cell::RefCell;

use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use super::super::Emulated;
use super::frame::Frame;
use crate::ram::PAGE;
use crate::{cpu, mmio, sys};

/// Longest x64 instruction.
const LONGEST: usize = 15;

/// Decoded instructions kept, by a hash of their address.
const CACHED: usize = 256;

/// A memory operand of an instruction.
pub struct Operand {
    pub va: usize,
    pub len: usize,
    pub reads: bool,
    pub writes: bool,
}

#[derive(Clone, Copy)]
enum Move {
    Load {
        to: u8,
        size: u8,
        high: bool,
        sign: bool,
    },
    Store {
        from: u8,
        high: bool,
    },
    StoreImmediate(u64),
    /// Not a move: the processor has to do it.
    Other,
}

#[derive(Clone, Copy)]
struct Decoded {
    pc: usize,
    len: u8,
    width: u8,
    what: Move,
}

const NOTHING: Decoded = Decoded {
    pc: 0,
    len: 0,
    width: 0,
    what: Move::Other,
};

thread_local! {
    static CACHE: RefCell<[Decoded; CACHED]> = const { RefCell::new([NOTHING; CACHED]) };
    static STEP: RefCell<Option<Vec<Operand>>> = const { RefCell::new(None) };
}

/// Forgets decoded instructions: their addresses may get others.
pub fn forget_code() {
    let _ = CACHE.try_with(|cache| cache.borrow_mut().fill(NOTHING));
}

/// The instruction at an address; invalid if there is none.
pub fn decode(pc: usize) -> Instruction {
    let mut bytes = [0; LONGEST];
    let len = sys::peek(pc, &mut bytes);
    Decoder::with_ip(64, &bytes[..len], pc as u64, DecoderOptions::NONE).decode()
}

/// What an instruction reads and writes in memory.
pub fn memory_operands(frame: &Frame, instruction: &Instruction) -> Vec<Operand> {
    let mut factory = InstructionInfoFactory::new();
    let mut operands = Vec::new();
    for memory in factory.info(instruction).used_memory() {
        let (reads, writes) = match memory.access() {
            OpAccess::Read | OpAccess::CondRead => (true, false),
            OpAccess::Write => (false, true),
            // A conditional write may leave bytes as they are: they must be there first.
            OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
            OpAccess::None | OpAccess::NoMemAccess => continue,
        };
        let register = |register: Register, _: usize, _: usize| match register {
            register if register.is_gpr() => Some(
                frame.gpr(register.full_register().number()) & mmio::mask(register.size() as u8),
            ),
            Register::GS => Some(crate::context::current().region.get() as u64),
            register if register.is_segment_register() => Some(0),
            _ => None,
        };
        // A repeated string instruction traps once per element, and its whole extent has no size.
        let len = match memory.memory_size().size() {
            0 => instruction.memory_size().size(),
            len => len,
        };
        if let Some(va) = memory.virtual_address(0, register) {
            operands.push(Operand {
                va: va as usize,
                len,
                reads,
                writes,
            });
        }
    }
    operands
}

fn decode_move(pc: usize) -> Decoded {
    let instruction = decode(pc);
    let width = instruction.memory_size().size() as u8;
    let register = |operand: u32| {
        let register = instruction.op_register(operand);
        let high = matches!(
            register,
            Register::AH | Register::BH | Register::CH | Register::DH
        );
        (instruction.op_kind(operand) == OpKind::Register && register.is_gpr()).then(|| {
            (
                register.full_register().number() as u8,
                register.size() as u8,
                high,
            )
        })
    };
    let from_memory = instruction.op_count() == 2 && instruction.op1_kind() == OpKind::Memory;
    let to_memory = instruction.op_count() == 2 && instruction.op0_kind() == OpKind::Memory;
    let what = match instruction.mnemonic() {
        mnemonic @ (Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd)
            if from_memory =>
        {
            register(0).map_or(Move::Other, |(to, size, high)| Move::Load {
                to,
                size,
                high,
                sign: matches!(mnemonic, Mnemonic::Movsx | Mnemonic::Movsxd),
            })
        }
        Mnemonic::Mov if to_memory && instruction.op1_kind() != OpKind::Register => {
            Move::StoreImmediate(instruction.immediate(1))
        }
        Mnemonic::Mov if to_memory => {
            register(1).map_or(Move::Other, |(from, _, high)| Move::Store { from, high })
        }
        _ => Move::Other,
    };
    Decoded {
        pc,
        len: instruction.len() as u8,
        width,
        what,
    }
}

fn decoded(pc: usize) -> Decoded {
    CACHE.with_borrow_mut(|cache| {
        let entry = &mut cache[(pc ^ pc >> 8) % CACHED];
        if entry.pc != pc {
            *entry = decode_move(pc);
        }
        *entry
    })
}

/// Carries out a trapped access.
pub fn emulate(frame: &mut Frame) -> Emulated {
    let Decoded {
        len, width, what, ..
    } = decoded(frame.pc());
    let va = frame.address();
    let done = match what {
        Move::Load {
            to,
            size,
            high,
            sign,
        } => mmio::access(va, width, None).map(|value| {
            load(
                frame,
                to,
                size,
                high,
                if sign { extend(value, width) } else { value },
            )
        }),
        Move::Store { from, high } => {
            let value = frame.gpr(from as usize);
            mmio::access(va, width, Some(if high { value >> 8 } else { value })).map(drop)
        }
        Move::StoreImmediate(value) => mmio::access(va, width, Some(value)).map(drop),
        Move::Other => return step(frame),
    };
    if done.is_none() {
        return Emulated::Refused;
    }
    frame.skip(len as usize);
    Emulated::Done
}

fn extend(value: u64, width: u8) -> u64 {
    let unused = 64 - 8 * u32::from(width);
    ((value << unused) as i64 >> unused) as u64
}

fn load(frame: &mut Frame, to: u8, size: u8, high: bool, value: u64) {
    let old = frame.gpr(to as usize);
    let shift = if high { 8 } else { 0 };
    let new = match size {
        8 => value,
        // A 32-bit result clears the upper half; a smaller one leaves the rest.
        4 => value & mmio::mask(4),
        _ => old & !(mmio::mask(size) << shift) | (value & mmio::mask(size)) << shift,
    };
    frame.set_gpr(to as usize, new);
}

/// Splits a range into accesses that a device knows.
fn pieces(operand: &Operand) -> impl Iterator<Item = (usize, u8)> {
    let (mut at, end) = (operand.va, operand.va + operand.len);
    std::iter::from_fn(move || {
        let width = [8, 4, 2, 1].into_iter().find(|&width| at + width <= end)?;
        at += width;
        Some((at - width, width as u8))
    })
}

/// The whole pages that an operand touches.
fn touched(operand: &Operand) -> (usize, usize) {
    let first = operand.va & !(PAGE - 1);
    (
        first,
        (operand.va + operand.len).next_multiple_of(PAGE) - first,
    )
}

/// Lets the processor execute one instruction on memory filled from the device.
fn step(frame: &mut Frame) -> Emulated {
    let instruction = decode(frame.pc());
    let operands: Vec<Operand> = memory_operands(frame, &instruction)
        .into_iter()
        .filter(|operand| mmio::contains(operand.va, 1))
        .collect();
    let whole = |operand: &Operand| {
        operand.len > 0 && operand.va < mmio::KERNEL && mmio::contains(operand.va, operand.len)
    };
    if operands.is_empty() || !operands.iter().all(whole) {
        return Emulated::Refused;
    }
    for operand in &operands {
        let values: Vec<(usize, u8, u64)> = pieces(operand)
            .filter(|_| operand.reads)
            .filter_map(|(va, width)| Some((va, width, mmio::access(va, width, None)?)))
            .collect();
        let (first, len) = touched(operand);
        // SAFETY: pages of a window, which hold no host data.
        unsafe { sys::protect(first, len, sys::READ_WRITE) };
        for (va, width, value) in values {
            // SAFETY: these bytes were just made writable.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    value.to_le_bytes().as_ptr(),
                    va as *mut u8,
                    width as usize,
                )
            };
        }
    }
    STEP.set(Some(operands));
    frame.single_step(true);
    Emulated::Stepping
}

/// Ends a step that is under way. Whether there was one and it succeeded.
pub fn finish_step(frame: &mut Frame) -> bool {
    let Some(operands) = STEP.take() else {
        return false;
    };
    frame.single_step(false);
    let executed = frame.is_debug_trap();
    let mut writes = Vec::new();
    for operand in operands {
        for (va, width) in pieces(&operand).filter(|_| executed && operand.writes) {
            let mut bytes = [0; 8];
            // SAFETY: these bytes are readable during the step.
            unsafe {
                std::ptr::copy_nonoverlapping(va as *const u8, bytes.as_mut_ptr(), width as usize)
            };
            writes.push((va, width, u64::from_le_bytes(bytes)));
        }
        let (first, len) = touched(&operand);
        // SAFETY: pages of a window, which hold no host data.
        unsafe { sys::protect(first, len, sys::NONE) };
    }
    for (va, width, value) in writes {
        mmio::access(va, width, Some(value));
    }
    executed
}

/// Carries out `mov` from and to cr8, if somebody answers for it.
pub fn emulate_privileged(frame: &mut Frame) -> bool {
    let Some((read, write)) = cpu::irql_register().filter(|_| frame.is_protection()) else {
        return false;
    };
    let instruction = decode(frame.pc());
    if instruction.mnemonic() != Mnemonic::Mov {
        return false;
    }
    let number = |register: Register| register.number();
    if instruction.op1_register() == Register::CR8 {
        frame.set_gpr(number(instruction.op0_register()), u64::from(read()));
    } else if instruction.op0_register() == Register::CR8 {
        write(frame.gpr(number(instruction.op1_register())) as u8);
    } else {
        return false;
    }
    frame.skip(instruction.len());
    true
}

/// Offsets of `pause` in code.
pub fn hints(code: &[u8]) -> Vec<usize> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut found = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.mnemonic() == Mnemonic::Pause {
            found.push(instruction.ip() as usize);
        }
    }
    found
}
