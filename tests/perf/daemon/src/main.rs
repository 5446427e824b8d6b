//! vioblk.sys beside a native client on one storage daemon; `cargo xtask bench blk` builds what it needs and runs it.

mod bench;
mod check;
mod driver;
mod load;
mod memory;
mod native;
mod plot;
mod sample;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Runs vioblk.sys beside a native client on one storage daemon")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all clients in turn, print rates, times and counts, and write them to the page; nothing is judged
    Bench {
        /// The driver
        #[arg(long)]
        sys: PathBuf,
        /// The page with the tables
        #[arg(long)]
        page: Option<PathBuf>,
        /// The picture
        #[arg(long)]
        plot: Option<PathBuf>,
        /// How often each client has its turn
        #[arg(long, default_value_t = 7)]
        rounds: u32,
        /// How long one run takes
        #[arg(long, default_value_t = 300)]
        milliseconds: u64,
    },
    /// Move data through both clients and compare it; no time is judged
    Check {
        /// The driver
        #[arg(long)]
        sys: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<bool> {
    match command {
        Command::Bench {
            sys,
            page,
            plot,
            rounds,
            milliseconds,
        } => {
            let time = Duration::from_millis(*milliseconds);
            let rows = bench::all(sys, *rounds, time)?;
            let tables = [
                ("daemon machine", table::machine(*rounds, time.as_millis())),
                ("daemon times", table::times(&rows)),
                ("daemon ratios", table::ratios(&rows)),
                ("daemon counts", table::counts(&rows)),
            ];
            tables.iter().for_each(|(_, table)| println!("{table}"));
            if let Some(page) = page {
                perf_report::page::write(page, &tables)?;
            }
            if let Some(plot) = plot {
                plot::write(plot, &rows)?;
            }
            Ok(true)
        }
        Command::Check { sys } => Ok(perf_report::print(&check::tests(sys))),
    }
}
