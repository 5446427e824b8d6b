//! `winpv verify`: checks packs, driver packages, drivers and what they are delivered in, ours or another vendor's.

use std::path::PathBuf;

use anyhow::{Result, bail};
use driver_inf::lint;
use serde_json::{Value, json};

use crate::progress::Progress;
use crate::verify::report::{Level, Report};
use crate::verify::rules::RULES;
use crate::verify::{self, Options, sys};

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "\
Examples:
  winpv verify dist                        checks a pack: packages, MSIs, cabinets, ISO, checksums
  winpv verify --ca root.cer /media/virtio another vendor's drivers, against the root that you trust
  winpv verify WinPV.iso WinPV-x64.msi     what is inside
  winpv verify --json driver.sys           a driver alone
  winpv verify --rules                     lists the rules
  winpv verify --explain catalog-arch      says why a rule is there

An error is what Windows would refuse, and what shows that a file was changed. A warning is what WinPV asks of its own
packages beyond that, where it is an error (--strict asks it of everyone). docs/verify.md has the rules.";

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folders; .sys, .inf, .cat, .msi, .cab and .iso files
    #[arg(required_unless_present_any = ["rules", "explain"], value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// A certificate to trust, PEM or DER; can be given several times [default: the roots in the pack's cert/]
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// Hold every package to the rules for packages of WinPV
    #[arg(long)]
    pub strict: bool,
    /// For a .sys: the INF whose DriverVer it must carry [default: the one beside it with the same name]
    #[arg(long)]
    pub inf: Option<PathBuf>,
    /// Say why a rule is there
    #[arg(long, value_name = "RULE", conflicts_with = "paths")]
    pub explain: Option<String>,
    /// List the rules
    #[arg(long, conflicts_with_all = ["paths", "explain"])]
    pub rules: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Verifies, or explains rules. `Ok(false)`: there is a finding that is an error.
///
/// # Errors
///
/// There is nothing to check at a path, or a program that is needed cannot be run.
pub fn run(args: &Args) -> Result<bool> {
    if args.rules || args.explain.is_some() {
        return explain(args.explain.as_deref(), args.json);
    }
    let options = Options {
        roots: args.ca.clone(),
        strict: args.strict,
        inf: args.inf.clone(),
    };
    let progress = Progress::new(None);
    let mut reports = Vec::new();
    for path in &args.paths {
        reports.push((path, verify::verify_showing(path, &options, &progress)?));
    }
    // The bar is gone before anything else is printed.
    drop(progress);
    let good = reports.iter().all(|(_, report)| report.is_good());
    if args.json {
        let reports: Vec<Value> = reports
            .iter()
            .map(|(path, report)| json!({ "path": path, "report": report.json() }))
            .collect();
        println!("{}", json!({ "good": good, "reports": reports }));
        return Ok(good);
    }
    for (path, report) in &reports {
        print(report);
        println!("{}: {}", path.display(), report.summary());
    }
    Ok(good)
}

fn print(report: &Report) {
    for finding in &report.findings {
        println!("{finding}");
    }
    for root in &report.trusted {
        println!("trusted: {root}");
    }
}

/// Every rule, or one of them.
fn explain(id: Option<&str>, json: bool) -> Result<bool> {
    let own = RULES.iter().map(|rule| Explained {
        id: rule.id,
        level: rule.level,
        title: rule.title,
        reason: rule.reason.to_owned(),
    });
    let images = sys::RULES.iter().map(|rule| Explained {
        id: rule.id,
        level: rule.level,
        title: rule.text,
        reason: "A static rule for driver images".to_owned(),
    });
    let mut rules: Vec<Explained> = own.chain(images).collect();
    if let Some(id) = id {
        rules.retain(|rule| rule.id == id);
        if rules.is_empty() && lint::rule(id).is_some() {
            bail!("{id} is a rule for INF files: `winpv lint-inf --explain {id}`");
        }
        if rules.is_empty() {
            bail!("there is no rule {id}: `winpv verify --rules` lists them");
        }
    }
    if json {
        println!("{}", json!({ "rules": rules }));
        return Ok(true);
    }
    for rule in &rules {
        println!("{:20} {:8} {}", rule.id, rule.level.to_string(), rule.title);
        if id.is_some() {
            println!("    why: {}", rule.reason);
        }
    }
    Ok(true)
}

#[derive(serde::Serialize)]
struct Explained {
    id: &'static str,
    level: Level,
    title: &'static str,
    reason: String,
}
