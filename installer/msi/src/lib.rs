//! Writes the MSI of a driver pack, the same bytes for the same content, and checks what was written.
//!
//! Facts about tables, actions and properties are Microsoft's, "Windows Installer" in the Windows API reference; page names are
//! given as `MS: name`.
#![forbid(unsafe_code)]

mod actions;
mod cabinet;
pub mod check;
mod compound;
mod icon;
mod ids;
mod read;
mod rows;
mod schema;

#[cfg(test)]
mod tests;

use std::io::{Cursor, Write};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use msi::{Insert, LanguageId, Package, PackageType, Value};

pub use cabinet::pack as cabinet;
pub use ids::UPGRADE_CODE;
pub use read::read;

/// The name of the cabinet's stream.
const CABINET: &str = "winpv.cab";
/// US English.
const LANGUAGE: u16 = 1033;

/// A processor that an MSI can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// x64.
    X64,
    /// ARM64.
    Arm64,
}

impl Platform {
    /// What the template says (MS: "Template Summary property").
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Platform::X64 => "x64",
            Platform::Arm64 => "Arm64",
        }
    }

    /// The IMAGE_FILE_MACHINE value of its programs (winnt.h).
    #[must_use]
    pub const fn machine(self) -> u16 {
        match self {
            Platform::X64 => object::pe::IMAGE_FILE_MACHINE_AMD64,
            Platform::Arm64 => object::pe::IMAGE_FILE_MACHINE_ARM64,
        }
    }

    /// The oldest Windows Installer that knows the platform (MS: "Page Count Summary property").
    const fn schema(self) -> i32 {
        match self {
            Platform::X64 => 200,
            Platform::Arm64 => 500,
        }
    }
}

/// One driver package of the pack.
#[derive(Clone, Debug)]
pub struct Driver {
    /// Feature, service and file name: lower-case letters and digits.
    pub name: String,
    /// What users read.
    pub description: String,
    /// Whether the boot loader starts it.
    pub boot_start: bool,
    /// Hardware ids that each of its devices has one of.
    pub hardware_ids: Vec<String>,
    /// File names and contents: the INF, which is `NAME.inf`, and all that it refers to.
    pub files: Vec<(String, Vec<u8>)>,
}

/// What goes into an MSI.
#[derive(Clone, Debug)]
pub struct Content {
    /// Processor.
    pub platform: Platform,
    /// Version of the pack; Windows Installer compares the first three numbers.
    pub version: [u16; 4],
    /// Who signed the drivers: `test`, `attestation` or `whcp`.
    pub signature: String,
    /// The drivers.
    pub drivers: Vec<Driver>,
    /// winpv-setup.exe.
    pub setup: Vec<u8>,
    /// winpv-check.dll.
    pub check: Vec<u8>,
    /// Date of everything inside: seconds after 1970.
    pub epoch: u64,
}

impl Content {
    /// The version as text.
    #[must_use]
    pub fn version_text(&self) -> String {
        self.version.map(|number| number.to_string()).join(".")
    }
}

/// One row of a table.
type Row = Vec<Value>;
type Database = Package<Cursor<Vec<u8>>>;

/// Writes the MSI, unsigned.
pub fn write(content: &Content) -> Result<Vec<u8>> {
    for driver in &content.drivers {
        driver.validate()?;
    }
    let ids = ids::Ids::new(content);
    let mut database = Package::create(PackageType::Installer, Cursor::new(Vec::new()))?;
    summary(&mut database, content, &ids);
    let files = rows::files(content);
    for (table, rows) in rows::all(content, &ids, &files)? {
        insert(&mut database, table, rows)?;
    }
    for (stream, bytes) in [
        ("Binary.setup", content.setup.as_slice()),
        ("Binary.check", &content.check),
        ("Icon.winpv.ico", &icon::draw()),
        (CABINET, &cabinet::write(&files, content.epoch)?),
    ] {
        database
            .write_stream(stream)?
            .write_all(bytes)
            .with_context(|| format!("stream {stream}"))?;
    }
    compound::rewrite(&database.into_inner()?.into_inner())
}

impl Driver {
    fn validate(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        ensure!(
            !self.name.is_empty() && self.name.len() <= 20 && self.name.chars().all(plain),
            "{:?} cannot be the name of a feature: lower-case letters and digits only, 20 at most",
            self.name
        );
        // What Formatted fields and the helper's command line take for something else.
        let special = |c: char| c.is_whitespace() || "[]{},\"".contains(c);
        for id in &self.hardware_ids {
            ensure!(
                !id.is_empty() && !id.contains(special),
                "{id:?} is no hardware id"
            );
        }
        let inf = format!("{}.inf", self.name);
        ensure!(
            self.files.iter().any(|(name, _)| *name == inf),
            "driver {} has no {inf}",
            self.name
        );
        Ok(())
    }
}

fn summary(database: &mut Database, content: &Content, ids: &ids::Ids) {
    let time = UNIX_EPOCH + Duration::from_secs(content.epoch);
    let summary = database.summary_info_mut();
    summary.set_title("Installation Database");
    summary.set_subject(rows::PRODUCT_NAME);
    summary.set_author(rows::MANUFACTURER);
    summary.set_comments(format!("{} {}", rows::PRODUCT_NAME, content.version_text()));
    summary.set_keywords(&["Installer".to_owned()]);
    summary.set_arch(content.platform.template());
    summary.set_languages(&[LanguageId::from(LANGUAGE)]);
    summary.set_uuid(ids.package);
    summary.set_creation_time(time);
    summary.set_last_save_time(time);
    summary.set_creating_application("WinPV");
    summary.set_page_count(content.platform.schema());
    // Compressed source files, long file names, elevated privileges (MS: "Word Count Summary property").
    summary.set_word_count(2);
    // Read-only recommended (MS: "Security Summary property").
    summary.set_doc_security(2);
}

fn insert(database: &mut Database, table: &str, rows: Vec<Row>) -> Result<()> {
    let columns = schema::columns(table).with_context(|| format!("table {table} is unknown"))?;
    database
        .create_table(table, columns)
        .with_context(|| format!("table {table}"))?;
    for row in rows {
        // One at a time: the error names the row.
        let shown = format!("{row:?}");
        database
            .insert_rows(Insert::into(table).row(row))
            .with_context(|| format!("table {table}, row {shown}"))?;
    }
    Ok(())
}
