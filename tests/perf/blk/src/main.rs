//! Counts what vioblk.sys does for a request; `cargo xtask bench blk` builds what it needs and runs it.

mod baseline;
mod case;
mod full;
mod gates;
mod measure;
mod plot;
mod rig;
mod subject;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use perf_count::{CountError, Limits};
use perf_report::{page, print};

use baseline::Baseline;
use case::Case;
use measure::Bench;

/// Exit code for a machine on which nothing can be counted.
const UNSUPPORTED: u8 = 77;

#[derive(Parser)]
#[command(about = "Counts what vioblk.sys does for a request")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What is tested against what.
#[derive(Args)]
struct Files {
    /// The driver
    #[arg(long)]
    sys: PathBuf,
    /// The stored counts
    #[arg(long)]
    baseline: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Count all cases, print the tables and write them to the page; fails if a gate is not kept
    Bench {
        #[command(flatten)]
        files: Files,
        /// The page with the tables
        #[arg(long)]
        page: PathBuf,
        /// The picture
        #[arg(long)]
        plot: PathBuf,
        /// Print every count as JSON instead of the tables
        #[arg(long)]
        json: bool,
        /// Store the counts as the new baseline
        #[arg(long)]
        bless: bool,
    },
    /// Hold the driver to its gates and its baseline: prints a line for each test
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// List every instruction of one call
    List {
        /// The driver
        #[arg(long)]
        sys: PathBuf,
        /// Name of a case
        case: String,
        /// 1 HwStartIo, 2 interrupt, 3 DPC
        phase: u8,
        /// Which call, from 0
        #[arg(default_value_t = 8)]
        number: u64,
    },
    /// What is counted: only under the counter
    #[command(hide = true)]
    Subject {
        case: String,
        #[arg(long)]
        sys: PathBuf,
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            if let Some(CountError::Unsupported) = error.downcast_ref() {
                println!("skipped: {error}");
                return ExitCode::from(UNSUPPORTED);
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let program = std::env::current_exe()?;
    let case = |name: &str| name.parse::<Case>().map_err(anyhow::Error::msg);
    match &cli.command {
        Command::Bench {
            files,
            page,
            plot,
            json,
            bless,
        } => {
            let bench = Bench::new(&files.sys, folder.path(), program)?;
            let measured = bench.all(&Case::all())?;
            let tables = [
                ("gates", table::gates(&measured)),
                ("cases", table::cases(&measured)),
                ("start", table::start(&measured)),
            ];
            if *json {
                println!("{}", serde_json::to_string_pretty(&measured)?);
            } else {
                tables.iter().for_each(|(_, table)| println!("{table}"));
            }
            if *bless {
                Baseline::of(&measured).write(&files.baseline)?;
            }
            page::write(page, &tables)?;
            plot::write(plot, &measured)?;
            Ok(gates::GATES
                .iter()
                .all(|gate| gates::worst(gate, &measured) <= gate.most))
        }
        Command::Check { files } => {
            let bench = Bench::new(&files.sys, folder.path(), program)?;
            let measured = bench.all(&Case::all())?;
            let mut tests = gates::tests(&measured);
            let baseline = Baseline::read(&files.baseline)?;
            tests.extend(baseline.tests(&Baseline::of(&measured)));
            for packed in [false, true] {
                let ring = if packed { "packed" } else { "split" };
                let test = |name: &str, result: Result<()>| {
                    let result = result.map_err(|error| format!("{error:#}"));
                    (format!("{ring}: {name}"), result)
                };
                tests.push(test(
                    "a full queue spills to the other",
                    full::spills(bench.sys, packed),
                ));
                tests.push(test(
                    "what finds both queues full waits, and the adapter is not busy",
                    full::waits(bench.sys, packed),
                ));
            }
            Ok(print(&tests))
        }
        Command::List {
            sys,
            case: name,
            phase,
            number,
        } => {
            let bench = Bench::new(sys, folder.path(), program)?;
            let limits = Limits {
                listing: Some((*phase, *number)),
                ..Limits::default()
            };
            let (report, _) = bench.count(&case(name)?, limits)?;
            if report.listing.is_empty() {
                bail!("{name} has no call {number} of phase {phase}");
            }
            for line in report.listing {
                println!("{line}");
            }
            Ok(true)
        }
        Command::Subject {
            case: name,
            sys,
            out,
        } => {
            let tallies = subject::run(case(name)?, sys)?;
            std::fs::write(out, serde_json::to_vec(&tallies)?)?;
            Ok(true)
        }
    }
}
