//! The driver in nt-host, on the scripted device.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_machine::ram::Ram;
use host_ntos::{Clock, Preempt, sched};
use host_storport::{
    Adapter, AdapterOptions, Address, Data, Driver, DriverOptions, Layout, Request,
};
use serde::{Deserialize, Serialize};
use test_device::inproc::scripted::{Script, Scripted, Shape};

const RAM: usize = 256 << 20;
/// 1 GiB.
pub const SECTORS: u64 = 2 << 20;
/// On the kernel's clock.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of processor time: stepping takes thousands of times as long as running.
const WATCHDOG: Duration = Duration::from_secs(3600);

/// What the host and the device counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Calls of StorPort, by name.
    pub calls: BTreeMap<String, u64>,
    /// Notifications of the device.
    pub kicks: u64,
    /// Interrupts of the device.
    pub interrupts: u64,
    /// Reads of registers.
    pub register_reads: u64,
    /// Writes to registers, without notifications.
    pub register_writes: u64,
    /// Requests completed.
    pub requests: u64,
}

impl Tally {
    /// What has come since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let calls = self.calls.iter().filter_map(|(name, count)| {
            let new = count - before.calls.get(name).copied().unwrap_or(0);
            (new > 0).then(|| (name.clone(), new))
        });
        Self {
            calls: calls.collect(),
            kicks: self.kicks - before.kicks,
            interrupts: self.interrupts - before.interrupts,
            register_reads: self.register_reads - before.register_reads,
            register_writes: self.register_writes - before.register_writes,
            requests: self.requests - before.requests,
        }
    }
}

/// A started adapter.
pub struct Rig {
    pub adapter: Adapter,
    pub script: Script,
    /// What starting it took.
    pub start: Tally,
    driver: Driver,
    address: Address,
    submitted: u32,
    finished: Rc<Cell<u32>>,
    failed: Rc<Cell<u32>>,
}

impl Rig {
    /// Boots a machine with a processor for each queue, and starts the driver there.
    pub fn start(shape: Shape, sys: &Path) -> Result<Self> {
        let image = std::fs::read(sys).with_context(|| format!("cannot read {}", sys.display()))?;
        let ram = Ram::new(RAM, 1).context("cannot make guest memory")?;
        let config = host_ntos::Config {
            cpus: shape.queues.into(),
            seed: 1,
            clock: Clock::Virtual,
            preempt: Preempt { one_in: 0 },
            watchdog: WATCHDOG,
            ..host_ntos::Config::default()
        };
        host_ntos::boot(config, ram.clone());
        host_storport::install();
        let (device, script) = Scripted::new(shape, &ram);
        let driver = host_storport::load(&image, "vioblk.sys", DriverOptions::default())?;
        let options = AdapterOptions {
            // With an extension in two pieces one request in many takes another way, by chance.
            contiguous_extensions: true,
            ..AdapterOptions::default()
        };
        let adapter = driver.add_adapter(Box::new(device), options)?;
        adapter.start()?;
        ensure!(
            script.is_packed() == shape.packed,
            "the driver took another ring format"
        );
        let units = adapter.units();
        let [unit] = units.as_slice() else {
            bail!("{} units were found where there is one disk", units.len());
        };
        let address = unit.address;
        script.take_over(true);
        let mut rig = Self {
            adapter,
            script,
            start: Tally::default(),
            driver,
            address,
            submitted: 0,
            finished: Rc::default(),
            failed: Rc::default(),
        };
        rig.start = rig.tally();
        Ok(rig)
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        let seen = self.script.seen();
        Tally {
            calls: self.adapter.counters().calls,
            kicks: seen.kicks,
            interrupts: seen.interrupts,
            register_reads: seen.register_reads,
            register_writes: seen.register_writes,
            requests: seen.completed,
        }
    }

    /// Requests submitted so far.
    pub fn submitted(&self) -> u32 {
        self.submitted
    }

    /// Requests finished so far.
    pub fn finished(&self) -> u32 {
        self.finished.get()
    }

    /// Sends a request of so many pages from a processor. No two pages are adjacent.
    pub fn submit(&mut self, cpu: u32, write: bool, pages: u16) {
        const PAGE: u16 = 4096;
        const SECTOR: u16 = 512;
        let number = self.submitted;
        self.submitted += 1;
        let blocks = pages * (PAGE / SECTOR);
        // READ(10), WRITE(10). SBC-4 §5.11, §5.36
        let mut cdb = [if write { 0x2a } else { 0x28 }, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        cdb[2..6].copy_from_slice(&(number * u32::from(blocks)).to_be_bytes());
        cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
        let bytes = usize::from(pages) * usize::from(PAGE);
        let data = if write {
            Data::Out(vec![0; bytes])
        } else {
            Data::In(bytes)
        };
        let (finished, failed) = (Rc::clone(&self.finished), Rc::clone(&self.failed));
        let mut request = Request::scsi(self.address, &cdb, data).on_complete(move |outcome| {
            finished.set(finished.get() + 1);
            failed.set(failed.get() + u32::from(!outcome.is_success()));
        });
        request.page_offset = Some(0);
        request.layout = Layout::Scattered;
        request.cpu = Some(cpu);
        self.adapter.submit(request);
    }

    /// Runs the processors until so many requests were finished, and the others are with the miniport, no routine of which runs any
    /// more: a HwStartIo may have been left for another processor's turn just before it shows its request to the device.
    pub fn settle(&self, finished: u32) -> Result<()> {
        let in_flight = (self.submitted - finished) as usize;
        let done = || {
            self.finished.get() == finished
                && self.adapter.outstanding() == in_flight
                && self.adapter.queued() == 0
                && sched::dpcs_drained()()
        };
        sched::run_until(&mut { done }, PATIENCE).with_context(|| {
            format!(
                "{} of {finished} finished, {} of {in_flight} in flight",
                self.finished.get(),
                self.adapter.outstanding()
            )
        })
    }

    /// Has the device complete all that it has.
    pub fn complete_all(&self) {
        for (queue, held) in self.script.take().into_iter().enumerate() {
            self.script.complete(queue, held);
        }
    }

    /// Removes the adapter and unloads the driver. No request may have failed, and no rule been broken.
    pub fn end(self) -> Result<()> {
        self.script.take_over(false);
        ensure!(
            self.failed.get() == 0,
            "{} requests failed",
            self.failed.get()
        );
        self.adapter.remove()?;
        drop(self.adapter);
        self.driver.unload()?;
        let report = host_ntos::shutdown();
        ensure!(report.is_clean(), "{report}");
        Ok(())
    }
}
