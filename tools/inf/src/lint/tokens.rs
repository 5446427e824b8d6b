//! Rules about string tokens.

use std::collections::BTreeSet;

use super::Lint;
use crate::strings::{Piece, is_strings};
use crate::{Field, Section, same};

pub(super) fn check(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    let mut used = BTreeSet::new();
    let (tables, other): (Vec<&Section>, Vec<&Section>) = inf
        .sections
        .iter()
        .partition(|section| is_strings(&section.name));
    for entry in other.iter().flat_map(|section| &section.entries) {
        // `8@100-ffff%fff8(3ff::)`: a mask, not a token. MS: inf-logconfig-directive.
        if same(entry.name(), "IOConfig") || same(entry.name(), "MemConfig") {
            continue;
        }
        for field in entry.key.iter().chain(&entry.values) {
            used.extend(uses(lint, field));
        }
    }
    for table in &tables {
        let mut own = BTreeSet::new();
        for entry in &table.entries {
            for field in &entry.values {
                if inf.expand(&field.text).dirids().next().is_some() {
                    lint.report(
                        "INF402",
                        field.at,
                        "a directory id in a string is not replaced",
                        "write the directory id where the string is used",
                    );
                }
            }
            let name = entry.name().to_lowercase();
            if !own.insert(name.clone()) {
                lint.report(
                    "INF403",
                    entry.at,
                    format!("%{name}% is defined twice"),
                    "remove one of the two",
                );
            } else if !used.contains(&name) && table.name.eq_ignore_ascii_case("strings") {
                lint.report(
                    "INF404",
                    entry.at,
                    format!("%{name}% is never used"),
                    "remove it, or look for a misspelt use",
                );
            }
        }
    }
    languages(lint, &tables);
}

/// Reports what is wrong with a value's tokens; returns those it uses.
fn uses(lint: &mut Lint<'_>, field: &Field) -> Vec<String> {
    let expansion = lint.inf().expand(&field.text);
    for piece in &expansion.pieces {
        let (message, mend) = match piece {
            Piece::Undefined(name) => (
                format!("%{name}% is not defined in [Strings]"),
                format!("define it, or write %%{name}%% if the percent signs are meant literally"),
            ),
            Piece::Lone => (
                "a single percent sign".to_owned(),
                "write %% for a literal percent sign".to_owned(),
            ),
            Piece::Text(_) | Piece::Dirid(_) => continue,
        };
        lint.report("INF401", field.at, message, mend);
    }
    expansion.used
}

/// Windows takes one language's table and no other. MS: inf-strings-section.
fn languages(lint: &mut Lint<'_>, tables: &[&Section]) {
    let names = |table: &Section| -> BTreeSet<String> {
        table
            .entries
            .iter()
            .map(|entry| entry.name().to_lowercase())
            .collect()
    };
    let all: BTreeSet<String> = tables.iter().flat_map(|table| names(table)).collect();
    for table in tables {
        let missing: Vec<String> = all.difference(&names(table)).cloned().collect();
        if !missing.is_empty() {
            lint.report(
                "INF405",
                table.start(),
                format!("[{}] lacks %{}%", table.name, missing.join("%, %")),
                "define every string in every language: Windows takes only one of the tables",
            );
        }
    }
}
