//! Carries one plan out, from loading the driver to comparing the disk, and judges it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_machine::ram::Ram;
use host_ntos::{Clock, inject, sched};
use host_storport::{
    Adapter, AdapterOptions, Address, Data, DriverOptions, Failure, Function, LoadFailure, Request,
    StartError,
};
use serde::{Deserialize, Serialize};
use test_device::image::Image;
use test_device::inproc::{Config, InProcess};
use test_device::{Device, Field};

use self::recovery::Recovery;
use super::excuses::{self, Harm};
use super::plan::{Act, Judgement, Plan, SIZE, Step};
use super::rows::{self, Account};
use crate::cdb::Form;
use crate::judge::{Disturbance, Faults};
use crate::run::REMAPPED;
use crate::workload::{Tally, Task, Workload};
use host_disk::Disk;

mod commands;
mod recovery;
mod sleep;

/// Guest memory.
const RAM: usize = 64 << 20;

/// Feature bit. // Virtio 1.3 §6
const RING_PACKED: u64 = 1 << 34;

/// Time on the virtual clock that one step may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// SRB timeout, and time that a reset may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What came of a plan.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Found {
    /// What is wrong; nothing: the driver survived.
    pub wrong: Vec<String>,
    /// Calls of functions that can fail.
    pub calls: BTreeMap<String, u64>,
    /// Register accesses.
    pub accesses: u64,
    /// Calls that failed.
    pub fired: u64,
    /// Requests that ended, and those of them that were cut off.
    pub requests: u64,
    /// See `requests`.
    pub disturbed: u64,
    /// Whether the start was refused.
    pub refused: bool,
    /// Fields of the device configuration that were read, and how often.
    #[serde(skip)]
    pub fields: Vec<(Field, u64)>,
    /// Hash over every event.
    pub trace: u64,
}

/// What one plan after the other is carried out on: to make it anew would take longer than most plans.
#[derive(Default)]
pub struct Ground {
    ram: Option<Ram>,
    image: Option<Image>,
}

impl Ground {
    /// Memory as if new.
    fn ram(&mut self, seed: u64) -> Result<Ram> {
        match self.ram.take().and_then(|ram| ram.renew(seed)) {
            Some(ram) => Ok(ram),
            None => Ram::new(RAM, seed).context("cannot make guest memory"),
        }
    }
}

/// An image with what the disk holds at first.
fn formatted<'a>(image: &'a mut Option<Image>, disk: &Disk) -> Result<&'a Image> {
    let made = match image.take() {
        Some(image) => image,
        None => Image::new(SIZE).context("cannot make the disk image")?,
    };
    disk.format(made.file())?;
    Ok(image.insert(made))
}

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan, sys: &[u8], ground: &mut Ground) -> Found {
    let mut found = Found::default();
    if let Err(error) = attempt(plan, sys, ground, &mut found) {
        found.wrong.push(format!("{error:#}"));
    }
    found
}

fn attempt(plan: &Plan, sys: &[u8], ground: &mut Ground, found: &mut Found) -> Result<()> {
    let disk = Disk::new(SIZE / 512, 512, plan.seed);
    let ram = ground.ram(plan.seed)?;
    let Ground { ram: kept, image } = ground;
    let image = formatted(image, &disk)?;
    let mut config = Config::new(image.path());
    config.seed = plan.seed;
    for (key, value) in &plan.device {
        config.set(key, value)?;
    }
    config.lies.clone_from(&plan.lies);
    let device = InProcess::new(&config, &ram)?;
    let kernel = host_ntos::Config {
        cpus: plan.cpus,
        seed: plan.seed,
        clock: Clock::Virtual,
        physical_offset: if plan.remapped { REMAPPED } else { 0 },
        ..host_ntos::Config::default()
    };
    host_ntos::boot(kernel, ram.clone());
    host_storport::install();
    inject::arm(&plan.calls);
    let mut life = Life {
        plan,
        disk,
        tally: Tally::default(),
        harm: excuses::harm(plan, &config),
        recovery: Recovery::new(excuses::one_reset(plan, &config)),
        config: &config,
        rounds: 0,
        account: Account::default(),
        stopped: None,
        fields: Vec::new(),
    };
    let result = life.whole(sys, Box::new(device));
    let Life {
        disk,
        tally,
        account,
        stopped,
        fields,
        ..
    } = life;
    found.fields = fields;
    found.fired = inject::fired().len() as u64;
    found.calls = inject::seen()
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    let report = host_ntos::shutdown();
    host_storport::remove();
    kept.replace(ram);
    found.accesses = report.counters.get("mmio").copied().unwrap_or(0);
    found.trace = report.trace_hash;
    (found.requests, found.disturbed, found.refused) =
        (tally.requests, tally.disturbed, account.refused);
    let violations = report.violations.iter();
    let known = |found: &host_ntos::rules::Violation| {
        let restarted = stopped.is_some_and(|stopped| found.when > stopped);
        excuses::explains(plan, found.rule, &found.what)
            || rows::explains(plan, found.rule, &found.what, restarted)
    };
    let violations = violations.filter(|found| !known(found));
    found
        .wrong
        .extend(violations.map(|violation| format!("violation: {violation}")));
    found.wrong.extend(report.leaks.iter().map(|leak| {
        format!(
            "leak: '{}' of {} bytes, allocated by {}",
            leak.tag, leak.len, leak.who
        )
    }));
    found.wrong.extend(tally.failures.iter().cloned());
    result?;
    match plan.judgement {
        Judgement::AtMost(most) => ensure!(
            tally.failed <= most && account.timeouts == 0,
            "{} requests failed, {} timed out, and {} calls failed",
            tally.failed,
            account.timeouts,
            found.fired
        ),
        Judgement::Row(verdict) => account.judge(verdict)?,
        Judgement::Anything | Judgement::Reset => {}
    }
    if excuses::spoils_data(plan) {
        return Ok(());
    }
    disk.compare(image.file())
}

/// An adapter's life under a plan.
struct Life<'a> {
    plan: &'a Plan,
    disk: Disk,
    tally: Tally,
    /// What the faults of the device and the port driver can do to it.
    harm: Harm,
    recovery: Recovery,
    config: &'a Config,
    rounds: u64,
    /// What a row is judged by.
    account: Account,
    /// When it was stopped for the first time, on the kernel's clock.
    stopped: Option<Duration>,
    fields: Vec<(Field, u64)>,
}

impl Life<'_> {
    fn whole(&mut self, sys: &[u8], device: Box<dyn Device>) -> Result<()> {
        let driver = match host_storport::load(sys, "driver.sys", DriverOptions::default()) {
            Ok(driver) => driver,
            Err(LoadFailure::Entry(_)) if !inject::fired().is_empty() => {
                self.account.refused = true;
                return Ok(());
            }
            Err(error) => return Err(error).context("the driver was not loaded"),
        };
        let adapter = driver.add_adapter(
            device,
            AdapterOptions {
                reset_timeout: TIMEOUT,
                patience: PATIENCE,
                dma_remapping: self.plan.remapped,
                ..AdapterOptions::default()
            },
        )?;
        match adapter.start() {
            Ok(()) => {
                self.recovery.runs(accesses(&adapter));
                self.live(&adapter)?;
                self.recovery.judge(self.account.lost)?;
                self.may_fail(adapter.remove())
                    .context("the adapter was not removed")?;
            }
            Err(StartError::Refused { stage, code }) => {
                self.account.refused = true;
                ensure!(
                    self.harm > Harm::None,
                    "{stage} refused a sound device with {code:#x}"
                );
                // HwInitialize runs at DIRQL, where nothing can be logged.
                let told = !adapter.events().is_empty()
                    || stage == "HwInitialize"
                    || !self.plan.calls.is_empty();
                ensure!(
                    told,
                    "{stage} refused the device without an entry in the event log"
                );
            }
            Err(error) => return Err(error.into()),
        }
        self.account.close(&adapter);
        // Otherwise a request that is lost ends as one that the reset cut off which its time-out led to.
        ensure!(
            self.harm > Harm::None || self.account.timeouts == 0,
            "{} requests timed out though nothing kept them",
            self.account.timeouts
        );
        self.fields = adapter.device(|device| device.fields_read());
        let needless = adapter.device(|device| device.needless_notifications());
        ensure!(
            self.harm > Harm::None || needless == 0,
            "{needless} notifications that the device had not asked for"
        );
        drop(adapter);
        driver.unload().context("the driver was not unloaded")
    }

    fn live(&mut self, adapter: &Adapter) -> Result<()> {
        let address = adapter
            .units()
            .first()
            .map_or(Address::new(0, 0), |unit| unit.address);
        ensure!(
            self.harm > Harm::None || !adapter.units().is_empty(),
            "no unit was found"
        );
        let packed = self.config.packed || self.config.more_features & RING_PACKED != 0;
        let followed = || adapter.device(|device| (device.is_packed(), device.follows()));
        for step in &self.plan.steps {
            if !adapter.is_running() {
                break;
            }
            // Otherwise the observer of the rings would judge nothing, or what the plan is not about. What a row lies about comes later.
            let is_row = matches!(self.plan.judgement, Judgement::Row(_));
            let first = is_row && self.rounds == 0;
            ensure!(
                self.harm > Harm::None && !first || followed() == (packed, true),
                "the driver did not take the rings of the plan, or nobody follows them: {:?}",
                followed()
            );
            match step {
                Step::Work(operations, acts) => self.work(adapter, address, *operations, acts)?,
                Step::Commands => self.commands(adapter, address)?,
                Step::Restart(interrupt) => {
                    self.stop(adapter)?;
                    if let Some(message) = interrupt {
                        adapter.interrupt(*message)?;
                    }
                    self.restart(adapter)?;
                }
                Step::Sleep => self.sleep(adapter, address)?,
                Step::Vanish(operations) => {
                    self.recovery.pauses(accesses(adapter), self.tally.failed);
                    let workload =
                        self.start_work(adapter, address, 4 * operations, Disturbance::Anything)?;
                    until(&workload, *operations)?;
                    workload.stop();
                    let removed = adapter.surprise_remove();
                    self.finish(adapter, workload)?;
                    removed.context("surprise removal failed")?;
                    return Ok(());
                }
            }
        }
        self.recovery.pauses(accesses(adapter), self.tally.failed);
        Ok(())
    }

    /// With a device or a port driver that fails, the miniport may as well.
    fn may_fail(&self, result: Result<(), Failure>) -> Result<()> {
        match result {
            Err(Failure::Failed { .. } | Failure::State(_)) if self.harm > Harm::None => Ok(()),
            other => Ok(other?),
        }
    }

    fn start_work(
        &mut self,
        adapter: &Adapter,
        address: Address,
        operations: u64,
        disturbance: Disturbance,
    ) -> Result<Workload> {
        self.rounds += 1;
        let faults = Faults {
            write_protected: self.config.read_only,
            disturbance: self.disturbance(disturbance),
            spoilt: excuses::spoils_data(self.plan),
            ..Faults::default()
        };
        let task = Task {
            operations,
            depth: 16,
            most: 16 << 10,
            request: adapter.limits()?.max_request,
            seed: self.plan.seed.wrapping_add(self.rounds << 32),
            forms: vec![Form::Ten, Form::Sixteen],
            write_through: self.rounds.is_multiple_of(2),
            listed: None,
            faults,
            timeout: TIMEOUT,
        };
        let disk = std::mem::replace(&mut self.disk, Disk::new(0, 512, 0));
        Ok(Workload::start(adapter, address, disk, task))
    }

    /// What cuts requests off where nothing but `otherwise` happens, or a fault of the plan does.
    fn disturbance(&self, otherwise: Disturbance) -> Disturbance {
        match self.harm {
            Harm::None => otherwise,
            // What a reset ends, and what ends when resets do not help.
            Harm::CutOff => Disturbance::Removal,
            Harm::Any => Disturbance::Anything,
        }
    }

    fn finish(&mut self, adapter: &Adapter, workload: Workload) -> Result<()> {
        let drained = adapter.drain(PATIENCE);
        let (disk, tally) = workload.finish();
        self.disk = disk;
        self.account.pieces.push(tally.clone());
        self.tally.add(tally);
        drained.context("requests did not come back")
    }

    fn work(
        &mut self,
        adapter: &Adapter,
        address: Address,
        operations: u64,
        acts: &[Act],
    ) -> Result<()> {
        let resets = acts
            .iter()
            .any(|act| matches!(act, Act::ResetBus | Act::ResetUnit));
        let disturbance = if resets {
            Disturbance::Reset
        } else {
            Disturbance::None
        };
        let workload = self.start_work(adapter, address, operations, disturbance)?;
        let mut result = Ok(());
        for (turn, act) in (1..).zip(acts) {
            until(&workload, turn * operations / (acts.len() as u64 + 1))?;
            result = match *act {
                Act::ResetBus => self.may_fail(adapter.reset_bus(0)),
                Act::ResetUnit => {
                    let request = Request::new(address, Function::ResetLogicalUnit, Data::None);
                    adapter.request(request).map(|_| ()).map_err(Into::into)
                }
                Act::Interrupt(message) => adapter.interrupt(message).map_err(Into::into),
                Act::Rescan => adapter.rescan().map_err(Into::into),
            };
            if result.is_err() {
                workload.stop();
                break;
            }
        }
        self.finish(adapter, workload)?;
        result
    }

    fn stop(&mut self, adapter: &Adapter) -> Result<()> {
        self.recovery.pauses(accesses(adapter), self.tally.failed);
        let stopped = adapter.stop();
        self.stopped.get_or_insert(sched::now());
        self.may_fail(stopped)
            .context("the adapter was not stopped")
    }

    fn restart(&mut self, adapter: &Adapter) -> Result<()> {
        let restarted = adapter.restart();
        self.recovery.runs(accesses(adapter));
        self.account.lost |= restarted.is_err();
        self.may_fail(restarted)
            .context("the adapter was not restarted")
    }
}

/// Register accesses so far, as the plan's lies count them.
fn accesses(adapter: &Adapter) -> u64 {
    adapter.device(|device| device.accesses())
}

/// Runs until so many operations are finished, or all are.
fn until(workload: &Workload, operations: u64) -> Result<()> {
    let mut reached = || workload.finished() >= operations || workload.in_flight() == 0;
    sched::run_until(&mut reached, PATIENCE).context("the workload does not advance")
}
