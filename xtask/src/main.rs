//! Every command of the project: `cargo xtask pack` and `cargo xtask test` are the two that matter.

mod build;
mod drivers;
mod process;
mod toolchain;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use drivers::Arch;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, packs, verifies and tests the WinPV drivers"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile and link one driver, unsigned, and print where it is
    Build {
        /// Package name
        package: String,
        /// Processor
        #[arg(long, value_enum, default_value = "amd64")]
        target: Arch,
        /// The package's Cargo.toml when it is not in this workspace
        #[arg(long)]
        manifest_path: Option<PathBuf>,
        /// Cargo features, comma separated
        #[arg(long, default_value = "")]
        features: String,
        /// Folder for the .sys and .pdb (default: target/sys/PACKAGE/TARGET)
        #[arg(long)]
        out: Option<PathBuf>,
        /// File name of the .sys without its ending (default: the package's name)
        #[arg(long)]
        stem: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes, without the backtrace that RUST_BACKTRACE would add: the reader is not our debugger.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Build {
            package,
            target,
            manifest_path,
            features,
            out,
            stem,
        } => {
            let root = root();
            let target_dir = target_dir();
            let manifest = manifest_path.unwrap_or_else(|| root.join("Cargo.toml"));
            let out =
                out.unwrap_or_else(|| target_dir.join("sys").join(&package).join(target.name()));
            let built = build::build(
                &toolchain::Toolchain::find()?,
                &build::Request {
                    manifest: &manifest,
                    package: &package,
                    features: &features,
                    arch: target,
                    target_dir: &target_dir.join("driver"),
                    out: &out,
                    stem: stem.as_deref().unwrap_or(&package),
                    resources: None,
                },
            )?;
            println!("{}\n{}", built.sys.display(), built.pdb.display());
        }
    }
    Ok(())
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
