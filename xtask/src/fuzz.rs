//! `cargo xtask fuzz`: libFuzzer on the targets of tests/fuzz, and what it finds added to their corpus.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use winpv::process::Run;

use crate::nightly;

/// The version that is installed, and where.
const CARGO_FUZZ: &str = "0.13.2";
const FUZZ_DIR: &str = "tests/fuzz/guided";
const CORPUS: &str = "tests/fuzz/corpus";
/// Longest input, in bytes: long enough for a ring to wrap a few times.
const LONGEST: usize = 512;
/// An input that takes longer has found an endless loop.
const INPUT_SECONDS: u32 = 20;
const BUILD_DEADLINE: Duration = Duration::from_secs(1800);
/// On top of the time that was asked for.
const SLACK: Duration = Duration::from_secs(300);

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// How long to run each target
    #[arg(long)]
    minutes: u32,
    /// Run only this target
    #[arg(long)]
    target: Option<String>,
}

/// Runs the fuzzer; false if it found something.
pub fn run(args: &Args) -> Result<bool> {
    let root = winpv::root();
    let mut names = targets(&root)?;
    if let Some(target) = &args.target {
        ensure!(
            names.contains(target),
            "no target {target:?}; there are {}",
            names.join(", ")
        );
        names.retain(|name| name == target);
    }
    let scratch = winpv::target_dir().join("fuzz");
    build(&root, &scratch)?;
    let mut clean = true;
    for name in &names {
        clean &= fuzz(&root, &scratch, name, args.minutes)?;
    }
    Ok(clean)
}

/// The targets: each has a corpus.
fn targets(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(CORPUS))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Installs cargo-fuzz if it is not there, and compiles the targets.
fn build(root: &Path, scratch: &Path) -> Result<()> {
    let tools = scratch.join("tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        println!("installing cargo-fuzz {CARGO_FUZZ}");
        Run::new("cargo")
            .args([
                "install",
                "cargo-fuzz",
                "--version",
                CARGO_FUZZ,
                "--locked",
                "--root",
            ])
            .arg(&tools)
            .deadline(BUILD_DEADLINE)
            .ok()
            .context(
                "cannot install cargo-fuzz; it needs crates.io and a C++ compiler (package g++)",
            )?;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    println!("building the targets");
    nightly::cargo(&["rust-src"])?
        .dir(root)
        .args([
            "fuzz",
            "build",
            "--fuzz-dir",
            FUZZ_DIR,
            "--sanitizer",
            "none",
        ])
        .env("PATH", format!("{}:{path}", tools.join("bin").display()))
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .deadline(BUILD_DEADLINE)
        .ok()
        .context("cannot build the fuzz targets")?;
    Ok(())
}

/// The compiled target.
fn program(scratch: &Path, name: &str) -> PathBuf {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    scratch
        .join("target")
        .join(triple)
        .join("release")
        .join(name)
}

/// Fuzzes one target and adds the inputs that reach something new to its corpus.
fn fuzz(root: &Path, scratch: &Path, name: &str, minutes: u32) -> Result<bool> {
    let known = root.join(CORPUS).join(name);
    let found = scratch.join("corpus").join(name);
    let crashes = scratch.join("crashes").join(name);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&crashes)?;
    println!("{name}: {minutes} minutes");
    let seconds = Duration::from_secs(u64::from(minutes) * 60);
    let output = Run::new(program(scratch, name))
        .args([&found, &known])
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-max_total_time={}", seconds.as_secs()))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .arg("-print_final_stats=1")
        .deadline(seconds + SLACK)
        .output()?;
    let text = output.text();
    for line in text.lines().filter(|line| line.starts_with("stat::")) {
        println!("  {line}");
    }
    if !output.status.success() {
        let last: Vec<_> = text.lines().rev().take(40).collect();
        for line in last.iter().rev() {
            println!("  {line}");
        }
        println!(
            "{name}: found something; the input is in {}",
            crashes.display()
        );
    }
    let before = fs::read_dir(&known)?.count();
    Run::new(program(scratch, name))
        .args(["-merge=1", "-use_counters=0"])
        .args([&known, &found])
        .deadline(SLACK)
        .ok()?;
    let after = fs::read_dir(&known)?.count();
    println!("{name}: corpus {before} inputs, now {after}");
    Ok(output.status.success())
}
