//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::bench::{self, Bench};
use crate::{fuzz, layering, miri, soak, suite};
use winpv::build::{self, Form, Request};
use winpv::cli;
use winpv::drivers::{self, Arch};
use winpv::pack;
use winpv::process::Run;
use winpv::setup::{self, Purpose};
use winpv::toolchain::Toolchain;
use winpv::version::Version;

/// `cargo xtask`.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Builds, packs, verifies and tests the WinPV drivers"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build, sign and pack everything into dist/
    #[command(after_help = cli::build::EXAMPLES)]
    Pack(cli::build::Args),
    /// Pack, then run every test
    Test(suite::Args),
    /// Show which tools were found and how to get the missing ones
    Doctor(cli::doctor::Args),
    /// Check packs, driver packages, MSIs and ISOs, also those of another vendor
    #[command(after_help = cli::verify::EXAMPLES)]
    Verify(cli::verify::Args),
    /// Check INF files, also those of another vendor
    #[command(after_help = cli::lint_inf::EXAMPLES)]
    LintInf(cli::lint_inf::Args),
    /// Put the drivers into a WIM file or a disk, so that it boots from virtio
    #[command(after_help = cli::inject::EXAMPLES)]
    Inject(cli::inject::Args),
    /// Run a StorPort miniport against a device on this machine
    Host {
        /// What nt-host shall do; `cargo xtask host -- --help` lists it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure which lines of the packed x64 drivers their scenarios execute
    Coverage(suite::CoverageArgs),
    /// Run fault plans on vioblk by the thousand, and say which it does not survive
    Soak(soak::Args),
    /// Count what the code costs
    #[command(subcommand)]
    Bench(Bench),
    /// Let a fuzzer look for a device that breaks virtio-core
    Fuzz(fuzz::Args),
    /// Run the tests of unsafe code under Miri
    Miri(miri::Args),
    /// Check the layering: who may depend on whom, lint headers, file lengths
    Check,
    /// Compile and link one driver, unsigned, and print where it is
    Build(BuildArgs),
}

#[derive(clap::Args)]
struct BuildArgs {
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
    /// Folder for the .sys and .pdb [default: target/sys/PACKAGE/TARGET]
    #[arg(long)]
    out: Option<PathBuf>,
    /// File name of the .sys without its ending [default: the package's name]
    #[arg(long)]
    stem: Option<String>,
}

/// Runs one command; `Ok(false)` means that it did its work and found something wrong.
pub fn run(cli: Cli) -> Result<bool> {
    match cli.command {
        Command::Pack(args) => cli::build::run(&args),
        Command::Test(args) => {
            setup::require(if args.full {
                Purpose::Full
            } else {
                Purpose::Test
            })?;
            suite::run(&args)
        }
        Command::Doctor(args) => cli::doctor::run(&args),
        Command::Verify(args) => cli::verify::run(&args),
        Command::LintInf(args) => cli::lint_inf::run(&args),
        Command::Inject(args) => cli::inject::run(&args),
        Command::Host { arguments } => host(&arguments),
        Command::Coverage(args) => suite::coverage(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Bench(what) => bench::run(&what),
        Command::Fuzz(args) => {
            setup::require(Purpose::Fuzz)?;
            fuzz::run(&args)
        }
        Command::Miri(args) => miri::run(&args),
        Command::Check => {
            let problems = layering::check(&winpv::root())?;
            for problem in &problems {
                println!("{problem}");
            }
            println!("layering: {} problems", problems.len());
            Ok(problems.is_empty())
        }
        Command::Build(args) => {
            let built = build_one(args)?;
            println!("{}\n{}", built.image.display(), built.pdb.display());
            Ok(true)
        }
    }
}

fn build_one(args: BuildArgs) -> Result<build::Built> {
    let root = winpv::root();
    let target_dir = winpv::target_dir();
    let toolchain = Toolchain::find()?;
    if let (Some(driver), None, None) =
        (drivers::find(&args.package), &args.manifest_path, &args.out)
    {
        let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
        return pack::build_driver(&toolchain, &root, &target_dir, driver, args.target, version);
    }
    let out = args.out.unwrap_or_else(|| {
        target_dir
            .join("sys")
            .join(&args.package)
            .join(args.target.name())
    });
    build::build(
        &toolchain,
        &Request {
            manifest: &args
                .manifest_path
                .unwrap_or_else(|| root.join("Cargo.toml")),
            package: drivers::find(&args.package).map_or(&args.package, |driver| driver.image),
            features: &args.features,
            arch: args.target,
            target_dir: &target_dir.join("driver"),
            out: &out,
            stem: args.stem.as_deref().unwrap_or(&args.package),
            form: Form::Driver,
            resources: None,
        },
    )
}

/// Builds nt-host and hands the arguments over.
fn host(arguments: &[String]) -> Result<bool> {
    let program = suite::build_host(suite::Profile::Dev).context("cannot build nt-host")?;
    let output = Run::new(program)
        .args(arguments)
        .echo()
        .deadline(suite::HOST_DEADLINE)
        .output()?;
    Ok(output.status.success())
}
