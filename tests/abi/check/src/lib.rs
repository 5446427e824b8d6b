//! Holds nt-sys against the measured facts in tests/abi: layouts, constants, prototypes, imports.
//!
//! nt-sys is read as source text, so that what is checked is what was written, for every architecture at once and without
//! building for Windows. Each checker returns complaints; the tests want none for nt-sys and one for each wrong fixture.
#![forbid(unsafe_code)]

pub mod calls;
pub mod constants;
pub mod ctype;
pub mod facts;
pub mod imports;
pub mod layouts;
pub mod prototypes;
pub mod source;
pub mod width;

pub use facts::Facts;
pub use source::Source;

#[cfg(test)]
mod tests;

/// Items of nt-sys that no fact speaks of, each with the source that its documentation names.
#[must_use]
pub fn without_facts(source: &Source, facts: &Facts) -> Vec<String> {
    let mut rows = Vec::new();
    for (name, item) in &source.structs {
        if !facts.layouts.contains_key(name) {
            rows.push(format!("type {name}: {}", item.marks.source()));
        }
    }
    for (name, item) in &source.constants {
        if facts.constant(name, &item.type_name).is_none() {
            rows.push(format!("constant {name}: {}", item.marks.source()));
        }
    }
    for (name, item) in &source.aliases {
        if !facts.has_enumeration(name) {
            rows.push(format!("alias {name}: {}", item.marks.source()));
        }
    }
    rows
}

/// Complaints about items that do not say what they rest on or since when they exist.
#[must_use]
pub fn unmarked(source: &Source) -> Vec<String> {
    source
        .all_marks()
        .filter_map(|(name, marks)| match (&marks.source, &marks.since) {
            (Some(_), Some(_)) => None,
            (None, _) => Some(format!(
                "{name}: no `source:` in its documentation or its module's"
            )),
            (_, None) => Some(format!(
                "{name}: no `since:` in its documentation or its module's"
            )),
        })
        .collect()
}
