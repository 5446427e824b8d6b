//! The program `winpv`: its commands, their arguments and exit codes. `cargo xtask` runs the same functions.

pub mod build;
pub mod doctor;
pub mod inject;
pub mod lint_inf;
pub mod man;
pub mod verify;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Everything is as it should be.
pub const OK: u8 = 0;
/// The command did its work and found something wrong.
pub const FOUND: u8 = 1;
/// The arguments are wrong (clap's own code).
pub const USAGE: u8 = 2;
/// The command could not do its work; the reason is on the standard error.
pub const FAILED: u8 = 3;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, nothing wrong
  1  done, and something wrong was found; the report says what
  2  wrong arguments
  3  not done; the reason is on the standard error";

/// `winpv`.
#[derive(Parser)]
#[command(
    name = "winpv",
    version,
    about = "Builds, checks and installs Windows drivers for virtio devices, on Linux",
    after_help = EXIT_CODES
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `winpv`.
#[derive(Subcommand)]
pub enum Command {
    /// Build, sign and pack all drivers
    #[command(after_help = build::EXAMPLES)]
    Build(build::Args),
    /// Check packs, driver packages, MSIs and ISOs, also those of another vendor
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Args),
    /// Check INF files, also those of another vendor
    #[command(after_help = lint_inf::EXAMPLES)]
    LintInf(lint_inf::Args),
    /// Put the drivers into a WIM file or a disk, so that it boots from virtio
    #[command(after_help = inject::EXAMPLES)]
    Inject(inject::Args),
    /// Show which tools were found and how to get the missing ones
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    #[command(after_help = man::COMPLETIONS_EXAMPLES)]
    Completions(man::CompletionArgs),
    /// Print the manual page
    #[command(after_help = man::MAN_EXAMPLES)]
    Man(man::ManArgs),
}

/// Runs one command; `Ok(false)` means that it did its work and found something wrong.
///
/// # Errors
///
/// The command could not do its work.
pub fn run(command: &Command) -> Result<bool> {
    match command {
        Command::Build(args) => build::run(args),
        Command::Verify(args) => verify::run(args),
        Command::LintInf(args) => lint_inf::run(args),
        Command::Inject(args) => inject::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => man::completions(args),
        Command::Man(args) => man::man(args),
    }
}

/// Turns what a command returned into an exit code, and prints the error.
#[must_use]
pub fn exit(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => OK.into(),
        Ok(false) => FOUND.into(),
        Err(error) => {
            // The chain of causes, without the backtrace that RUST_BACKTRACE would add: the reader is not our debugger.
            eprintln!("error: {error:#}");
            FAILED.into()
        }
    }
}
