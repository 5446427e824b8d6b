//! The run-time library: counted strings, versions, bitmaps, random numbers.

mod bitmap;
pub(crate) mod version;

use super::Call;
use super::string::upper;
use super::table::{register as export, register_pure};
use crate::abi::{ANSI_STRING, UNICODE_STRING};
use crate::{guest, pool, rules};

const K: &str = "ntoskrnl.exe";
const SUCCESS: u64 = 0;
/// STATUS_BUFFER_TOO_SMALL, STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY, STATUS_NAME_TOO_LONG.
const TOO_SMALL: u64 = 0xc000_0023;
const OVERFLOW: u64 = 0x8000_0005;
const INVALID_PARAMETER: u64 = 0xc000_000d;
const NO_MEMORY: u64 = 0xc000_0017;
const NAME_TOO_LONG: u64 = 0xc000_0106;
const TAG: u32 = u32::from_le_bytes(*b"RtlS");

pub(super) fn register() {
    strings();
    conversions();
    bitmap::register();
    version::register();
    for name in ["RtlRandom", "RtlRandomEx"] {
        export(K, name, |c| {
            // nf-ntddk-rtlrandomex: the seed is updated; the result lies below 2^31 - 1.
            let seed = guest::read_u32(c.ptr(0));
            let next = seed.wrapping_mul(0x7fff_ffed).wrapping_add(0x7fff_ffc3) % 0x7fff_ffff;
            guest::write_u32(c.ptr(0), next);
            next.into()
        });
    }
    register_pure(K, "RtlUshortByteSwap", |c| c.u16(0).swap_bytes().into());
    register_pure(K, "RtlUlongByteSwap", |c| c.u32(0).swap_bytes().into());
    register_pure(K, "RtlUlonglongByteSwap", |c| c.arg(0).swap_bytes());
}

/// The units of a UNICODE_STRING.
pub(crate) fn read_unicode(string: usize) -> Vec<u16> {
    let len = UNICODE_STRING::Length.get(string) as usize / 2;
    let buffer = UNICODE_STRING::Buffer.get(string) as usize;
    (0..len).map(|i| guest::read_u16(buffer + 2 * i)).collect()
}

fn read_ansi(string: usize) -> Vec<u8> {
    let len = ANSI_STRING::Length.get(string) as usize;
    guest::bytes(ANSI_STRING::Buffer.get(string) as usize, len)
}

fn set(string: usize, len: usize, room: usize, buffer: usize) {
    UNICODE_STRING::Length.set(string, len as u64);
    UNICODE_STRING::MaximumLength.set(string, room as u64);
    UNICODE_STRING::Buffer.set(string, buffer as u64);
}

/// Writes as many units as fit, with an end where there is room; gives whether all fitted.
fn write_unicode(string: usize, at: usize, units: &[u16]) -> bool {
    let room = UNICODE_STRING::MaximumLength.get(string) as usize / 2;
    let buffer = UNICODE_STRING::Buffer.get(string) as usize;
    let count = units.len().min(room.saturating_sub(at));
    for (i, unit) in units.iter().take(count).enumerate() {
        guest::write_u16(buffer + 2 * (at + i), *unit);
    }
    if at + count < room {
        guest::write_u16(buffer + 2 * (at + count), 0);
    }
    UNICODE_STRING::Length.set(string, 2 * (at + count) as u64);
    count == units.len()
}

fn strings() {
    for name in ["RtlInitUnicodeString", "RtlInitUnicodeStringEx"] {
        export(K, name, |c| {
            let units = if c.ptr(1) == 0 {
                0
            } else {
                guest::wide_string(c.ptr(1), 0x1_0000).len()
            };
            // nf-wdm-rtlinitunicodestring: at most MAXUSHORT - 1 bytes; the Ex form refuses what is longer.
            let len = if units * 2 > 0xfffc {
                if c.name() == "RtlInitUnicodeStringEx" {
                    return NAME_TOO_LONG;
                }
                0xfffc
            } else {
                units * 2
            };
            set(
                c.ptr(0),
                len,
                if c.ptr(1) == 0 { 0 } else { len + 2 },
                c.ptr(1),
            );
            SUCCESS
        });
    }
    for name in ["RtlInitAnsiString", "RtlInitString"] {
        export(K, name, |c| {
            let len = if c.ptr(1) == 0 {
                0
            } else {
                guest::c_string(c.ptr(1), 0xfffe).len()
            };
            set(
                c.ptr(0),
                len,
                if c.ptr(1) == 0 { 0 } else { len + 1 },
                c.ptr(1),
            );
            SUCCESS
        });
    }
    export(K, "RtlCopyUnicodeString", |c| {
        let units = if c.ptr(1) == 0 {
            Vec::new()
        } else {
            read_unicode(c.ptr(1))
        };
        write_unicode(c.ptr(0), 0, &units);
        SUCCESS
    });
    export(K, "RtlAppendUnicodeToString", |c| {
        let units = if c.ptr(1) == 0 {
            Vec::new()
        } else {
            guest::wide_string(c.ptr(1), 0x8000)
        };
        append(c.ptr(0), &units)
    });
    export(K, "RtlAppendUnicodeStringToString", |c| {
        append(c.ptr(0), &read_unicode(c.ptr(1)))
    });
    export(K, "RtlCompareUnicodeString", |c| {
        let (a, b) = folded(c);
        super::crt::ordering(a.cmp(&b))
    });
    export(K, "RtlEqualUnicodeString", |c| {
        let (a, b) = folded(c);
        u64::from(a == b)
    });
    export(K, "RtlPrefixUnicodeString", |c| {
        let (a, b) = folded(c);
        u64::from(b.starts_with(&a))
    });
    export(K, "RtlUpcaseUnicodeString", |c| {
        let units: Vec<u16> = read_unicode(c.ptr(1)).into_iter().map(upper).collect();
        store_unicode(c.ptr(0), &units, c.u8(2) != 0)
    });
    for name in ["RtlEqualString", "RtlCompareString"] {
        export(K, name, |c| {
            let fold = |bytes: Vec<u8>| {
                if c.u8(2) != 0 {
                    bytes.to_ascii_uppercase()
                } else {
                    bytes
                }
            };
            let (a, b) = (fold(read_ansi(c.ptr(0))), fold(read_ansi(c.ptr(1))));
            if c.name() == "RtlEqualString" {
                u64::from(a == b)
            } else {
                super::crt::ordering(a.cmp(&b))
            }
        });
    }
}

/// Both strings of a comparison, in upper case if the third argument says so.
fn folded(c: &Call) -> (Vec<u16>, Vec<u16>) {
    let fold = |units: Vec<u16>| -> Vec<u16> {
        if c.u8(2) != 0 {
            units.into_iter().map(upper).collect()
        } else {
            units
        }
    };
    (fold(read_unicode(c.ptr(0))), fold(read_unicode(c.ptr(1))))
}

fn append(string: usize, units: &[u16]) -> u64 {
    let at = UNICODE_STRING::Length.get(string) as usize / 2;
    let room = UNICODE_STRING::MaximumLength.get(string) as usize / 2;
    if at + units.len() > room {
        return TOO_SMALL;
    }
    write_unicode(string, at, units);
    SUCCESS
}

/// A result string, in a buffer of its own if `allocate`.
fn store_unicode(string: usize, units: &[u16], allocate: bool) -> u64 {
    if allocate {
        let buffer = pool::alloc(TAG, 2 * units.len() + 2, pool::Kind::Paged);
        if buffer == 0 {
            return NO_MEMORY;
        }
        set(string, 0, 2 * units.len() + 2, buffer);
    }
    if UNICODE_STRING::MaximumLength.get(string) < 2 * units.len() as u64 {
        return OVERFLOW;
    }
    write_unicode(string, 0, units);
    SUCCESS
}

fn conversions() {
    export(K, "RtlAnsiStringToUnicodeString", |c| {
        let units: Vec<u16> = read_ansi(c.ptr(1)).into_iter().map(u16::from).collect();
        store_unicode(c.ptr(0), &units, c.u8(2) != 0)
    });
    export(K, "RtlUnicodeStringToAnsiString", |c| {
        let units = read_unicode(c.ptr(1));
        let bytes: Vec<u8> = units
            .into_iter()
            .map(|u| u8::try_from(u).unwrap_or(b'?'))
            .collect();
        if c.u8(2) != 0 {
            let buffer = pool::alloc(TAG, bytes.len() + 1, pool::Kind::Paged);
            if buffer == 0 {
                return NO_MEMORY;
            }
            set(c.ptr(0), 0, bytes.len() + 1, buffer);
        }
        if ANSI_STRING::MaximumLength.get(c.ptr(0)) <= bytes.len() as u64 {
            return OVERFLOW;
        }
        let buffer = ANSI_STRING::Buffer.get(c.ptr(0)) as usize;
        guest::write(buffer, &bytes);
        guest::write_u8(buffer + bytes.len(), 0);
        ANSI_STRING::Length.set(c.ptr(0), bytes.len() as u64);
        SUCCESS
    });
    for name in ["RtlFreeUnicodeString", "RtlFreeAnsiString"] {
        export(K, name, |c| {
            let buffer = UNICODE_STRING::Buffer.get(c.ptr(0)) as usize;
            if buffer != 0 {
                pool::free(buffer, None);
            }
            set(c.ptr(0), 0, 0, 0);
            SUCCESS
        });
    }
    export(K, "RtlIntegerToUnicodeString", |c| {
        number(u64::from(c.u32(0)), c.u32(1), c.ptr(2))
    });
    export(K, "RtlInt64ToUnicodeString", |c| {
        number(c.arg(0), c.u32(1), c.ptr(2))
    });
    export(K, "RtlUnicodeStringToInteger", |c| {
        let text = String::from_utf16_lossy(&read_unicode(c.ptr(0)));
        let Some(value) = parse(text.trim_start(), c.u32(1)) else {
            return INVALID_PARAMETER;
        };
        guest::write_u32(c.ptr(2), value);
        SUCCESS
    });
    export(K, "RtlStringFromGUID", |c| {
        let g = guest::bytes(c.ptr(0), 16);
        let (a, b) = (guest::read_u32(c.ptr(0)), guest::read_u16(c.ptr(0) + 4));
        let d = guest::read_u16(c.ptr(0) + 6);
        let tail: String = g
            .get(10..)
            .unwrap_or(&[])
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let text = format!(
            "{{{a:08X}-{b:04X}-{d:04X}-{:02X}{:02X}-{tail}}}",
            g[8], g[9]
        );
        store_unicode(c.ptr(1), &text.encode_utf16().collect::<Vec<_>>(), true)
    });
}

/// nf-wdm-rtlintegertounicodestring: base 0 and 10 decimal, 2, 8, 16.
fn number(value: u64, base: u32, string: usize) -> u64 {
    let text = match base {
        0 | 10 => value.to_string(),
        2 => format!("{value:b}"),
        8 => format!("{value:o}"),
        16 => format!("{value:X}"),
        _ => {
            rules::violate(rules::BAD_ARGUMENT, format!("base {base}"));
            return INVALID_PARAMETER;
        }
    };
    store_unicode(string, &text.encode_utf16().collect::<Vec<_>>(), false)
}

/// nf-wdm-rtlunicodestringtointeger: a sign, then with base 0 a prefix; reading stops at the first other character.
fn parse(text: &str, base: u32) -> Option<u32> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (base, digits) = match base {
        0 => match text.get(..2) {
            Some("0x") => (16, &text[2..]),
            Some("0o") => (8, &text[2..]),
            Some("0b") => (2, &text[2..]),
            _ => (10, text),
        },
        2 | 8 | 10 | 16 => (base, text),
        _ => return None,
    };
    let digits = digits.chars().map_while(|c| c.to_digit(base));
    let value = digits.fold(0_u32, |value, digit| {
        value.wrapping_mul(base).wrapping_add(digit)
    });
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}
