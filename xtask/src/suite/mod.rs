//! `cargo xtask test`: packs, then runs every test of the project and counts them.

mod appliance;
mod attestation;
mod bill;
mod cargo;
mod clear_errors;
mod coverage;
mod dist;
mod documentation;
pub mod guest;
mod host;
mod inject;
mod iso;
mod kernel;
mod msi;
mod rebuild;
mod signing;
mod statics;
mod v2v;
mod verify;
mod weaken;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use winpv::cli;

pub use cargo::{outcomes as test_outcomes, parse as parse_tests};
pub use host::{CoverageArgs, Profile, build_host, coverage};

/// The longest that one run of nt-host may take.
pub const HOST_DEADLINE: Duration = Duration::from_secs(1200);

/// As many steps at once as the smallest machine has cores.
const WORKERS: usize = 2;

/// Arguments of `test`.
#[derive(clap::Args)]
pub struct Args {
    /// Run only the steps whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Run the long steps as well, and install what only they need
    #[arg(long)]
    pub full: bool,
}

/// One test's name and, if it failed, what was wrong.
pub struct Outcome {
    /// Name.
    pub name: String,
    /// What was wrong.
    pub result: Result<(), String>,
}

impl Outcome {
    /// Runs a test and catches its error.
    pub fn of(name: impl Into<String>, test: impl FnOnce() -> Result<()>) -> Outcome {
        Outcome {
            name: name.into(),
            result: test().map_err(|error| format!("{error:#}")),
        }
    }
}

/// What the steps work on.
pub struct Context {
    /// The repository.
    pub root: PathBuf,
    /// The pack under test.
    pub dist: PathBuf,
    /// Cargo's target folder.
    pub target_dir: PathBuf,
}

impl Context {
    /// The repository that this program was built in, and its `dist/`.
    fn of_repository() -> Self {
        let root = winpv::root();
        Self {
            dist: winpv::pack::default_out(&root),
            target_dir: winpv::target_dir(),
            root,
        }
    }
}

/// A group of tests that runs in one go.
struct Step {
    name: &'static str,
    /// Too long for every run: only with `--full`.
    full: bool,
    run: fn(&Context) -> Result<Vec<Outcome>>,
}

/// In the order in which they start. The first compiles most of what others need and keeps them from Cargo's folder: what needs no
/// more than the pack, or a folder of its own, comes next. Long ones are early, so that the two workers end together.
const STEPS: &[Step] = &[
    Step {
        name: "unit tests",
        full: false,
        run: cargo::unit_tests,
    },
    Step {
        name: "inject into a disk",
        full: true,
        run: inject::into_disk,
    },
    Step {
        name: "virt-v2v",
        full: true,
        run: v2v::all,
    },
    Step {
        name: "vioblk in QEMU",
        full: true,
        run: guest::all,
    },
    Step {
        name: "two folders, same bytes",
        full: false,
        run: rebuild::two_folders,
    },
    Step {
        name: "weakened rings under loom",
        full: false,
        run: weaken::all,
    },
    Step {
        name: "verify",
        full: false,
        run: verify::all,
    },
    Step {
        name: "MSI in Wine",
        full: false,
        run: msi::wine,
    },
    Step {
        name: "inject into a WIM",
        full: false,
        run: inject::into_wim,
    },
    Step {
        name: "signing with keys of one's own",
        full: false,
        run: signing::all,
    },
    Step {
        name: "static rules",
        full: false,
        run: statics::rules,
    },
    Step {
        name: "ISO",
        full: false,
        run: iso::all,
    },
    Step {
        name: "pack",
        full: false,
        run: dist::pack,
    },
    Step {
        name: "signatures and catalogs",
        full: false,
        run: dist::signatures,
    },
    Step {
        name: "attestation cabinets",
        full: false,
        run: attestation::all,
    },
    Step {
        name: "MSI: tables and signatures",
        full: false,
        run: msi::tables,
    },
    Step {
        name: "nt-host, x64",
        full: false,
        run: host::scenarios_x64,
    },
    Step {
        name: "ABI on Windows targets",
        full: false,
        run: cargo::target_checks,
    },
    Step {
        name: "nt-host, fault plans",
        full: false,
        run: host::fault_plans,
    },
    Step {
        name: "nt-host, ARM64",
        full: false,
        run: host::scenarios_arm64,
    },
    Step {
        name: "nt-host, bad drivers",
        full: false,
        run: host::bad_drivers,
    },
    Step {
        name: "vioblk counts",
        full: false,
        run: crate::bench::blk_tests,
    },
    Step {
        name: "vioblk on a storage daemon",
        full: false,
        run: crate::bench::daemon_tests,
    },
    Step {
        name: "ring counts",
        full: false,
        run: crate::bench::ring_tests,
    },
    Step {
        name: "documentation",
        full: false,
        run: documentation::all,
    },
    Step {
        name: "clear errors",
        full: false,
        run: clear_errors::all,
    },
];

/// Runs everything; false if a test failed.
pub fn run(args: &Args) -> Result<bool> {
    let start = Instant::now();
    let context = Context::of_repository();
    println!("packing dist/, which is what is tested");
    cli::build::pack(&cli::build::Args::default())?;
    let wanted = |step: &&Step| {
        let named = args
            .only
            .as_ref()
            .is_none_or(|only| step.name.contains(only.as_str()));
        named && (args.full || !step.full)
    };
    let queue: Mutex<VecDeque<&Step>> = Mutex::new(STEPS.iter().filter(wanted).collect());
    let totals = Mutex::new((0usize, 0usize));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(step) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
                    let outcomes = timed(step, &context);
                    if let Ok(mut totals) = totals.lock() {
                        let failed = outcomes
                            .iter()
                            .filter(|outcome| outcome.result.is_err())
                            .count();
                        totals.0 += outcomes.len() - failed;
                        totals.1 += failed;
                    }
                }
            });
        }
    });
    let (passed, failed) = totals.into_inner().unwrap_or((0, 1));
    println!("all steps: {:.0} s", start.elapsed().as_secs_f32());
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}

/// Runs one step and prints its outcomes in one piece.
fn timed(step: &Step, context: &Context) -> Vec<Outcome> {
    println!("{} ...", step.name);
    let start = Instant::now();
    let outcomes = match (step.run)(context) {
        // A step that found nothing to test has not shown anything.
        Ok(outcomes) if outcomes.is_empty() => {
            vec![Outcome {
                name: step.name.to_owned(),
                result: Err("no test ran".to_owned()),
            }]
        }
        Ok(outcomes) => outcomes,
        Err(error) => vec![Outcome {
            name: step.name.to_owned(),
            result: Err(format!("{error:#}")),
        }],
    };
    let mut report = String::new();
    let passed = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_ok())
        .count();
    for outcome in &outcomes {
        if let Err(problem) = &outcome.result {
            report.push_str(&format!(
                "FAILED {}: {}\n    {}\n",
                step.name,
                outcome.name,
                problem.replace('\n', "\n    ")
            ));
        }
    }
    report.push_str(&format!(
        "{}: {passed} ok, {} failed, {:.1} s\n",
        step.name,
        outcomes.len() - passed,
        start.elapsed().as_secs_f32()
    ));
    print!("{report}");
    outcomes
}
