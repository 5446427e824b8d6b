//! The program that is counted: the driver in nt-host, on a device that does what the case says.
//!
//! It only runs under `perf-count`: alone it dies at the first marker.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_machine::ram::Ram;
use host_ntos::{Clock, Preempt, sched};
use host_storport::{Adapter, AdapterOptions, Address, Data, DriverOptions, Request};
use perf_marker::Area;
use serde::{Deserialize, Serialize};
use test_device::inproc::scripted::{Script, Scripted, Shape};

use crate::case::{Case, Pace};

/// Phases of a request.
pub const BUILD_IO: u8 = 1;
pub const START_IO: u8 = 2;
pub const INTERRUPT: u8 = 3;
pub const DPC: u8 = 4;

const RAM: usize = 256 << 20;
const QUEUE_SIZE: u16 = 256;
/// 1 GiB.
const SECTORS: u64 = 2 << 20;
const BYTES: usize = 4096;
/// On the kernel's clock.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of processor time: stepping takes thousands of times as long as running.
const WATCHDOG: Duration = Duration::from_secs(3600);
/// The kernel's functions that allocate or free.
const HEAP: [&str; 6] = [
    "ExAllocatePoolWithTag",
    "ExAllocatePool2",
    "ExAllocatePool3",
    "ExFreePool",
    "ExFreePoolWithTag",
    "ExFreePool2",
];

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

/// Of starting the adapter, and of the requests that are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallies {
    pub start: Tally,
    pub requests: Tally,
}

/// Runs a case.
pub fn run(case: Case, sys: &Path) -> Result<Tallies> {
    let image = std::fs::read(sys).with_context(|| format!("cannot read {}", sys.display()))?;
    let ram = Ram::new(RAM, 1).context("cannot make guest memory")?;
    let config = host_ntos::Config {
        cpus: case.queues.into(),
        seed: 1,
        clock: Clock::Virtual,
        preempt: Preempt { one_in: 0 },
        watchdog: WATCHDOG,
        ..host_ntos::Config::default()
    };
    host_ntos::boot(config, ram.clone());
    host_storport::install();
    let shape = Shape {
        queues: case.queues,
        queue_size: QUEUE_SIZE,
        packed: case.packed,
        sectors: SECTORS,
    };
    let (device, script) = Scripted::new(shape, &ram);
    let driver = host_storport::load(&image, "vioblk.sys", DriverOptions::default())?;
    let options = AdapterOptions {
        contiguous_extensions: true,
        ..AdapterOptions::default()
    };
    let adapter = driver.add_adapter(Box::new(device), options)?;
    let before = tally(&adapter, &script);
    adapter.start()?;
    let start = difference(&before, &tally(&adapter, &script));
    ensure!(
        script.is_packed() == case.packed,
        "the driver took another ring format"
    );
    let mut bench = Bench::new(case, &adapter, &script)?;
    let requests = bench.measure()?;
    adapter.remove()?;
    drop(bench);
    drop(adapter);
    driver.unload()?;
    let report = host_ntos::shutdown();
    ensure!(report.is_clean(), "{report}");
    Ok(Tallies { start, requests })
}

fn tally(adapter: &Adapter, script: &Script) -> Tally {
    let seen = script.seen();
    Tally {
        calls: adapter.counters().calls,
        kicks: seen.kicks,
        interrupts: seen.interrupts,
        register_reads: seen.register_reads,
        register_writes: seen.register_writes,
        requests: seen.completed,
    }
}

fn difference(before: &Tally, after: &Tally) -> Tally {
    let calls = after.calls.iter().filter_map(|(name, count)| {
        let new = count - before.calls.get(name).copied().unwrap_or(0);
        (new > 0).then(|| (name.clone(), new))
    });
    Tally {
        calls: calls.collect(),
        kicks: after.kicks - before.kicks,
        interrupts: after.interrupts - before.interrupts,
        register_reads: after.register_reads - before.register_reads,
        register_writes: after.register_writes - before.register_writes,
        requests: after.requests - before.requests,
    }
}

/// Requests in flight, and what is done with them.
struct Bench<'a> {
    case: Case,
    adapter: &'a Adapter,
    script: &'a Script,
    address: Address,
    submitted: u32,
    finished: Rc<Cell<u32>>,
    failed: Rc<Cell<u32>>,
}

impl<'a> Bench<'a> {
    fn new(case: Case, adapter: &'a Adapter, script: &'a Script) -> Result<Self> {
        let units = adapter.units();
        let [unit] = units.as_slice() else {
            bail!("{} units were found where there is one disk", units.len());
        };
        Ok(Self {
            case,
            adapter,
            script,
            address: unit.address,
            submitted: 0,
            finished: Rc::default(),
            failed: Rc::default(),
        })
    }

    /// Sends a request of 4 KiB, on the processors in turn: reads and writes in turn, too.
    fn submit(&mut self) {
        let number = self.submitted;
        self.submitted += 1;
        let lba = (number * (BYTES as u32 / 512)).to_be_bytes();
        let blocks = (BYTES as u16 / 512).to_be_bytes();
        let write = number / u32::from(self.case.queues) % 2 == 1;
        // READ(10), WRITE(10). SBC-4 §5.11, §5.36
        let mut cdb = [if write { 0x2a } else { 0x28 }, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        cdb[2..6].copy_from_slice(&lba);
        cdb[7..9].copy_from_slice(&blocks);
        let data = if write {
            Data::Out(vec![0; BYTES])
        } else {
            Data::In(BYTES)
        };
        let (finished, failed) = (Rc::clone(&self.finished), Rc::clone(&self.failed));
        let mut request = Request::scsi(self.address, &cdb, data).on_complete(move |outcome| {
            finished.set(finished.get() + 1);
            failed.set(failed.get() + u32::from(!outcome.is_success()));
        });
        request.page_offset = Some(0);
        request.cpu = Some(number % u32::from(self.case.queues));
        self.adapter.submit(request);
    }

    /// Runs the processors until so many requests were finished, and the others are with the miniport.
    fn settle(&self, finished: u32) -> Result<()> {
        let in_flight = (self.submitted - finished) as usize;
        let done = || {
            self.finished.get() == finished
                && self.adapter.outstanding() == in_flight
                && self.adapter.queued() == 0
        };
        sched::run_until(&mut { done }, PATIENCE).with_context(|| {
            format!(
                "{} of {finished} finished, {} of {in_flight} in flight",
                self.finished.get(),
                self.adapter.outstanding()
            )
        })
    }

    fn measure(&mut self) -> Result<Tally> {
        self.script.take_over(true);
        // Once around unseen, so that nothing is done for the first time.
        let mut finished = 0;
        let rounds = u32::from(self.case.queues).div_ceil(self.case.depth) + 1;
        for _ in 0..rounds {
            finished = self.batch(finished)?;
        }
        self.watch()?;
        match self.case.pace {
            Pace::Single => {
                for _ in 0..self.case.depth {
                    self.submit();
                }
                self.settle(finished)?;
                self.counted(|bench| bench.singles(finished))
            }
            Pace::Batch => self.counted(|bench| {
                for _ in 0..bench.case.requests() / bench.case.depth {
                    finished = bench.batch(finished)?;
                }
                Ok(finished)
            }),
        }
    }

    /// Runs `work` with everything counted; it returns how many requests were finished at its end.
    fn counted(&mut self, work: impl FnOnce(&mut Self) -> Result<u32>) -> Result<Tally> {
        let before = tally(self.adapter, self.script);
        perf_marker::calls(true);
        let finished = work(self)?;
        perf_marker::calls(false);
        let tally = difference(&before, &tally(self.adapter, self.script));
        // What is still in flight.
        self.complete_all();
        self.settle(self.submitted)?;
        self.script.take_over(false);
        ensure!(
            self.failed.get() == 0,
            "{} requests failed",
            self.failed.get()
        );
        ensure!(
            tally.requests == u64::from(self.case.requests()) && finished > 0,
            "{} requests were completed",
            tally.requests
        );
        Ok(tally)
    }

    /// Sends as many as may be in flight, and completes them all.
    fn batch(&mut self, finished: u32) -> Result<u32> {
        for _ in 0..self.case.depth {
            self.submit();
        }
        self.settle(finished)?;
        self.complete_all();
        self.settle(self.submitted)?;
        Ok(self.submitted)
    }

    fn complete_all(&self) {
        for (queue, held) in self.script.take().into_iter().enumerate() {
            self.script.complete(queue, held);
        }
    }

    /// Completes the oldest request of each queue in turn, and sends another each time.
    fn singles(&mut self, mut finished: u32) -> Result<u32> {
        let mut next = 0;
        for _ in 0..self.case.requests() {
            let held = self.script.take();
            let turn = (0..held.len()).map(|step| (next + step) % held.len());
            let queue = turn.into_iter().find(|&queue| held[queue] > 0);
            let queue = queue.context("nothing is in flight")?;
            next = queue + 1;
            self.script.complete(queue, 1);
            finished += 1;
            self.settle(finished)?;
            self.submit();
            self.settle(finished)?;
        }
        Ok(finished)
    }

    /// Names to the counter what it has to know.
    fn watch(&self) -> Result<()> {
        let address = std::ptr::without_provenance::<u8>;
        let routines = self.adapter.routines();
        let (base, len) = routines.image;
        perf_marker::image(address(base), len);
        perf_marker::entry(address(routines.build_io), BUILD_IO);
        perf_marker::entry(address(routines.start_io), START_IO);
        perf_marker::entry(address(routines.message), INTERRUPT);
        for routine in routines.dpcs {
            perf_marker::entry(address(routine), DPC);
        }
        for area in self.script.areas() {
            let at = self.adapter.uncached_address(area.address);
            let at = at.context("a ring lies outside of the uncached extension")?;
            let kind = if area.device_writes {
                Area::Device
            } else {
                Area::Driver
            };
            perf_marker::watch(kind, address(at), area.len as usize);
        }
        for name in HEAP {
            if let Some(at) = host_ntos::export::address_of("ntoskrnl.exe", name) {
                perf_marker::watch_function(address(at));
            }
        }
        Ok(())
    }
}
