//! The list of lines that no test can reach, each with a reason.

use anyhow::{Context, Result};
use serde::Deserialize;

/// The list, as `unreached.toml` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreached {
    /// One line each.
    #[serde(default, rename = "line")]
    pub lines: Vec<Entry>,
}

/// A line. It is named by what it says, as its number changes with every edit above it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its file, relative to the repository.
    pub file: String,
    /// The function that it stands in.
    pub function: String,
    /// The line without the blanks around it.
    pub text: String,
    /// Why nothing can execute it.
    pub reason: String,
}

impl Unreached {
    /// Reads the list.
    ///
    /// # Errors
    /// It is not what it has to be, or an entry has no reason.
    pub fn parse(text: &str) -> Result<Self> {
        let list: Self = toml::from_str(text).context("in the list of unreached lines")?;
        for entry in &list.lines {
            anyhow::ensure!(
                entry.reason.split_whitespace().count() >= 3,
                "{}: {:?} has no reason",
                entry.file,
                entry.text
            );
        }
        Ok(list)
    }
}

impl Entry {
    /// The numbers of the lines of its file that it names.
    #[must_use]
    pub fn find(&self, source: &str) -> Vec<u32> {
        let mut function = "";
        let mut found = Vec::new();
        for (number, line) in (1..).zip(source.lines()) {
            if let Some(name) = declared(line) {
                function = name;
            }
            if function == self.function && line.trim() == self.text {
                found.push(number);
            }
        }
        found
    }
}

/// The name of the function that a line begins to declare.
fn declared(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = before.split_whitespace();
    let qualifier = |word: &str| {
        word.starts_with("pub")
            || ["const", "unsafe", "extern", "\"system\"", "\"C\""].contains(&word)
            || word.ends_with(')')
    };
    if !words.clone().all(qualifier) {
        return None;
    }
    after
        .split(['(', '<'])
        .next()
        .filter(|name| !name.is_empty())
}
