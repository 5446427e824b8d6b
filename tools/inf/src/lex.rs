//! Splits text into sections, lines and fields. MS: general-syntax-rules-for-inf-files.

use std::collections::HashMap;
use std::fmt;

use crate::{Entry, Field, Pos, Section};

/// Something that is not INF syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Pos,
    /// What.
    pub kind: Kind,
}

/// Kinds of bad syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A section header has no `]`.
    OpenHeader,
    /// Something other than a comment follows a section header.
    AfterHeader,
    /// A line stands before the first section.
    OutsideSection,
    /// A quote is not closed on its line.
    OpenQuote,
    /// The file ends after a continuation backslash.
    OpenContinuation,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::OpenHeader => "the section header has no ]",
            Kind::AfterHeader => "text after a section header",
            Kind::OutsideSection => "a line before the first section",
            Kind::OpenQuote => "the quotation mark is not closed on its line",
            Kind::OpenContinuation => "the file ends after a backslash that continues the line",
        })
    }
}

/// A character and where it stands.
type Char = (char, Pos);

/// Splits text into sections; sections of the same name are merged.
pub fn sections(text: &str) -> (Vec<Section>, Vec<Problem>) {
    let mut lexer = Lexer::default();
    for (number, line) in (1..).zip(lines(text)) {
        lexer.line(number, line);
    }
    if let Some((_, at)) = lexer.pending.last().copied() {
        lexer.problem(at, Kind::OpenContinuation);
        lexer.finish_entry();
    }
    (lexer.sections, lexer.problems)
}

/// The lines, whatever ends them.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some(end) = current.find(['\r', '\n']) else {
            rest = None;
            return (!current.is_empty()).then_some(current);
        };
        let (line, tail) = current.split_at(end);
        rest = tail
            .strip_prefix("\r\n")
            .or_else(|| tail.strip_prefix(['\r', '\n']));
        Some(line)
    })
}

#[derive(Default)]
struct Lexer {
    sections: Vec<Section>,
    index: HashMap<String, usize>,
    current: Option<usize>,
    /// Characters of a line that is continued on the next.
    pending: Vec<Char>,
    problems: Vec<Problem>,
}

impl Lexer {
    fn problem(&mut self, at: Pos, kind: Kind) {
        self.problems.push(Problem { at, kind });
    }

    fn line(&mut self, number: u32, line: &str) {
        let mut chars: Vec<Char> = (1..)
            .zip(line.chars())
            .map(|(column, c)| {
                let at = Pos {
                    line: number,
                    column,
                };
                (c, at)
            })
            .collect();
        let open = cut_comment(&mut chars);
        while chars.last().is_some_and(|(c, _)| c.is_whitespace()) {
            chars.pop();
        }
        let indent = chars.iter().take_while(|(c, _)| c.is_whitespace()).count();
        chars.drain(..indent);
        if self.pending.is_empty() && chars.first().is_some_and(|(c, _)| *c == '[') {
            return self.header(&chars);
        }
        if let Some(at) = open {
            self.problem(at, Kind::OpenQuote);
        }
        // The end-of-file character of DOS editors.
        if self.pending.is_empty() && matches!(chars.as_slice(), [] | [('\u{1a}', _)]) {
            return;
        }
        // Of several backslashes the last continues the line and the others are ignored.
        let mut continued = false;
        while open.is_none() && chars.last().is_some_and(|(c, _)| *c == '\\') {
            continued = true;
            let backslash = chars.pop();
            if chars.is_empty() && self.pending.is_empty() {
                // Nothing but a backslash: keep it, so that something is continued.
                self.pending.extend(backslash.map(|(_, at)| (' ', at)));
            }
        }
        self.pending.extend(chars);
        if !continued {
            self.finish_entry();
        }
    }

    fn header(&mut self, chars: &[Char]) {
        let at = chars[0].1;
        let end = chars.iter().position(|(c, _)| *c == ']');
        let name: String = chars[1..end.unwrap_or(chars.len())]
            .iter()
            .map(|(c, _)| c)
            .collect();
        let name = name.trim().to_owned();
        match end.map(|end| &chars[end + 1..]) {
            None => self.problem(at, Kind::OpenHeader),
            Some(rest) => {
                if let Some((_, at)) = rest.iter().find(|(c, _)| !c.is_whitespace()) {
                    self.problem(*at, Kind::AfterHeader);
                }
            }
        }
        let next = self.sections.len();
        let index = *self.index.entry(name.to_lowercase()).or_insert(next);
        if index == next {
            self.sections.push(Section {
                name,
                at: Vec::new(),
                entries: Vec::new(),
            });
        }
        self.sections[index].at.push(at);
        self.current = Some(index);
    }

    fn finish_entry(&mut self) {
        let chars = std::mem::take(&mut self.pending);
        let Some(at) = chars
            .iter()
            .find(|(c, _)| !c.is_whitespace())
            .map(|(_, at)| *at)
        else {
            return;
        };
        match self.current {
            // Once: a comment in some other syntax may be long.
            None if self.problems.is_empty() => self.problem(at, Kind::OutsideSection),
            None => {}
            Some(index) => self.sections[index].entries.push(entry(&chars, at)),
        }
    }
}

/// Removes a comment: from a semicolon outside quotes and string tokens. Returns where a quote was opened but not closed.
fn cut_comment(chars: &mut Vec<Char>) -> Option<Pos> {
    let mut quote: Option<Pos> = None;
    let mut index = 0;
    while let Some(&(c, at)) = chars.get(index) {
        match c {
            '"' => quote = if quote.is_some() { None } else { Some(at) },
            '%' if quote.is_none() => index += token(&chars[index + 1..]),
            ';' if quote.is_none() => {
                chars.truncate(index);
                break;
            }
            _ => {}
        }
        index += 1;
    }
    quote
}

/// The length of what stands between two percent signs, if it can be a token with a semicolon in it.
fn token(rest: &[Char]) -> usize {
    let end = rest
        .iter()
        .position(|(c, _)| *c == '%' || *c == '"' || *c == ',' || c.is_whitespace());
    match end {
        Some(end) if rest[end].0 == '%' && rest[..end].iter().any(|(c, _)| *c == ';') => end,
        _ => 0,
    }
}

/// Collects a field's characters and drops blanks around it.
struct Builder {
    text: String,
    /// The length up to the last character that is not a blank outside quotes.
    solid: usize,
    at: Option<Pos>,
    quoted: bool,
}

impl Builder {
    fn new() -> Builder {
        Builder {
            text: String::new(),
            solid: 0,
            at: None,
            quoted: false,
        }
    }

    fn push(&mut self, c: char, at: Pos, solid: bool) {
        if !solid && self.text.is_empty() {
            return;
        }
        self.at.get_or_insert(at);
        self.text.push(c);
        if solid {
            self.solid = self.text.len();
        }
    }

    fn finish(mut self, end: Pos) -> Field {
        self.text.truncate(self.solid);
        Field {
            text: self.text,
            at: self.at.unwrap_or(end),
            quoted: self.quoted,
        }
    }
}

/// Splits a line at its first `=`, if that stands before any comma, and at the commas.
fn entry(chars: &[Char], at: Pos) -> Entry {
    let mut key = None;
    let mut values = Vec::new();
    let mut field = Builder::new();
    let mut quoted = false;
    let mut index = 0;
    while let Some(&(c, here)) = chars.get(index) {
        index += 1;
        let next = chars.get(index).map(|(c, _)| *c);
        match c {
            // Two quotes within quotes are one that stands for itself.
            '"' if quoted && next == Some('"') => {
                field.push('"', here, true);
                index += 1;
            }
            '"' => {
                quoted = !quoted;
                field.quoted = true;
                field.at.get_or_insert(here);
            }
            '=' if !quoted && key.is_none() && values.is_empty() => {
                key = Some(std::mem::replace(&mut field, Builder::new()).finish(here));
            }
            ',' if !quoted => {
                values.push(std::mem::replace(&mut field, Builder::new()).finish(here));
            }
            _ => field.push(c, here, quoted || !c.is_whitespace()),
        }
    }
    let end = chars.last().map_or(at, |(_, at)| *at);
    let last = field.finish(end);
    // Trailing commas may be left out, and `key =` has no value at all.
    if !last.text.is_empty() || last.quoted {
        values.push(last);
    }
    Entry { key, values, at }
}
