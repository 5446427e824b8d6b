//! nt-host: the packed driver against devices, the bad drivers against nt-host's rules.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::cargo::tail;
use super::coverage::Measurement;
use super::{Context, HOST_DEADLINE, Outcome};
use winpv::build::{self, Form, Request};
use winpv::drivers::{Arch, DRIVERS, Driver};
use winpv::process::Run;
use winpv::toolchain::Toolchain;

const BUILD_DEADLINE: Duration = Duration::from_secs(1800);
const ARM64_LINUX: &str = "aarch64-unknown-linux-musl";
/// What Cargo.toml has optimised for the many scenarios on x64: for the one on ARM64 compiling it so takes longer than it saves.
const OPTIMISED: [&str; 4] = ["host-machine", "host-ntos", "host-storport", "test-device"];

/// Cargo's profile for a program of the harness.
#[derive(Clone, Copy)]
pub enum Profile {
    /// For a test: what `cargo test` has compiled already, which saves more than optimising gains.
    Dev,
    /// For hours.
    Release,
}

impl Profile {
    /// The arguments for Cargo, and the folder with the program.
    pub fn names(self) -> (&'static [&'static str], &'static str) {
        match self {
            Profile::Dev => (&[], "debug"),
            Profile::Release => (&["--release"], "release"),
        }
    }
}

/// Builds nt-host for this machine and returns the program.
pub fn build_host(profile: Profile) -> Result<PathBuf> {
    let (arguments, folder) = profile.names();
    Run::new("cargo")
        .dir(winpv::root())
        .args(["build", "--quiet", "--package", "nt-host"])
        .args(arguments)
        .deadline(BUILD_DEADLINE)
        .ok()?;
    Ok(winpv::target_dir().join(folder).join("nt-host"))
}

/// Builds nt-host for ARM64 Linux: the target's own C library and rust-lld make a cross compiler unnecessary.
fn build_host_arm64() -> Result<PathBuf> {
    let target_dir = winpv::target_dir();
    let unoptimised =
        OPTIMISED.map(|package| format!("--config=profile.dev.package.{package}.opt-level=0"));
    Run::new("cargo")
        .dir(winpv::root())
        .args(["build", "--quiet", "--package", "nt-host"])
        .args(["--target", ARM64_LINUX])
        .args(unoptimised)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")
        .deadline(BUILD_DEADLINE)
        .ok()?;
    Ok(target_dir.join(ARM64_LINUX).join("debug/nt-host"))
}

fn sys(context: &Context, name: &str, arch: Arch) -> PathBuf {
    context
        .dist
        .join("drivers")
        .join(name)
        .join(arch.name())
        .join(format!("{name}.sys"))
}

/// The whole matrix on the packed x64 drivers.
pub fn scenarios_x64(context: &Context) -> Result<Vec<Outcome>> {
    let host = build_host(Profile::Dev)?;
    let mut outcomes = Vec::new();
    for driver in DRIVERS {
        let measurement = Measurement::begin(context, driver)?;
        outcomes.extend(run_host(matrix(&host, context, driver, &measurement))?);
        outcomes.push(measurement.outcome());
    }
    Ok(outcomes)
}

/// The scenarios of a packed x64 driver, with coverage.
fn matrix(host: &Path, context: &Context, driver: &Driver, coverage: &Measurement) -> Run {
    Run::new(host)
        .arg("scenarios")
        .arg("--sys")
        .arg(sys(context, driver.name, Arch::Amd64))
        .arg("--coverage")
        .arg(coverage.map())
}

/// Arguments of `coverage`.
#[derive(clap::Args)]
pub struct CoverageArgs {
    /// Run only these scenarios
    #[arg(long)]
    only: Vec<String>,
    /// List every line that was not executed
    #[arg(long)]
    lines: bool,
}

/// `cargo xtask coverage`: what the scenarios execute of the drivers in dist/. False if a scenario failed.
pub fn coverage(args: &CoverageArgs) -> Result<bool> {
    let context = Context::of_repository();
    let host = build_host(Profile::Dev)?;
    let mut good = true;
    for driver in DRIVERS {
        let measurement = Measurement::begin(&context, driver)?;
        let mut run = matrix(&host, &context, driver, &measurement).echo();
        for name in &args.only {
            run = run.arg("--only").arg(name);
        }
        good &= run.deadline(HOST_DEADLINE).output()?.status.success();
        let judgement = measurement.judge()?;
        if args.lines {
            println!("{}", judgement.missed());
        }
        println!("{judgement}");
    }
    Ok(good)
}

/// A few of the fault plans on the packed x64 driver; `cargo xtask soak` runs all of them.
pub fn fault_plans(context: &Context) -> Result<Vec<Outcome>> {
    let run = Run::new(build_host(Profile::Dev)?)
        .args(["soak", "--sys"])
        .arg(sys(context, "vioblk", Arch::Amd64))
        .args(["--plans", "300", "--pairs", "30", "--cycles", "40"])
        .args(["--one-in", "9"]);
    run_host(run)
}

/// The packed ARM64 drivers under QEMU's user-mode emulation, in one process: it cannot start another of its kind.
pub fn scenarios_arm64(context: &Context) -> Result<Vec<Outcome>> {
    let host = build_host_arm64()?;
    let mut outcomes = Vec::new();
    for driver in DRIVERS {
        for (scenario, what) in [
            ("arm64", "load, start, verified I/O, unload"),
            ("arm64-dump", "a crash, and a verified dump"),
        ] {
            outcomes.push(Outcome::of(format!("{}: {what}", driver.name), || {
                emulated(&host, &sys(context, driver.name, Arch::Arm64), scenario)
            }));
        }
    }
    Ok(outcomes)
}

/// One scenario on an emulated CPU.
fn emulated(host: &Path, sys: &Path, scenario: &str) -> Result<()> {
    let output = Run::new("qemu-aarch64")
        .arg(host)
        .args(["scenario", scenario, "--sys"])
        .arg(sys)
        .deadline(HOST_DEADLINE)
        .output()?;
    // The line of a passed run is required besides the exit status: it says how much was moved.
    let passed = output
        .stdout
        .lines()
        .any(|line| line.starts_with("ok ") && line.contains(" operations "));
    ensure!(
        output.status.success() && passed,
        "{}\n{}",
        output.status,
        tail(&output.text())
    );
    Ok(())
}

/// Builds each bad driver like any .sys; nt-host must name the rule that each breaks, and no other.
///
/// They are features of one crate: the feature `RULE` or `RULE--VARIANT` makes the driver that breaks RULE.
pub fn bad_drivers(context: &Context) -> Result<Vec<Outcome>> {
    let manifest = context.root.join("tests/nt-host/bad-drivers/Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let parsed: BadDrivers =
        toml::from_str(&text).with_context(|| format!("in {}", manifest.display()))?;
    let toolchain = Toolchain::find()?;
    let out = context.target_dir.join("sys").join(&parsed.package.name);
    if out.exists() {
        // A driver whose feature was taken away must not be tested any more.
        fs::remove_dir_all(&out)?;
    }
    for feature in parsed
        .features
        .keys()
        .filter(|feature| *feature != "default")
    {
        build::build(
            &toolchain,
            &Request {
                manifest: &manifest,
                package: &parsed.package.name,
                features: feature,
                arch: Arch::Amd64,
                target_dir: &context.target_dir.join("driver"),
                out: &out,
                stem: feature,
                form: Form::Driver,
                resources: None,
            },
        )?;
    }
    run_host(
        Run::new(build_host(Profile::Dev)?)
            .arg("bad-drivers")
            .arg(&out),
    )
}

#[derive(Deserialize)]
struct BadDrivers {
    package: BadPackage,
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct BadPackage {
    name: String,
}

/// Runs nt-host and turns its lines into outcomes; its closing line must agree with them.
fn run_host(run: Run) -> Result<Vec<Outcome>> {
    let line = run.line();
    let output = run.deadline(HOST_DEADLINE).output()?;
    let (outcomes, closing) = parse(&output.stdout);
    let Some((passed, failed)) = closing else {
        bail!(
            "`{line}` ended ({}) without its closing line\n{}",
            output.status,
            tail(&output.text())
        );
    };
    let ours = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_ok())
        .count();
    if (ours, outcomes.len() - ours) != (passed, failed) || output.status.success() != (failed == 0)
    {
        bail!(
            "`{line}` contradicts itself ({}): {passed} passed, {failed} failed, but its lines say otherwise",
            output.status
        );
    }
    Ok(outcomes)
}

/// Reads `ok NAME …` and `FAILED NAME …` lines and the closing `N passed, N failed`; other lines belong to the test above.
fn parse(text: &str) -> (Vec<Outcome>, Option<(usize, usize)>) {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut closing = None;
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let name = || {
            rest.split_whitespace()
                .next()
                .unwrap_or_default()
                .trim_end_matches(':')
                .to_owned()
        };
        if word == "ok" {
            outcomes.push(Outcome {
                name: name(),
                result: Ok(()),
            });
        } else if word == "FAILED" {
            outcomes.push(Outcome {
                name: name(),
                result: Err(rest.trim().to_owned()),
            });
        } else if let Some(counts) = counts(line) {
            closing = Some(counts);
        } else if let Some(Outcome {
            result: Err(problem),
            ..
        }) = outcomes.last_mut()
        {
            problem.push('\n');
            problem.push_str(line);
        }
    }
    (outcomes, closing)
}

/// `N passed, N failed`.
fn counts(line: &str) -> Option<(usize, usize)> {
    let (passed, failed) = line.split_once(" passed, ")?;
    Some((
        passed.parse().ok()?,
        failed.strip_suffix(" failed")?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lines_and_closing_line() {
        let text = "nt-host 0.1\nok     defaults  20000 operations\nFAILED ro   3 operations\n  a\n  b\nok     irql: named\n2 passed, 1 failed\n";
        let (outcomes, closing) = parse(text);
        assert_eq!(closing, Some((2, 1)));
        assert_eq!(outcomes.len(), 3);
        assert_eq!(
            outcomes[1].result,
            Err("ro   3 operations\n  a\n  b".to_owned())
        );
        let names: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.name.as_str())
            .collect();
        assert_eq!(names, ["defaults", "ro", "irql"]);
        assert_eq!(parse("ok a\n").1, None);
    }
}
