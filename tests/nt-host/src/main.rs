//! `nt-host`: runs StorPort miniports on Linux, against real and in-process virtio disks.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use nt_host::bad;
use nt_host::matrix::{self, Job, Matrix};
use nt_host::run::{self, Options};
use nt_host::scenario::{Backend, Qemu, Scenario};
use nt_host::soak;
use nt_host::table::{self, Kind};
use nt_host::verdict::Verdict;

#[derive(Parser)]
#[command(version, about = "Runs StorPort miniport drivers on Linux")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a driver on one device with a random verified workload.
    Run(RunArgs),
    /// Runs one scenario of the table in this process.
    Scenario(ScenarioArgs),
    /// Runs the whole table, each scenario in a process of its own.
    Scenarios(ScenariosArgs),
    /// Runs drivers that each break one rule, and checks that exactly this rule is reported.
    ///
    /// The rule is the file's name, without `.sys` and without anything from `--` on; files named `good…` break none.
    BadDrivers(BadDriversArgs),
    /// Runs fault plans by the thousand: failing calls, lying devices, cycles of stop, removal, reset and resize.
    Soak(SoakArgs),
    /// Lists the table.
    List {
        #[arg(long, value_enum, default_value = "blk")]
        kind: Kind,
    },
}

#[derive(Args)]
struct Common {
    /// Kind of device that the driver is for.
    #[arg(long, value_enum, default_value = "blk")]
    kind: Kind,
    /// Seed of every choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Operations of the workload instead of the scenario's own number.
    #[arg(long)]
    requests: Option<u64>,
    /// Keep each SRB extension in one run of device addresses, which Microsoft does not promise.
    #[arg(long)]
    contiguous_extensions: bool,
    /// Record in this coverage map which instructions of the driver are executed. x64 only.
    #[arg(long, value_name = "MAP")]
    coverage: Option<PathBuf>,
}

#[derive(Args)]
struct Output {
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
    /// Write a trace of every event to this file.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// End when the process that started this one does.
    #[arg(long, hide = true)]
    die_with_parent: bool,
}

#[derive(Args)]
struct RunArgs {
    /// The driver.
    sys: PathBuf,
    /// A scenario of the table to start from.
    #[arg(long, conflicts_with_all = ["device", "inproc"])]
    config: Option<String>,
    /// A device of QEMU's, like `virtio-blk-pci,num-queues=4`.
    #[arg(long, conflicts_with = "inproc")]
    device: Option<String>,
    /// Properties of the disk behind a SCSI controller.
    #[arg(long, default_value = "", requires = "device")]
    disk: String,
    /// Put an intel-iommu into QEMU's machine.
    #[arg(long, requires = "device")]
    iommu: bool,
    /// Open QEMU's image read-only.
    #[arg(long, requires = "device")]
    read_only: bool,
    /// The device in this process, with properties KEY=VALUE.
    #[arg(long, num_args = 0.., value_name = "KEY=VALUE")]
    inproc: Option<Vec<String>>,
    /// The system remaps the device's DMA.
    #[arg(long)]
    dma_remapping: bool,
    /// Virtual CPUs, 1 to 64.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: Option<u32>,
    /// Requests in flight at most.
    #[arg(long)]
    queue_depth: Option<usize>,
    /// Bytes of an operation at most.
    #[arg(long)]
    max_size: Option<usize>,
    /// Bytes in a block, where the device has other than 512.
    #[arg(long)]
    block_size: Option<u32>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct ScenarioArgs {
    /// Its name.
    name: String,
    /// The driver.
    #[arg(long)]
    sys: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct ScenariosArgs {
    /// The driver.
    #[arg(long)]
    sys: PathBuf,
    /// Only these scenarios.
    #[arg(long)]
    only: Vec<String>,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print all verdicts as a JSON array instead of lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct BadDriversArgs {
    /// The folder with the drivers.
    folder: PathBuf,
    /// Seed of every choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

#[derive(Args)]
struct SoakArgs {
    /// The driver.
    #[arg(long)]
    sys: PathBuf,
    /// Random plans.
    #[arg(long, default_value_t = 1000)]
    plans: u64,
    /// Random pairs of failing calls.
    #[arg(long, default_value_t = 200)]
    pairs: u64,
    /// Cycles of stop and restart, sleep, removal, reset and resize, each.
    #[arg(long, default_value_t = 40)]
    cycles: u64,
    /// Of the calls and register accesses of a whole life only one in so many fails.
    #[arg(long, default_value_t = 1)]
    one_in: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin no more plans after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Run only the plan of this name, and tell of it.
    #[arg(long)]
    one: Option<String>,
    /// Run the plans named on the standard input.
    #[arg(long, hide = true)]
    worker: bool,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run_command(&args),
        Command::Scenario(args) => scenario_command(&args),
        Command::Scenarios(args) => scenarios_command(&args),
        Command::BadDrivers(args) => bad_drivers_command(&args),
        Command::Soak(args) => soak_command(&args),
        Command::List { kind } => {
            for scenario in table::scenarios(kind) {
                println!("{:<24} {}", scenario.name, scenario.about);
            }
            Ok(true)
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("nt-host: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run_command(args: &RunArgs) -> anyhow::Result<bool> {
    let mut scenario = match (&args.config, &args.device, &args.inproc) {
        (_, Some(device), _) => {
            let qemu = Qemu {
                device: device.clone(),
                disk: args.disk.clone(),
                iommu: args.iommu,
                read_only: args.read_only,
                ..Qemu::default()
            };
            table::plain("run", device, Backend::Qemu(qemu))
        }
        (_, _, Some(properties)) => {
            let parsed: anyhow::Result<Vec<_>> = properties
                .iter()
                .map(|property| {
                    let (key, value) = property
                        .split_once('=')
                        .with_context(|| format!("--inproc takes KEY=VALUE, got {property:?}"))?;
                    Ok((key.to_owned(), value.to_owned()))
                })
                .collect();
            table::plain("run", "in-process", Backend::InProcess(parsed?))
        }
        (Some(name), ..) => find(args.common.kind, name)?,
        (None, None, None) => find(args.common.kind, "defaults")?,
    };
    scenario.dma_remapping |= args.dma_remapping;
    scenario.cpus = args.cpus.unwrap_or(scenario.cpus);
    scenario.depth = args.queue_depth.unwrap_or(scenario.depth);
    scenario.most = args.max_size.unwrap_or(scenario.most);
    scenario.block = args.block_size.unwrap_or(scenario.block);
    if scenario.block < 512 || !scenario.block.is_power_of_two() {
        bail!(
            "a block has 512 bytes or a power of two more, not {}",
            scenario.block
        );
    }
    one(scenario, &args.sys, &args.common, &args.output)
}

fn scenario_command(args: &ScenarioArgs) -> anyhow::Result<bool> {
    let scenario = find(args.common.kind, &args.name)?;
    one(scenario, &args.sys, &args.common, &args.output)
}

/// Runs a scenario here and tells of it.
fn one(
    mut scenario: Scenario,
    sys: &std::path::Path,
    common: &Common,
    output: &Output,
) -> anyhow::Result<bool> {
    if output.die_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    scenario.operations = common.requests.unwrap_or(scenario.operations);
    let options = Options {
        sys: matrix::driver_path(sys)?,
        seed: common.seed,
        contiguous_extensions: common.contiguous_extensions,
        trace: output.trace.clone(),
    };
    if let Some(map) = &common.coverage {
        nt_host::coverage::record(map)?;
    }
    let verdict = run::run(&scenario, &options);
    if output.json {
        println!("{}", serde_json::to_string_pretty(&verdict)?);
    } else {
        tell(&verdict);
        for event in &verdict.events {
            println!("       event: {event}");
        }
    }
    Ok(verdict.passed)
}

fn scenarios_command(args: &ScenariosArgs) -> anyhow::Result<bool> {
    let kind = args.common.kind;
    let chosen = if args.only.is_empty() {
        table::scenarios(kind)
    } else {
        args.only
            .iter()
            .map(|name| find(kind, name))
            .collect::<anyhow::Result<_>>()?
    };
    let sys = matrix::driver_path(&args.sys)?;
    let jobs: Vec<_> = chosen
        .into_iter()
        .map(|scenario| Job {
            sys: sys.clone(),
            scenario,
        })
        .collect();
    let matrix = Matrix {
        kind,
        seed: args.common.seed,
        operations: args.common.requests,
        contiguous_extensions: args.common.contiguous_extensions,
        coverage: args.common.coverage.clone(),
        jobs: args.jobs,
    };
    let verdicts = matrix.run(&jobs, |_, verdict| {
        if !args.json {
            tell(verdict);
        }
    })?;
    let passed = verdicts.iter().filter(|verdict| verdict.passed).count();
    let failed = verdicts.len() - passed;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdicts)?);
    } else {
        println!("{passed} passed, {failed} failed");
    }
    Ok(failed == 0)
}

fn bad_drivers_command(args: &BadDriversArgs) -> anyhow::Result<bool> {
    let jobs = bad::jobs(&args.folder)?;
    let matrix = Matrix {
        kind: Kind::Blk,
        seed: args.seed,
        operations: None,
        contiguous_extensions: false,
        coverage: None,
        jobs: args.jobs,
    };
    let mut failed = 0;
    matrix.run(&jobs, |job, verdict| match bad::judge(&job.sys, verdict) {
        Ok(line) => println!("ok     {line}"),
        Err(line) => {
            failed += 1;
            println!("FAILED {line}");
        }
    })?;
    println!("{} passed, {failed} failed", jobs.len() - failed);
    Ok(failed == 0)
}

fn soak_command(args: &SoakArgs) -> anyhow::Result<bool> {
    let sys = matrix::driver_path(&args.sys)?;
    if args.worker {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        return soak::workers::work(&sys).map(|()| true);
    }
    if let Some(name) = &args.one {
        return soak::one(name, &sys);
    }
    let amount = soak::Amount {
        plans: args.plans,
        pairs: args.pairs,
        cycles: args.cycles,
        one_in: args.one_in,
        seed: args.seed,
    };
    let names = soak::names(&amount, &std::fs::read(&sys)?)?;
    let minutes = |minutes| Instant::now() + Duration::from_secs(60 * minutes);
    let sum = soak::workers::run(&sys, names, args.jobs, args.minutes.map(minutes))?;
    soak::workers::tell(&sum, &args.sys);
    let failed = sum.plans.keys().filter(|kind| sum.failed(kind) > 0).count();
    println!("{} passed, {failed} failed", sum.plans.len() - failed);
    Ok(failed == 0)
}

fn find(kind: Kind, name: &str) -> anyhow::Result<Scenario> {
    table::scenarios(kind)
        .into_iter()
        .chain([table::provoke(), table::provoke_dump()])
        .find(|scenario| scenario.name == name)
        .with_context(|| format!("there is no scenario {name:?}; `nt-host list` names them"))
}

fn tell(verdict: &Verdict) {
    println!("{}", verdict.line());
    for complaint in verdict.complaints() {
        println!("       {}", complaint.replace('\n', "\n       "));
    }
}
