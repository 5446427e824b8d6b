//! The stack frame of every function, read from the image's own unwind data.
//!
//! x64: MS "x64 exception handling". ARM64: MS "ARM64 exception handling".

use super::image::Image;
use anyhow::{Context, Result, bail};
use object::pe;

/// A function and the stack it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where the function begins.
    pub rva: u32,
    /// Bytes of stack from entry to the end of its prologue, saved registers included.
    pub bytes: u32,
}

/// The frames of all functions that have one. A function without unwind data is a leaf: it must not
/// move the stack pointer, so it has no frame. An image without any cannot be judged.
pub fn frames(image: &Image) -> Result<Vec<Frame>> {
    let (rva, size) = image
        .directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION)
        .context("no exception directory: the stack frames cannot be read")?;
    match image.machine() {
        pe::IMAGE_FILE_MACHINE_AMD64 => (0..size / 12)
            .map(|i| {
                let entry = rva + i * 12;
                let begin = image.u32(entry).context(".pdata is cut short")?;
                let info = image.u32(entry + 8).context(".pdata is cut short")?;
                Ok(Frame {
                    rva: begin,
                    bytes: x64(image, info, 0)?,
                })
            })
            .collect(),
        pe::IMAGE_FILE_MACHINE_ARM64 => (0..size / 8)
            .map(|i| {
                let entry = rva + i * 8;
                let begin = image.u32(entry).context(".pdata is cut short")?;
                let data = image.u32(entry + 4).context(".pdata is cut short")?;
                let bytes = if data & 3 == 0 {
                    arm64(image, data)?
                } else {
                    arm64_packed(data)
                };
                Ok(Frame { rva: begin, bytes })
            })
            .collect(),
        machine => bail!("no unwind reader for machine {machine:#06x}"),
    }
}

/// Chained unwind data longer than this is taken for a loop.
const MAX_CHAIN: u32 = 32;

fn x64(image: &Image, info: u32, depth: u32) -> Result<u32> {
    const CUT: &str = "unwind data is cut short";
    if depth > MAX_CHAIN {
        bail!("unwind data at {info:#x} chains in a loop");
    }
    let head = image.at(info, 4).context(CUT)?;
    let (flags, count) = (head[0] >> 3, u32::from(head[2]));
    let slot = |i: u32| image.u16(info + 4 + i * 2).map(u32::from).context(CUT);
    let mut bytes = 0;
    let mut i = 0;
    while i < count {
        let code = slot(i)?;
        let (op, op_info) = (code >> 8 & 0xF, code >> 12);
        i += match op {
            0 => {
                bytes += 8; // UWOP_PUSH_NONVOL
                1
            }
            1 if op_info == 0 => {
                bytes += slot(i + 1)? * 8; // UWOP_ALLOC_LARGE, scaled
                2
            }
            1 => {
                bytes += slot(i + 1)? | slot(i + 2)? << 16; // UWOP_ALLOC_LARGE, unscaled
                3
            }
            2 => {
                bytes += op_info * 8 + 8; // UWOP_ALLOC_SMALL
                1
            }
            3 => 1,     // UWOP_SET_FPREG
            4 | 8 => 2, // UWOP_SAVE_NONVOL, UWOP_SAVE_XMM128
            5 | 9 => 3, // the same, far
            6 => 1,     // UWOP_EPILOG (version 2)
            10 => {
                bytes += if op_info == 0 { 40 } else { 48 }; // UWOP_PUSH_MACHFRAME
                1
            }
            _ => bail!("unknown unwind operation {op} at {info:#x}"),
        };
    }
    const UNW_FLAG_CHAININFO: u8 = 4;
    if flags & UNW_FLAG_CHAININFO != 0 {
        let parent = info + 4 + count.next_multiple_of(2) * 2;
        bytes += x64(image, image.u32(parent + 8).context(CUT)?, depth + 1)?;
    }
    Ok(bytes)
}

/// Packed unwind data states the whole frame, in units of 16 bytes.
fn arm64_packed(data: u32) -> u32 {
    (data >> 23 & 0x1FF) * 16
}

fn arm64(image: &Image, xdata: u32) -> Result<u32> {
    const CUT: &str = "unwind data is cut short";
    let head = image.u32(xdata).context(CUT)?;
    let (mut epilogs, mut words, mut at) = (head >> 22 & 0x1F, head >> 27, xdata + 4);
    if epilogs == 0 && words == 0 {
        let more = image.u32(at).context(CUT)?;
        (epilogs, words, at) = (more & 0xFFFF, more >> 16 & 0xFF, at + 4);
    }
    if head & (1 << 21) == 0 {
        at += epilogs * 4; // E clear: one scope word an epilogue
    }
    let codes = image.at(at, words as usize * 4).context(CUT)?;
    arm64_codes(codes).with_context(|| format!("unwind codes at {at:#x}"))
}

/// Sums what the prologue's codes allocate.
fn arm64_codes(codes: &[u8]) -> Result<u32> {
    let mut bytes = 0;
    let mut i = 0;
    while let Some(&first) = codes.get(i) {
        let next = |k: usize| codes.get(i + k).map(|&b| u32::from(b)).context("cut short");
        let low = u32::from(first);
        let (len, allocated) = match first {
            0x00..=0x1F => (1, (low & 0x1F) * 16),      // alloc_s
            0x20..=0x3F => (1, (low & 0x1F) * 8),       // save_r19r20_x
            0x40..=0x7F => (1, 0),                      // save_fplr
            0x80..=0xBF => (1, ((low & 0x3F) + 1) * 8), // save_fplr_x
            0xC0..=0xC7 => (2, ((low & 7) << 8 | next(1)?) * 16), // alloc_m
            0xC8..=0xCB => (2, 0),                      // save_regp
            0xCC..=0xCF => (2, ((next(1)? & 0x3F) + 1) * 8), // save_regp_x
            0xD0..=0xD3 => (2, 0),                      // save_reg
            0xD4..=0xD5 => (2, ((next(1)? & 0x1F) + 1) * 8), // save_reg_x
            0xD6..=0xD9 => (2, 0),                      // save_lrpair, save_fregp
            0xDA..=0xDB => (2, ((next(1)? & 0x3F) + 1) * 8), // save_fregp_x
            0xDC..=0xDD => (2, 0),                      // save_freg
            0xDE => (2, ((next(1)? & 0x1F) + 1) * 8),   // save_freg_x
            0xE0 => (4, (next(1)? << 16 | next(2)? << 8 | next(3)?) * 16), // alloc_l
            0xE1 | 0xE3 | 0xE6 | 0xFC => (1, 0),        // set_fp, nop, save_next, pac_sign_lr
            0xE2 => (2, 0),                             // add_fp
            0xE4 | 0xE5 => return Ok(bytes),            // end, end_c
            0xE7 => save_any_reg(next(1)?, next(2)?),
            _ => bail!("unknown code {first:#04x}"),
        };
        bytes += allocated;
        i += len;
    }
    Ok(bytes)
}

/// save_any_reg: `11100111'0pxrrrrr'ffoooooo`; with `x` it is pre-indexed and allocates.
fn save_any_reg(second: u32, third: u32) -> (usize, u32) {
    let (pre_indexed, offset) = (second & 0x20 != 0, third & 0x3F);
    (3, if pre_indexed { (offset + 1) * 16 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_frame_is_in_units_of_sixteen() {
        assert_eq!(arm64_packed(7 << 23 | 1), 112);
    }

    #[test]
    fn allocations_add_up_until_the_end_code() {
        // sub sp,#32 · stp x29,lr,[sp,#-16]! · end · (an epilogue that must not count)
        assert_eq!(arm64_codes(&[0x02, 0x81, 0xE4, 0x1F]).unwrap(), 48);
        // alloc_m 0x123 × 16, alloc_l 0x010203 × 16
        assert_eq!(
            arm64_codes(&[0xC1, 0x23, 0xE0, 1, 2, 3, 0xE4]).unwrap(),
            (0x123 + 0x010203) * 16
        );
    }

    #[test]
    fn unknown_and_truncated_codes_are_errors() {
        assert!(arm64_codes(&[0xF0]).is_err());
        assert!(arm64_codes(&[0xE0, 1]).is_err());
    }
}
