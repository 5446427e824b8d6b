//! Runs one scenario in this process, from loading the driver to comparing the disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use host_ntos::Clock;
use host_storport::{
    Adapter, AdapterOptions, Address, Data, Driver, DriverOptions, StartError, Value,
};

use self::refusals::refusals;
use crate::cdb::{self, Form, Transfer};
use crate::commands::{self, Abilities, Commands};
use crate::judge::describe;
use crate::plan;
use crate::scenario::{Goal, Moment, Scenario};
use crate::states;
use crate::traces;
use crate::unusual;
use crate::verdict::Verdict;
use crate::workload::{Tally, Task, Workload};
use host_disk::Disk;

mod described;
mod disturb;
mod dump;
mod refusals;
mod sleep;
mod statistics;

/// Guest memory. Sparse: what is not used costs nothing.
const RAM: usize = 256 << 20;

/// How far physical addresses lie from the device's where DMA is remapped, in bytes.
pub const REMAPPED: u64 = 1 << 32;

/// What to run besides the scenario.
#[derive(Debug, Clone)]
pub struct Options {
    /// The driver.
    pub sys: PathBuf,
    /// Of every choice.
    pub seed: u64,
    /// Whether SRB extensions are contiguous.
    pub contiguous_extensions: bool,
    /// Where to write the trace as text.
    pub trace: Option<PathBuf>,
}

/// Runs a scenario. Whatever goes wrong is in the verdict.
#[must_use]
pub fn run(scenario: &Scenario, options: &Options) -> Verdict {
    let start = Instant::now();
    let image = std::fs::read(&options.sys)
        .with_context(|| format!("cannot read {}", options.sys.display()));
    let mut verdict = match image {
        Err(error) => Verdict::not_run(&scenario.name, options.seed, format!("{error:#}")),
        Ok(sys) if scenario.goal == Goal::Repeat => repeat(scenario, options, &sys),
        Ok(sys) if scenario.goal == Goal::Described => {
            described::in_two_slots(scenario, options, &sys)
        }
        Ok(sys) => once(scenario, options, &sys),
    };
    verdict.seconds = start.elapsed().as_secs_f64();
    verdict.close();
    verdict
}

/// Twice from one seed, and once from another, which has to differ: otherwise the comparison would show nothing.
fn repeat(scenario: &Scenario, options: &Options, sys: &[u8]) -> Verdict {
    let mut first = once(scenario, options, sys);
    let second = once(scenario, options, sys);
    let other = Options {
        seed: options.seed + 1,
        trace: None,
        ..options.clone()
    };
    let other = once(scenario, &other, sys);
    if first.trace != second.trace {
        first.failures.push(format!(
            "two runs from seed {} differ: traces {} and {}",
            options.seed, first.trace, second.trace
        ));
    }
    if first.trace == other.trace {
        first
            .failures
            .push("a run from another seed has the same trace".to_owned());
    }
    first.failures.extend(second.failures);
    first.failures.extend(other.failures);
    first.violations.extend(other.violations);
    first.leaks.extend(other.leaks);
    first.notes.push(format!("trace {} twice", first.trace));
    first
}

fn once(scenario: &Scenario, options: &Options, sys: &[u8]) -> Verdict {
    let mut verdict = Verdict {
        scenario: scenario.name.clone(),
        seed: options.seed,
        ..Verdict::default()
    };
    if let Err(error) = attempt(scenario, options, sys, &mut verdict) {
        verdict.failures.push(format!("{error:#}"));
    }
    verdict.failures.append(&mut verdict.tally.failures.clone());
    verdict
}

fn attempt(
    scenario: &Scenario,
    options: &Options,
    sys: &[u8],
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let ram = scenario.memory(RAM, options.seed)?;
    let medium = scenario.medium()?;
    let disk = Disk::new(
        scenario.size / u64::from(scenario.block),
        scenario.block,
        options.seed,
    );
    disk.format(&medium.open()?)?;
    let device = scenario.device(&ram, &medium, options.seed)?;
    let clock = if device.deterministic() {
        Clock::Virtual
    } else {
        Clock::Real
    };
    let config = host_ntos::Config {
        cpus: scenario.cpus,
        seed: options.seed,
        clock,
        // A driver that is provoked is caught with physical addresses in any case.
        physical_offset: if scenario.dma_remapping || scenario.goal == Goal::Provoke {
            REMAPPED
        } else {
            0
        },
        ..host_ntos::Config::default()
    };
    host_ntos::boot(config, ram.clone());
    if let Some(path) = &options.trace {
        host_ntos::trace::text_to(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    host_storport::install();
    let mut session = Session {
        scenario,
        seed: options.seed,
        disk: Some(disk),
        write_through: false,
        contiguous_extensions: options.contiguous_extensions,
        verdict,
    };
    let result = session.life(sys, &options.sys, device);
    let disk = session.disk.take();
    let report = host_ntos::shutdown();
    verdict.violations = report.violations.iter().map(ToString::to_string).collect();
    verdict.rules = report
        .violations
        .iter()
        .map(|violation| violation.rule.to_owned())
        .collect();
    if report.beyond > 0 {
        verdict
            .violations
            .push(format!("and {} more", report.beyond));
    }
    verdict.leaks = report
        .leaks
        .iter()
        .map(|leak| {
            format!(
                "'{}' of {} bytes, allocated by {}",
                leak.tag, leak.len, leak.who
            )
        })
        .collect();
    verdict.counters.extend(report.counters);
    verdict.counters.extend(report.imports);
    verdict.debug_output = report.debug_output;
    verdict.trace = format!("{:016x}", report.trace_hash);
    result?;
    disk.context("the workload was cut off")?
        .compare(&medium.open()?)
}

/// One driver's life in one scenario.
struct Session<'a> {
    scenario: &'a Scenario,
    seed: u64,
    disk: Option<Disk>,
    write_through: bool,
    contiguous_extensions: bool,
    verdict: &'a mut Verdict,
}

impl Session<'_> {
    /// Load, start, work, remove, unload.
    fn life(
        &mut self,
        sys: &[u8],
        path: &Path,
        device: Box<dyn test_device::Device>,
    ) -> anyhow::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut options = DriverOptions::default();
        for (name, value) in &self.scenario.settings {
            options
                .registry
                .set(r"Parameters\Device", name, Value::Dword(*value));
        }
        let driver = host_storport::load(sys, &name, options)
            .with_context(|| format!("{} was not loaded", path.display()))?;
        let adapter = driver.add_adapter(
            device,
            AdapterOptions {
                dma_remapping: self.scenario.dma_remapping,
                slot: self.scenario.slot,
                contiguous_extensions: self.contiguous_extensions,
                removal_controls: self.scenario.goal != Goal::VanishTold,
                told_at_once: matches!(self.scenario.goal, Goal::SlowResets),
                ..AdapterOptions::default()
            },
        )?;
        let result = match adapter.start() {
            // The machine stops: nothing of this life is ended in order.
            Ok(()) if let Goal::Dump(plan) = self.scenario.goal => {
                return self.dump(sys, path, &adapter, driver, plan);
            }
            Ok(()) => self.started(&adapter).and_then(|()| self.remove(&adapter)),
            Err(StartError::Refused { stage, code }) => self.refused(&adapter, stage, code),
            Err(error) => Err(error.into()),
        };
        self.note_counters(path, &adapter);
        result?;
        drop(adapter);
        self.unload(driver)
    }

    fn remove(&self, adapter: &Adapter) -> anyhow::Result<()> {
        // Surprise removal ends with the adapter gone.
        if matches!(self.scenario.goal, Goal::Vanish | Goal::VanishTold) {
            return Ok(());
        }
        adapter.remove().context("the adapter was not removed")
    }

    fn unload(&self, driver: Driver) -> anyhow::Result<()> {
        driver.unload().context("the driver was not unloaded")
    }

    fn note_counters(&mut self, path: &Path, adapter: &Adapter) {
        let events = adapter.events();
        self.verdict
            .events
            .extend(events.iter().map(|event| format!("{event:?}")));
        for trace in adapter.traces() {
            match traces::decode(path, &trace) {
                Ok(text) => self.verdict.traces.push(text),
                Err(error) => self.verdict.failures.push(format!("{error:#}")),
            }
        }
        let counters = adapter.counters();
        let plain = [
            ("build-io", counters.build_io),
            ("start-io", counters.start_io),
            ("interrupts", counters.interrupts),
            ("dpcs", counters.dpcs),
            ("busy", counters.busy),
            ("timeouts", counters.timeouts),
            ("chains", counters.chains),
        ];
        let named = plain.map(|(name, count)| (name.to_owned(), count));
        self.verdict.counters.extend(named);
        self.verdict.counters.extend(counters.calls);
        if counters.timeouts > 0 && !matches!(self.scenario.goal, Goal::Vanish | Goal::Silent) {
            self.verdict
                .failures
                .push(format!("{} requests timed out", counters.timeouts));
        }
    }

    fn refused(&mut self, adapter: &Adapter, stage: &'static str, code: u32) -> anyhow::Result<()> {
        let said = format!("refused by {stage} with {code:#x}");
        ensure!(
            self.scenario.goal == Goal::Refuse,
            "the adapter was {said}; events: {:?}",
            adapter.events()
        );
        ensure!(
            !adapter.events().is_empty(),
            "the adapter was {said} without an entry in the event log"
        );
        self.verdict.notes.push(said);
        Ok(())
    }

    fn started(&mut self, adapter: &Adapter) -> anyhow::Result<()> {
        ensure!(
            self.scenario.goal != Goal::Refuse,
            "the driver took a device that it has to refuse: {}",
            self.scenario.about
        );
        if self.scenario.goal == Goal::Provoke {
            return self.provoke(adapter);
        }
        let address = self.unit(adapter)?;
        let mode = adapter.execute(address, &cdb::mode_sense(), Data::In(0xff))?;
        self.write_through = mode.is_success() && cdb::fua_supported(&mode.data);
        let operations = self.scenario.operations;
        match self.scenario.goal {
            Goal::Move | Goal::Repeat => {
                self.work(adapter, address, operations / 2, 0)?;
                adapter.stop().context("the adapter was not stopped")?;
                adapter.restart().context("the adapter was not restarted")?;
                self.work(adapter, address, operations - operations / 2, 1)
            }
            Goal::Limited(allowed) => {
                let limits = adapter.limits()?;
                ensure!(
                    limits.max_number_of_io == allowed.depth && limits.channels == allowed.channels,
                    "allowed are {allowed:?}, the driver says {limits:?}"
                );
                self.work(adapter, address, operations, 0)
            }
            Goal::Reset => self.reset(adapter, address),
            Goal::Vanish => self.vanish(adapter, address),
            Goal::VanishTold => self.vanish_told(adapter, address),
            Goal::Commands(abilities) => self.commands(adapter, address, abilities),
            Goal::Grow(sectors) => {
                let disk = self.disk.as_mut().context("no disk")?;
                commands::grows(adapter, address, disk, sectors)?;
                self.work(adapter, address, operations, 0)
            }
            Goal::FlushesFail => states::flushes_fail(adapter, address, self.scenario.block),
            Goal::Rebalance => {
                self.work(adapter, address, operations / 2, 0)?;
                let before = adapter.bars();
                adapter
                    .rebalance()
                    .context("no start with other addresses")?;
                ensure!(adapter.bars() != before, "the device is where it was");
                self.work(adapter, address, operations - operations / 2, 1)?;
                adapter.stop().context("the adapter was not stopped")
            }
            Goal::Sleep => self.sleep(adapter, address),
            Goal::SlowResets => states::slow_resets(adapter, address),
            Goal::CacheStaysOn => states::cache_stays_on(adapter, address, self.scenario.block),
            Goal::Protect => states::becomes_read_only(adapter, address, self.scenario.block),
            Goal::Silent | Goal::NeedsReset | Goal::GivenUp => self.cut_off(adapter, address),
            Goal::Empty => self.empty(adapter, address),
            Goal::Statistics { crowded } => self.statistics(adapter, address, crowded),
            Goal::Copied => self.copied(adapter, address),
            Goal::Refusals => refusals(adapter, address),
            Goal::Unusual => {
                unusual::all(adapter, address)?;
                self.work(adapter, address, operations, 0)
            }
            Goal::Described => self.described(adapter, address),
            Goal::Compare => {
                self.scenario.tell(Moment::Begins);
                self.work(adapter, address, operations, 0)?;
                self.scenario.tell(Moment::Ended);
                Ok(())
            }
            Goal::Refuse | Goal::Provoke | Goal::Dump(_) => Ok(()),
        }
    }

    /// Gives a driver the occasion to do wrong at every stage. What fails on the way does not matter.
    fn provoke(&mut self, adapter: &Adapter) -> anyhow::Result<()> {
        let address = adapter
            .units()
            .first()
            .map_or(Address::new(0, 0), |unit| unit.address);
        let operations = self.scenario.operations;
        let steps = [
            self.work(adapter, address, operations, 0).err(),
            adapter.stop().err().map(Into::into),
            adapter.restart().err().map(Into::into),
            self.reset_at_work(adapter, address).err(),
            self.work(adapter, address, operations, 1).err(),
        ];
        for error in steps.into_iter().flatten() {
            self.verdict.notes.push(format!("{error:#}"));
        }
        Ok(())
    }

    /// The one disk, which has to be what the device was made to be.
    fn unit(&self, adapter: &Adapter) -> anyhow::Result<Address> {
        let units = adapter.units();
        let [unit] = units.as_slice() else {
            bail!("{} units were found where there is one disk", units.len());
        };
        if self.scenario.goal != Goal::Empty {
            let capacity = unit
                .capacity
                .context("the disk does not answer READ CAPACITY")?;
            let disk = self.disk.as_ref().context("no disk")?;
            ensure!(
                capacity.blocks == disk.blocks() && capacity.block_size as usize == disk.block(),
                "the disk says {capacity:?}, it has {} blocks of {}",
                disk.blocks(),
                disk.block()
            );
            let protected = self.scenario.faults(self.seed)?.write_protected;
            ensure!(
                unit.read_only == protected,
                "the disk says that its write protection is {}",
                unit.read_only
            );
        }
        Ok(unit.address)
    }

    fn task(&self, adapter: &Adapter, operations: u64, round: u64) -> anyhow::Result<Task> {
        let limits = adapter.limits()?;
        let compared = self.scenario.goal == Goal::Compare;
        let blocks = self.scenario.size / u64::from(self.scenario.block);
        Ok(Task {
            operations,
            depth: self.scenario.depth,
            most: self.scenario.most,
            request: limits.max_request,
            seed: self.seed.wrapping_add(round << 32),
            forms: self.scenario.forms.clone(),
            write_through: self.write_through && !compared,
            listed: compared.then(|| plan::each_once(self.seed, blocks, operations)),
            faults: self.scenario.faults(self.seed)?,
            timeout: Duration::from_secs(30),
        })
    }

    fn take_disk(&mut self) -> anyhow::Result<Disk> {
        self.disk.take().context("the disk model is in use")
    }

    fn put_back(&mut self, (disk, tally): (Disk, Tally)) {
        self.disk = Some(disk);
        self.verdict.tally.add(tally);
    }

    /// Runs a workload to its end.
    fn work(
        &mut self,
        adapter: &Adapter,
        address: Address,
        operations: u64,
        round: u64,
    ) -> anyhow::Result<()> {
        let task = self.task(adapter, operations, round)?;
        let workload = Workload::start(adapter, address, self.take_disk()?, task);
        let drained = adapter.drain(self.scenario.deadline);
        self.put_back(workload.finish());
        drained.context("the workload did not come to its end")
    }

    fn commands(
        &mut self,
        adapter: &Adapter,
        address: Address,
        abilities: Abilities,
    ) -> anyhow::Result<()> {
        let mut disk = self.take_disk()?;
        let commands = Commands {
            adapter,
            address,
            abilities,
            disk: &mut disk,
        }
        .run();
        self.disk = Some(disk);
        commands?;
        self.work(adapter, address, self.scenario.operations, 0)
    }

    /// No block can be read, and the driver says so.
    fn empty(&self, adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        let transfers = [
            (Transfer::Read, Data::In(512)),
            (Transfer::Write, Data::Out(vec![0; 512])),
        ];
        for (what, data) in transfers {
            let cdb = cdb::transfer(Form::Ten, what, 0, 1);
            let outcome = adapter.execute(address, &cdb, data)?;
            ensure!(
                !outcome.is_success() && outcome.sense_code().is_some(),
                "an empty disk answers a transfer with {}",
                describe(&outcome)
            );
        }
        Ok(())
    }
}
