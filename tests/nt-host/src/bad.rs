//! Drivers that each break one rule: the proof that the rule is checked, and that it alone is reported.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::matrix::Job;
use crate::table;
use crate::verdict::Verdict;

/// One job for each `.sys` in a folder.
///
/// # Errors
/// The folder cannot be read or has none.
pub fn jobs(folder: &Path) -> anyhow::Result<Vec<Job>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut drivers: Vec<_> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    drivers.retain(|path| path.extension().is_some_and(|extension| extension == "sys"));
    drivers.sort();
    ensure!(
        !drivers.is_empty(),
        "there is no .sys in {}",
        folder.display()
    );
    Ok(drivers
        .into_iter()
        .map(|sys| {
            let stem = sys.file_stem().unwrap_or_default().to_string_lossy();
            let dump = ["dump-", "good-dump"]
                .iter()
                .any(|start| stem.starts_with(start));
            let scenario = if dump {
                table::provoke_dump()
            } else {
                table::provoke()
            };
            Job { sys, scenario }
        })
        .collect())
}

/// Whether a driver tripped exactly the rule that it is named for; a line to print either way.
///
/// # Errors
/// It tripped another rule, several, or none.
pub fn judge(sys: &Path, verdict: &Verdict) -> Result<String, String> {
    let stem = sys.file_stem().unwrap_or_default().to_string_lossy();
    let rule = stem.split("--").next().unwrap_or_default();
    let tripped: BTreeSet<&str> = verdict.rules.iter().map(String::as_str).collect();
    let expected: BTreeSet<&str> = if rule.starts_with("good") {
        BTreeSet::new()
    } else {
        BTreeSet::from([rule])
    };
    let ran = !verdict.trace.is_empty();
    if ran && tripped == expected {
        return Ok(format!(
            "{stem}: {}",
            verdict
                .violations
                .first()
                .map_or("no rule broken", String::as_str)
        ));
    }
    let mut line = format!("{stem}: tripped {tripped:?}");
    for complaint in verdict.complaints() {
        line += &format!("\n       {complaint}");
    }
    Err(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(rules: &[&str]) -> Verdict {
        Verdict {
            rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
            trace: "0".to_owned(),
            ..Verdict::default()
        }
    }

    #[test]
    fn exactly_the_named_rule_passes() {
        let irql = Path::new("/x/irql--raise.sys");
        assert!(judge(irql, &verdict(&["irql"])).is_ok());
        assert!(judge(irql, &verdict(&["irql", "lock-order"])).is_err());
        assert!(judge(irql, &verdict(&[])).is_err());
        assert!(judge(Path::new("good.sys"), &verdict(&[])).is_ok());
        assert!(judge(Path::new("good.sys"), &verdict(&["irql"])).is_err());
    }

    #[test]
    fn a_run_that_did_not_happen_passes_nothing() {
        let not_run = Verdict::not_run("provoke", 1, "killed".to_owned());
        assert!(judge(Path::new("good.sys"), &not_run).is_err());
    }
}
