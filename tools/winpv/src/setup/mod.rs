//! Finds the tools that the commands need, and installs what is missing where that is allowed.

mod debian;
mod needs;
mod rust;

#[cfg(test)]
mod tests;

use anyhow::{Result, ensure};

use needs::NEEDS;
pub use needs::{Need, Purpose, Verdict};

/// Makes sure that everything for `purpose` is there: as root by installing Debian packages, otherwise by saying what to run.
pub fn require(purpose: Purpose) -> Result<()> {
    rust::require(purpose)?;
    // A second round takes what the release has only in a version that is too old from backports.
    for _ in 0..2 {
        let unmet = unmet(purpose);
        if unmet.is_empty() {
            return Ok(());
        }
        for (need, verdict) in &unmet {
            println!("{}: {verdict}", need.program);
        }
        debian::provide(&packages(&unmet), is_stale(&unmet))?;
    }
    let still: Vec<String> = unmet(purpose)
        .iter()
        .map(|(need, verdict)| format!("{}: {verdict}", need.program))
        .collect();
    ensure!(
        still.is_empty(),
        "after the installation still not usable:\n  {}",
        still.join("\n  ")
    );
    Ok(())
}

/// Prints what was found and what is missing, and how to get it; false if something is missing.
pub fn doctor() -> bool {
    let mut complete = true;
    for (name, verdict) in rust::report() {
        complete &= verdict.is_ok();
        match verdict {
            Ok(found) => println!("ok       {name}: {found}"),
            Err(missing) => println!("MISSING  {name}: {missing}"),
        }
    }
    for need in NEEDS {
        let verdict = need.probe();
        let ok = matches!(verdict, Verdict::Found(_));
        complete &= ok;
        println!(
            "{}  {}: {verdict}",
            if ok { "ok     " } else { "MISSING" },
            need.program
        );
    }
    let unmet = unmet(Purpose::Test);
    if !unmet.is_empty() {
        match debian::plan(&packages(&unmet), is_stale(&unmet)) {
            Ok(plan) => println!(
                "\nTo install what is missing:\n  {}",
                plan.shell().join("\n  ")
            ),
            Err(error) => println!("\n{error:#}"),
        }
    }
    complete
}

type Unmet = (&'static Need, Verdict);

fn packages(unmet: &[Unmet]) -> Vec<&'static str> {
    unmet.iter().map(|(need, _)| need.package).collect()
}

/// True if something is installed but too old: what the release has will not help.
fn is_stale(unmet: &[Unmet]) -> bool {
    unmet
        .iter()
        .any(|(_, verdict)| matches!(verdict, Verdict::TooOld { .. }))
}

fn unmet(purpose: Purpose) -> Vec<Unmet> {
    NEEDS
        .iter()
        .filter(|need| need.purpose <= purpose)
        .map(|need| (need, need.probe()))
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Found(_)))
        .collect()
}
