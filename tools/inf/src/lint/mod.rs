//! Applies Microsoft's rules for driver packages to an INF.

mod directives;
mod files;
mod header;
mod models;
mod registry;
mod rules;
mod sections;
mod services;
mod syntax;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::target::Build;
use crate::walk::{Install, Package, Part, Role};
use crate::{Inf, Pos};

pub use rules::rules;

/// How bad it is to break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works, but is probably not what was meant, or will not work everywhere.
    Warning,
    /// Windows or Microsoft's signing refuses it, or it does not do what it says.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// A rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// Its name, which never changes.
    pub id: &'static str,
    /// What must hold.
    pub title: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// The codes with which InfVerif reports the same. MS: inf-validation-errors-and-warnings.
    pub infverif: &'static [u16],
    /// Why.
    pub reason: &'static str,
    /// The page of Microsoft's documentation that says so.
    pub source: &'static str,
}

/// A broken rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Where.
    pub at: Pos,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

/// Says whether a package has a file: its path from the INF, in lower case, folders separated by `/`.
pub type Present = Box<dyn Fn(&str) -> bool>;

/// What the linter is told besides the INF's text.
#[derive(Default)]
pub struct Options {
    /// Tells whether the package has a file; None if that is not to be asked.
    pub present: Option<Present>,
    /// The length of the INF's whole path, in characters.
    pub path_length: usize,
    /// The build from which on a driver must be isolated; by default that of InfVerif /w.
    pub isolated_from: Option<Build>,
}

/// Every broken rule, by position.
#[must_use]
pub fn lint(inf: &Inf, options: &Options) -> Vec<Finding> {
    let package = Package::new(inf);
    let mut lint = Lint {
        package,
        options,
        findings: Vec::new(),
        seen: BTreeSet::new(),
    };
    syntax::check(&mut lint);
    header::check(&mut lint);
    models::check(&mut lint);
    files::check(&mut lint);
    tokens::check(&mut lint);
    sections::check(&mut lint);
    directives::check(&mut lint);
    registry::check(&mut lint);
    services::check(&mut lint);
    lint.findings
        .sort_by_key(|finding| (finding.at, finding.rule.id));
    lint.findings
}

/// The rule of this name.
#[must_use]
pub fn rule(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

struct Lint<'a> {
    package: Package<'a>,
    options: &'a Options,
    findings: Vec<Finding>,
    seen: BTreeSet<(&'static str, Pos)>,
}

impl<'a> Lint<'a> {
    fn inf(&self) -> &'a Inf {
        self.package.inf
    }

    /// Reports a broken rule; a rule is reported once a place, however many installs lead there.
    fn report(
        &mut self,
        id: &'static str,
        at: Pos,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let Some(rule) = rule(id) else {
            unreachable!("{id} is not in the table");
        };
        if self.seen.insert((id, at)) {
            self.findings.push(Finding {
                rule,
                at,
                message: message.into(),
                mend: mend.into(),
            });
        }
    }

    /// True if this install must be isolated: a Windows that asks for it uses the section.
    fn isolated(&self, install: &Install) -> bool {
        let from = self.options.isolated_from.unwrap_or(Build::ISOLATED);
        install.reaches(from)
    }

    /// The same for a section in use; class installation is never isolated.
    fn part_isolated(&self, part: &Part<'_>) -> bool {
        part.install
            .and_then(|index| self.package.installs.get(index))
            .is_some_and(|install| self.isolated(install))
    }

    /// Copies of the parts with a role, so that findings can be reported while they are walked.
    fn parts(&self, role: Role) -> Vec<Part<'a>> {
        self.package.parts(role).copied().collect()
    }

    /// The class in `[Version]` is one of these.
    fn class_is(&self, classes: &[&str]) -> bool {
        let class = self.inf().value("Version", "Class").unwrap_or_default();
        classes.iter().any(|known| crate::same(known, &class))
    }

    /// The network configuration interfaces install it, not Plug and Play. MS: components-and-files-used-for-network-component-installation.
    fn is_network_component(&self) -> bool {
        self.class_is(&["NetClient", "NetService", "NetTrans"])
    }
}
