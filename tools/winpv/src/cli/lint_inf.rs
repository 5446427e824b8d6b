//! `winpv lint-inf`: checks anyone's INF files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use driver_inf::Inf;
use driver_inf::files::locate;
use driver_inf::lint::{self, Finding, Options, Present, Rule, Severity};
use driver_inf::target::Build;
use serde_json::{Value, json};

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "\
Examples:
  winpv lint-inf driver.inf              checks one file and that its package is complete
  winpv lint-inf /media/virtio-win       checks every .inf in a folder
  winpv lint-inf --no-package driver.inf leaves the package's other files alone
  winpv lint-inf --rules                 lists the rules
  winpv lint-inf --explain INF301        says why a rule is there and what InfVerif calls it";

/// Arguments of `lint-inf`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// INF files, or folders to search for them
    #[arg(required_unless_present_any = ["rules", "explain"], value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// Do not look whether the files that the INF copies are there
    #[arg(long)]
    pub no_package: bool,
    /// The first build of Windows 10 or 11 on which the driver must be isolated, as InfVerif's /wbuild
    #[arg(long, value_name = "BUILD", default_value_t = 17763)]
    pub isolated_from: u32,
    /// Fail on warnings as well
    #[arg(long)]
    pub deny_warnings: bool,
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

/// Checks files, or explains rules. `Ok(false)`: a file breaks a rule whose severity is error.
///
/// # Errors
///
/// A file cannot be read, a folder has no INF file, or there is no such rule.
pub fn run(args: &Args) -> Result<bool> {
    if let Some(id) = &args.explain {
        return explain(id, args.json);
    }
    if args.rules {
        list(args.json);
        return Ok(true);
    }
    let mut reports = Vec::new();
    for path in find(&args.paths)? {
        let findings = check(&path, !args.no_package, args.isolated_from)?;
        reports.push((path, findings));
    }
    let count = |severity: Severity| {
        let all = reports.iter().flat_map(|(_, findings)| findings);
        all.filter(|finding| finding.rule.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if args.json {
        let files: Vec<Value> = reports
            .iter()
            .map(|(path, found)| report(path, found))
            .collect();
        println!(
            "{}",
            json!({ "files": files, "errors": errors, "warnings": warnings })
        );
    } else {
        for (path, findings) in &reports {
            for finding in findings {
                println!("{}", line(path, finding));
            }
        }
        println!(
            "{} files, {errors} errors, {warnings} warnings",
            reports.len()
        );
    }
    Ok(errors == 0 && !(args.deny_warnings && warnings > 0))
}

/// Checks one file; with `package` also that what it copies lies beside it.
///
/// # Errors
///
/// The file cannot be read.
pub fn check(path: &Path, package: bool, isolated_from: u32) -> Result<Vec<Finding>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let present = move |file: &str| locate(&folder, file).is_some();
    let options = Options {
        present: package.then(|| Box::new(present) as Present),
        // Windows' limit is for the path there; what is known here is the name.
        path_length: path
            .file_name()
            .map_or(0, |name| name.to_string_lossy().chars().count()),
        isolated_from: Some(Build(10, 0, isolated_from)),
    };
    Ok(lint::lint(&Inf::parse(&bytes), &options))
}

/// `FILE:LINE:COLUMN: SEVERITY[RULE]: MESSAGE`, and below it what to do.
#[must_use]
pub fn line(path: &Path, finding: &Finding) -> String {
    format!(
        "{}:{}: {}[{}]: {}\n    {}",
        path.display(),
        finding.at,
        finding.rule.severity,
        finding.rule.id,
        finding.message,
        finding.mend
    )
}

fn report(path: &Path, findings: &[Finding]) -> Value {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "rule": finding.rule.id,
                "severity": finding.rule.severity,
                "infverif": finding.rule.infverif,
                "line": finding.at.line,
                "column": finding.at.column,
                "message": finding.message,
                "mend": finding.mend,
            })
        })
        .collect();
    json!({ "file": path, "findings": findings })
}

/// The named files, and the INF files in the named folders.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        let mut all = Vec::new();
        walk(path, &mut all)?;
        files.extend(all.into_iter().filter(|file| {
            file.extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("inf"))
        }));
        ensure!(
            files.len() > before,
            "there is no .inf file in {}: name a file, or the folder of a driver package",
            path.display()
        );
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        // A link to a folder above would be followed for ever.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn explain(id: &str, json: bool) -> Result<bool> {
    let Some(rule) = lint::rule(id) else {
        bail!("there is no rule {id}: `winpv lint-inf --rules` lists them");
    };
    if json {
        println!("{}", serde_json::to_string(rule)?);
        return Ok(true);
    }
    println!("{} ({}): {}", rule.id, rule.severity, rule.title);
    println!("  why:      {}", rule.reason);
    println!("  InfVerif: {}", codes(rule));
    println!("  source:   Microsoft, {}", rule.source);
    Ok(true)
}

fn codes(rule: &Rule) -> String {
    if rule.infverif.is_empty() {
        return "no code known".to_owned();
    }
    let codes: Vec<String> = rule.infverif.iter().map(u16::to_string).collect();
    codes.join(", ")
}

fn list(json: bool) {
    if json {
        let rules: Vec<&Rule> = lint::rules().collect();
        println!("{}", json!({ "rules": rules }));
        return;
    }
    for rule in lint::rules() {
        println!(
            "{}  {:7}  {}",
            rule.id,
            rule.severity.to_string(),
            rule.title
        );
    }
}
