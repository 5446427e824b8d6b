//! Reads Windows INF files, knows the position of every value, and checks them against Microsoft's rules for driver packages.
//!
//! [`Inf::parse`] takes the bytes of any INF and never fails: what cannot be understood is in [`Inf::problems`].
//! [`lint::lint`] applies the rules; [`lint::rules`] lists them.
//!
//! Pages of Microsoft's documentation are cited by name: `MS: inf-manufacturer-section` is
//! <https://learn.microsoft.com/windows-hardware/drivers/install/inf-manufacturer-section>.

#![forbid(unsafe_code)]

pub mod decode;
pub mod files;
mod lex;
pub mod lint;
mod roles;
mod strings;
pub mod target;
pub mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

pub use decode::{Encoding, Text};
pub use lex::Problem;
pub use strings::{Expansion, Piece};

/// A place in the file: line and column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pos {
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

impl Pos {
    /// The first character.
    pub const START: Pos = Pos { line: 1, column: 1 };
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One value: what stands between commas, without its quotes. String tokens are not yet replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The text.
    pub text: String,
    /// Where it starts.
    pub at: Pos,
    /// Some of it was in quotes.
    pub quoted: bool,
}

impl Field {
    /// Compares as Windows compares names: without regard to case. MS: general-syntax-rules-for-inf-files.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        same(&self.text, name)
    }
}

/// One line of a section, continuation lines joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What stands before `=`.
    pub key: Option<Field>,
    /// The values after it, or all values if there is no `=`.
    pub values: Vec<Field>,
    /// Where the line starts.
    pub at: Pos,
}

impl Entry {
    /// The value at `index`, unless it is missing or empty.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&Field> {
        self.values
            .get(index)
            .filter(|field| !field.text.is_empty())
    }

    /// The key's text, empty if there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.as_ref().map_or("", |key| &key.text)
    }

    /// Where the value at `index` is, or would be.
    #[must_use]
    pub fn at(&self, index: usize) -> Pos {
        self.values.get(index).map_or(self.at, |field| field.at)
    }
}

/// A section; sections with the same name are one, as Windows has it. MS: general-syntax-rules-for-inf-files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The name as first written.
    pub name: String,
    /// Where each of its headers is.
    pub at: Vec<Pos>,
    /// Its lines.
    pub entries: Vec<Entry>,
}

impl Section {
    /// The first entry with this key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| same(entry.name(), key))
    }

    /// Every entry with this key.
    pub fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let key = key.to_owned();
        self.entries
            .iter()
            .filter(move |entry| same(entry.name(), &key))
    }

    /// Where the section starts.
    #[must_use]
    pub fn start(&self) -> Pos {
        self.at.first().copied().unwrap_or(Pos::START)
    }
}

/// A parsed INF file.
#[derive(Clone, Debug)]
pub struct Inf {
    /// How the file is encoded and how its lines end.
    pub text: Text,
    /// Its sections, in the order of their first headers.
    pub sections: Vec<Section>,
    /// What could not be understood.
    pub problems: Vec<Problem>,
    index: HashMap<String, usize>,
    strings: HashMap<String, String>,
}

impl Inf {
    /// Parses any bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Inf {
        let text = decode::decode(bytes);
        let (sections, problems) = lex::sections(&text.text);
        let index = sections
            .iter()
            .enumerate()
            .map(|(at, section)| (section.name.to_lowercase(), at))
            .collect();
        let strings = strings::table(&sections);
        Inf {
            text,
            sections,
            problems,
            index,
            strings,
        }
    }

    /// The section of this name, in any case.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.index
            .get(&name.to_lowercase())
            .and_then(|at| self.sections.get(*at))
    }

    /// Replaces string tokens; directory ids stay as `%13%` does, for only Windows knows what they stand for.
    #[must_use]
    pub fn expand(&self, text: &str) -> Expansion {
        strings::expand(text, &self.strings)
    }

    /// A value's text after replacement.
    #[must_use]
    pub fn text(&self, field: &Field) -> String {
        self.expand(&field.text).text()
    }

    /// The first value of an entry after replacement.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<String> {
        let entry = self.section(section)?.entry(key)?;
        Some(self.text(entry.values.first()?))
    }

    /// What a value says as a number: decimal or with `0x`.
    #[must_use]
    pub fn number(&self, field: &Field) -> Option<u32> {
        number(&self.text(field))
    }
}

/// Reads a number as setup does: decimal, or hexadecimal after `0x`.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hex {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        // Negative numbers are taken as their two's complement.
        None => text
            .parse::<u32>()
            .or_else(|_| text.parse::<i32>().map(i32::cast_unsigned))
            .ok(),
    }
}

/// Names are compared without regard to case.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}
