//! Replaces string tokens. MS: inf-strings-section.

use std::collections::HashMap;
use std::fmt::Write;

use crate::Section;

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands for itself, tokens replaced.
    Text(String),
    /// A directory id, for example 13. MS: using-dirids.
    Dirid(i64),
    /// A token that no Strings section defines.
    Undefined(String),
    /// A single percent sign without a partner.
    Lone,
}

/// A value after replacement.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Expansion {
    /// Its parts.
    pub pieces: Vec<Piece>,
    /// Names of the tokens that were replaced, in lower case.
    pub used: Vec<String>,
}

impl Expansion {
    /// As one string: directory ids as `%13%`, what is undefined as it was written.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Dirid(id) => {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "%{id}%");
                }
                Piece::Undefined(name) => {
                    text.push('%');
                    text.push_str(name);
                    text.push('%');
                }
                Piece::Lone => text.push('%'),
            }
        }
        text
    }

    /// The directory ids in it.
    pub fn dirids(&self) -> impl Iterator<Item = i64> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Dirid(id) => Some(*id),
            _ => None,
        })
    }
}

/// True for `[Strings]` and `[Strings.0407]`.
pub fn is_strings(name: &str) -> bool {
    let name = name.to_lowercase();
    name == "strings"
        || name
            .strip_prefix("strings.")
            .is_some_and(|rest| !rest.is_empty())
}

/// Every token and its value: those of `[Strings]`, and of the other languages what is missing there.
pub fn table(sections: &[Section]) -> HashMap<String, String> {
    let mut table = HashMap::new();
    let (neutral, other): (Vec<&Section>, Vec<&Section>) = sections
        .iter()
        .filter(|section| is_strings(&section.name))
        .partition(|section| section.name.eq_ignore_ascii_case("strings"));
    for section in neutral.into_iter().chain(other) {
        for entry in &section.entries {
            let value = entry
                .values
                .first()
                .map(|field| field.text.clone())
                .unwrap_or_default();
            table.entry(entry.name().to_lowercase()).or_insert(value);
        }
    }
    table
}

/// Replaces tokens; two percent signs are one.
pub fn expand(text: &str, table: &HashMap<String, String>) -> Expansion {
    let mut out = Expansion::default();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        plain.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        let Some(end) = after.find('%') else {
            flush(&mut plain, &mut out);
            out.pieces.push(Piece::Lone);
            rest = after;
            continue;
        };
        let name = &after[..end];
        rest = &after[end + 1..];
        if name.is_empty() {
            plain.push('%');
        } else if let Some(value) = table.get(&name.to_lowercase()) {
            plain.push_str(value);
            out.used.push(name.to_lowercase());
        } else {
            flush(&mut plain, &mut out);
            out.pieces.push(match name.parse() {
                Ok(id) => Piece::Dirid(id),
                Err(_) => Piece::Undefined(name.to_owned()),
            });
        }
    }
    plain.push_str(rest);
    flush(&mut plain, &mut out);
    out
}

fn flush(plain: &mut String, out: &mut Expansion) {
    if !plain.is_empty() {
        out.pieces.push(Piece::Text(std::mem::take(plain)));
    }
}
