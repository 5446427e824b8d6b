//! Counts what vioblk.sys does for a request; `cargo xtask bench blk` builds what it needs and runs it.

mod case;
mod measure;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use perf_count::{CountError, Limits};

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

#[derive(Subcommand)]
enum Command {
    /// Count all cases and print them as JSON
    Counts {
        /// The driver
        #[arg(long)]
        sys: PathBuf,
        /// Only cases whose name contains this
        #[arg(long, default_value = "")]
        only: String,
    },
    /// List every instruction of one call
    List {
        /// The driver
        #[arg(long)]
        sys: PathBuf,
        /// Name of a case
        case: String,
        /// 1 HwBuildIo, 2 HwStartIo, 3 interrupt, 4 DPC
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
        Command::Counts { sys, only } => {
            let sys = sys.canonicalize().context("no driver")?;
            let bench = Bench {
                sys: &sys,
                folder: folder.path(),
                program,
            };
            let cases: Vec<Case> = Case::all()
                .into_iter()
                .filter(|case| case.to_string().contains(only.as_str()))
                .collect();
            let measured = bench.all(&cases)?;
            println!("{}", serde_json::to_string_pretty(&measured)?);
            Ok(true)
        }
        Command::List {
            sys,
            case: name,
            phase,
            number,
        } => {
            let sys = sys.canonicalize().context("no driver")?;
            let bench = Bench {
                sys: &sys,
                folder: folder.path(),
                program,
            };
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
