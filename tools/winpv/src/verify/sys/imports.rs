//! The imports that a driver may have: rows of tests/abi/imports.toml.

use super::image::ImportRow;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashMap;

/// Windows versions in order, as tests/abi/imports.toml spells them. The oldest supported Windows is
/// Windows 10 1607 (Server 2016): nothing newer may be imported.
const VERSIONS: [&str; 10] = [
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    import: Vec<Row>,
}

/// One row.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Row {
    dll: String,
    name: String,
    /// First Windows version that exports it.
    first: String,
    /// What says so.
    evidence: String,
}

/// The table, keyed by DLL and name.
pub struct Table(HashMap<(String, String), Row>);

impl Table {
    /// The table that is part of this repository.
    pub fn ours() -> Result<Table> {
        Table::parse(include_str!("../../../../../tests/abi/imports.toml"))
    }

    fn parse(text: &str) -> Result<Table> {
        let file: File = toml::from_str(text).context("tests/abi/imports.toml")?;
        let mut rows = HashMap::new();
        for row in file.import {
            if row.evidence.trim().is_empty() {
                bail!(
                    "tests/abi/imports.toml: {}!{} has no evidence",
                    row.dll,
                    row.name
                );
            }
            let key = (row.dll.to_lowercase(), row.name.clone());
            if rows.insert(key, row).is_some() {
                bail!("tests/abi/imports.toml: a row stands twice");
            }
        }
        Ok(Table(rows))
    }

    /// What is wrong with importing `import`, if anything is.
    pub fn complaint(&self, import: &ImportRow) -> Option<String> {
        let ImportRow { dll, name } = import;
        match self.0.get(&(dll.clone(), name.clone())) {
            None => Some(format!("{dll}!{name} has no row in tests/abi/imports.toml")),
            Some(row) if !VERSIONS.contains(&row.first.as_str()) => Some(format!(
                "{dll}!{name} first appears in {:?}, after Windows 10 1607 (or a name not in the list of versions)",
                row.first
            )),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[import]]
        dll = "ntoskrnl.exe"
        name = "KeBugCheckEx"
        first = "Windows 2000"
        evidence = "exports.json"
        [[import]]
        dll = "ntoskrnl.exe"
        name = "ExAllocatePool2"
        first = "Windows 10 2004"
        evidence = "exports.json"
    "#;

    fn complaint(name: &str) -> Option<String> {
        let table = Table::parse(TEXT).unwrap();
        table.complaint(&ImportRow {
            dll: "ntoskrnl.exe".into(),
            name: name.into(),
        })
    }

    #[test]
    fn only_rows_of_1607_or_older_pass() {
        assert_eq!(complaint("KeBugCheckEx"), None);
        assert!(complaint("ExAllocatePool2").unwrap().contains("2004"));
        assert!(complaint("NoSuchExport").unwrap().contains("no row"));
    }

    #[test]
    fn the_repositorys_table_parses() {
        Table::ours().unwrap();
    }

    #[test]
    fn a_row_without_evidence_is_refused() {
        assert!(Table::parse(&TEXT.replace("exports.json", " ")).is_err());
    }
}
