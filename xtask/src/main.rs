//! Every command of the project: `cargo xtask pack` and `cargo xtask test` are the two that matter.

mod bench;
mod commands;
mod fuzz;
mod layering;
mod miri;
mod nightly;
mod soak;
mod suite;

use std::process::ExitCode;

use clap::Parser;
use winpv::cli;

fn main() -> ExitCode {
    cli::exit(commands::run(commands::Cli::parse()))
}
