//! Checks an MSI as Microsoft's validation does: there is none on Linux.
//!
//! Each rule names the internal consistency evaluator ("ICE") that it stands in for, where there is one.

mod launch;
mod payload;
mod sequence;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::time::SystemTime;

use anyhow::{Context, Result};
use msi::{Package, Select, Value};

/// An MSI, read into memory.
pub struct Msi {
    package: Package<Cursor<Vec<u8>>>,
    tables: BTreeMap<String, Vec<Record>>,
}

/// A row: values by column name.
pub type Record = BTreeMap<String, Value>;

impl Msi {
    /// Reads every table.
    pub fn open(bytes: &[u8]) -> Result<Msi> {
        let mut package = Package::open(Cursor::new(bytes.to_vec())).context("not an MSI")?;
        let names: Vec<String> = package
            .tables()
            .map(|table| table.name().to_owned())
            .collect();
        let mut tables = BTreeMap::new();
        for name in names {
            let columns: Vec<String> = package
                .get_table(&name)
                .with_context(|| format!("table {name}"))?
                .columns()
                .iter()
                .map(|column| column.name().to_owned())
                .collect();
            let rows = package
                .select_rows(Select::table(&name))
                .with_context(|| format!("table {name}"))?
                .map(|row| {
                    columns
                        .iter()
                        .enumerate()
                        .map(|(at, column)| (column.clone(), row[at].clone()))
                        .collect()
                })
                .collect();
            tables.insert(name, rows);
        }
        Ok(Msi { package, tables })
    }

    /// The rows of a table; none if it is not there.
    #[must_use]
    pub fn rows(&self, table: &str) -> &[Record] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// A property of the Property table.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.rows("Property")
            .iter()
            .find(|row| text(row, "Property") == name)
            .map(|row| text(row, "Value"))
    }

    /// The processor that the template names.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.package.summary_info().arch()
    }

    /// When the MSI says it was made.
    #[must_use]
    pub fn created(&self) -> Option<SystemTime> {
        self.package.summary_info().creation_time()
    }

    /// A stream's content.
    pub fn stream(&mut self, name: &str) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.package
            .read_stream(name)
            .with_context(|| format!("stream {name}"))?
            .read_to_end(&mut content)?;
        Ok(content)
    }

    /// A file that the MSI would install, by its key in the File table.
    pub fn file(&mut self, key: &str) -> Result<Vec<u8>> {
        let stream = self.cabinet_stream()?;
        let mut cabinet = cab::Cabinet::new(Cursor::new(self.stream(&stream)?))?;
        let mut content = Vec::new();
        cabinet.read_file(key)?.read_to_end(&mut content)?;
        Ok(content)
    }

    fn cabinet_stream(&self) -> Result<String> {
        let media = self.rows("Media").first().context("no Media row")?;
        let name = text(media, "Cabinet");
        Ok(name
            .strip_prefix('#')
            .context("the cabinet is not inside the MSI")?
            .to_owned())
    }

    /// Every table as text, one line a row, sorted: for comparisons.
    #[must_use]
    pub fn dump(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (table, rows) in &self.tables {
            for row in rows {
                let values: Vec<String> = row.values().map(|value| format!("{value}")).collect();
                lines.push(format!("{table}: {}", values.join(" | ")));
            }
        }
        lines.sort();
        lines
    }
}

/// A text value; empty for null.
#[must_use]
pub fn text<'a>(row: &'a Record, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// A number; `None` for null.
#[must_use]
pub fn number(row: &Record, column: &str) -> Option<i32> {
    row.get(column).and_then(Value::as_int)
}

/// Everything that is wrong, one line each.
pub fn check(bytes: &[u8]) -> Result<Vec<String>> {
    let mut msi = Msi::open(bytes)?;
    let mut problems = Vec::new();
    references(&msi, &mut problems);
    properties(&msi, &mut problems);
    components(&msi, &mut problems);
    directories(&msi, &mut problems);
    summary(&msi, &mut problems);
    launch::check(&msi, &mut problems);
    sequence::check(&msi, &mut problems);
    payload::check(&mut msi, &mut problems)?;
    Ok(problems)
}

/// ICE03: what a column refers to is there. `_Validation` says which column refers to which table.
fn references(msi: &Msi, problems: &mut Vec<String>) {
    let mut seen = 0;
    for rule in msi.rows("_Validation") {
        let (table, column) = (text(rule, "Table"), text(rule, "Column"));
        let (Some(key_column), targets) = (number(rule, "KeyColumn"), text(rule, "KeyTable"))
        else {
            continue;
        };
        let known: BTreeSet<&str> = targets
            .split(';')
            .flat_map(|target| keys(msi, target, key_column))
            .collect();
        for row in msi.rows(table) {
            let value = text(row, column);
            if !value.is_empty() && !known.contains(value) {
                problems.push(format!(
                    "{table}.{column}: {value:?} is not in {targets} (ICE03)"
                ));
            }
            seen += 1;
        }
    }
    if seen == 0 {
        problems.push("_Validation names no references (ICE01)".to_owned());
    }
}

/// The values of a table's numbered column.
fn keys<'a>(msi: &'a Msi, table: &str, column: i32) -> Vec<&'a str> {
    let at = usize::try_from(column - 1).unwrap_or(usize::MAX);
    let Some(name) = msi
        .package
        .get_table(table)
        .and_then(|table| table.columns().get(at))
        .map(|column| column.name().to_owned())
    else {
        return Vec::new();
    };
    msi.rows(table).iter().map(|row| text(row, &name)).collect()
}

fn is_guid(value: &str) -> bool {
    value.len() == 38
        && value.starts_with('{')
        && value.ends_with('}')
        && value.bytes().enumerate().all(|(at, byte)| match at {
            0 | 37 => true,
            9 | 14 | 19 | 24 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte),
        })
}

/// ICE24, ICE61, ICE74 and the properties without which nothing installs.
fn properties(msi: &Msi, problems: &mut Vec<String>) {
    for name in ["ProductCode", "UpgradeCode"] {
        if !msi.property(name).is_some_and(is_guid) {
            problems.push(format!("{name} is no upper-case GUID (ICE24)"));
        }
    }
    for name in ["Manufacturer", "ProductName", "ProductLanguage"] {
        if msi.property(name).is_none_or(str::is_empty) {
            problems.push(format!("{name} is missing (ICE24)"));
        }
    }
    let version = msi.property("ProductVersion").unwrap_or_default();
    let parts: Vec<Option<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    let limits = [255, 255, 65_535, 65_535];
    let fits = (3..=4).contains(&parts.len())
        && parts
            .iter()
            .zip(limits)
            .all(|(part, limit)| part.is_some_and(|part| part <= limit));
    if !fits {
        problems.push(format!(
            "ProductVersion {version:?} is no version of Windows Installer (ICE24)"
        ));
    }
    if msi.property("ALLUSERS") != Some("1") {
        problems.push("ALLUSERS is not 1: drivers are there for the machine".to_owned());
    }
    if !msi
        .property("REINSTALLMODE")
        .unwrap_or_default()
        .contains('a')
    {
        problems.push("REINSTALLMODE keeps files of another build of the same version".to_owned());
    }
    let secure: BTreeSet<&str> = msi
        .property("SecureCustomProperties")
        .unwrap_or_default()
        .split(';')
        .collect();
    for name in &secure {
        if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
            problems.push(format!("secure property {name} is not public (ICE74)"));
        }
    }
    for row in msi.rows("Upgrade") {
        let property = text(row, "ActionProperty");
        if !secure.contains(property) {
            problems.push(format!(
                "{property} is not in SecureCustomProperties (ICE61)"
            ));
        }
        if text(row, "UpgradeCode") != msi.property("UpgradeCode").unwrap_or_default() {
            problems.push("an Upgrade row is for another product".to_owned());
        }
    }
    let icon = msi.property("ARPPRODUCTICON").unwrap_or_default();
    if !msi.rows("Icon").iter().any(|row| text(row, "Name") == icon) {
        problems.push(format!("ARPPRODUCTICON {icon:?} is not in Icon"));
    }
}

/// ICE08, ICE18, ICE80 and that every component belongs to a feature.
fn components(msi: &Msi, problems: &mut Vec<String>) {
    const IS_64_BIT: i32 = 256;
    let mut codes = BTreeSet::new();
    for row in msi.rows("Component") {
        let (name, code, key) = (
            text(row, "Component"),
            text(row, "ComponentId"),
            text(row, "KeyPath"),
        );
        if !is_guid(code) || !codes.insert(code) {
            problems.push(format!(
                "component {name}: {code:?} is no GUID of its own (ICE08)"
            ));
        }
        let owned = msi
            .rows("File")
            .iter()
            .any(|file| text(file, "File") == key && text(file, "Component_") == name);
        if !owned {
            problems.push(format!(
                "component {name}: key path {key:?} is no file of it (ICE18)"
            ));
        }
        if number(row, "Attributes").unwrap_or(0) & IS_64_BIT == 0 {
            problems.push(format!("component {name} is not marked 64-bit (ICE80)"));
        }
        if !msi
            .rows("FeatureComponents")
            .iter()
            .any(|link| text(link, "Component_") == name)
        {
            problems.push(format!("component {name} belongs to no feature (ICE21)"));
        }
    }
    // msidbFeatureAttributesDisallowAdvertise.
    const DISALLOW_ADVERTISE: i32 = 8;
    for row in msi.rows("Feature") {
        let name = text(row, "Feature");
        if number(row, "Attributes").unwrap_or(0) & DISALLOW_ADVERTISE == 0 {
            problems.push(format!(
                "feature {name} may be advertised, but no first use installs a driver"
            ));
        }
        if !msi
            .rows("FeatureComponents")
            .iter()
            .any(|link| text(link, "Feature_") == name)
        {
            problems.push(format!("feature {name} has no component"));
        }
    }
}

/// Every folder leads up to TARGETDIR, the only root.
fn directories(msi: &Msi, problems: &mut Vec<String>) {
    let parents: BTreeMap<&str, &str> = msi
        .rows("Directory")
        .iter()
        .map(|row| (text(row, "Directory"), text(row, "Directory_Parent")))
        .collect();
    for start in parents.keys() {
        let mut at = *start;
        let mut steps = 0;
        while let Some(parent) = parents.get(at).filter(|parent| !parent.is_empty()) {
            at = parent;
            steps += 1;
            if steps > parents.len() {
                break;
            }
        }
        if at != "TARGETDIR" {
            problems.push(format!("folder {start} does not lead to TARGETDIR"));
        }
    }
}

/// ICE39: the summary information.
fn summary(msi: &Msi, problems: &mut Vec<String>) {
    let summary = msi.package.summary_info();
    let needed = match summary.arch() {
        Some("x64") => 200,
        Some("Arm64") => 500,
        other => {
            problems.push(format!(
                "template names {other:?}, not x64 or Arm64 (ICE39)"
            ));
            0
        }
    };
    if summary.page_count().unwrap_or(0) < needed {
        problems.push(format!(
            "page count {:?}, but the platform needs {needed} (ICE39)",
            summary.page_count()
        ));
    }
    if summary.word_count() != Some(2) {
        problems.push("word count does not say: compressed, long names".to_owned());
    }
    if summary.uuid().is_none() {
        problems.push("no package code (ICE39)".to_owned());
    }
    if summary.languages().len() != 1 {
        problems.push("not exactly one language (ICE39)".to_owned());
    }
}
