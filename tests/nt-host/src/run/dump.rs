//! The machine stops under load, and the dump stack writes what is left of it through a second instance of the driver.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use host_ntos::sched;
use host_storport::{
    Adapter, Address, Data, Driver, Dump, DumpMode, Function, Outcome, Request, StartError, crash,
};

use super::Session;
use crate::cdb::{self, Form, Transfer};
use crate::judge::{describe, failure, success};
use crate::scenario::{DumpEnd, DumpPlan};
use host_disk::Disk;

/// SRB_FUNCTION_* of storport.h.
const DUMP_POINTERS: u8 = 0x26;
const FREE_DUMP_POINTERS: u8 = 0x27;
const RESET_BUS: u8 = 0x12;
const RESET_LOGICAL_UNIT: u8 = 0x20;

/// Bytes of MINIPORT_DUMP_POINTERS, and where it has MaximumTransferLength (tests/abi, 64 bits).
const POINTERS: usize = 112;
const TRANSFER_AT: usize = 80;

/// Bytes that are written as a dump.
const STREAM: u64 = 2 << 20;

/// What a request of the dump stack may take on a device that answers, which may be another process on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same on one that does not.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a step with a device that does not answer may take on the kernel's clock: the waits of the driver and of the dump stack.
const BOUND: Duration = Duration::from_secs(60);

/// Long enough for a device to answer all that it will.
const SILENCE: Duration = Duration::from_secs(5);

/// Requests that a device leaves unanswered before the dump stack gives up.
const TRIES: usize = 3;

impl Session<'_> {
    /// The whole of it, with the first instance started.
    pub(super) fn dump(
        &mut self,
        sys: &[u8],
        path: &Path,
        adapter: &Adapter,
        driver: Driver,
        plan: DumpPlan,
    ) -> anyhow::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let address = self.unit(adapter)?;
        let operations = self.scenario.operations;
        let promised = if driver.takes_dump_pointers() {
            Some(pointers(adapter, address)?)
        } else {
            None
        };
        let dump = Dump::load(sys, &name, adapter, plan.mode);
        let dump = dump.context("the dump stack was not loaded")?;
        if plan.mode != DumpMode::ByArgument {
            dump.mark_memory().context("no memory was marked")?;
        }
        self.work(adapter, address, operations, 0)
            .context("with the dump stack loaded")?;

        let workload = self.disturbed(adapter, address)?;
        if plan.end == DumpEnd::Silent {
            // Until the device has fallen silent; no request times out so soon, and nothing else ends the wait.
            let _ = sched::run_until(&mut || false, SILENCE);
            ensure!(
                workload.in_flight() > 0,
                "the device has answered everything"
            );
        } else {
            self.until(&workload, operations / 2)?;
        }
        crash(adapter);
        // What was in flight is lost, and nobody is told.
        let (disk, _) = workload.finish();
        self.disk = Some(disk);

        let before = sched::now();
        let started = dump.start(adapter, plan.mode);
        let result = self.go_on(&dump, address, plan, started, promised);
        let took = sched::now().saturating_sub(before);
        self.verdict.notes.push(format!(
            "{took:?} on the kernel's clock, {} chains still held",
            dump.held()
        ));
        driver.abandon();
        result
    }

    fn go_on(
        &mut self,
        dump: &Dump,
        address: Address,
        plan: DumpPlan,
        started: Result<(), StartError>,
        promised: Option<u32>,
    ) -> anyhow::Result<()> {
        let begin = sched::now();
        match (plan.end, started) {
            (DumpEnd::Refused, Err(StartError::Refused { stage, code })) => {
                self.verdict
                    .notes
                    .push(format!("refused by {stage} with {code:#x}"));
                Ok(())
            }
            (DumpEnd::Refused, Ok(())) => bail!("the driver took a device that does not stop"),
            (_, Err(error)) => Err(error).context("the dump stack was not started"),
            (DumpEnd::Silent, Ok(())) => {
                for _ in 0..TRIES {
                    let block = self.scenario.block as usize;
                    let read = cdb::transfer(Form::Ten, Transfer::Read, 0, 1);
                    let request = Request::scsi(address, &read, Data::In(block));
                    let answer = dump.execute(within(request, TIMEOUT))?;
                    ensure!(
                        answer.is_none_or(|outcome| !outcome.is_success()),
                        "a device that does not answer has read a block"
                    );
                }
                let took = sched::now().saturating_sub(begin);
                ensure!(took < BOUND, "{took:?} for {TRIES} requests");
                Ok(())
            }
            (DumpEnd::Written, Ok(())) => {
                let limits = dump.limits().context("no limits")?;
                ensure!(
                    promised.is_none_or(|bytes| bytes == limits.maximum_transfer_length),
                    "promised were {promised:?} bytes at once, now it says {limits:?}"
                );
                let mut disk = self.take_disk()?;
                let stream = Stream {
                    dump,
                    address,
                    request: limits.max_request as u64,
                };
                let result = stream.run(&mut disk, plan);
                self.disk = Some(disk);
                result?;
                ensure!(
                    dump.interrupts() == 0,
                    "{} interrupts in a stack that takes none",
                    dump.interrupts()
                );
                Ok(())
            }
        }
    }
}

fn within(mut request: Request, timeout: Duration) -> Request {
    request.timeout = timeout;
    request
}

/// What the running instance says of the one in the dump stack: the bytes of a transfer.
fn pointers(adapter: &Adapter, address: Address) -> anyhow::Result<u32> {
    let ask = |len: usize| {
        let data = Data::Both(vec![0; len]);
        adapter.request(Request::new(address, Function::Other(DUMP_POINTERS), data))
    };
    for short in [0, 4, TRANSFER_AT + 3] {
        let outcome = ask(short)?;
        ensure!(
            !outcome.is_success(),
            "{short} bytes were enough for the dump pointers"
        );
    }
    let outcome = ask(POINTERS)?;
    ensure!(outcome.is_success(), "{}", describe(&outcome));
    let word = |at: usize| {
        let bytes = outcome.data.get(at..at + 4).unwrap_or_default();
        bytes.try_into().map_or(0, u32::from_le_bytes)
    };
    // DUMP_MINIPORT_VERSION_1, and the size.
    ensure!(
        word(0) == (POINTERS as u32) << 16 | 0x0100,
        "version and size {:#x}",
        word(0)
    );
    let function = Function::Other(FREE_DUMP_POINTERS);
    let free = adapter.request(Request::new(address, function, Data::None))?;
    ensure!(free.is_success(), "{}", describe(&free));
    Ok(word(TRANSFER_AT))
}

/// A dump on its way to the disk.
struct Stream<'a> {
    dump: &'a Dump,
    address: Address,
    /// Bytes of a request.
    request: u64,
}

impl Stream<'_> {
    fn run(&self, disk: &mut Disk, plan: DumpPlan) -> anyhow::Result<()> {
        self.look(disk)?;
        let start = disk.blocks() / 3;
        let blocks = (STREAM / disk.block() as u64).min(disk.blocks() / 4);
        self.write(disk, start, blocks)?;
        self.resets()?;
        self.read(disk, start, blocks)?;
        if plan.mode == DumpMode::Hibernate {
            // One more is on its way when the memory is saved and the machine goes off.
            let (_, request) = self.request(disk, start + blocks, 1, Transfer::Write);
            self.dump.send(request)?;
            disk.lost(start + blocks, 1);
            self.dump
                .restart(DumpMode::Resume)
                .context("the dump stack was not started again")?;
            self.look(disk)?;
            self.read(disk, start, blocks)?;
        }
        self.end(disk)
    }

    fn execute(&self, request: Request) -> anyhow::Result<Outcome> {
        let answer = self.dump.execute(within(request, PATIENCE))?;
        answer.context("a request of the dump stack was never answered")
    }

    /// What the dump stack asks before it writes.
    fn look(&self, disk: &Disk) -> anyhow::Result<()> {
        let inquiry = Request::scsi(self.address, &[0x12, 0, 0, 0, 36, 0], Data::In(36));
        let outcome = self.execute(inquiry)?;
        ensure!(outcome.is_success(), "INQUIRY: {}", describe(&outcome));
        let mut command = vec![0x9e, 0x10];
        command.resize(16, 0);
        command[13] = 32;
        let outcome = self.execute(Request::scsi(self.address, &command, Data::In(32)))?;
        ensure!(
            outcome.is_success(),
            "READ CAPACITY: {}",
            describe(&outcome)
        );
        let last = outcome.data.get(..8).unwrap_or_default();
        let last = last.try_into().map_or(0, u64::from_be_bytes);
        ensure!(last + 1 == disk.blocks(), "the last block is {last}");
        Ok(())
    }

    fn request(&self, disk: &mut Disk, lba: u64, blocks: u64, what: Transfer) -> (u32, Request) {
        let command = cdb::transfer(Form::Ten, what, lba, blocks as u32);
        let mut bytes = vec![0; blocks as usize * disk.block()];
        let generation = disk.next_generation();
        let data = if what == Transfer::Read {
            Data::In(bytes.len())
        } else {
            disk.fill(lba, generation, &mut bytes);
            Data::Out(bytes)
        };
        (generation, Request::scsi(self.address, &command, data))
    }

    /// Carries out `what` on a range, in requests as large as there may be.
    fn each(
        &self,
        disk: &mut Disk,
        (start, blocks): (u64, u64),
        what: Transfer,
        done: impl Fn(&mut Disk, u64, u64, u32, &Outcome) -> Result<(), String>,
    ) -> anyhow::Result<()> {
        let most = self.request / disk.block() as u64;
        let mut at = start;
        while at < start + blocks {
            let now = most.min(start + blocks - at);
            let (generation, request) = self.request(disk, at, now, what);
            let outcome = self.execute(request)?;
            success(&outcome, now as usize * disk.block())
                .and_then(|()| done(disk, at, now, generation, &outcome))
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("{what:?} of {now} blocks at {at}"))?;
            at += now;
        }
        Ok(())
    }

    fn write(&self, disk: &mut Disk, start: u64, blocks: u64) -> anyhow::Result<()> {
        self.each(
            disk,
            (start, blocks),
            Transfer::Write,
            |disk, at, blocks, generation, _| {
                disk.wrote(at, blocks, generation);
                Ok(())
            },
        )
    }

    fn read(&self, disk: &mut Disk, start: u64, blocks: u64) -> anyhow::Result<()> {
        self.each(
            disk,
            (start, blocks),
            Transfer::Read,
            |disk, at, _, _, outcome| disk.check(at, &outcome.data),
        )
    }

    /// Resets are disregarded, and commands that only the running system sends are refused or answered, as there.
    fn resets(&self) -> anyhow::Result<()> {
        for function in [RESET_BUS, RESET_LOGICAL_UNIT] {
            let request = Request::new(self.address, Function::Other(function), Data::None);
            let outcome = self.execute(request)?;
            ensure!(outcome.is_success(), "{}", describe(&outcome));
        }
        // VERIFY(10) beyond the end: sense data reaches the caller there as well.
        let beyond = [0x2f, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0];
        let outcome = self.execute(Request::scsi(self.address, &beyond, Data::None))?;
        failure(&outcome, &[5]).map_err(anyhow::Error::msg)
    }

    /// Everything has to reach the medium; it is the last that the stack asks for.
    fn end(&self, disk: &mut Disk) -> anyhow::Result<()> {
        let blocks = disk.blocks();
        let flush = Request::scsi(self.address, &cdb::synchronize_cache(), Data::None);
        let shutdown = Request::new(self.address, Function::Shutdown, Data::None);
        for request in [flush, shutdown] {
            let outcome = self.execute(request)?;
            ensure!(outcome.is_success(), "{}", describe(&outcome));
        }
        ensure!(
            self.dump.held() == 0,
            "the device still holds {} chains of {blocks} blocks",
            self.dump.held()
        );
        Ok(())
    }
}
