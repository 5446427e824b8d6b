//! Goals that disturb the device under load: resets, removal, silence.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use host_ntos::abi::enums::STOR_PNP_ACTION as pnp;
use host_ntos::sched;
use host_storport::{Adapter, Address, Data, Function, Outcome, Request};

use super::Session;
use crate::cdb::{self, Form, Transfer};
use crate::judge::{Disturbance, describe};
use crate::scenario::Goal;
use crate::statistics;
use crate::workload::Workload;

/// Resets in [`Goal::Reset`], if the workload lasts so long: a real device goes on between them.
const RESETS: u64 = 40;
/// Of these, so many at least.
const LEAST_RESETS: u64 = 8;

/// Workloads in [`Goal::Silent`], [`Goal::NeedsReset`] and [`Goal::GivenUp`], with a stop and a restart after each.
const CUTS: u32 = 4;

impl Session<'_> {
    /// Starts a workload that will be disturbed.
    pub(super) fn disturbed(
        &mut self,
        adapter: &Adapter,
        address: Address,
    ) -> anyhow::Result<Workload> {
        let mut task = self.task(adapter, self.scenario.operations, 2)?;
        task.faults.disturbance = match self.scenario.goal {
            Goal::Vanish | Goal::GivenUp => Disturbance::Removal,
            Goal::VanishTold => Disturbance::Told,
            _ => Disturbance::Reset,
        };
        Ok(Workload::start(adapter, address, self.take_disk()?, task))
    }

    /// Runs until so many operations are finished and some requests are in flight.
    pub(super) fn until(&self, workload: &Workload, operations: u64) -> anyhow::Result<()> {
        let mut reached = || workload.finished() >= operations && workload.in_flight() > 0;
        sched::run_until(&mut reached, self.scenario.deadline)
            .context("the workload does not advance")
    }

    pub(super) fn reset(&mut self, adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        let workload = self.disturbed(adapter, address)?;
        let mut result = Ok(());
        let operations = self.scenario.operations;
        for round in 1..=RESETS {
            let from = round * operations / (RESETS + 1);
            let over = || workload.finished() >= operations;
            let under_way = || workload.finished() >= from && workload.in_flight() > 0;
            let reached = sched::run_until(&mut || over() || under_way(), self.scenario.deadline);
            if reached.is_ok() && over() {
                if round <= LEAST_RESETS {
                    result = Err(anyhow!("the workload was over at reset {round}"));
                }
                break;
            }
            let result_of = reached
                .context("the workload does not advance")
                .and_then(|()| self.reset_once(adapter, address, round));
            if result_of.is_err() {
                result = result_of;
                workload.stop();
                break;
            }
        }
        let drained = adapter.drain(self.scenario.deadline);
        self.put_back(workload.finish());
        result?;
        drained.context("the workload did not come to its end")?;
        // What survived is checked by a workload that nothing disturbs.
        self.work(adapter, address, self.scenario.operations / 4, 3)
    }

    /// One reset of the unit and one of the bus under load, whatever comes of them.
    pub(super) fn reset_at_work(
        &mut self,
        adapter: &Adapter,
        address: Address,
    ) -> anyhow::Result<()> {
        let workload = self.disturbed(adapter, address)?;
        let half = self.scenario.operations / 2;
        let reached = sched::run_until(&mut || workload.finished() >= half, self.scenario.deadline);
        let unit = Request::new(address, Function::ResetLogicalUnit, Data::None);
        let unit = adapter.request(unit);
        let bus = adapter.reset_bus(0);
        let drained = adapter.drain(self.scenario.deadline);
        self.put_back(workload.finish());
        reached?;
        unit?;
        bus?;
        Ok(drained?)
    }

    /// Resets the bus, or in every other round the logical unit, from all CPUs at once: each such request comes while the device is
    /// being reset for another.
    fn reset_once(&self, adapter: &Adapter, address: Address, round: u64) -> anyhow::Result<()> {
        if round.is_multiple_of(2) {
            return adapter.reset_bus(0).context("the bus was not reset");
        }
        let told: Rc<RefCell<Vec<Outcome>>> = Rc::default();
        for cpu in 0..self.scenario.cpus {
            let put = Rc::clone(&told);
            let mut reset = Request::new(address, Function::ResetLogicalUnit, Data::None);
            reset.cpu = Some(cpu);
            adapter.submit(reset.on_complete(move |outcome| put.borrow_mut().push(outcome)));
        }
        let mut all = || told.borrow().len() == self.scenario.cpus as usize;
        sched::run_until(&mut all, self.scenario.deadline).context("the unit was not reset")?;
        let failed = told
            .borrow()
            .iter()
            .find(|one| !one.is_success())
            .map(describe);
        ensure!(
            failed.is_none(),
            "resetting the unit: {}",
            failed.unwrap_or_default()
        );
        Ok(())
    }

    pub(super) fn vanish(&mut self, adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        let workload = self.disturbed(adapter, address)?;
        let reached = self.until(&workload, self.scenario.operations / 2);
        workload.stop();
        let removed = adapter.surprise_remove();
        let drained = adapter.drain(self.scenario.deadline);
        self.put_back(workload.finish());
        reached?;
        removed.context("surprise removal failed")?;
        drained.context("requests of a removed device did not come back")
    }

    /// A request says that the adapter is gone, though its device is not: that alone ends all that the driver has, with the device at
    /// rest, until it is started again. Then the device vanishes, and units are told as well.
    pub(super) fn vanish_told(
        &mut self,
        adapter: &Adapter,
        address: Address,
    ) -> anyhow::Result<()> {
        let workload = self.disturbed(adapter, address)?;
        let reached = self.until(&workload, self.scenario.operations / 2);
        workload.stop();
        let function = Function::Pnp {
            action: pnp::StorSurpriseRemoval,
            adapter: true,
        };
        let told = adapter.request(Request::new(address, function, Data::None));
        let drained = adapter.drain(self.scenario.deadline);
        self.put_back(workload.finish());
        reached?;
        let told = told?;
        ensure!(told.is_success(), "{}", describe(&told));
        drained.context("requests of a removed adapter did not come back")?;
        ensure!(
            self.verdict.tally.disturbed > 0,
            "the device had nothing when it was removed"
        );
        self.given_up(adapter, address)?;
        adapter.stop().context("the adapter was not stopped")?;
        adapter.restart().context("the adapter was not restarted")?;
        self.vanish(adapter, address)
    }

    /// A device that does not answer, or wants a reset: the port driver or the driver resets it, and what it had is cut off.
    pub(super) fn cut_off(&mut self, adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        // A device that is given up can be started again, and a reset may be under way when it is stopped.
        for _ in 0..CUTS {
            let workload = self.disturbed(adapter, address)?;
            let drained = adapter.drain(self.scenario.deadline);
            self.put_back(workload.finish());
            drained.context("the workload did not come to its end")?;
            match self.scenario.goal {
                Goal::GivenUp => self.given_up(adapter, address)?,
                Goal::NeedsReset => self.comes_back(adapter, address)?,
                _ => {}
            }
            adapter.stop().context("the adapter was not stopped")?;
            adapter.restart().context("the adapter was not restarted")?;
            let flags = statistics::read(adapter, address)?.flags;
            ensure!(
                flags & statistics::GONE == 0,
                "the device counts as gone though it was restarted"
            );
        }
        ensure!(
            self.verdict.tally.disturbed > 0,
            "the device disturbed nothing"
        );
        match self.scenario.goal {
            Goal::NeedsReset => Self::events_are_counted(adapter, address),
            _ => Ok(()),
        }
    }

    /// However long its reset took, the device works again, without any further request for a reset.
    fn comes_back(&self, adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        let cdb = cdb::transfer(Form::Ten, Transfer::Read, 0, 1);
        for _ in 0..60 {
            let outcome = adapter.execute(address, &cdb, Data::In(self.scenario.block as usize))?;
            if outcome.is_success() {
                return Ok(());
            }
            // Only time passes.
            let _ = sched::run_until(&mut || false, Duration::from_secs(1));
        }
        Err(anyhow!("the device did not come back within a minute"))
    }

    /// Requests end at once, as if there were no device.
    fn given_up(&self, adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        // storport.h
        const NO_DEVICE: u8 = 0x08;
        let cdb = cdb::transfer(Form::Ten, Transfer::Read, 0, 1);
        let outcome = adapter.execute(address, &cdb, Data::In(self.scenario.block as usize))?;
        ensure!(
            outcome.srb_status() == NO_DEVICE,
            "the device was not given up: {}",
            describe(&outcome)
        );
        let flags = statistics::read(adapter, address)?.flags;
        ensure!(flags & statistics::GONE != 0, "flags {flags}");
        Ok(())
    }

    /// Of what the event log shows some of, event tracing and the statistics have the same number.
    fn events_are_counted(adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        // docs/vioblk-events.md
        const REPORTED: u32 = 5;
        let read = statistics::read(adapter, address)?;
        // A queue that is closed for a reset has no room either. What waits has found none in its own queue twice.
        ensure!(
            read.sum(|queue| queue.waited) > 0
                && read
                    .queues
                    .iter()
                    .all(|queue| queue.full >= 2 * queue.waited),
            "{read:?}"
        );
        let counted = read.events;
        let traces = adapter.traces();
        let told = traces.iter().filter(|trace| trace.id == REPORTED);
        let told: Vec<u64> = told
            .filter_map(|trace| trace.parameters.first())
            .map(|(_, number)| *number)
            .collect();
        for (number, count) in (0..).zip(counted) {
            let told = told.iter().filter(|told| **told == number).count();
            ensure!(
                told == count as usize,
                "event {number}: {count}, told {told} times"
            );
        }
        ensure!(!told.is_empty(), "nothing was reported");
        Ok(())
    }
}
