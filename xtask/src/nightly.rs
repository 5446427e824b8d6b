//! The nightly compiler, for what the stable one does not have: Miri, and coverage for a fuzzer. Nothing that is shipped sees it.

use std::time::Duration;

use anyhow::{Context, Result};
use winpv::process::Run;

/// The one that is used, wherever one is.
const NIGHTLY: &str = "nightly-2026-05-20";
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);

/// `cargo` of the nightly, which is installed with these components if it is not there.
pub fn cargo(components: &[&str]) -> Result<Run> {
    let listed = Run::new("rustup")
        .args(["component", "list", "--installed", "--toolchain", NIGHTLY])
        .deadline(INSTALL_DEADLINE)
        .output()?;
    let has = |component: &&str| {
        let mut lines = listed.stdout.lines();
        lines.any(|line| line.starts_with(component))
    };
    if !listed.status.success() || !components.iter().all(has) {
        println!("installing {NIGHTLY}");
        Run::new("rustup")
            .args([
                "toolchain",
                "install",
                NIGHTLY,
                "--profile",
                "minimal",
                "--no-self-update",
            ])
            .args(
                components
                    .iter()
                    .flat_map(|component| ["--component", component]),
            )
            .deadline(INSTALL_DEADLINE)
            .ok()
            .with_context(|| format!("cannot install {NIGHTLY}; it needs rustup"))?;
    }
    // Cargo sets RUSTUP_TOOLCHAIN for xtask, and it would count for more than what is asked for here.
    Ok(Run::new("rustup")
        .args(["run", NIGHTLY, "cargo"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC")
        .env_remove("CARGO"))
}
