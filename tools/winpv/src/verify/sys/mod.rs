//! The static rules, applied to any driver's .sys.

mod image;
mod imports;
pub mod mutations;
mod rules;
mod unwind;
pub mod version;

use anyhow::{Context as _, Result};
use image::Image;
use rules::{Context, Verdict};
use std::path::Path;

use super::report::{Level, Report, Strictness};

pub use rules::RULES;

/// What one rule said of one file.
#[derive(serde::Serialize, Debug)]
pub struct Row {
    /// The rule's name.
    pub rule: &'static str,
    /// `pass`, `fail` or `skip`.
    pub verdict: &'static str,
    /// What was found.
    pub detail: Vec<String>,
}

/// Applies every rule to the .sys at `path`. Errors: the file cannot be read or is not a 64-bit PE.
pub fn check(path: &Path, inf: Option<&Path>) -> Result<Vec<Row>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let inf = match inf {
        Some(inf) => Some(
            std::fs::read(inf)
                .map(|b| String::from_utf8_lossy(&b).into_owned())
                .with_context(|| format!("cannot read {}", inf.display()))?,
        ),
        None => version::inf_beside(path),
    };
    let driver_ver = match inf {
        Some(text) => Some(version::of_inf(&text).context("the INF has no readable DriverVer")?),
        None => None,
    };
    rows(&bytes, driver_ver).with_context(|| path.display().to_string())
}

fn judge(bytes: &[u8], context: &Context) -> Result<Vec<Row>> {
    let image = Image::parse(bytes)?;
    Ok(RULES
        .iter()
        .map(|rule| {
            let (verdict, detail) = match rule.judge(&image, context) {
                Verdict::Pass(text) => ("pass", vec![text]),
                Verdict::Fail(lines) => ("fail", lines),
                Verdict::Skip(text) => ("skip", vec![text]),
            };
            Row {
                rule: rule.id,
                verdict,
                detail,
            }
        })
        .collect())
}

/// Applies every rule to an image whose bytes and INF's DriverVer are known. Errors: it is not a 64-bit PE.
pub fn rows(bytes: &[u8], driver_ver: Option<version::Version>) -> Result<Vec<Row>> {
    let context = Context {
        imports: imports::Table::ours()?,
        driver_ver,
    };
    judge(bytes, &context)
}

/// Reports what the rules said.
pub fn report(rows: &[Row], report: &mut Report, label: &str, strictness: Strictness) {
    report.counts.drivers += 1;
    for (row, rule) in rows.iter().zip(RULES) {
        let level = match (row.verdict, strictness) {
            ("pass", _) => continue,
            ("skip", _) => Level::Note,
            (_, Strictness::Ours) => Level::Error,
            (_, Strictness::Theirs) => rule.level,
        };
        let first = row.detail.first().cloned().unwrap_or_default();
        let message = match row.detail.len() {
            0 | 1 => first,
            more => format!("{first}, and {} more", more - 1),
        };
        report.add_at(
            rule.id,
            level,
            label,
            message,
            format!("must be: {}", rule.text),
        );
    }
}
