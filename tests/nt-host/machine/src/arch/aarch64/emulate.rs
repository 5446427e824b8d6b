//! Carrying out an access to a device, decoded as in the Arm ARM, C4.1 "Loads and Stores".

use super::super::Emulated;
use super::frame::Frame;
use crate::mmio;

/// A load or a store.
struct Transfer {
    load: bool,
    vector: bool,
    /// Bytes per register.
    width: u8,
    /// Bits to which a loaded value's sign is extended.
    sign: Option<u32>,
    first: u8,
    second: Option<u8>,
    va: u64,
    base: u8,
    write_back: Option<u64>,
}

/// Bits `high..=low` of an instruction.
fn bits(word: u32, high: u32, low: u32) -> u32 {
    (word >> low) & ((1 << (high - low + 1)) - 1)
}

/// A field of `width` bits as a signed number.
fn signed(value: u32, width: u32) -> i64 {
    i64::from((value << (32 - width)) as i32 >> (32 - width))
}

/// Size and direction of the single-register classes: (bytes, load, sign). `None` for a prefetch.
fn single(word: u32) -> Option<(u8, bool, Option<u32>)> {
    let (size, vector, opc) = (
        bits(word, 31, 30),
        bits(word, 26, 26) == 1,
        bits(word, 23, 22),
    );
    if vector {
        let scale = size | (opc & 2) << 1;
        return (scale <= 4).then_some((1 << scale, opc & 1 == 1, None));
    }
    let width = 1 << size;
    match opc {
        0 => Some((width, false, None)),
        1 => Some((width, true, None)),
        2 if size < 3 => Some((width, true, Some(64))),
        3 if size < 2 => Some((width, true, Some(32))),
        _ => None,
    }
}

/// How a single-register instruction finds its address.
enum Addressing {
    Offset(i64),
    Pre(i64),
    Post(i64),
}

fn decode(word: u32, frame: &Frame) -> Option<Transfer> {
    let base = bits(word, 9, 5) as u8;
    let first = bits(word, 4, 0) as u8;
    let vector = bits(word, 26, 26) == 1;
    let start = frame.base(base);
    let one = |(width, load, sign): (u8, bool, Option<u32>), addressing: Addressing| {
        let (va, write_back) = match addressing {
            Addressing::Offset(by) => (start.wrapping_add_signed(by), None),
            Addressing::Pre(by) => (
                start.wrapping_add_signed(by),
                Some(start.wrapping_add_signed(by)),
            ),
            Addressing::Post(by) => (start, Some(start.wrapping_add_signed(by))),
        };
        Transfer {
            load,
            vector,
            width,
            sign,
            first,
            second: None,
            va,
            base,
            write_back,
        }
    };
    let short = signed(bits(word, 20, 12), 9);
    if word & 0x3b00_0000 == 0x3900_0000 {
        // Unsigned immediate, scaled.
        let what = single(word)?;
        return Some(one(
            what,
            Addressing::Offset(i64::from(bits(word, 21, 10)) * i64::from(what.0)),
        ));
    }
    if word & 0x3b20_0000 == 0x3800_0000 {
        // Unscaled, post-indexed, unprivileged, pre-indexed.
        let addressing = match bits(word, 11, 10) {
            1 => Addressing::Post(short),
            3 => Addressing::Pre(short),
            _ => Addressing::Offset(short),
        };
        return Some(one(single(word)?, addressing));
    }
    if word & 0x3b20_0c00 == 0x3820_0800 {
        // Register offset.
        let what = single(word)?;
        let index = frame.gpr(bits(word, 20, 16) as u8);
        let index = match bits(word, 15, 13) {
            2 => i64::from(index as u32),
            6 => i64::from(index as i32),
            3 | 7 => index as i64,
            _ => return None,
        };
        let shift = if bits(word, 12, 12) == 1 {
            what.0.trailing_zeros()
        } else {
            0
        };
        return Some(one(what, Addressing::Offset(index << shift)));
    }
    if word & 0x3fff_fc00 == 0x38bf_c000 {
        // LDAPR.
        return Some(one(
            (1 << bits(word, 31, 30), true, None),
            Addressing::Offset(0),
        ));
    }
    if word & 0x3f20_0c00 == 0x1900_0000 {
        // LDAPUR, STLUR.
        return Some(one(single(word)?, Addressing::Offset(short)));
    }
    if word & 0x3fa0_0000 == 0x0880_0000 {
        // LDAR, STLR, LDLAR, STLLR.
        return Some(one(
            (1 << bits(word, 31, 30), bits(word, 22, 22) == 1, None),
            Addressing::Offset(0),
        ));
    }
    if word & 0x3a00_0000 == 0x2800_0000 {
        return pair(word, one);
    }
    None
}

/// LDP, STP, LDPSW, LDNP, STNP.
fn pair(
    word: u32,
    one: impl Fn((u8, bool, Option<u32>), Addressing) -> Transfer,
) -> Option<Transfer> {
    let load = bits(word, 22, 22) == 1;
    let (width, sign) = match (bits(word, 26, 26), bits(word, 31, 30)) {
        (1, opc @ 0..=2) => (4 << opc, None),
        (0, 0) => (4, None),
        (0, 2) => (8, None),
        (0, 1) if load => (4, Some(64)),
        _ => return None,
    };
    let by = signed(bits(word, 21, 15), 7) * i64::from(width);
    let addressing = match bits(word, 24, 23) {
        1 => Addressing::Post(by),
        3 => Addressing::Pre(by),
        _ => Addressing::Offset(by),
    };
    let transfer = one((width, load, sign), addressing);
    Some(Transfer {
        second: Some(bits(word, 14, 10) as u8),
        ..transfer
    })
}

/// Whether an instruction that accesses memory writes there. What is not decoded above is an exclusive access,
/// an atomic one, or `dc zva`.
pub fn is_store(word: u32) -> bool {
    let exclusive = word & 0x3f00_0000 == 0x0800_0000;
    let pair = word & 0x3a00_0000 == 0x2800_0000;
    let single = word & 0x3b00_0000 == 0x3900_0000
        || word & 0x3b20_0000 == 0x3800_0000
        || word & 0x3b20_0c00 == 0x3820_0800;
    let atomic = word & 0x3b20_0c00 == 0x3820_0000 && word & 0x3fff_fc00 != 0x38bf_c000;
    let zero = word & 0xffff_ffe0 == 0xd50b_7420;
    if single || word & 0x3f20_0c00 == 0x1900_0000 {
        return self::single(word).is_some_and(|(_, load, _)| !load);
    }
    atomic || zero || ((exclusive || pair) && bits(word, 22, 22) == 0)
}

/// Whether an instruction is for a kernel: system registers, exceptions to higher levels, `eret`.
pub fn is_system(word: u32) -> bool {
    word >> 22 == 0x354 || word >> 24 == 0xd4 || word == 0xd69f_03e0
}

/// One register's part of a transfer; a width of 16 is two accesses.
fn access(va: u64, width: u8, write: Option<u128>) -> Option<u128> {
    if width <= 8 {
        return mmio::access(va as usize, width, write.map(|value| value as u64)).map(u128::from);
    }
    let low = access(va, 8, write)?;
    Some(low | access(va + 8, 8, write.map(|value| value >> 64))? << 64)
}

/// Carries out a trapped access.
pub fn emulate(frame: &mut Frame) -> Emulated {
    let Some(transfer) = decode(frame.instruction(), frame) else {
        return Emulated::Refused;
    };
    let count = 1 + usize::from(transfer.second.is_some());
    let len = count * transfer.width as usize;
    // All or nothing: an instruction that faults has had no effect.
    if !mmio::contains(transfer.va as usize, len) {
        return Emulated::Refused;
    }
    let registers = [Some(transfer.first), transfer.second];
    for (index, register) in registers.into_iter().flatten().enumerate() {
        let va = transfer.va + index as u64 * u64::from(transfer.width);
        let write = match transfer.vector {
            _ if transfer.load => None,
            true => Some(frame.vector(register)),
            false => Some(u128::from(frame.gpr(register))),
        };
        let Some(value) = access(va, transfer.width, write) else {
            return Emulated::Refused;
        };
        match transfer.vector {
            _ if !transfer.load => {}
            true => frame.set_vector(register, value),
            false => frame.set_gpr(register, extend(value as u64, &transfer)),
        }
    }
    if let Some(base) = transfer.write_back {
        frame.set_base(transfer.base, base);
    }
    frame.skip();
    Emulated::Done
}

fn extend(value: u64, transfer: &Transfer) -> u64 {
    let unused = 64 - 8 * u32::from(transfer.width);
    let extended = ((value << unused) as i64 >> unused) as u64;
    match transfer.sign {
        Some(64) => extended,
        Some(bits) => extended & mmio::mask(bits as u8 / 8),
        None => value,
    }
}

/// No access needs a second trap here.
pub fn finish_step(_: &mut Frame) -> bool {
    false
}

/// No privileged instruction is emulated: the IRQL is no register of user code.
pub fn emulate_privileged(_: &mut Frame) -> bool {
    false
}

/// Nothing is remembered.
pub fn forget_code() {}

/// Offsets of `isb`, which Rust's `spin_loop` is, and of `yield` in code.
pub fn hints(code: &[u8]) -> Vec<usize> {
    const ISB: u32 = 0xd503_3fdf;
    const YIELD: u32 = 0xd503_203f;
    let words = code.as_chunks::<4>().0.iter().enumerate();
    words
        .filter(|(_, word)| [ISB, YIELD].contains(&u32::from_le_bytes(**word)))
        .map(|(index, _)| index * 4)
        .collect()
}
