//! The program that is counted: the driver under a load that does what the case says.
//!
//! It only runs under `perf-count`: alone it dies at the first marker.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use perf_marker::{Area, Kind};
use serde::{Deserialize, Serialize};
use test_device::inproc::scripted::Shape;

use crate::case::{Case, Pace};
use crate::rig::{Rig, SECTORS, Tally};

/// Phases of a request.
pub const START_IO: u8 = 1;
pub const INTERRUPT: u8 = 2;
pub const DPC: u8 = 3;

const QUEUE_SIZE: u16 = 256;
/// The kernel's functions that allocate or free, take a lock at DISPATCH_LEVEL, or look up a physical address. Those of StorPort are
/// counted by their names.
const WATCHED: [(Kind, &[&str]); 3] = [
    (
        Kind::Heap,
        &[
            "ExAllocatePool",
            "ExAllocatePoolWithTag",
            "ExAllocatePoolWithTagPriority",
            "ExAllocatePoolWithQuotaTag",
            "ExAllocatePool2",
            "ExAllocatePool3",
            "ExFreePool",
            "ExFreePoolWithTag",
            "ExFreePool2",
            "IoAllocateMdl",
            "IoFreeMdl",
        ],
    ),
    (
        Kind::Lock,
        &[
            "KeAcquireSpinLockRaiseToDpc",
            "KeAcquireSpinLockAtDpcLevel",
            "KeAcquireSpinLockForDpc",
            "KeTryToAcquireSpinLockAtDpcLevel",
            "KeAcquireInStackQueuedSpinLock",
            "KeAcquireInStackQueuedSpinLockAtDpcLevel",
            "KeAcquireInStackQueuedSpinLockForDpc",
            "ExInterlockedInsertHeadList",
            "ExInterlockedInsertTailList",
            "ExInterlockedRemoveHeadList",
        ],
    ),
    (Kind::Address, &["MmGetPhysicalAddress"]),
];

/// Of starting the adapter, and of the requests that are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallies {
    pub start: Tally,
    pub requests: Tally,
}

/// Runs a case.
pub fn run(case: Case, sys: &Path) -> Result<Tallies> {
    let shape = Shape {
        queues: case.queues,
        queue_size: QUEUE_SIZE,
        packed: case.packed,
        indirect: true,
        sectors: SECTORS,
    };
    let mut bench = Bench {
        case,
        rig: Rig::start(shape, sys)?,
    };
    let requests = bench.measure()?;
    let start = bench.rig.start.clone();
    bench.rig.end()?;
    Ok(Tallies { start, requests })
}

/// A case under way.
struct Bench {
    case: Case,
    rig: Rig,
}

impl Bench {
    /// Sends a request of 4 KiB, on the processors in turn: reads and writes in turn, too.
    fn submit(&mut self) {
        let number = self.rig.submitted();
        let cpus = u32::from(self.case.queues);
        self.rig.submit(number % cpus, number / cpus % 2 == 1, 1);
    }

    fn measure(&mut self) -> Result<Tally> {
        // Once around unseen, so that nothing is done for the first time.
        for _ in 0..=u32::from(self.case.queues).div_ceil(self.case.depth) {
            self.batch()?;
        }
        self.watch()?;
        match self.case.pace {
            Pace::Single => {
                for _ in 0..self.case.depth {
                    self.submit();
                }
                self.rig.settle(self.rig.finished())?;
                self.counted(Self::singles)
            }
            Pace::Batch => self.counted(|bench| {
                for _ in 0..bench.case.requests() / bench.case.depth {
                    bench.batch()?;
                }
                Ok(())
            }),
        }
    }

    /// Runs `work` with everything counted.
    fn counted(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<Tally> {
        let before = self.rig.tally();
        perf_marker::calls(true);
        work(self)?;
        perf_marker::calls(false);
        let tally = self.rig.tally().since(&before);
        // What is still in flight.
        self.rig.complete_all();
        self.rig.settle(self.rig.submitted())?;
        ensure!(
            tally.requests == u64::from(self.case.requests()),
            "{} requests were completed",
            tally.requests
        );
        Ok(tally)
    }

    /// Sends as many as may be in flight, and completes them all.
    fn batch(&mut self) -> Result<()> {
        for _ in 0..self.case.depth {
            self.submit();
        }
        self.rig.settle(self.rig.finished())?;
        self.rig.complete_all();
        self.rig.settle(self.rig.submitted())
    }

    /// Completes the oldest request of each queue in turn, and sends another each time.
    fn singles(&mut self) -> Result<()> {
        let mut next = 0;
        for _ in 0..self.case.requests() {
            let held = self.rig.script.take();
            let mut turn = (0..held.len()).map(|step| (next + step) % held.len());
            let queue = turn.find(|&queue| held[queue] > 0);
            let queue = queue.context("nothing is in flight")?;
            next = queue + 1;
            let finished = self.rig.finished() + 1;
            self.rig.script.complete(queue, 1);
            self.rig.settle(finished)?;
            self.submit();
            self.rig.settle(finished)?;
        }
        Ok(())
    }

    /// Names to the counter what it has to know.
    fn watch(&self) -> Result<()> {
        let address = std::ptr::without_provenance::<u8>;
        let routines = self.rig.adapter.routines();
        let (base, len) = routines.image;
        perf_marker::image(address(base), len);
        // A driver need not have one; what it does there, HwStartIo would have to do.
        if routines.build_io != 0 {
            perf_marker::entry(address(routines.build_io), START_IO);
        }
        perf_marker::entry(address(routines.start_io), START_IO);
        perf_marker::entry(address(routines.message), INTERRUPT);
        for routine in routines.dpcs {
            perf_marker::entry(address(routine), DPC);
        }
        for area in self.rig.script.areas() {
            let at = self.rig.adapter.uncached_address(area.address);
            let at = at.context("a ring lies outside of the uncached extension")?;
            let kind = if area.device_writes {
                Area::Device
            } else {
                Area::Driver
            };
            perf_marker::watch(kind, address(at), area.len as usize);
        }
        for (kind, names) in WATCHED {
            for name in names {
                // What this kernel does not have would be counted nowhere.
                let at = host_ntos::export::address_of("ntoskrnl.exe", name);
                let at = at.with_context(|| format!("there is no {name}"))?;
                perf_marker::watch_function(kind, address(at));
            }
        }
        Ok(())
    }
}
