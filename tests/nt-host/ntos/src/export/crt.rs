//! The C runtime functions that ntoskrnl exports: memory and formatted printing. Strings are in the sibling module.

use super::Call;
use super::format::{Arguments, format_narrow, format_wide};
use super::table::{register_data, register_pure};
use crate::guest;

const K: &str = "ntoskrnl.exe";

pub(super) fn register() {
    for name in [
        "memcpy",
        "memmove",
        "RtlCopyMemory",
        "RtlMoveMemory",
        "RtlCopyMemoryNonTemporal",
    ] {
        register_pure(K, name, |c| {
            guest::copy(c.ptr(0), c.ptr(1), c.ptr(2));
            c.arg(0)
        });
    }
    register_pure(K, "memset", |c| {
        guest::fill(c.ptr(0), c.ptr(2), c.u8(1));
        c.arg(0)
    });
    register_pure(K, "RtlFillMemory", |c| {
        guest::fill(c.ptr(0), c.ptr(1), c.u8(2));
        0
    });
    for name in ["RtlZeroMemory", "RtlSecureZeroMemory"] {
        register_pure(K, name, |c| {
            guest::fill(c.ptr(0), c.ptr(1), 0);
            0
        });
    }
    register_pure(K, "memcmp", |c| {
        let (a, b) = (
            guest::bytes(c.ptr(0), c.ptr(2)),
            guest::bytes(c.ptr(1), c.ptr(2)),
        );
        ordering(a.cmp(&b))
    });
    register_pure(K, "memchr", |c| {
        let found = (0..c.ptr(2)).find(|i| guest::read_u8(c.ptr(0) + i) == c.u8(1));
        found.map_or(0, |i| c.arg(0) + i as u64)
    });
    register_pure(K, "RtlCompareMemory", |c| {
        let same = |i: &usize| guest::read_u8(c.ptr(0) + i) == guest::read_u8(c.ptr(1) + i);
        (0..c.ptr(2)).take_while(same).count() as u64
    });
    // errno_t memcpy_s(dest, room, src, count): EINVAL 22, ERANGE 34.
    for name in ["memcpy_s", "memmove_s"] {
        register_pure(K, name, |c| {
            if c.ptr(3) == 0 {
                return 0;
            }
            if c.ptr(0) == 0 {
                return 22;
            }
            if c.ptr(2) == 0 || c.ptr(1) < c.ptr(3) {
                guest::fill(c.ptr(0), c.ptr(1), 0);
                return if c.ptr(2) == 0 { 22 } else { 34 };
            }
            guest::copy(c.ptr(0), c.ptr(2), c.ptr(3));
            0
        });
    }
    printing();
    register_data(K, "__chkstk", chkstk as *const () as usize);
}

/// The C library's sign of a comparison, as a 32-bit int.
pub(super) fn ordering(ordering: std::cmp::Ordering) -> u64 {
    u64::from((ordering as i32).cast_unsigned())
}

/// Stack probe. Called with the size in RAX/X15 and bound to keep every other register, so it is no ordinary import.
/// A driver's whole stack is mapped and ends in a guard region, so there is nothing to touch.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn chkstk() {
    std::arch::naked_asm!("ret")
}

/// Stack probe. Called with the size in RAX/X15 and bound to keep every other register, so it is no ordinary import.
/// A driver's whole stack is mapped and ends in a guard region, so there is nothing to touch.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn chkstk() {
    std::arch::naked_asm!("ret")
}

fn printing() {
    register_pure(K, "sprintf", |c| {
        narrow(c, 0, None, 1, variadic(c, 2), false)
    });
    register_pure(K, "vsprintf", |c| narrow(c, 0, None, 1, list(c, 2), false));
    register_pure(K, "_snprintf", |c| {
        narrow(c, 0, Some(1), 2, variadic(c, 3), false)
    });
    register_pure(K, "_vsnprintf", |c| {
        narrow(c, 0, Some(1), 2, list(c, 3), false)
    });
    register_pure(K, "sprintf_s", |c| {
        narrow(c, 0, Some(1), 2, variadic(c, 3), true)
    });
    register_pure(K, "vsprintf_s", |c| {
        narrow(c, 0, Some(1), 2, list(c, 3), true)
    });
    register_pure(K, "swprintf", |c| wide(c, None, 1, variadic(c, 2)));
    register_pure(K, "vswprintf", |c| wide(c, None, 1, list(c, 2)));
    register_pure(K, "_swprintf", |c| wide(c, None, 1, variadic(c, 2)));
    register_pure(K, "_snwprintf", |c| wide(c, Some(1), 2, variadic(c, 3)));
    register_pure(K, "_vsnwprintf", |c| wide(c, Some(1), 2, list(c, 3)));
}

fn variadic(c: &Call, first: usize) -> Arguments {
    Arguments::at(c.slot_address(first))
}

fn list(c: &Call, index: usize) -> Arguments {
    Arguments::at(c.ptr(index))
}

/// -1 as an int.
const FAILED: u64 = 0xffff_ffff;

fn narrow(
    c: &Call,
    to: usize,
    room: Option<usize>,
    format: usize,
    arguments: Arguments,
    ended: bool,
) -> u64 {
    let text = format_narrow(&guest::c_string(c.ptr(format), 1 << 16), arguments);
    let to = c.ptr(to);
    let room = room.map_or(usize::MAX, |room| c.ptr(room));
    if ended && text.len() >= room {
        // The safe forms leave an empty string (the invalid-parameter handler of the kernel returns).
        if room > 0 {
            guest::write_u8(to, 0);
        }
        return FAILED;
    }
    guest::write(to, text.get(..room).unwrap_or(&text));
    // The plain bounded forms end the string only where there is room, and say so.
    if text.len() < room {
        guest::write_u8(to + text.len(), 0);
    }
    if text.len() > room {
        FAILED
    } else {
        text.len() as u64
    }
}

fn wide(c: &Call, room: Option<usize>, format: usize, arguments: Arguments) -> u64 {
    let text = format_wide(&guest::wide_string(c.ptr(format), 1 << 16), arguments);
    let to = c.ptr(0);
    let room = room.map_or(usize::MAX, |room| c.ptr(room));
    for (i, unit) in text.iter().take(room).enumerate() {
        guest::write_u16(to + 2 * i, *unit);
    }
    if text.len() < room {
        guest::write_u16(to + 2 * text.len(), 0);
    }
    if text.len() > room {
        FAILED
    } else {
        text.len() as u64
    }
}
