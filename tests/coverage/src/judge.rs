//! How much was executed, and whether that is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{Lines, Unreached};

/// What was executed of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileCoverage {
    /// Lines with code, without those that cannot be reached.
    pub lines: usize,
    /// Lines of these that were executed.
    pub executed: usize,
    /// Lines that the list names.
    pub unreachable: usize,
    /// Those that were not executed, with what they say.
    pub missed: Vec<(u32, String)>,
}

/// The verdict on some folders of sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// By file.
    pub files: BTreeMap<String, FileCoverage>,
    /// Entries of the list that are wrong, in words.
    pub stale: Vec<String>,
}

impl Judgement {
    /// Judges the files below these folders, relative to `root`.
    ///
    /// # Errors
    /// A source cannot be read.
    pub fn new(
        root: &Path,
        folders: &[&str],
        lines: &Lines,
        unreached: &Unreached,
    ) -> Result<Self> {
        let mut judgement = Self::default();
        let inside = |file: &str| {
            folders
                .iter()
                .any(|folder| Path::new(file).starts_with(folder))
        };
        for (file, lines) in lines.iter().filter(|(file, _)| inside(file)) {
            let source = fs::read_to_string(root.join(file))
                .with_context(|| format!("cannot read {file}, which the PDB names"))?;
            let unreachable = judgement.unreachable(file, &source, lines, unreached);
            let mut of = FileCoverage::default();
            for (line, executed) in lines {
                if unreachable.contains(line) {
                    of.unreachable += 1;
                    continue;
                }
                of.lines += 1;
                if *executed {
                    of.executed += 1;
                } else {
                    let text = source.lines().nth(*line as usize - 1).unwrap_or_default();
                    of.missed.push((*line, text.trim().to_owned()));
                }
            }
            judgement.files.insert(file.clone(), of);
        }
        for entry in &unreached.lines {
            if !judgement.files.contains_key(&entry.file) {
                judgement
                    .stale
                    .push(format!("{} has no code in the driver", entry.file));
            }
        }
        Ok(judgement)
    }

    /// The lines of a file that the list names. An entry has to name one line that has code and was not executed.
    fn unreachable(
        &mut self,
        file: &str,
        source: &str,
        lines: &BTreeMap<u32, bool>,
        unreached: &Unreached,
    ) -> BTreeSet<u32> {
        let mut all = BTreeSet::new();
        for entry in unreached.lines.iter().filter(|entry| entry.file == file) {
            let named = entry.find(source);
            let with_code: Vec<_> = named
                .iter()
                .filter_map(|line| Some((*line, *lines.get(line)?)))
                .collect();
            let problem = match with_code[..] {
                [(line, false)] => {
                    all.insert(line);
                    continue;
                }
                [(line, true)] => format!("line {line} is executed"),
                [] if named.is_empty() => "there is no such line".to_owned(),
                [] => "the driver has no code of it".to_owned(),
                _ => format!("{} lines say that", with_code.len()),
            };
            self.stale.push(format!(
                "{file}, {}, {:?}: {problem}",
                entry.function, entry.text
            ));
        }
        all
    }

    /// Executed lines and all lines with code, over all files.
    #[must_use]
    pub fn total(&self) -> (usize, usize) {
        self.files.values().fold((0, 0), |(executed, lines), file| {
            (executed + file.executed, lines + file.lines)
        })
    }

    /// Whether this part of the lines was executed, in percent.
    #[must_use]
    pub fn reaches(&self, percent: usize) -> bool {
        let (executed, lines) = self.total();
        lines > 0 && executed * 100 >= lines * percent
    }

    /// Every line that was not executed.
    #[must_use]
    pub fn missed(&self) -> String {
        let mut text = String::new();
        for (name, file) in &self.files {
            for (line, source) in &file.missed {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{name}:{line}: {source}");
            }
        }
        text
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.files.keys().map(String::len).max().unwrap_or_default();
        for (name, file) in &self.files {
            write!(f, "{name:<width$} ")?;
            row(f, file.executed, file.lines)?;
            match file.unreachable {
                0 => writeln!(f)?,
                count => writeln!(f, ", and {count} that cannot be reached")?,
            }
        }
        let (executed, lines) = self.total();
        write!(f, "{:<width$} ", "all")?;
        row(f, executed, lines)
    }
}

fn row(f: &mut fmt::Formatter<'_>, executed: usize, lines: usize) -> fmt::Result {
    let tenths = (executed * 1000).checked_div(lines).unwrap_or(1000);
    write!(
        f,
        "{:>3}.{} % {executed:>5} of {lines:>5} lines",
        tenths / 10,
        tenths % 10
    )
}
