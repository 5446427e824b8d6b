//! The C string functions that ntoskrnl exports, narrow and wide.

use super::Call;
use super::crt::ordering;
use super::table::register_pure;
use crate::guest;

const K: &str = "ntoskrnl.exe";
/// A string that was not ended is followed into the next guard page, not for ever.
const LONGEST: usize = 1 << 24;

/// The two kinds of strings behind one set of functions.
trait Text: Copy + 'static {
    const UNIT: usize;
    fn at(address: usize, index: usize) -> u16;
    fn put(address: usize, index: usize, unit: u16);

    fn len(address: usize, limit: usize) -> usize {
        (0..limit)
            .find(|&i| Self::at(address, i) == 0)
            .unwrap_or(limit)
    }
    fn units(address: usize, limit: usize) -> Vec<u16> {
        (0..Self::len(address, limit))
            .map(|i| Self::at(address, i))
            .collect()
    }
    fn put_all(address: usize, units: &[u16]) {
        for (i, unit) in units.iter().enumerate() {
            Self::put(address, i, *unit);
        }
    }
}

#[derive(Clone, Copy)]
struct Narrow;
#[derive(Clone, Copy)]
struct Wide;

impl Text for Narrow {
    const UNIT: usize = 1;
    fn at(address: usize, index: usize) -> u16 {
        guest::read_u8(address + index).into()
    }
    fn put(address: usize, index: usize, unit: u16) {
        guest::write_u8(address + index, unit as u8);
    }
}

impl Text for Wide {
    const UNIT: usize = 2;
    fn at(address: usize, index: usize) -> u16 {
        guest::read_u16(address + 2 * index)
    }
    fn put(address: usize, index: usize, unit: u16) {
        guest::write_u16(address + 2 * index, unit);
    }
}

pub(super) fn register() {
    family::<Narrow>(&[
        "strlen",
        "strnlen",
        "strcmp",
        "strncmp",
        "_stricmp",
        "_strnicmp",
        "strcpy",
        "strncpy",
        "strcat",
        "strncat",
        "strchr",
        "strrchr",
        "strstr",
        "strcpy_s",
        "strcat_s",
        "strncpy_s",
        "strspn",
        "_strlwr",
        "_strupr",
    ]);
    family::<Wide>(&[
        "wcslen",
        "wcsnlen",
        "wcscmp",
        "wcsncmp",
        "_wcsicmp",
        "_wcsnicmp",
        "wcscpy",
        "wcsncpy",
        "wcscat",
        "wcsncat",
        "wcschr",
        "wcsrchr",
        "wcsstr",
        "wcscpy_s",
        "wcscat_s",
        "wcsncpy_s",
        "wcsspn",
        "_wcslwr",
        "_wcsupr",
    ]);
    for name in ["tolower", "towlower"] {
        register_pure(K, name, |c| lower(c.u16(0)).into());
    }
    for name in [
        "toupper",
        "towupper",
        "RtlUpcaseUnicodeChar",
        "RtlUpperChar",
    ] {
        register_pure(K, name, |c| upper(c.u16(0)).into());
    }
    register_pure(K, "RtlDowncaseUnicodeChar", |c| lower(c.u16(0)).into());
    let classes: [(&str, super::Handler); 6] = [
        ("isdigit", |c| (c.arg(0) as u8).is_ascii_digit().into()),
        ("isxdigit", |c| (c.arg(0) as u8).is_ascii_hexdigit().into()),
        ("isspace", |c| (c.arg(0) as u8).is_ascii_whitespace().into()),
        ("isprint", |c| {
            (c.arg(0) as u8 == b' ' || (c.arg(0) as u8).is_ascii_graphic()).into()
        }),
        ("isupper", |c| (c.arg(0) as u8).is_ascii_uppercase().into()),
        ("islower", |c| (c.arg(0) as u8).is_ascii_lowercase().into()),
    ];
    for (name, handler) in classes {
        register_pure(K, name, handler);
    }
    for name in ["atoi", "atol"] {
        register_pure(K, name, |c| {
            let units = Narrow::units(c.ptr(0), 64);
            let value = decimal(&units);
            u64::from((value as i32).cast_unsigned())
        });
    }
    register_pure(K, "_wtoi", |c| {
        u64::from((decimal(&Wide::units(c.ptr(0), 64)) as i32).cast_unsigned())
    });
}

fn decimal(units: &[u16]) -> i64 {
    let text = String::from_utf16_lossy(units);
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.chars().map_while(|c| c.to_digit(10));
    sign * digits.fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(digit.into())
    })
}

/// Case as the kernel maps it for Latin letters; no locale applies.
pub(super) fn lower(unit: u16) -> u16 {
    map_case(unit, |c| c.to_lowercase().next())
}

pub(super) fn upper(unit: u16) -> u16 {
    map_case(unit, |c| c.to_uppercase().next())
}

fn map_case(unit: u16, map: impl Fn(char) -> Option<char>) -> u16 {
    char::from_u32(unit.into())
        .and_then(map)
        .and_then(|c| u16::try_from(u32::from(c)).ok())
        .unwrap_or(unit)
}

fn compare<T: Text>(c: &Call, limit: usize, fold: bool) -> u64 {
    let fold = |unit: u16| if fold { lower(unit) } else { unit };
    let (a, b) = (c.ptr(0), c.ptr(1));
    for i in 0..limit {
        let (x, y) = (fold(T::at(a, i)), fold(T::at(b, i)));
        if x != y {
            return ordering(x.cmp(&y));
        }
        if x == 0 {
            break;
        }
    }
    0
}

/// Copies at most `limit` units behind what is at `to` from `at` on, ended by a zero.
fn append<T: Text>(to: usize, at: usize, from: usize, limit: usize) {
    let units = T::units(from, limit);
    T::put_all(to + at * T::UNIT, &units);
    T::put(to, at + units.len(), 0);
}

fn found<T: Text>(address: usize, index: Option<usize>) -> u64 {
    index.map_or(0, |i| (address + i * T::UNIT) as u64)
}

/// The `_s` forms: EINVAL 22, ERANGE 34; the destination becomes empty on failure.
fn checked<T: Text>(c: &Call, at: usize, limit: usize) -> u64 {
    let (to, room, from) = (c.ptr(0), c.ptr(1), c.ptr(2));
    if to == 0 || room == 0 {
        return 22;
    }
    if from == 0 || at >= room {
        T::put(to, 0, 0);
        return 22;
    }
    if at + T::len(from, limit) >= room {
        T::put(to, 0, 0);
        return 34;
    }
    append::<T>(to, at, from, limit);
    0
}

fn family<T: Text>(names: &[&'static str; 19]) {
    let handlers: [super::Handler; 19] = [
        |c| T::len(c.ptr(0), LONGEST) as u64,
        |c| T::len(c.ptr(0), c.ptr(1)) as u64,
        |c| compare::<T>(c, LONGEST, false),
        |c| compare::<T>(c, c.ptr(2), false),
        |c| compare::<T>(c, LONGEST, true),
        |c| compare::<T>(c, c.ptr(2), true),
        |c| {
            append::<T>(c.ptr(0), 0, c.ptr(1), LONGEST);
            c.arg(0)
        },
        |c| {
            // The rest of the room is filled with zeros; without room there is no end.
            let units = T::units(c.ptr(1), c.ptr(2));
            T::put_all(c.ptr(0), &units);
            for i in units.len()..c.ptr(2) {
                T::put(c.ptr(0), i, 0);
            }
            c.arg(0)
        },
        |c| {
            append::<T>(c.ptr(0), T::len(c.ptr(0), LONGEST), c.ptr(1), LONGEST);
            c.arg(0)
        },
        |c| {
            append::<T>(c.ptr(0), T::len(c.ptr(0), LONGEST), c.ptr(1), c.ptr(2));
            c.arg(0)
        },
        |c| {
            let wanted = unit::<T>(c.arg(1));
            let end = T::len(c.ptr(0), LONGEST);
            found::<T>(c.ptr(0), (0..=end).find(|&i| T::at(c.ptr(0), i) == wanted))
        },
        |c| {
            let wanted = unit::<T>(c.arg(1));
            let end = T::len(c.ptr(0), LONGEST);
            found::<T>(
                c.ptr(0),
                (0..=end).rev().find(|&i| T::at(c.ptr(0), i) == wanted),
            )
        },
        |c| {
            let (text, wanted) = (T::units(c.ptr(0), LONGEST), T::units(c.ptr(1), LONGEST));
            let last = text.len().checked_sub(wanted.len());
            let at = last.and_then(|last| (0..=last).find(|&i| text[i..].starts_with(&wanted)));
            found::<T>(c.ptr(0), at)
        },
        |c| checked::<T>(c, 0, LONGEST),
        |c| checked::<T>(c, T::len(c.ptr(0), c.ptr(1)), LONGEST),
        |c| checked::<T>(c, 0, c.ptr(3)),
        |c| {
            let (text, set) = (T::units(c.ptr(0), LONGEST), T::units(c.ptr(1), LONGEST));
            text.iter().take_while(|unit| set.contains(unit)).count() as u64
        },
        |c| recase::<T>(c, lower),
        |c| recase::<T>(c, upper),
    ];
    for (name, handler) in names.iter().zip(handlers) {
        register_pure(K, name, handler);
    }
}

/// A character argument as the string's unit.
fn unit<T: Text>(value: u64) -> u16 {
    if T::UNIT == 1 {
        u16::from(value as u8)
    } else {
        value as u16
    }
}

fn recase<T: Text>(c: &Call, map: fn(u16) -> u16) -> u64 {
    let units: Vec<u16> = T::units(c.ptr(0), LONGEST).into_iter().map(map).collect();
    T::put_all(c.ptr(0), &units);
    c.arg(0)
}
