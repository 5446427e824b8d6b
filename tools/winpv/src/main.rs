//! Builds, checks and installs Windows drivers for virtio devices, on Linux.

use std::process::ExitCode;

use clap::Parser;
use winpv::cli::{self, Cli};

fn main() -> ExitCode {
    cli::exit(cli::run(&Cli::parse().command))
}
