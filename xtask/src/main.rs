//! Every command of the project: `cargo xtask pack` and `cargo xtask test` are the two that matter.

mod build;
mod commands;
mod drivers;
mod inf;
mod keys;
mod layering;
mod pack;
mod process;
mod resource;
mod setup;
mod sign;
mod suite;
mod toolchain;
mod verify;
mod version;

use std::path::{Path, PathBuf};
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

/// The repository's folder.
fn root() -> PathBuf {
    // At run time cargo tells the folder; the one of compile time may have been moved since.
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest_dir
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Cargo's target folder: what CARGO_TARGET_DIR says, otherwise `target` in the repository.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
