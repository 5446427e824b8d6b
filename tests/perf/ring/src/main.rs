//! Counts what each virtqueue implementation does for a request; `cargo xtask bench ring` builds what it needs and runs it.

mod baseline;
mod measure;
mod table;
mod targets;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use perf_count::{CountError, Limits};
use perf_report::{Test, page, print};
use ring_subjects::Case;

use baseline::Baseline;
use measure::{Measured, Programs};

/// Exit code for a machine on which nothing can be counted.
const UNSUPPORTED: u8 = 77;

#[derive(Parser)]
#[command(about = "Counts what virtqueue implementations do for each request")]
struct Cli {
    /// Folder with the programs ring-ours and ring-others
    #[arg(long)]
    programs: PathBuf,
    /// The stored counts of our ring
    #[arg(long)]
    baseline: PathBuf,
    /// The page with the tables
    #[arg(long)]
    page: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count all implementations, print the table and write it to the page
    Bench {
        /// Print every count as JSON instead of the table
        #[arg(long)]
        json: bool,
        /// Store our counts as the new baseline
        #[arg(long)]
        bless: bool,
    },
    /// Hold our ring to its targets and its baseline: prints a line for each test
    Check,
    /// List every instruction of one stretch
    List {
        /// Name of a case, as in the JSON
        case: String,
        /// Number of the phase: 1 publish, 2 kick, 3 disarm, 4 complete, 5 arm
        phase: u8,
        /// Which stretch of the phase, from 0
        #[arg(default_value_t = 1)]
        number: u64,
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
    let programs = Programs::in_folder(&cli.programs)?;
    match &cli.command {
        Command::Bench { json, bless } => bench(cli, &programs, *json, *bless),
        Command::Check => check(cli, &programs),
        Command::List {
            case,
            phase,
            number,
        } => {
            let case: Case = case.parse().map_err(anyhow::Error::msg)?;
            let limits = Limits {
                listing: Some((*phase, *number)),
                ..Limits::default()
            };
            let report = programs.count(&case, limits)?;
            if report.listing.is_empty() {
                bail!("{case} has no stretch {number} of phase {phase}");
            }
            for line in report.listing {
                println!("{line}");
            }
            Ok(true)
        }
    }
}

/// Counts everything, and writes what has to be written.
fn bench(cli: &Cli, programs: &Programs, json: bool, bless: bool) -> Result<bool> {
    let measured = measure::all(programs, &Case::all())?;
    let counted = Baseline::of(&measured);
    if json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        println!("{}", table::text(&measured));
    }
    if bless {
        counted.write(&cli.baseline)?;
    } else if counted != Baseline::read(&cli.baseline)? {
        bail!(
            "our counts are not those of {}: look at what changed, then run `cargo xtask bench ring --bless`",
            cli.baseline.display()
        );
    }
    let parts = [
        ("ours", table::ours(&measured)),
        ("comparison", table::comparison(&measured)),
    ];
    page::write(&cli.page, &parts)?;
    Ok(true)
}

/// Runs the tests; each prints one line, and what failed is explained after all of them.
fn check(cli: &Cli, programs: &Programs) -> Result<bool> {
    let measured = measure::ours(programs)?;
    let mut tests = targets::tests(&measured);
    let baseline = Baseline::read(&cli.baseline)?;
    tests.extend(baseline.tests(&Baseline::of(&measured)));
    tests.push(again(programs, &measured)?);
    tests.push(same_on_page(cli, &baseline.measured()));
    Ok(print(&tests))
}

/// The page says of our ring what the baseline says.
fn same_on_page(cli: &Cli, baseline: &[Measured]) -> Test {
    let result = match page::part(&cli.page, "ours") {
        Ok(found) if found == table::ours(baseline) => Ok(()),
        Ok(_) => Err(format!(
            "{} has other numbers: run `cargo xtask bench ring --bless`",
            cli.page.display()
        )),
        Err(error) => Err(error.to_string()),
    };
    ("the page shows the baseline".to_owned(), result)
}

/// Counting the first case once more gives the same numbers.
fn again(programs: &Programs, measured: &[Measured]) -> Result<Test> {
    let first = measured.first().context("nothing was measured")?;
    let second = measure::all(programs, &[first.case])?;
    let result = if second.first() == Some(first) {
        Ok(())
    } else {
        Err(format!("first {first:?}\nthen {second:?}"))
    };
    Ok(("two counts are equal".to_owned(), result))
}
