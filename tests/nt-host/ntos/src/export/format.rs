//! The printf formatter of Windows' kernel runtime.
//!
//! Conversions: https://learn.microsoft.com/cpp/c-runtime-library/format-specification-syntax-printf-and-wprintf-functions, with the
//! kernel's `%Z` and `%wZ` for counted strings (nf-wdm-dbgprint).

#[cfg(test)]
mod tests;

use crate::abi::{ANSI_STRING, UNICODE_STRING};
use crate::guest;

/// A string that a driver forgot to end is not followed for ever.
const LONGEST: usize = 1 << 16;
/// The widest field that is padded out.
const WIDEST: usize = 4096;

/// Variable arguments: 8-byte slots from an address on, on x64 and ARM64 alike.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    address: usize,
}

impl Arguments {
    /// The slots at `address`: what a `va_list` points to.
    #[must_use]
    pub fn at(address: usize) -> Arguments {
        Arguments { address }
    }

    fn next(&mut self) -> u64 {
        let value = guest::read_u64(self.address);
        self.address += 8;
        value
    }
}

/// Formats a narrow string.
#[must_use]
pub fn format_narrow(format: &[u8], arguments: Arguments) -> Vec<u8> {
    let format: Vec<u16> = format.iter().map(|&byte| byte.into()).collect();
    // Characters beyond Latin-1 have no narrow form here.
    run(&format, false, arguments)
        .into_iter()
        .map(|u| u8::try_from(u).unwrap_or(b'?'))
        .collect()
}

/// Formats a wide string.
#[must_use]
pub fn format_wide(format: &[u16], arguments: Arguments) -> Vec<u16> {
    run(format, true, arguments)
}

/// One conversion.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    /// Bytes of an integer argument.
    bytes: u32,
    /// Whether a string or character argument is wide.
    wide: Option<bool>,
}

fn run(format: &[u16], wide: bool, mut arguments: Arguments) -> Vec<u16> {
    let mut out = Vec::new();
    // Half a surrogate pair is no char: such units pass through beyond the 16-bit range.
    let char_of =
        |&unit: &u16| char::from_u32(unit.into()).or(char::from_u32(0xf_0000 + u32::from(unit)));
    let mut rest = format.iter().filter_map(char_of).peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c as u16);
            continue;
        }
        let mut spec = Spec {
            bytes: 4,
            ..Spec::default()
        };
        if let Some(conversion) = parse(&mut rest, &mut spec, &mut arguments) {
            convert(conversion, &spec, wide, &mut arguments, &mut out);
        }
    }
    out
}

/// Reads flags, width, precision and size; gives the conversion character.
fn parse(
    rest: &mut std::iter::Peekable<impl Iterator<Item = char>>,
    spec: &mut Spec,
    arguments: &mut Arguments,
) -> Option<char> {
    loop {
        match rest.peek()? {
            '-' => spec.left = true,
            '+' => spec.plus = true,
            ' ' => spec.space = true,
            '#' => spec.alternate = true,
            '0' => spec.zero = true,
            _ => break,
        }
        rest.next();
    }
    let (width, negative) = number(rest, arguments);
    spec.left |= negative;
    spec.width = width.unwrap_or(0).min(WIDEST);
    if rest.next_if_eq(&'.').is_some() {
        let (precision, negative) = number(rest, arguments);
        spec.precision = (!negative).then_some(precision.unwrap_or(0).min(LONGEST));
    }
    loop {
        match rest.next()? {
            'h' => (spec.bytes, spec.wide) = (if spec.bytes == 2 { 1 } else { 2 }, Some(false)),
            'l' => {
                // LLP64: `long` has 32 bits; only `ll` has 64.
                spec.bytes = if spec.wide == Some(true) { 8 } else { 4 };
                spec.wide = Some(true);
            }
            'w' => spec.wide = Some(true),
            'z' | 't' | 'j' => spec.bytes = 8,
            'I' => {
                if rest.next_if_eq(&'3').is_some() {
                    rest.next_if_eq(&'2');
                    spec.bytes = 4;
                } else {
                    if rest.next_if_eq(&'6').is_some() {
                        rest.next_if_eq(&'4');
                    }
                    spec.bytes = 8;
                }
            }
            conversion => return Some(conversion),
        }
    }
}

/// A decimal number or `*`, and whether the argument for it was negative.
fn number(
    rest: &mut std::iter::Peekable<impl Iterator<Item = char>>,
    arguments: &mut Arguments,
) -> (Option<usize>, bool) {
    if rest.next_if_eq(&'*').is_some() {
        let value = arguments.next() as i32;
        return (Some(value.unsigned_abs() as usize), value < 0);
    }
    let mut value = None;
    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
        value = Some(
            value
                .unwrap_or(0_usize)
                .saturating_mul(10)
                .saturating_add(digit as usize),
        );
        rest.next();
    }
    (value, false)
}

fn convert(
    conversion: char,
    spec: &Spec,
    wide: bool,
    arguments: &mut Arguments,
    out: &mut Vec<u16>,
) {
    match conversion {
        'd' | 'i' => {
            let shift = 64 - 8 * spec.bytes;
            let value = (arguments.next() << shift).cast_signed() >> shift;
            let sign = match () {
                () if value < 0 => "-",
                () if spec.plus => "+",
                () if spec.space => " ",
                () => "",
            };
            integer(sign, value.unsigned_abs().to_string(), spec, out);
        }
        'u' | 'x' | 'X' | 'o' => {
            let value = arguments.next() & (u64::MAX >> (64 - 8 * spec.bytes));
            let (prefix, digits) = match conversion {
                'u' => ("", value.to_string()),
                'x' => ("0x", format!("{value:x}")),
                'X' => ("0X", format!("{value:X}")),
                _ => ("0", format!("{value:o}")),
            };
            let prefix = if spec.alternate && value != 0 {
                prefix
            } else {
                ""
            };
            integer(prefix, digits, spec, out);
        }
        'p' => pad(&text(&format!("{:016X}", arguments.next())), spec, out),
        'c' | 'C' => {
            let value = arguments.next() as u16;
            let wide = spec.wide.unwrap_or(wide != (conversion == 'C'));
            pad(&[if wide { value } else { value & 0xff }], spec, out);
        }
        's' | 'S' => {
            let address = arguments.next() as usize;
            let limit = spec.precision.unwrap_or(LONGEST);
            let wide = spec.wide.unwrap_or(wide != (conversion == 'S'));
            let string = match () {
                () if address == 0 => text("(null)"),
                () if wide => guest::wide_string(address, limit),
                () => guest::c_string(address, limit)
                    .into_iter()
                    .map(u16::from)
                    .collect(),
            };
            pad(&string, spec, out);
        }
        'Z' => {
            let address = arguments.next() as usize;
            pad(&counted(address, spec.wide.unwrap_or(wide)), spec, out);
        }
        'e' | 'E' | 'f' | 'g' | 'G' => {
            let value = f64::from_bits(arguments.next());
            pad(
                &text(&format!("{value:.*}", spec.precision.unwrap_or(6))),
                spec,
                out,
            );
        }
        // `%n` is refused by the kernel's runtime; what is not a conversion is printed as it stands.
        'n' => drop(arguments.next()),
        other => out.push(u16::try_from(u32::from(other)).unwrap_or(b'?'.into())),
    }
}

/// The characters of a UNICODE_STRING or ANSI_STRING.
fn counted(address: usize, wide: bool) -> Vec<u16> {
    if address == 0 {
        return text("(null)");
    }
    if wide {
        let len = UNICODE_STRING::Length.get(address) as usize / 2;
        let buffer = UNICODE_STRING::Buffer.get(address) as usize;
        (0..len).map(|i| guest::read_u16(buffer + 2 * i)).collect()
    } else {
        let len = ANSI_STRING::Length.get(address) as usize;
        let buffer = ANSI_STRING::Buffer.get(address) as usize;
        guest::bytes(buffer, len)
            .into_iter()
            .map(u16::from)
            .collect()
    }
}

fn text(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn integer(prefix: &str, mut digits: String, spec: &Spec, out: &mut Vec<u16>) {
    if let Some(precision) = spec.precision {
        if precision == 0 && digits == "0" {
            digits.clear();
        }
        digits.insert_str(0, &"0".repeat(precision.saturating_sub(digits.len())));
    } else if spec.zero && !spec.left {
        let room = spec.width.saturating_sub(prefix.len() + digits.len());
        digits.insert_str(0, &"0".repeat(room));
    }
    pad(&text(&format!("{prefix}{digits}")), spec, out);
}

fn pad(units: &[u16], spec: &Spec, out: &mut Vec<u16>) {
    let room = spec.width.saturating_sub(units.len());
    let blanks = std::iter::repeat_n(u16::from(b' '), room);
    if spec.left {
        out.extend_from_slice(units);
        out.extend(blanks);
    } else {
        out.extend(blanks);
        out.extend_from_slice(units);
    }
}
