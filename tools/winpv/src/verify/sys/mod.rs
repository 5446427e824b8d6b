//! `verify`: the static rules, applied to any driver's .sys.

mod image;
mod imports;
pub mod mutations;
mod rules;
mod unwind;
mod version;

use anyhow::{Context as _, Result};
use image::Image;
use rules::{Context, RULES, Verdict};
use std::path::{Path, PathBuf};

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The .sys files to check.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// INF whose DriverVer the .sys must carry [default: the one beside it with the same name]
    #[arg(long)]
    pub inf: Option<PathBuf>,
    /// Print one JSON object a rule.
    #[arg(long)]
    pub json: bool,
}

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
    let context = Context {
        imports: imports::Table::ours()?,
        driver_ver,
    };
    judge(&bytes, &context).with_context(|| path.display().to_string())
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

/// Runs the command. `Ok(false)`: some rule is broken.
pub fn run(args: &Args) -> Result<bool> {
    let mut ok = true;
    for file in &args.files {
        let rows = check(file, args.inf.as_deref())?;
        ok &= rows.iter().all(|row| row.verdict != "fail");
        if args.json {
            println!("{}", serde_json::json!({ "file": file, "rules": rows }));
            continue;
        }
        println!("{}", file.display());
        for (row, rule) in rows.iter().zip(RULES) {
            println!("  {:4} {:10} {}", row.verdict, row.rule, rule.text);
            for line in &row.detail {
                println!("       {:10} {line}", "");
            }
        }
    }
    Ok(ok)
}
