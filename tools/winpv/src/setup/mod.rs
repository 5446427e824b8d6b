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
            println!("{}: {verdict}", need.name());
        }
        debian::provide(&packages(&unmet), is_stale(&unmet))?;
    }
    let still: Vec<String> = unmet(purpose)
        .iter()
        .map(|(need, verdict)| format!("{}: {verdict}", need.name()))
        .collect();
    ensure!(
        still.is_empty(),
        "after the installation still not usable:\n  {}",
        still.join("\n  ")
    );
    Ok(())
}

/// One tool that was looked for.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// It is there and new enough.
    pub ok: bool,
    /// Its version, or what is wrong.
    pub detail: String,
}

/// What was found and what is missing.
#[derive(Debug)]
pub struct Report {
    /// Every tool that was looked for.
    pub tools: Vec<Tool>,
    /// The commands that install what is missing, or why that cannot be said.
    pub advice: Vec<String>,
}

impl Report {
    /// Nothing is missing.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.tools.iter().all(|tool| tool.ok)
    }
}

/// Looks for every tool.
#[must_use]
pub fn report() -> Report {
    let mut tools = Vec::new();
    for (name, verdict) in rust::report() {
        let ok = verdict.is_ok();
        let (Ok(detail) | Err(detail)) = verdict.map_err(|error| error.to_string());
        tools.push(Tool {
            name: name.to_string(),
            ok,
            detail,
        });
    }
    for need in NEEDS {
        let verdict = need.probe();
        tools.push(Tool {
            name: need.name().to_owned(),
            ok: matches!(verdict, Verdict::Found(_)),
            detail: verdict.to_string(),
        });
    }
    let unmet = unmet(Purpose::Test);
    let advice = if unmet.is_empty() {
        Vec::new()
    } else {
        match debian::plan(&packages(&unmet), is_stale(&unmet)) {
            Ok(plan) => plan.shell(),
            Err(error) => vec![format!("{error:#}")],
        }
    };
    Report { tools, advice }
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
        .filter(|need| purpose.takes(need.purpose))
        .map(|need| (need, need.probe()))
        .filter(|(_, verdict)| !matches!(verdict, Verdict::Found(_)))
        .collect()
}
