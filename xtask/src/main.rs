//! Every command of the project: `cargo xtask pack` and `cargo xtask test` are the two that matter.

mod commands;
mod layering;
mod suite;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(commands::Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // The chain of causes, without the backtrace that RUST_BACKTRACE would add: the reader is not our debugger.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
