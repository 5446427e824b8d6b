//! `cargo xtask miri`: the tests of virtio-core's unsafe code, interpreted, with every access checked.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::nightly;
use crate::suite::{Outcome, test_outcomes};

/// Interpretation takes a hundred times as long, and the library is built first.
const DEADLINE: Duration = Duration::from_secs(3600);

/// virtio-core's own tests, and both rings and both transports against a device that lies. More would take hours.
const TESTS: [&str; 7] = [
    "--package",
    "virtio-core",
    "--package",
    "virtio-fuzz",
    "--lib",
    "--test",
    "smoke",
];

/// A pointer is only what it was made from. The corpus is read from files. The crate allocates nothing: what leaks is what tests
/// lend to it for good.
const FLAGS: &str = "-Zmiri-strict-provenance -Zmiri-disable-isolation -Zmiri-ignore-leaks";

/// Arguments of `miri`.
#[derive(clap::Args)]
pub struct Args {
    /// Run only the tests whose name contains this
    filter: Option<String>,
}

/// The command; false if a test failed.
pub fn run(args: &Args) -> Result<bool> {
    let outcomes = tests(&winpv::target_dir(), args.filter.as_deref())?;
    let mut failed = 0;
    for Outcome { name, result } in &outcomes {
        match result {
            Ok(()) => println!("{name}: ok"),
            Err(problem) => {
                failed += 1;
                println!("FAILED {name}\n{problem}");
            }
        }
    }
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(failed == 0 && !outcomes.is_empty())
}

fn tests(target_dir: &Path, filter: Option<&str>) -> Result<Vec<Outcome>> {
    let output = nightly::cargo(&["miri", "rust-src"])?
        .dir(winpv::root())
        .args(["miri", "test", "--no-fail-fast", "--color", "never"])
        .args(TESTS)
        .arg("--")
        .args(filter)
        .env("MIRIFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", target_dir.join("miri"))
        .deadline(DEADLINE)
        .output()?;
    Ok(test_outcomes(&output))
}
