//! Reads an INF file: sections, entries, strings.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// One line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What stands before `=`, empty if there is none.
    pub key: String,
    /// The comma-separated fields, without quotes.
    pub fields: Vec<String>,
}

/// A parsed INF file. Section names are in lower case.
#[derive(Debug)]
pub struct Inf {
    sections: BTreeMap<String, Vec<Entry>>,
}

impl Inf {
    /// Parses the text of an INF.
    pub fn parse(text: &str) -> Result<Inf> {
        let mut sections: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        let mut current: Option<String> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = without_comment(line).trim();
            if line.is_empty() {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest
                    .strip_suffix(']')
                    .with_context(|| format!("line {number}: no ] after [{rest}"))?;
                let name = name.to_lowercase();
                sections.entry(name.clone()).or_default();
                current = Some(name);
                continue;
            }
            let Some(entries) = current.as_ref().and_then(|name| sections.get_mut(name)) else {
                bail!("line {number}: {line:?} stands before the first section");
            };
            entries.push(entry(line));
        }
        Ok(Inf { sections })
    }

    /// The entries of a section.
    pub fn section(&self, name: &str) -> Option<&[Entry]> {
        self.sections.get(&name.to_lowercase()).map(Vec::as_slice)
    }

    /// Every section's name and entries.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &[Entry])> {
        self.sections
            .iter()
            .map(|(name, entries)| (name.as_str(), entries.as_slice()))
    }

    /// The first field of the first entry with this key.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        let entry = self
            .section(section)?
            .iter()
            .find(|entry| entry.key.eq_ignore_ascii_case(key))?;
        entry.fields.first().map(String::as_str)
    }

    /// All fields of the first entry with this key.
    pub fn fields(&self, section: &str, key: &str) -> Option<&[String]> {
        let entry = self
            .section(section)?
            .iter()
            .find(|entry| entry.key.eq_ignore_ascii_case(key))?;
        Some(&entry.fields)
    }

    /// The registry values that a section's AddReg lines add: (subkey, name, flags, value).
    pub fn registry(&self, section: &str) -> Vec<[&str; 4]> {
        let lists = self.fields(section, "AddReg").unwrap_or_default();
        let lines = lists.iter().filter_map(|list| self.section(list)).flatten();
        lines
            .filter_map(|line| match line.fields.as_slice() {
                [_, subkey, name, flags, value] => Some([subkey.as_str(), name, flags, value]),
                _ => None,
            })
            .collect()
    }
}

/// Cuts a comment off, unless the semicolon is in quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

/// Splits at a separator outside quotes.
fn split(line: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    line.split(|character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
    .map(str::trim)
    .collect()
}

fn entry(line: &str) -> Entry {
    let parts = split(line, '=');
    let (key, rest) = match parts.as_slice() {
        [rest] => ("", *rest),
        [key, ..] => (*key, line[line.find('=').map_or(0, |at| at + 1)..].trim()),
        [] => ("", line),
    };
    let unquote = |field: &str| field.trim_matches('"').to_owned();
    Entry {
        key: unquote(key),
        fields: split(rest, ',').into_iter().map(unquote).collect(),
    }
}
