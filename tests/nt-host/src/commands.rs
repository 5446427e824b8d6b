//! What a disk answers to the commands that are not plain reads and writes, and what they do to its blocks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_storport::{Adapter, Address, Data, Function, Outcome, Request};

use crate::cdb::{self, Form, Transfer};
use crate::judge::{attention, describe, failure, refusal};
use host_disk::Disk;

/// What the device of a scenario offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// DISCARD.
    pub discard: bool,
    /// What a discarded block is filled with, where that is known.
    pub discarded: Option<u8>,
    /// WRITE_ZEROES, and whether they may unmap.
    pub zeroes: Option<bool>,
    /// CONFIG_WCE.
    pub cache_mode: bool,
    /// LIFETIME, and the percentage used that follows from what it says.
    pub wear: Option<u8>,
    /// The first block that cannot be read or written.
    pub bad: Option<u64>,
    /// The serial number; empty: none.
    pub serial: &'static str,
}

/// The commands of one unit.
pub struct Commands<'a> {
    /// The adapter.
    pub adapter: &'a Adapter,
    /// The unit.
    pub address: Address,
    /// What its device offers.
    pub abilities: Abilities,
    /// What it holds.
    pub disk: &'a mut Disk,
}

// Sense codes. // SPC-4 annex D
const INVALID_OPCODE: (u8, u8, u8) = (5, 0x20, 0);
const OUT_OF_RANGE: (u8, u8, u8) = (5, 0x21, 0);
const INVALID_FIELD: (u8, u8, u8) = (5, 0x24, 0);
const INVALID_PARAMETER: (u8, u8, u8) = (5, 0x26, 0);
const NOT_STARTED: (u8, u8, u8) = (2, 4, 2);

/// UNMAP of these extents.
fn unmap_list(extents: &[(u64, u32)]) -> Vec<u8> {
    let len = extents.len() as u16 * 16;
    let mut data = Vec::new();
    data.extend((len + 6).to_be_bytes());
    data.extend(len.to_be_bytes());
    data.extend([0; 4]);
    for (lba, blocks) in extents {
        data.extend(lba.to_be_bytes());
        data.extend(blocks.to_be_bytes());
        data.extend([0; 4]);
    }
    data
}

/// A 16-byte command with address and count where READ(16) has them.
fn sixteen(operation: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let mut cdb = vec![operation, flags];
    cdb.extend(lba.to_be_bytes());
    cdb.extend(blocks.to_be_bytes());
    cdb.extend([0, 0]);
    cdb
}

/// A 10-byte command with address and count where READ(10) has them.
fn ten(operation: u8, flags: u8, lba: u32, blocks: u16) -> Vec<u8> {
    let mut cdb = vec![operation, flags];
    cdb.extend(lba.to_be_bytes());
    cdb.push(0);
    cdb.extend(blocks.to_be_bytes());
    cdb.push(0);
    cdb
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

impl Commands<'_> {
    /// All of it.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn run(&mut self) -> Result<()> {
        self.pages().context("the pages")?;
        self.opcodes().context("the list of commands")?;
        self.wear().context("the log pages")?;
        self.give_up().context("UNMAP")?;
        self.same().context("WRITE SAME")?;
        self.verify().context("VERIFY")?;
        crate::transfers::refused(self.adapter, self.address, self.disk).context("transfers")?;
        self.cache().context("the write cache")?;
        crate::ioctl::run(self.adapter, self.address).context("private I/O controls")?;
        self.states().context("stop and start")
    }

    fn send(&self, cdb: &[u8], data: Data) -> Result<Outcome> {
        let mut request = Request::scsi(self.address, cdb, data);
        request.timeout = Duration::from_secs(60);
        Ok(self.adapter.request(request)?)
    }

    fn done(&self, cdb: &[u8], data: Data) -> Result<Outcome> {
        let outcome = self.send(cdb, data)?;
        ensure!(
            outcome.is_success() && outcome.scsi_status == 0,
            "{cdb:02x?}: {}",
            describe(&outcome)
        );
        Ok(outcome)
    }

    fn answer(&self, cdb: &[u8], room: usize) -> Result<Vec<u8>> {
        let outcome = self.done(cdb, Data::In(room))?;
        let mut data = outcome.data;
        data.truncate(outcome.transferred as usize);
        Ok(data)
    }

    fn refused(&self, cdb: &[u8], data: Data, sense: (u8, u8, u8)) -> Result<()> {
        let outcome = self.send(cdb, data)?;
        refusal(cdb, &outcome, sense).map_err(anyhow::Error::msg)
    }

    fn read(&self, lba: u64, blocks: u32) -> Result<Vec<u8>> {
        let bytes = blocks as usize * self.disk.block();
        self.answer(
            &cdb::transfer(Form::Sixteen, Transfer::Read, lba, blocks),
            bytes,
        )
    }

    /// Checks that all of these blocks are filled with a byte, in reads that the adapter takes.
    fn filled(&self, lba: u64, blocks: u32, byte: u8) -> Result<()> {
        let at_once = (self.adapter.limits()?.max_request / self.disk.block()) as u32;
        let mut at = 0;
        while at < blocks {
            let now = at_once.min(blocks - at);
            let data = self.read(lba + u64::from(at), now)?;
            let wrong = data.iter().position(|found| *found != byte);
            ensure!(
                wrong.is_none(),
                "byte {wrong:?} from block {} on is not {byte:#x}",
                lba + u64::from(at)
            );
            at += now;
        }
        Ok(())
    }

    fn pages(&self) -> Result<()> {
        let abilities = self.abilities;
        let limits = self.answer(&[0x12, 1, 0xb0, 0, 64, 0], 64)?;
        let provisioning = self.answer(&[0x12, 1, 0xb2, 0, 8, 0], 8)?;
        let capacity = self.answer(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], 32)?;
        // Spaces stand for a serial number that is not there. // SPC-5 §7.7.17
        let serial = self.answer(&[0x12, 1, 0x80, 0, 255, 0], 255)?;
        let (length, serial) = (usize::from(serial[3]), &serial[4..]);
        ensure!(
            length == serial.len() && serial.trim_ascii() == abilities.serial.as_bytes(),
            "serial number {serial:02x?}"
        );
        let unmap = provisioning[5] & 0x80 != 0;
        let same = provisioning[5] & 0x60;
        ensure!(
            unmap == abilities.discard && (capacity[14] & 0x80 != 0) == (unmap || same != 0),
            "LBPU {unmap}, LBPWS {same:#x}, LBPME {:#x}; DISCARD is offered: {}",
            capacity[14],
            abilities.discard
        );
        let gives_up = abilities.zeroes == Some(true);
        ensure!(same == if gives_up { 0x60 } else { 0 }, "LBPWS {same:#x}");
        // Nothing is promised of what discarded blocks read as.
        ensure!(provisioning[5] & 0x1c == 0, "LBPRZ {:#x}", provisioning[5]);
        let listed = [20, 24, 28].map(|at| word(&limits, at) > 0);
        ensure!(
            listed == [unmap; 3],
            "UNMAP limits {:02x?}",
            &limits[20..36]
        );
        Ok(())
    }

    fn opcodes(&self) -> Result<()> {
        let all = self.answer(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0], 1024)?;
        ensure!(
            all.len() == word(&all, 0) as usize + 4 && all.len() > 8 * 20,
            "the list has {} bytes",
            all.len()
        );
        // PERSISTENT RESERVE IN and OUT, RESERVE(6), SANITIZE, COMPARE AND WRITE.
        for operation in [0x5e, 0x5f, 0x16, 0x48, 0x89] {
            ensure!(all[4..].chunks(8).all(|known| known[0] != operation));
            let mut cdb = vec![0; 16];
            cdb[0] = operation;
            self.refused(&cdb, Data::None, INVALID_OPCODE)?;
        }
        Ok(())
    }

    fn wear(&self) -> Result<()> {
        let page = |page: u8| [0x4d, 0, 0x40 | page, 0, 0, 0, 0, 0, 255, 0];
        let list = self.answer(&page(0), 255)?;
        ensure!(
            list[4..].contains(&0x11) == self.abilities.wear.is_some(),
            "log pages {list:02x?}"
        );
        match self.abilities.wear {
            Some(percent) => {
                let wear = self.answer(&page(0x11), 255)?;
                ensure!(wear.last() == Some(&percent), "wear {wear:02x?}");
                // A shorter buffer gets the beginning.
                let mut short = page(0x11);
                short[8] = 4;
                ensure!(self.answer(&short, 4)?.len() == 4);
                Ok(())
            }
            None => self.refused(&page(0x11), Data::In(255), INVALID_FIELD),
        }
    }

    fn give_up(&mut self) -> Result<()> {
        let end = self.disk.blocks();
        let send = |this: &Self, extents: &[(u64, u32)]| {
            let list = unmap_list(extents);
            let cdb = ten(0x42, 0, 0, list.len() as u16);
            (
                cdb,
                this.send(&ten(0x42, 0, 0, list.len() as u16), Data::Out(list)),
            )
        };
        if !self.abilities.discard {
            let list = unmap_list(&[(0, 1)]);
            let cdb = ten(0x42, 0, 0, list.len() as u16);
            return self.refused(&cdb, Data::Out(list), INVALID_OPCODE);
        }
        let limits = self.answer(&[0x12, 1, 0xb0, 0, 64, 0], 64)?;
        let (blocks, descriptors) = (word(&limits, 20), word(&limits, 24));
        // As many ranges as one command may have, of odd lengths at odd places, one of them as long as all together may be.
        let mut extents: Vec<(u64, u32)> = (0..u64::from(descriptors) - 1)
            .map(|at| (11 + at * 7, (at % 4) as u32))
            .collect();
        let taken: u32 = extents.iter().map(|(_, blocks)| blocks).sum();
        let long = (blocks - taken.min(blocks)).min((end / 4) as u32);
        if taken < blocks {
            extents.push((end / 2 + 3, long));
        } else {
            extents = vec![(end / 2 + 3, blocks.min((end / 4) as u32))];
        }
        let (_, outcome) = send(self, &extents);
        let outcome = outcome?;
        ensure!(outcome.is_success(), "{}", describe(&outcome));
        for (lba, blocks) in extents {
            self.disk.lost(lba, u64::from(blocks));
            if let Some(byte) = self.abilities.discarded {
                self.filled(lba, blocks, byte)?;
            }
        }
        for (extents, sense) in [
            (vec![(end, 1)], OUT_OF_RANGE),
            (vec![(0, 1), (end - 1, 2)], OUT_OF_RANGE),
            (vec![(u64::MAX, u32::MAX)], OUT_OF_RANGE),
            (vec![(0, 0); descriptors as usize + 1], INVALID_PARAMETER),
        ] {
            let list = unmap_list(&extents);
            let cdb = ten(0x42, 0, 0, list.len() as u16);
            self.refused(&cdb, Data::Out(list), sense)?;
        }
        for extents in [vec![], vec![(5, 0)]] {
            let (cdb, outcome) = send(self, &extents);
            let outcome = outcome?;
            ensure!(outcome.is_success(), "{cdb:02x?}: {}", describe(&outcome));
        }
        Ok(())
    }

    fn same(&mut self) -> Result<()> {
        let block = self.disk.block();
        let end = self.disk.blocks();
        let zero = vec![0; block];
        let pattern: Vec<u8> = (0..block).map(|at| (at * 7 + at / 256) as u8 | 1).collect();
        // Odd places and lengths, longer than what the device takes at once.
        let long = (3 << 20) / block as u32 + 5;
        let gives_up = self.abilities.zeroes == Some(true);
        let unmap = sixteen(0x93, 8, 23, 33);
        if !gives_up {
            self.refused(&unmap, Data::Out(zero.clone()), INVALID_FIELD)?;
        }
        let flags = if gives_up { 8 } else { 0 };
        for (lba, blocks, flags) in [
            (17, 1, 0),
            (19, long, 0),
            (19 + u64::from(long) + 2, 33, flags),
        ] {
            self.done(&sixteen(0x93, flags, lba, blocks), Data::Out(zero.clone()))?;
            self.disk.zeroed(lba, blocks.into());
            self.filled(lba, blocks, 0)?;
        }
        self.done(&ten(0x41, 0, 1, 3), Data::Out(zero.clone()))?;
        self.disk.zeroed(1, 3);
        // NDOB: zeroes without data.
        let no_data = sixteen(0x93, 1, 9, 2);
        if self.abilities.zeroes.is_some() {
            self.done(&no_data, Data::None)?;
            self.disk.zeroed(9, 2);
        } else {
            self.refused(&no_data, Data::None, INVALID_FIELD)?;
        }
        let long = (1 << 20) / block as u32 + 3;
        let at = end - u64::from(long) - 1;
        for (lba, blocks) in [(5, 2), (at, long)] {
            self.done(&sixteen(0x93, 0, lba, blocks), Data::Out(pattern.clone()))?;
            self.disk.lost(lba, blocks.into());
            for lba in [
                lba,
                lba + u64::from(blocks) / 2,
                lba + u64::from(blocks) - 1,
            ] {
                ensure!(self.read(lba, 1)? == pattern, "block {lba} has no pattern");
            }
            self.repeated(lba, blocks, &pattern)?;
        }
        self.refused(
            &sixteen(0x93, 0, 0, 0),
            Data::Out(zero.clone()),
            INVALID_FIELD,
        )?;
        self.refused(&sixteen(0x93, 0, end - 1, 2), Data::Out(zero), OUT_OF_RANGE)
    }

    fn repeated(&self, lba: u64, blocks: u32, pattern: &[u8]) -> Result<()> {
        let at_once = (self.adapter.limits()?.max_request / self.disk.block()) as u32;
        let mut at = 0;
        while at < blocks {
            let now = at_once.min(blocks - at);
            let data = self.read(lba + u64::from(at), now)?;
            let wrong = data
                .chunks(self.disk.block())
                .position(|found| found != pattern);
            ensure!(wrong.is_none(), "block {wrong:?} after {at} of {blocks}");
            at += now;
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        let end = self.disk.blocks();
        let most = self.abilities.bad.unwrap_or(end);
        self.done(&sixteen(0x8f, 0, 0, most as u32), Data::None)?;
        self.done(&ten(0x2f, 0, 3, 1), Data::None)?;
        self.done(&ten(0x2f, 0, 3, 0), Data::None)?;
        self.refused(&sixteen(0x8f, 0, end - 1, 2), Data::None, OUT_OF_RANGE)?;
        // Bytes to compare with.
        let block = vec![0; self.disk.block()];
        self.refused(&ten(0x2f, 2, 0, 1), Data::Out(block), INVALID_FIELD)?;
        if let Some(bad) = self.abilities.bad {
            let outcome = self.send(&sixteen(0x8f, 0, 0, bad as u32 + 1), Data::None)?;
            failure(&outcome, &[3]).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    /// Whether MODE SENSE shows a write cache, and whether that can be changed.
    fn cache_now(&self) -> Result<(bool, bool)> {
        let now = self.answer(&[0x1a, 8, 0x08, 0, 255, 0], 255)?;
        let mask = self.answer(&[0x1a, 8, 0x48, 0, 255, 0], 255)?;
        Ok((now[6] & 4 != 0, mask[6] & 4 != 0))
    }

    fn switch(&self, on: bool) -> Result<()> {
        let mut list = self.answer(&[0x1a, 8, 0x08, 0, 255, 0], 255)?;
        list[..4].fill(0);
        list[6] = if on { 4 } else { 0 };
        let len = list.len() as u8;
        self.done(&[0x15, 0x10, 0, 0, len, 0], Data::Out(list))?;
        ensure!(self.cache_now()?.0 == on, "the cache is not on: {on}");
        Ok(())
    }

    fn cache(&mut self) -> Result<()> {
        let (on, changeable) = self.cache_now()?;
        ensure!(
            changeable == self.abilities.cache_mode,
            "changeable: {changeable}"
        );
        if !changeable {
            return Ok(());
        }
        self.switch(!on)?;
        // A restart resets the device, and with it the mode; what was asked for stays.
        self.adapter.stop()?;
        self.adapter.restart()?;
        ensure!(self.cache_now()?.0 != on, "a restart undid MODE SELECT");
        let mut data = vec![0; self.disk.block()];
        let generation = self.disk.next_generation();
        self.disk.fill(40, generation, &mut data);
        let through = cdb::transfer(Form::Ten, Transfer::WriteThrough, 40, 1);
        self.done(&through, Data::Out(data))?;
        self.disk.wrote(40, 1, generation);
        self.switch(on)
    }

    fn states(&self) -> Result<()> {
        // A transfer of no blocks moves nothing, whatever the buffer has room for.
        let none = cdb::transfer(Form::Ten, Transfer::Read, 0, 0);
        let outcome = self.done(&none, Data::In(self.disk.block()))?;
        ensure!(outcome.transferred == 0, "{}", describe(&outcome));
        self.done(&[0x1b, 0, 0, 0, 0, 0], Data::None)?;
        let one = cdb::transfer(Form::Ten, Transfer::Read, 0, 1);
        self.refused(&one, Data::In(self.disk.block()), NOT_STARTED)?;
        self.refused(&ten(0x2f, 0, 0, 1), Data::None, NOT_STARTED)?;
        self.done(&[0x1b, 0, 0, 0, 1, 0], Data::None)?;
        self.read(0, 1)?;
        for function in [Function::Flush, Function::Shutdown] {
            let flush = Request::new(self.address, function, Data::None);
            let outcome = self.adapter.request(flush)?;
            ensure!(outcome.is_success(), "a flush: {}", describe(&outcome));
        }
        Ok(())
    }
}

/// What happens to a disk that grows: the command after the change is not carried out and says so, once; the next one is; and
/// the port driver is told to look again.
///
/// # Errors
/// The first thing that went wrong.
pub fn grows(adapter: &Adapter, address: Address, disk: &mut Disk, sectors: u64) -> Result<()> {
    const STATE_CHANGE: &str = "StorPortNotification/StateChangeDetectedCall";
    const BLOCK: u64 = 7;
    const TRIES: u32 = 1000;
    let read = cdb::transfer(Form::Ten, Transfer::Read, BLOCK, 1);
    let write = cdb::transfer(Form::Ten, Transfer::Write, BLOCK, 1);
    let mut attentions = 0;
    for _ in 0..TRIES {
        let mut data = vec![0; disk.block()];
        let generation = disk.next_generation();
        disk.fill(BLOCK, generation, &mut data);
        let outcome = adapter.execute(address, &write, Data::Out(data))?;
        if attention(&outcome) {
            attentions += 1;
            let changed = outcome.sense_code() == Some((6, 0x2a, 9));
            ensure!(changed, "{}", describe(&outcome));
        } else {
            ensure!(outcome.is_success(), "{}", describe(&outcome));
            disk.wrote(BLOCK, 1, generation);
        }
        // After an attention the block is as it was.
        let outcome = adapter.execute(address, &read, Data::In(disk.block()))?;
        if attention(&outcome) {
            attentions += 1;
            continue;
        }
        ensure!(outcome.is_success(), "{}", describe(&outcome));
        disk.check(BLOCK, &outcome.data)
            .map_err(anyhow::Error::msg)?;
    }
    let calls = adapter.counters().calls;
    let told = calls
        .iter()
        .any(|(name, count)| name == STATE_CHANGE && *count == 1);
    // The scan that follows the notification may be what is told; it asks again then.
    let all = adapter.counters().attentions;
    ensure!(
        all == 1 && attentions <= all && told,
        "{all} unit attentions; {calls:?}"
    );
    let capacity = adapter.execute(address, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], Data::In(8))?;
    let blocks = u64::from(word(&capacity.data, 0)) + 1;
    ensure!(
        blocks * disk.block() as u64 / 512 == sectors,
        "the disk has {blocks} blocks after it grew to {sectors} sectors"
    );
    Ok(())
}
