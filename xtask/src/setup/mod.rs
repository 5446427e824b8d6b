//! Finds the tools that the commands need, and installs what is missing where that is allowed.

mod debian;
mod needs;
mod rust;

#[cfg(test)]
mod tests;

use anyhow::{Result, bail};

use needs::NEEDS;
pub use needs::{Need, Purpose, Verdict};

/// Makes sure that everything for `purpose` is there: as root by installing Debian packages, otherwise by saying what to run.
pub fn ensure(purpose: Purpose) -> Result<()> {
    rust::ensure(purpose)?;
    let unmet = unmet(purpose);
    if unmet.is_empty() {
        return Ok(());
    }
    for (need, verdict) in &unmet {
        println!("{}: {verdict}", need.program);
    }
    let packages: Vec<&str> = unmet.iter().map(|(need, _)| need.package).collect();
    debian::provide(&packages)?;
    let still: Vec<String> = self::unmet(purpose)
        .iter()
        .map(|(need, verdict)| format!("{}: {verdict}", need.program))
        .collect();
    if !still.is_empty() {
        bail!(
            "after the installation still not usable:\n  {}",
            still.join("\n  ")
        );
    }
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
    let packages: Vec<&str> = unmet(Purpose::Test)
        .iter()
        .map(|(need, _)| need.package)
        .collect();
    if !packages.is_empty() {
        match debian::plan(&packages) {
            Ok(plan) => println!(
                "\nTo install what is missing:\n  {}",
                plan.shell().join("\n  ")
            ),
            Err(error) => println!("\n{error:#}"),
        }
    }
    complete
}

fn unmet(purpose: Purpose) -> Vec<(&'static Need, Verdict)> {
    NEEDS
        .iter()
        .filter(|need| need.purpose <= purpose)
        .map(|need| (need, need.probe()))
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Found(_)))
        .collect()
}
