//! tests/abi/imports.toml against exports.json and the imports of nt-sys.

use crate::facts::Facts;
use crate::source::Source;
use anyhow::{Context, Result};
use serde::Deserialize;

/// Windows versions in order. The last is the oldest Windows that a shipped driver must run on.
pub const VERSIONS: [&str; 10] = [
    "Windows 2000",
    "Windows XP",
    "Windows Server 2003",
    "Windows Vista",
    "Windows 7",
    "Windows 8",
    "Windows 8.1",
    "Windows 10 1507",
    "Windows 10 1511",
    "Windows 10 1607",
];

/// One import that a shipped driver may have.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// DLL.
    pub dll: String,
    /// Function.
    pub name: String,
    /// First Windows that exports it.
    pub first: String,
    /// What says so.
    pub evidence: String,
}

#[derive(Deserialize)]
struct Table {
    import: Vec<Row>,
}

/// Reads the rows of imports.toml.
///
/// # Errors
/// Text that is not TOML of this form.
pub fn parse(text: &str) -> Result<Vec<Row>> {
    let table: Table = toml::from_str(text).context("imports.toml")?;
    Ok(table.import)
}

/// What is wrong with the table, by itself and for nt-sys.
#[must_use]
pub fn check(rows: &[Row], source: &Source, facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let Row {
            dll,
            name,
            first,
            evidence,
        } = row;
        let mut complain = |what: String| wrong.push(format!("{dll}!{name}: {what}"));
        if rows
            .iter()
            .take(index)
            .any(|other| (&other.dll, &other.name) == (dll, name))
        {
            complain("stands twice".to_owned());
        }
        if evidence.trim().is_empty() {
            complain("has no evidence".to_owned());
        }
        let Some(age) = age(first) else {
            complain(format!(
                "first = {first:?} is later than Windows 10 1607, or not a version of the list"
            ));
            continue;
        };
        match measured_age(facts, dll, name) {
            Err(why) => complain(why),
            Ok(measured) if measured != age => {
                complain(format!(
                    "first = {first:?}, but exports.json says {:?}",
                    VERSIONS.get(measured)
                ));
            }
            Ok(_) => {}
        }
    }
    for (name, import) in &source.imports {
        let dll = &import.dll;
        if !rows.iter().any(|row| (&row.dll, &row.name) == (dll, name)) {
            wrong.push(format!(
                "{dll}!{name}: imported by nt-sys, but it has no row"
            ));
        }
    }
    wrong
}

fn age(version: &str) -> Option<usize> {
    VERSIONS.iter().position(|known| *known == version)
}

/// The later of the two dates in exports.json. An error for an export that is unknown, undated or too new.
fn measured_age(facts: &Facts, dll: &str, name: &str) -> Result<usize, String> {
    let export = facts.exports.get(dll).and_then(|dll| dll.get(name));
    let export = export.ok_or("exports.json does not have it")?;
    let headers = export.ntddi.as_deref().map(|level| match level {
        "XP" => Ok("Windows XP"),
        "VISTA" => Ok("Windows Vista"),
        "WIN7" => Ok("Windows 7"),
        "WIN8" => Ok("Windows 8"),
        "WINBLUE" => Ok("Windows 8.1"),
        "WIN10" => Ok("Windows 10 1507"),
        "RS1" | "WIN10_RS1" => Ok("Windows 10 1607"),
        other => Err(format!(
            "NTDDI level {other} is later than Windows 10 1607, or unknown"
        )),
    });
    let headers = headers.transpose()?.and_then(age);
    let documented = match export.docs_min.as_deref() {
        None => None,
        Some(text) => Some(
            documented_age(text)
                .ok_or(format!("documented for {text:?}: not a version up to 1607"))?,
        ),
    };
    headers
        .max(documented)
        .ok_or_else(|| "exports.json has no date".to_owned())
}

/// The version that a sentence of the documentation names. "and later" and "with SP1" do not change it.
fn documented_age(text: &str) -> Option<usize> {
    let text = text.replace('\u{a0}', " ");
    let newest = ["Windows 10, version", "Windows 10 version", "Windows 11"];
    if newest.iter().any(|name| text.contains(name)) {
        return None;
    }
    let names = [
        ("Windows 10", "Windows 10 1507"),
        ("Windows 8.1", "Windows 8.1"),
        ("Windows 8", "Windows 8"),
        ("Windows 7", "Windows 7"),
        ("Windows Vista", "Windows Vista"),
        ("Windows Server 2003", "Windows Server 2003"),
        ("Windows XP", "Windows XP"),
        ("Windows 2000", "Windows 2000"),
    ];
    names
        .iter()
        .find(|(name, _)| text.contains(name))
        .and_then(|(_, version)| age(version))
}
