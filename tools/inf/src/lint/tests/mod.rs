//! Clean INF files, and for each rule mutations of them that must break this rule and no other.

mod contents;
mod effects;
mod files;

use std::collections::BTreeSet;

use super::{Options, lint, rules};
use crate::Inf;

const STORAGE: &str = include_str!("../../../testdata/storage.inf");
const SYSTEM: &str = include_str!("../../../testdata/system.inf");
const USER: &str = include_str!("../../../testdata/user.inf");

/// A clean INF and how to spoil it.
pub(super) struct Mutation {
    rule: &'static str,
    bytes: Vec<u8>,
    options: Options,
    what: String,
}

impl Mutation {
    /// Other options than the default.
    fn with(mut self, options: Options) -> Mutation {
        self.options = options;
        self
    }
}

/// Replaces texts, each of which must be there; `\n` stands for the end of a line.
fn change(rule: &'static str, base: &str, changes: &[(&str, &str)]) -> Mutation {
    let mut text = base.to_owned();
    for (from, to) in changes {
        assert!(
            text.contains(from),
            "{rule}: {from:?} is not in the clean INF"
        );
        text = text.replace(from, to);
    }
    bytes(
        rule,
        text.replace('\n', "\r\n").into_bytes(),
        format!("{changes:?}"),
    )
}

/// Appends sections.
fn append(rule: &'static str, base: &str, more: &str) -> Mutation {
    let text = format!("{base}\n{more}\n").replace('\n', "\r\n");
    bytes(rule, text.into_bytes(), more.to_owned())
}

/// The file's bytes as they are.
fn bytes(rule: &'static str, bytes: Vec<u8>, what: impl Into<String>) -> Mutation {
    Mutation {
        rule,
        bytes,
        options: Options::default(),
        what: what.into(),
    }
}

fn mutations() -> Vec<Mutation> {
    let mut all = contents::all();
    all.extend(files::all());
    all.extend(effects::all());
    all
}

fn broken(file: &[u8], options: &Options) -> Vec<String> {
    let findings = lint(&Inf::parse(file), options);
    findings
        .iter()
        .map(|finding| {
            format!(
                "{} {} {}; {}",
                finding.rule.id, finding.at, finding.message, finding.mend
            )
        })
        .collect()
}

#[test]
fn the_clean_files_are_clean() {
    for base in [STORAGE, SYSTEM, USER] {
        let file = base.replace('\n', "\r\n");
        assert_eq!(
            broken(file.as_bytes(), &Options::default()),
            [""; 0],
            "{base}"
        );
        // The same in the encoding that Windows likes best.
        let wide: Vec<u8> = "\u{feff}"
            .encode_utf16()
            .chain(file.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(broken(&wide, &Options::default()), [""; 0]);
    }
}

#[test]
fn each_mutation_breaks_its_rule_and_no_other() {
    let mut wrong = Vec::new();
    for mutation in mutations() {
        let found = broken(&mutation.bytes, &mutation.options);
        let ids: BTreeSet<&str> = found.iter().map(|line| &line[..6]).collect();
        if ids != BTreeSet::from([mutation.rule]) {
            wrong.push(format!("{}: {}: {found:#?}", mutation.rule, mutation.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_two_mutations_and_a_description() {
    let mutations = mutations();
    let mut ids = BTreeSet::new();
    for rule in rules() {
        assert!(ids.insert(rule.id), "{} stands twice", rule.id);
        let count = mutations
            .iter()
            .filter(|mutation| mutation.rule == rule.id)
            .count();
        assert!(count >= 2, "{} has {count} mutations", rule.id);
        assert!(
            rule.reason.ends_with('.') && !rule.source.is_empty(),
            "{}",
            rule.id
        );
    }
}

#[test]
fn isolation_is_asked_for_from_the_build_on_that_the_caller_names() {
    let old = change(
        "INF301",
        STORAGE,
        &[
            ("DefaultDestDir = 13", "DefaultDestDir = 12"),
            ("= %13%", "= %12%"),
        ],
    );
    assert!(!broken(&old.bytes, &Options::default()).is_empty());
    // The old models end where the new ones start; only the new ones reach this build.
    let strict = Options {
        isolated_from: Some(crate::target::Build(10, 0, 14393)),
        ..Options::default()
    };
    let clean = STORAGE.replace('\n', "\r\n");
    let found = broken(clean.as_bytes(), &strict);
    assert!(
        found.iter().any(|line| line.starts_with("INF301")),
        "{found:?}"
    );
}

#[test]
fn a_finding_says_where_it_is() {
    let mutation = change("INF111", STORAGE, &[("PnpLockdown = 1", "PnpLockdown = 0")]);
    let findings = lint(&Inf::parse(&mutation.bytes), &Options::default());
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].at.to_string(), "10:15");
    assert_eq!(findings[0].mend, "write PnpLockdown = 1");
}
