//! Turns an INF file's bytes into text.

/// How a file is encoded. InfVerif takes ANSI and UTF-16 LE (MS: inf-validation-errors-and-warnings, 1003).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Seven bits: the same in every code page.
    Ascii,
    /// Some code page: bytes over 127 that are not UTF-8.
    Ansi,
    /// UTF-8 with characters over 127, or with a byte order mark.
    Utf8,
    /// UTF-16, little endian.
    Utf16Le,
    /// UTF-16, big endian.
    Utf16Be,
}

/// A file's text.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text, without a byte order mark.
    pub text: String,
    /// What it was.
    pub encoding: Encoding,
}

/// Decodes any bytes; what is not valid becomes U+FFFD, and ANSI is read as Latin-1.
#[must_use]
pub fn decode(bytes: &[u8]) -> Text {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes, Encoding::Utf16Le),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes, Encoding::Utf16Be),
        [0xef, 0xbb, 0xbf, rest @ ..] => Text {
            text: String::from_utf8_lossy(rest).into_owned(),
            encoding: Encoding::Utf8,
        },
        // Without a mark: an INF starts with ASCII, so one zero byte tells.
        [1..=127, 0, ..] => utf16(bytes, u16::from_le_bytes, Encoding::Utf16Le),
        [0, 1..=127, ..] => utf16(bytes, u16::from_be_bytes, Encoding::Utf16Be),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Text {
                text: text.to_owned(),
                encoding: if text.is_ascii() {
                    Encoding::Ascii
                } else {
                    Encoding::Utf8
                },
            },
            Err(_) => Text {
                text: bytes.iter().copied().map(char::from).collect(),
                encoding: Encoding::Ansi,
            },
        },
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, encoding: Encoding) -> Text {
    let units = bytes.chunks(2).map(|pair| match pair {
        [a, b] => unit([*a, *b]),
        // Half a character at the end.
        _ => 0xfffd,
    });
    let text = char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Text { text, encoding }
}
