//! `cargo xtask bench`: builds what is counted as the drivers are built, and the programs that count and time it. Only counts are judged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;
use winpv::process::Run;

use crate::suite::{Context, Outcome, guest, parse_tests};

/// The driver in a pack.
pub const VIOBLK: &str = "drivers/vioblk/amd64/vioblk.sys";

const BUILD_DEADLINE: Duration = Duration::from_secs(1800);
const COUNT_DEADLINE: Duration = Duration::from_secs(600);
const TIME_DEADLINE: Duration = Duration::from_secs(1800);
/// ring-bench's exit code where nothing can be counted.
const UNSUPPORTED: i32 = 77;
/// Set, it makes a machine on which nothing can be counted no failure.
const ALLOW_SKIPPED: &str = "WINPV_ALLOW_SKIPPED";

/// What to count.
#[derive(Subcommand)]
pub enum Bench {
    /// What virtqueues cost a request: ours and those of others, into docs/benchmarks-ring.md
    Ring {
        /// Print every count as JSON instead of the table
        #[arg(long)]
        json: bool,
        /// Store our counts as the new baseline
        #[arg(long)]
        bless: bool,
        /// List every instruction that a phase of a case executes, and do nothing else
        #[arg(long, num_args = 2, value_names = ["CASE", "PHASE"], conflicts_with_all = ["json", "bless"])]
        list: Option<Vec<String>>,
    },
    /// What the packed vioblk.sys does for a request in nt-host, how fast it is there beside a native client on one storage daemon, and
    /// how often it kicks and is interrupted beside Linux's own driver in a guest, into docs/benchmarks.md; fails while a gate of the
    /// counts is not kept
    Blk {
        /// Print every count as JSON instead of the tables
        #[arg(long)]
        json: bool,
        /// Store the counts as the new baseline
        #[arg(long)]
        bless: bool,
        /// List every instruction of one call of a routine (1 HwStartIo, 2 interrupt, 3 DPC), and do nothing else
        #[arg(long, num_args = 2, value_names = ["CASE", "ROUTINE"], conflicts_with_all = ["json", "bless"])]
        list: Option<Vec<String>>,
        /// How often each client has its turn on the daemon; 0: only count
        #[arg(long, default_value_t = 7)]
        rounds: u32,
        /// Only run the clients on the daemon, and count nothing
        #[arg(long, conflicts_with_all = ["json", "bless", "list"])]
        daemon_only: bool,
        /// Only run vioblk.sys and Linux's own driver in a Linux guest of QEMU's, and count nothing else
        #[arg(long, conflicts_with_all = ["json", "bless", "list", "daemon_only"])]
        guest_only: bool,
    },
}

/// Runs it; false if it could not count.
pub fn run(bench: &Bench) -> Result<bool> {
    let run = match bench {
        Bench::Ring { json, bless, list } => {
            let run = ring_bench("ours,others")?;
            match list {
                Some(list) => run.arg("list").args(list),
                None => run
                    .arg("bench")
                    .args(json.then_some("--json"))
                    .args(bless.then_some("--bless")),
            }
        }
        Bench::Blk {
            json,
            bless,
            list,
            rounds,
            daemon_only,
            guest_only,
        } => {
            let root = winpv::root();
            let dist = winpv::pack::default_out(&root);
            let timed = list.is_none() && !json && *rounds > 0;
            // The counts, which may fail a gate, come last.
            if timed && !guest_only && !daemon(&dist, *rounds)? {
                return Ok(false);
            }
            if (timed || *guest_only) && !daemon_only && !guest(&dist)? {
                return Ok(false);
            }
            if *daemon_only || *guest_only {
                return Ok(true);
            }
            match list {
                Some(list) => blk_bench("list", &dist, false)?.args(list),
                None => blk_bench("bench", &dist, true)?
                    .arg("--page")
                    .arg(root.join("docs/benchmarks.md"))
                    .arg("--plot")
                    .arg(root.join("docs/benchmarks.svg"))
                    .args(json.then_some("--json"))
                    .args(bless.then_some("--bless")),
            }
        }
    };
    let run = run.echo().deadline(COUNT_DEADLINE);
    Ok(run.output()?.status.success())
}

/// Our ring against its targets and its baseline.
pub fn ring_tests(_: &Context) -> Result<Vec<Outcome>> {
    checked(ring_bench("ours")?.arg("check"))
}

/// The packed vioblk.sys against its gates and its baseline.
pub fn blk_tests(context: &Context) -> Result<Vec<Outcome>> {
    checked(blk_bench("check", &context.dist, true)?)
}

/// The packed vioblk.sys and the native client move data through one storage daemon.
pub fn daemon_tests(context: &Context) -> Result<Vec<Outcome>> {
    checked(daemon_bench("check", &context.dist)?)
}

/// Runs both clients in turn on one daemon, and writes down how fast they were.
fn daemon(dist: &Path, rounds: u32) -> Result<bool> {
    let root = winpv::root();
    let run = daemon_bench("bench", dist)?
        .arg("--page")
        .arg(root.join("docs/benchmarks.md"))
        .arg("--plot")
        .arg(root.join("docs/benchmarks-daemon.svg"))
        .arg("--rounds")
        .arg(rounds.to_string());
    let run = run.echo().deadline(TIME_DEADLINE);
    Ok(run.output()?.status.success())
}

/// Runs vioblk.sys and Linux's own driver on the same disks in a guest, and writes down what each cost the device.
fn guest(dist: &Path) -> Result<bool> {
    let found = guest::run(&dist.join(VIOBLK))?;
    println!("{}", found.table());
    let wrong = found.wrong();
    if !wrong.is_empty() {
        println!("{}", wrong.join("\n"));
        return Ok(false);
    }
    let page = winpv::root().join("docs/benchmarks.md");
    let parts = [
        ("guest machine", found.machine()?),
        ("guest counts", found.table()),
    ];
    perf_report::page::write(&page, &parts)?;
    Ok(true)
}

/// The program with both clients: optimised where it is timed.
fn daemon_bench(command: &str, dist: &Path) -> Result<Run> {
    let (flag, folder) = match command {
        "bench" => (Some("--release"), "release"),
        _ => (None, "debug"),
    };
    let flags: Vec<_> = flag.into_iter().chain(["--package=daemon-bench"]).collect();
    cargo(&flags)?;
    let run = Run::new(winpv::target_dir().join(folder).join("daemon-bench"));
    Ok(run.arg(command).arg("--sys").arg(dist.join(VIOBLK)))
}

/// Runs a counting program that prints a line for each test.
fn checked(run: Run) -> Result<Vec<Outcome>> {
    let output = run.deadline(COUNT_DEADLINE).output()?;
    if output.status.code() == Some(UNSUPPORTED) {
        let why = output.stdout.trim();
        let result = if std::env::var_os(ALLOW_SKIPPED).is_some() {
            println!("NOT TESTED on this machine: {why}");
            Ok(())
        } else {
            Err(format!(
                "nothing can be counted on this machine: {why}; to accept a run without counts, set {ALLOW_SKIPPED}=1"
            ))
        };
        return Ok(vec![Outcome {
            name: "counts".to_owned(),
            result,
        }]);
    }
    let outcomes = parse_tests(&output.stdout);
    let failed = outcomes.iter().any(|outcome| outcome.result.is_err());
    if output.status.success() == failed || outcomes.is_empty() {
        bail!("{}", output.text());
    }
    Ok(outcomes)
}

/// The counting program, with the programs that it counts.
fn ring_bench(features: &str) -> Result<Run> {
    let root = winpv::root();
    // A folder of its own: the test suite builds in the usual one at the same time.
    let programs = winpv::target_dir().join("perf");
    cargo(&[
        "--profile=driver",
        "--package=ring-subjects",
        &format!("--features={features}"),
        &format!("--target-dir={}", programs.display()),
    ])?;
    cargo(&["--package=ring-bench"])?;
    let path = |path: &str| root.join(path).into_os_string();
    Ok(Run::new(winpv::target_dir().join("debug/ring-bench"))
        .arg("--programs")
        .arg(programs.join("driver"))
        .arg("--baseline")
        .arg(path("tests/perf/ring/baseline.toml"))
        .arg("--page")
        .arg(path("docs/benchmarks-ring.md")))
}

/// The program that counts what the driver of a pack does.
fn blk_bench(command: &str, dist: &Path, baseline: bool) -> Result<Run> {
    cargo(&["--package=blk-bench"])?;
    let run = Run::new(winpv::target_dir().join("debug/blk-bench"))
        .arg(command)
        .arg("--sys")
        .arg(dist.join(VIOBLK));
    Ok(if baseline {
        let stored = winpv::root().join("tests/perf/blk/baseline.toml");
        run.arg("--baseline").arg(stored)
    } else {
        run
    })
}

/// Builds something for this machine, with no flags but our own.
fn cargo(arguments: &[&str]) -> Result<()> {
    let manifest: PathBuf = winpv::root().join("Cargo.toml");
    Run::new("cargo")
        .args(["build", "--quiet", "--manifest-path"])
        .arg(manifest)
        .args(arguments)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .deadline(BUILD_DEADLINE)
        .ok()
        .map(|_| ())
}
