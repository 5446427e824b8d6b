//! The steps: each puts a driver on a function and lets it work.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use host_disk::Disk;
use nt_host::plan;
use nt_host::run::{self, Options};
use nt_host::scenario::{Backend, Goal, Moment, Own, Scenario};
use nt_host::table;
use test_device::vfio::Function;

use crate::linux::BLOCK;
use crate::{interrupts, linux};

/// The driver under test.
const SYS: &str = "/vioblk.sys";
/// Bytes of each disk.
const SIZE: u64 = 16 << 20;
/// Operations of a comparison.
const OPERATIONS: u64 = 1000;
/// Operations of random length, and their bytes at most.
const VERIFIED: (u64, usize) = (300, 256 << 10);
/// Processors that the driver under test sees: as many as the guest has, and as the disks have queues.
const CPUS: u32 = 2;
/// Of every choice.
const SEED: u64 = 1;

/// Runs the step `NAME FUNCTION MEMORY [DEPTH]`; `MEMORY` is the physical address, in hexadecimal, of memory that Linux leaves
/// alone.
pub fn run(step: &str, mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let function = Function::new(&arguments.next().context("which function?")?)?;
    let memory = u64::from_str_radix(&arguments.next().context("which memory?")?, 16)?;
    let mut depth = || -> anyhow::Result<usize> {
        Ok(arguments.next().context("how many in flight?")?.parse()?)
    };
    match step {
        "verified" => with_vioblk(verified(own(function, memory))),
        "vioblk" => with_vioblk(compared(own(function, memory), depth()?)),
        "linux" => with_linux(&function, depth()?),
        _ => bail!("there is no step {step:?}"),
    }
}

fn own(function: Function, memory: u64) -> Own {
    Own {
        function,
        memory,
        tell,
        interrupts: Arc::default(),
    }
}

/// The full random workload, with a stop and a restart in the middle.
fn verified(own: Own) -> Scenario {
    Scenario {
        cpus: CPUS,
        block: BLOCK as u32,
        size: SIZE,
        operations: VERIFIED.0,
        most: VERIFIED.1,
        ..table::plain("vfio", "a PCI function of this machine", Backend::Own(own))
    }
}

/// Operations of one block, always as many in flight.
fn compared(own: Own, depth: usize) -> Scenario {
    Scenario {
        goal: Goal::Compare,
        operations: OPERATIONS,
        most: BLOCK,
        depth,
        ..verified(own)
    }
}

fn with_vioblk(scenario: Scenario) -> anyhow::Result<()> {
    let options = Options {
        sys: PathBuf::from(SYS),
        seed: SEED,
        contiguous_extensions: false,
        trace: None,
    };
    let verdict = run::run(&scenario, &options);
    println!("{}", verdict.line());
    ensure!(verdict.passed, "{}", verdict.complaints().join("; "));
    ensure!(
        verdict.tally.deepest == scenario.depth,
        "at most {} were in flight",
        verdict.tally.deepest
    );
    println!("@operations {}", verdict.tally.operations);
    Ok(())
}

fn with_linux(function: &Function, depth: usize) -> anyhow::Result<()> {
    let disk = Disk::new(SIZE / BLOCK as u64, BLOCK as u32, SEED);
    disk.format(&function.disk()?)?;
    let path = function.disk_path()?;
    let operations = plan::each_once(SEED, disk.blocks(), OPERATIONS);
    say("begin", interrupts::count()?)?;
    let (disk, done) = linux::work(&path, disk, operations, depth)?;
    say("end", interrupts::count()?)?;
    disk.compare(&function.disk()?)?;
    println!("@operations {done}");
    Ok(())
}

/// Lets the other side count what the driver under test has the device do.
fn tell(moment: Moment, interrupts: u64) {
    let word = match moment {
        Moment::Begins => "begin",
        Moment::Ended => "end",
    };
    if let Err(error) = say(word, interrupts) {
        println!("FAILED {word}: {error:#}");
    }
}

/// Says something to the other side and waits until it has taken note.
fn say(word: &str, interrupts: u64) -> anyhow::Result<()> {
    println!("@{word} {interrupts}");
    let mut answer = String::new();
    ensure!(
        io::stdin().read_line(&mut answer)? > 0,
        "the console is closed"
    );
    Ok(())
}
