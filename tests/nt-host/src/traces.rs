//! Turns what a driver tells event tracing into text, by the table on its page in docs.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use host_storport::Trace;

/// The drivers whose events are documented, by file name.
const PAGES: [(&str, &str); 1] = [("vioblk.sys", include_str!("../../../docs/vioblk-events.md"))];
/// The levels by number, up to StorportEtwLevelInformational. // storport.h
const LEVELS: [&str; 5] = ["always", "critical", "error", "warning", "information"];

/// A line of text for an event.
///
/// # Errors
/// It is not as the driver's page has it. Of a driver without a page everything is taken.
pub fn decode(sys: &Path, trace: &Trace) -> Result<String> {
    let page = PAGES
        .iter()
        .find(|(name, _)| sys.file_name().is_some_and(|file| file == *name));
    match page {
        Some((_, page)) => by_page(page, trace),
        None => Ok(format!("{trace:?}")),
    }
}

fn by_page(page: &str, trace: &Trace) -> Result<String> {
    let number = trace.id.to_string();
    let row = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .find(|row: &Vec<&str>| row.first() == Some(&number.as_str()))
        .with_context(|| format!("event {number} is not in the table: {trace:?}"))?;
    let [_, level, description, names @ ..] = row.as_slice() else {
        bail!("the row of event {number} is too short");
    };
    let names: Vec<_> = names.iter().filter(|name| !name.is_empty()).collect();
    let ours: Vec<_> = trace.parameters.iter().map(|(name, _)| name).collect();
    ensure!(
        *description == trace.description
            && LEVELS.get(trace.level as usize) == Some(level)
            && names == ours,
        "{trace:?} is not what the table says of it: {row:?}"
    );
    let values: Vec<_> = trace
        .parameters
        .iter()
        .map(|(name, value)| format!("{name} {value:#x}"))
        .collect();
    Ok(format!("{level}: {description} {}", values.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "/dist/vioblk.sys";

    fn reset() -> Trace {
        Trace {
            id: 2,
            level: 3,
            description: "device reset".to_owned(),
            parameters: vec![("resets".to_owned(), 1), ("usable".to_owned(), 1)],
        }
    }

    #[test]
    fn what_is_in_the_table_becomes_text() {
        let text = decode(Path::new(OURS), &reset()).unwrap();
        assert_eq!(text, "warning: device reset resets 0x1, usable 0x1");
    }

    #[test]
    fn whatever_differs_from_the_table_is_found() {
        let changes: [fn(&mut Trace); 5] = [
            |trace| trace.id = 99,
            |trace| trace.level = 2,
            |trace| trace.description.push('s'),
            |trace| trace.parameters.swap(0, 1),
            |trace| trace.parameters.truncate(1),
        ];
        for change in changes {
            let mut trace = reset();
            change(&mut trace);
            assert!(decode(Path::new(OURS), &trace).is_err(), "{trace:?}");
            assert!(decode(Path::new("other.sys"), &trace).is_ok());
        }
    }
}
