//! The shipped driver as a client: vioblk.sys in nt-host.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use host_machine::ram::Ram;
use host_ntos::{Clock, Preempt, sched};
use host_storport::{
    Adapter, AdapterOptions, Address, Data, Driver, DriverOptions, Layout, Request,
};
use test_device::vhost_user::{Counts, Daemon, VhostUser};

use crate::load::{BLOCK, Load, Operation};
use crate::sample::{Sample, Watch};

const RAM: usize = 64 << 20;
/// For what is in flight to end, on the clock of the wall.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sectors of a block.
const SECTORS: u64 = BLOCK as u64 / 512;

/// A started adapter on the daemon.
pub struct Client {
    adapter: Adapter,
    driver: Driver,
    address: Address,
    counts: Rc<Counts>,
    queues: u32,
}

/// A load under way.
struct Run<L> {
    load: L,
    watch: Watch,
    number: u32,
    in_flight: u32,
    failed: u64,
}

impl Client {
    /// Boots a machine with a processor for each queue, and starts the driver there.
    ///
    /// For timing, requests' memory is not guarded and time at DISPATCH_LEVEL not measured: system calls that would take most of what a
    /// request takes.
    pub fn start(
        sys: &Path,
        daemon: &Rc<RefCell<Daemon>>,
        queues: u16,
        timing: bool,
    ) -> Result<Self> {
        let image = std::fs::read(sys).with_context(|| format!("cannot read {}", sys.display()))?;
        let ram = Ram::new(RAM, 1).context("cannot make guest memory")?;
        let mut config = host_ntos::Config {
            cpus: queues.into(),
            clock: Clock::Real,
            preempt: Preempt { one_in: 0 },
            ..host_ntos::Config::default()
        };
        if timing {
            config.dispatch_limit = Duration::MAX;
        }
        host_ntos::boot(config, ram.clone());
        host_storport::install();
        let device = VhostUser::new(daemon, &ram)?;
        let counts = device.counts();
        let driver = host_storport::load(&image, "vioblk.sys", DriverOptions::default())?;
        let options = AdapterOptions {
            contiguous_extensions: true,
            unguarded_requests: timing,
            ..AdapterOptions::default()
        };
        let adapter = driver.add_adapter(Box::new(device), options)?;
        let started = adapter.start();
        started.with_context(|| format!("the driver's events: {:?}", adapter.events()))?;
        let units = adapter.units();
        let [unit] = units.as_slice() else {
            bail!("{} units were found where there is one disk", units.len());
        };
        Ok(Self {
            address: unit.address,
            adapter,
            driver,
            counts,
            queues: queues.into(),
        })
    }

    /// Keeps `depth` requests of the load in flight until it ends.
    pub fn run<L: Load + 'static>(&mut self, load: L, depth: u32) -> Result<(L, Sample)> {
        let run = Rc::new(RefCell::new(Run {
            load,
            watch: Watch::start(&self.counts)?,
            number: 0,
            in_flight: 0,
            failed: 0,
        }));
        for _ in 0..depth {
            submit(&self.adapter, self.address, self.queues, &run);
        }
        let done = || run.borrow().in_flight == 0;
        let ran = sched::run_until(&mut { done }, PATIENCE);
        ran.with_context(|| format!("{} requests are in flight", run.borrow().in_flight))?;
        // The last closures hold it until their processors go on.
        self.adapter.drain(PATIENCE)?;
        let run = Rc::into_inner(run).context("a request is still told of")?;
        let run = run.into_inner();
        ensure!(run.failed == 0, "{} requests failed", run.failed);
        Ok((run.load, run.watch.end(&self.counts)?))
    }

    /// Removes the adapter and unloads the driver. No rule may have been broken.
    pub fn end(self) -> Result<()> {
        self.adapter.remove()?;
        drop(self.adapter);
        self.driver.unload()?;
        let report = host_ntos::shutdown();
        ensure!(report.is_clean(), "{report}");
        Ok(())
    }
}

/// Submits the next request, on the processors in turn; its end submits another.
fn submit<L: Load + 'static>(
    adapter: &Adapter,
    address: Address,
    queues: u32,
    run: &Rc<RefCell<Run<L>>>,
) {
    let mut state = run.borrow_mut();
    let Some(operation) = state.load.next() else {
        return;
    };
    state.in_flight += 1;
    state.number = state.number.wrapping_add(1);
    let cpu = state.number % queues;
    let data = if operation.write {
        let mut data = vec![0; BLOCK];
        state.load.fill(operation, &mut data);
        Data::Out(data)
    } else {
        Data::In(BLOCK)
    };
    drop(state);
    let (again, shared) = (adapter.clone(), Rc::clone(run));
    let begun = Instant::now();
    let mut request = Request::scsi(address, &cdb(operation), data).on_complete(move |outcome| {
        {
            let mut state = shared.borrow_mut();
            state.watch.done(begun);
            state.in_flight -= 1;
            if !outcome.is_success() || outcome.transferred as usize != BLOCK {
                state.failed += 1;
            } else if !operation.write && state.load.looks() {
                state.load.take(operation, &outcome.data);
            }
        }
        submit(&again, address, queues, &shared);
    });
    request.page_offset = Some(0);
    request.layout = Layout::Contiguous;
    request.cpu = Some(cpu);
    adapter.submit(request);
}

/// READ(10), WRITE(10). SBC-4 §5.11, §5.36
fn cdb(operation: Operation) -> [u8; 10] {
    let code = if operation.write { 0x2a } else { 0x28 };
    let mut cdb = [code, 0, 0, 0, 0, 0, 0, 0, SECTORS as u8, 0];
    let lba = operation.block * SECTORS;
    cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
    cdb
}
