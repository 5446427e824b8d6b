//! `cargo xtask soak`: every fault plan there is on vioblk, and as many random ones as there is time for.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::suite;
use winpv::drivers::{self, Arch};
use winpv::pack;
use winpv::process::Run;
use winpv::toolchain::Toolchain;
use winpv::version::Version;

/// Random plans that take longer than any soak.
const ENDLESS: u64 = 1_000_000_000;

/// Time beyond `--minutes`, for the build and for the plans that are under way then.
const GRACE: Duration = Duration::from_secs(3600);

/// Arguments of `soak`.
#[derive(clap::Args)]
pub struct Args {
    /// Begin no more plans after so many minutes
    #[arg(long, conflicts_with = "plans")]
    minutes: Option<u64>,
    /// So many random plans, besides those that are no matter of chance [default: 10000]
    #[arg(long)]
    plans: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Cycles of stop and restart, sleep, removal, reset and resize, each
    #[arg(long, default_value_t = 1000)]
    cycles: u64,
    /// Processes at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The driver [default: vioblk, built now]
    #[arg(long)]
    sys: Option<PathBuf>,
}

/// Runs it; false if there is a plan that the driver does not survive.
pub fn run(args: &Args) -> Result<bool> {
    let sys = match &args.sys {
        Some(sys) => sys.clone(),
        None => vioblk()?,
    };
    let plans = match (args.plans, args.minutes) {
        (Some(plans), _) => plans,
        (None, Some(_)) => ENDLESS,
        (None, None) => 10_000,
    };
    let mut run = Run::new(suite::build_host(suite::Profile::Release)?)
        .args(["soak", "--sys"])
        .arg(&sys)
        .args(["--plans", &plans.to_string()])
        .args(["--pairs", &(plans.min(ENDLESS - 1) / 10).to_string()])
        .args(["--cycles", &args.cycles.to_string()])
        .args(["--seed", &args.seed.to_string()])
        .args(["--jobs", &args.jobs.to_string()]);
    let mut deadline = GRACE * 100;
    if let Some(minutes) = args.minutes {
        run = run.args(["--minutes", &minutes.to_string()]);
        deadline = GRACE + Duration::from_secs(60 * minutes);
    }
    let output = run.echo().deadline(deadline).output()?;
    Ok(output.status.success())
}

fn vioblk() -> Result<PathBuf> {
    let driver = drivers::find("vioblk").context("there is no driver vioblk")?;
    let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
    let toolchain = Toolchain::find()?;
    let (root, target) = (winpv::root(), winpv::target_dir());
    Ok(pack::build_driver(&toolchain, &root, &target, driver, Arch::Amd64, version)?.image)
}
