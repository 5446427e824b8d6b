//! What was found, as lines for people and as JSON for programs.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::rules;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is wrong, but something could not be judged.
    Note,
    /// Windows installs the package, but it lacks something that a careful maker gives.
    Warning,
    /// Windows would refuse the package or not load the driver, or a file is not what it is said to be.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        })
    }
}

/// By whose rules a package is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Another vendor's: what Windows takes is good enough.
    Theirs,
    /// WinPV's: a warning is an error.
    Ours,
}

impl Strictness {
    /// The level that a finding of this level has here.
    #[must_use]
    pub fn level(self, level: Level) -> Level {
        match (self, level) {
            (Strictness::Ours, Level::Warning) => Level::Error,
            _ => level,
        }
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file; for one in an archive the archive's path and then the path in it.
    pub path: String,
    /// The rule's name, which never changes.
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            path,
            rule,
            level,
            message,
            mend,
        } = self;
        write!(f, "{path}: {level}[{rule}]: {message}; {mend}")
    }
}

/// How much was looked at: a report without findings says nothing if this is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Driver packages, one an INF and processor.
    pub packages: usize,
    /// Files that a catalog vouches for.
    pub members: usize,
    /// Driver images that the static rules were applied to.
    pub drivers: usize,
    /// Signatures, those nested in others included.
    pub signatures: usize,
    /// MSIs, cabinets and ISOs that were opened.
    pub archives: usize,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The findings, in the order in which files were looked at.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub counts: Counts,
    /// The roots that signatures were checked against.
    pub trusted: Vec<String>,
}

impl Report {
    /// Adds a finding by a rule of [`rules::RULES`].
    pub fn add(
        &mut self,
        rule: &'static str,
        strictness: Strictness,
        path: &str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let Some(known) = rules::RULES.iter().find(|known| known.id == rule) else {
            unreachable!("{rule} is not in the table");
        };
        self.add_at(rule, strictness.level(known.level), path, message, mend);
    }

    /// Adds a finding whose level is known.
    pub fn add_at(
        &mut self,
        rule: &'static str,
        level: Level,
        path: &str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        // A finding is one line, also where a program's answer has more.
        let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.findings.push(Finding {
            path: path.to_owned(),
            rule,
            level,
            message: line(message.into()),
            mend: line(mend.into()),
        });
    }

    /// The number of findings of this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        let of_level = |finding: &&Finding| finding.level == level;
        self.findings.iter().filter(of_level).count()
    }

    /// No finding is an error.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count(Level::Error) == 0
    }

    /// One line of what was looked at and found.
    #[must_use]
    pub fn summary(&self) -> String {
        let Counts {
            packages,
            members,
            drivers,
            signatures,
            archives,
        } = self.counts;
        format!(
            "{packages} packages, {members} catalog members, {drivers} drivers, {signatures} signatures, {archives} archives: {} errors, {} warnings, {} notes",
            self.count(Level::Error),
            self.count(Level::Warning),
            self.count(Level::Note),
        )
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "good": self.is_good(),
            "checked": self.counts,
            "trusted": self.trusted,
            "findings": self.findings,
        })
    }
}
