//! The small part of DER (ITU-T X.690) that catalogs, signatures and certificates use.

/// Bytes that do not follow DER, or not the structure that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at byte {at})")]
pub struct Error {
    /// What was expected or is wrong.
    pub what: &'static str,
    /// Offset from the start of the input.
    pub at: usize,
}

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// NULL.
pub const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// UTF8String.
pub const UTF8_STRING: u8 = 0x0c;
/// PrintableString: letters, digits and some marks of ASCII.
pub const PRINTABLE_STRING: u8 = 0x13;
/// IA5String: ASCII.
pub const IA5_STRING: u8 = 0x16;
/// UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// BMPString: UTF-16, big-endian.
pub const BMP_STRING: u8 = 0x1e;
/// SEQUENCE and SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// SET and SET OF.
pub const SET: u8 = 0x31;

/// A primitive context-specific tag.
pub const fn context(number: u8) -> u8 {
    0x80 | number
}

/// A constructed context-specific tag.
pub const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// Encodes one element.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = content.len();
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = len.to_be_bytes();
            let significant = bytes.iter().position(|&byte| byte != 0).unwrap_or(0);
            let bytes = &bytes[significant..];
            // usize has at most 8 bytes, so the count fits into the low bits.
            out.push(0x80 | bytes.len() as u8);
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

/// Encodes a SEQUENCE of encoded parts.
pub fn sequence<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Vec<u8> {
    element(SEQUENCE, &join(parts))
}

/// Encodes a SET OF encoded parts, which DER wants in ascending order.
pub fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    element(SET, &join(parts))
}

/// Encodes an OBJECT IDENTIFIER from its contents.
pub fn oid(content: &[u8]) -> Vec<u8> {
    element(OBJECT_IDENTIFIER, content)
}

/// Encodes NULL.
pub fn null() -> Vec<u8> {
    element(NULL, &[])
}

fn join<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(part.as_ref());
    }
    out
}

/// One element that was read.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The identifier byte.
    pub tag: u8,
    /// What it holds.
    pub content: &'a [u8],
    /// The whole encoding.
    pub encoded: &'a [u8],
    /// Offset of `content` from the start of the input.
    pub at: usize,
}

impl<'a> Element<'a> {
    /// Reads what is inside.
    pub fn inside(&self) -> Reader<'a> {
        Reader {
            rest: self.content,
            at: self.at,
        }
    }

    /// Its text, if it is text of a kind that names are written in.
    pub fn text(&self) -> Option<String> {
        match self.tag {
            UTF8_STRING | PRINTABLE_STRING | IA5_STRING => {
                String::from_utf8(self.content.to_vec()).ok()
            }
            BMP_STRING => {
                let (pairs, rest) = self.content.as_chunks::<2>();
                let units: Vec<u16> = pairs.iter().copied().map(u16::from_be_bytes).collect();
                let text = String::from_utf16(&units).ok()?;
                rest.is_empty().then_some(text)
            }
            _ => None,
        }
    }
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `input`.
    pub fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { rest: input, at: 0 }
    }

    /// True when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The error for something unexpected here.
    pub fn error(&self, what: &'static str) -> Error {
        Error { what, at: self.at }
    }

    /// Reads the next element, whatever it is.
    pub fn any(&mut self) -> Result<Element<'a>, Error> {
        let truncated = || self.error("the data ends in the middle of an element");
        let (&tag, after_tag) = self.rest.split_first().ok_or_else(truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(self.error("a tag of more than one byte"));
        }
        let (&first, after_first) = after_tag.split_first().ok_or_else(truncated)?;
        let (len, body) = if first < 0x80 {
            (usize::from(first), after_first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return Err(self.error("a length of no byte or more than four"));
            }
            let (digits, body) = after_first.split_at_checked(count).ok_or_else(truncated)?;
            let len = digits
                .iter()
                .fold(0usize, |len, &digit| (len << 8) | usize::from(digit));
            if digits[0] == 0 || len < 0x80 {
                return Err(self.error("a length that is not in its shortest form"));
            }
            (len, body)
        };
        let (content, rest) = body.split_at_checked(len).ok_or_else(truncated)?;
        let header = self.rest.len() - body.len();
        let element = Element {
            tag,
            content,
            encoded: &self.rest[..header + len],
            at: self.at + header,
        };
        self.at += header + len;
        self.rest = rest;
        Ok(element)
    }

    /// Reads the next element, which must carry `tag`.
    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>, Error> {
        let before = self.clone();
        let element = self.any()?;
        if element.tag == tag {
            Ok(element)
        } else {
            Err(before.error(what))
        }
    }

    /// Reads the next element if it carries `tag`.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Error> {
        if self.rest.first() == Some(&tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads all elements that are left.
    pub fn all(&mut self) -> Result<Vec<Element<'a>>, Error> {
        let mut all = Vec::new();
        while !self.is_empty() {
            all.push(self.any()?);
        }
        Ok(all)
    }

    /// Reads an OBJECT IDENTIFIER that must be `content`.
    pub fn expect_oid(&mut self, content: &[u8], what: &'static str) -> Result<(), Error> {
        let before = self.clone();
        let element = self.expect(OBJECT_IDENTIFIER, what)?;
        if element.content == content {
            Ok(())
        } else {
            Err(before.error(what))
        }
    }

    /// Fails unless everything was read.
    pub fn finish(&self, what: &'static str) -> Result<(), Error> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.error(what))
        }
    }
}
