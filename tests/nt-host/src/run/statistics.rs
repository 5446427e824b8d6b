//! The driver's statistics against what the scenario itself did and saw.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Context, ensure};
use host_storport::{Adapter, Address, Data, Function, Layout, Request};

use super::Session;
use crate::cdb::{self, Form, Transfer};
use crate::judge::describe;
use crate::statistics::{self, Statistics};

impl Session<'_> {
    pub(super) fn statistics(
        &mut self,
        adapter: &Adapter,
        address: Address,
        crowded: bool,
    ) -> anyhow::Result<()> {
        statistics::malformed(adapter, address).context("malformed requests")?;
        let before = self.read(adapter, address)?;
        let (seen, own) = (adapter.counters().chains, adapter.counters().moved);
        self.work(adapter, address, self.scenario.operations, 0)?;
        let after = self.read(adapter, address)?;
        // What the device was shown, counted by looking at the rings.
        let chains = adapter.counters().chains - seen;
        let own = adapter.counters().moved - own;
        let more = |of: fn(&statistics::Queue) -> u64| after.sum(of) - before.sum(of);
        ensure!(
            more(|queue| queue.sent) == chains && more(|queue| queue.finished) == chains,
            "the device had {chains} requests: {before:?}, {after:?}"
        );
        // What begins in memory of the driver's own, and not in the request's extension: by chance some of many that are cut where
        // their table lies.
        ensure!(
            more(|queue| queue.moved) == own && (own > 0 || crowded || self.contiguous_extensions),
            "{own} requests lay in memory of the driver's: {before:?}, {after:?}"
        );
        let errors = self.verdict.tally.expected_errors;
        ensure!(
            more(|queue| queue.failed) == errors && after.refusals - before.refusals == errors,
            "{errors} errors: {before:?}, {after:?}"
        );
        let (full, waited) = (more(|queue| queue.full), more(|queue| queue.waited));
        // In a queue of eight a request may take all of them: some find it full. Others find room in theirs.
        ensure!(
            if crowded {
                errors > 0 && full > waited && waited > 0
            } else {
                full == 0 && waited == 0 && after.queues.iter().all(|queue| queue.sent > 0)
            },
            "{full} times full, {waited} waited: {after:?}"
        );
        ensure!(
            after.resets == before.resets && after.events == before.events,
            "{before:?}, {after:?}"
        );
        self.under_way(adapter, address, crowded)?;
        let after = self.read(adapter, address)?;
        let reset = Request::new(address, Function::ResetLogicalUnit, Data::None);
        let outcome = adapter.request(reset)?;
        ensure!(outcome.is_success(), "{}", describe(&outcome));
        let reset = self.read(adapter, address)?;
        // So says event tracing: a start and a reset, and nothing else.
        let traces: Vec<_> = adapter.traces().iter().map(|trace| trace.id).collect();
        ensure!(traces == [1, 2], "traces {traces:?}");
        ensure!(reset.resets == after.resets + 1, "{after:?}, {reset:?}");
        // A new ring counts from 0, the statistics go on. So they do over a restart.
        let seen = adapter.counters().chains;
        adapter.stop()?;
        adapter.restart()?;
        let again = self.read(adapter, address)?;
        let chains = adapter.counters().chains - seen;
        ensure!(
            again.sum(|queue| queue.sent) == reset.sum(|queue| queue.sent) + chains,
            "the device had {chains} requests: {reset:?}, {again:?}"
        );
        self.work(adapter, address, self.scenario.operations / 4, 1)?;
        let end = self.read(adapter, address)?;
        ensure!(
            end.sum(|queue| queue.sent) > again.sum(|queue| queue.sent),
            "{again:?}, {end:?}"
        );
        // START STOP UNIT without START, and with it. // SBC-4 §5.31
        for (start, flags) in [
            (0, statistics::STOPPED | statistics::WRITE_CACHE),
            (1, statistics::WRITE_CACHE),
        ] {
            let outcome = adapter.execute(address, &[0x1b, 0, 0, 0, start, 0], Data::None)?;
            ensure!(outcome.is_success(), "{}", describe(&outcome));
            let now = self.read(adapter, address)?.flags;
            ensure!(now == flags, "flags {now}, not {flags}");
        }
        Ok(())
    }

    /// Reads the numbers while requests are under way: those of one queue are of one moment, so they add up.
    fn under_way(&self, adapter: &Adapter, address: Address, crowded: bool) -> anyhow::Result<()> {
        const REQUESTS: usize = 64;
        // Four pages that are not adjacent: in a queue of eight there is room for one such request.
        const BYTES: usize = 4 * 4096;
        let blocks = BYTES as u32 / self.scenario.block;
        let before = self.read(adapter, address)?;
        let told: Rc<Cell<usize>> = Rc::default();
        for number in 0..REQUESTS {
            let cdb = cdb::transfer(Form::Ten, Transfer::Read, 3, blocks);
            let mut request = Request::scsi(address, &cdb, Data::In(BYTES));
            request.page_offset = Some(0);
            request.layout = Layout::Scattered;
            request.cpu = Some(number as u32 % self.scenario.cpus);
            let told = Rc::clone(&told);
            adapter.submit(request.on_complete(move |_| told.set(told.get() + 1)));
        }
        let (mut held, mut waited) = (0, 0);
        while told.get() < REQUESTS {
            let left = REQUESTS - told.get();
            let now = statistics::read(adapter, address)?;
            for (queue, before) in now.queues.iter().zip(&before.queues) {
                let (sent, finished) = (queue.sent - before.sent, queue.finished - before.finished);
                let waited = queue.waited - before.waited;
                ensure!(
                    sent - finished == u64::from(queue.in_flight)
                        && u64::from(queue.waiting) <= waited,
                    "they do not add up: {before:?}, {queue:?}"
                );
            }
            let in_flight = now.sum(|queue| queue.in_flight.into());
            let waiting = now.sum(|queue| queue.waiting.into());
            ensure!(
                in_flight + waiting <= left as u64,
                "{left} were left: {now:?}"
            );
            held += in_flight;
            waited += waiting;
        }
        adapter.drain(self.scenario.deadline)?;
        // Otherwise nothing was compared.
        ensure!(
            held > 0 && (waited > 0) == crowded,
            "{held} were seen in flight, {waited} waiting"
        );
        Ok(())
    }

    /// On a device that takes one segment a request: a page that straddles two frames is copied, and no other.
    pub(super) fn copied(&self, adapter: &Adapter, address: Address) -> anyhow::Result<()> {
        const PAGE: usize = 4096;
        let blocks = PAGE / self.scenario.block as usize;
        let cdb = cdb::transfer(Form::Ten, Transfer::Read, 3, blocks as u32);
        for (offset, times) in [(0, 0), (512, 1)] {
            let before = self.read(adapter, address)?;
            let mut request = Request::scsi(address, &cdb, Data::In(PAGE));
            request.page_offset = Some(offset);
            request.layout = Layout::Scattered;
            let outcome = adapter.request(request)?;
            ensure!(outcome.is_success(), "{}", describe(&outcome));
            let after = self.read(adapter, address)?;
            let copied = after.sum(|queue| queue.copied) - before.sum(|queue| queue.copied);
            ensure!(copied == times, "from {offset}: {copied} copied");
        }
        Ok(())
    }

    /// Reads them while nothing is under way.
    fn read(&self, adapter: &Adapter, address: Address) -> anyhow::Result<Statistics> {
        let statistics = statistics::read(adapter, address)?;
        let disk = self.disk.as_ref().context("no disk")?;
        let rings = adapter.device(|device| (device.features(), device.queue_size(0)));
        ensure!(
            rings == (statistics.features, statistics.queue_size),
            "the rings say {rings:x?}: {statistics:x?}"
        );
        ensure!(
            statistics.blocks == (disk.blocks(), disk.block() as u32)
                && statistics.events.iter().all(|count| *count == 0)
                && statistics
                    .queues
                    .iter()
                    .all(|queue| queue.in_flight == 0 && queue.waiting == 0),
            "{statistics:?}"
        );
        Ok(statistics)
    }
}
