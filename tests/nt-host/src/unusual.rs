//! Requests that Windows sends seldom or never, and what a disk has to answer all the same.

use anyhow::{Context, Result, ensure};
use host_storport::{Adapter, Address, Data, Function, Outcome, Request};

use crate::judge::describe;

// Sense codes. // SPC-4 annex D
const INVALID_FIELD: (u8, u8, u8) = (5, 0x24, 0);
const INVALID_PARAMETER: (u8, u8, u8) = (5, 0x26, 0);
const SAVING_NOT_SUPPORTED: (u8, u8, u8) = (5, 0x39, 0);

/// SRB_FUNCTION_WMI, and a function that there is not. // storport.h
const WMI: u8 = 0x17;
const NO_FUNCTION: u8 = 0x7f;

/// Sends all of them.
///
/// # Errors
/// The first answer that is wrong.
pub fn all(adapter: &Adapter, address: Address) -> Result<()> {
    let disk = Disk { adapter, address };
    disk.functions().context("functions")?;
    disk.sense().context("REQUEST SENSE")?;
    disk.opcodes().context("REPORT SUPPORTED OPERATION CODES")?;
    disk.pages().context("mode pages")
}

struct Disk<'a> {
    adapter: &'a Adapter,
    address: Address,
}

impl Disk<'_> {
    fn send(&self, cdb: &[u8], data: Data) -> Result<Outcome> {
        Ok(self.adapter.execute(self.address, cdb, data)?)
    }

    fn answer(&self, cdb: &[u8]) -> Result<Vec<u8>> {
        let outcome = self.send(cdb, Data::In(255))?;
        ensure!(outcome.is_success(), "{cdb:02x?}: {}", describe(&outcome));
        let mut data = outcome.data;
        data.truncate(outcome.transferred as usize);
        Ok(data)
    }

    fn refused(&self, cdb: &[u8], data: Data, sense: (u8, u8, u8)) -> Result<()> {
        let outcome = self.send(cdb, data)?;
        ensure!(
            !outcome.is_success() && outcome.sense_code() == Some(sense),
            "{cdb:02x?} was to be refused with {sense:x?}: {}",
            describe(&outcome)
        );
        Ok(())
    }

    /// What is not for a disk, and what is for a unit that is not there.
    fn functions(&self) -> Result<()> {
        for function in [WMI, NO_FUNCTION] {
            let request = Request::new(self.address, Function::Other(function), Data::None);
            let outcome = self.adapter.request(request)?;
            ensure!(
                !outcome.is_success(),
                "{function:#x}: {}",
                describe(&outcome)
            );
        }
        let none = Address {
            lun: 1,
            ..self.address
        };
        let inquiry = [0x12, 0, 0, 0, 36, 0];
        let outcome = self.adapter.execute(none, &inquiry, Data::In(36))?;
        ensure!(!outcome.is_success(), "unit 1: {}", describe(&outcome));
        // A page of vital product data that no disk has.
        self.refused(&[0x12, 1, 0x7f, 0, 36, 0], Data::In(36), INVALID_FIELD)
    }

    fn sense(&self) -> Result<()> {
        let fixed = self.answer(&[0x03, 0, 0, 0, 252, 0])?;
        ensure!(
            fixed[0] & 0x7f == 0x70 && fixed[2] & 0x0f == 0,
            "{fixed:02x?}"
        );
        let descriptors = self.answer(&[0x03, 1, 0, 0, 252, 0])?;
        ensure!(
            descriptors[0] & 0x7f == 0x72 && descriptors[1] & 0x0f == 0,
            "{descriptors:02x?}"
        );
        Ok(())
    }

    /// Whether one command is supported. // SPC-4 §6.35
    fn opcodes(&self) -> Result<()> {
        let ask = |option: u8, operation: u8, action: u8| {
            [0xa3, 0x0c, option, operation, 0, action, 0, 0, 0, 255, 0, 0]
        };
        const NOT_SUPPORTED: u8 = 1;
        const SUPPORTED: u8 = 3;
        for (option, operation, action, support) in [
            // INQUIRY, READ CAPACITY(16), another service action of its operation, PERSISTENT RESERVE OUT.
            (1, 0x12, 0, SUPPORTED),
            (2, 0x9e, 0x10, SUPPORTED),
            (2, 0x9e, 0x1f, NOT_SUPPORTED),
            (3, 0x9e, 0x10, SUPPORTED),
            (3, 0x12, 0, SUPPORTED),
            (1, 0x5f, 0, NOT_SUPPORTED),
        ] {
            let one = self.answer(&ask(option, operation, action))?;
            ensure!(
                one[1] & 7 == support,
                "option {option}, {operation:#x}/{action:#x}: {one:02x?}"
            );
            if support == SUPPORTED {
                ensure!(one[4] == operation, "{one:02x?}");
            }
        }
        // One with service actions asked for without, one without asked for with, and an option that there is not.
        for cdb in [ask(1, 0x9e, 0), ask(2, 0x12, 0), ask(5, 0x12, 0)] {
            self.refused(&cdb, Data::In(255), INVALID_FIELD)?;
        }
        Ok(())
    }

    /// The ten-byte forms with a block descriptor, sent back as it came and changed. // SPC-4 §6.10, §6.12; SBC-4 §6.5.2
    fn pages(&self) -> Result<()> {
        const HEADER: usize = 8;
        let sense = [0x5a, 0, 0x08, 0, 0, 0, 0, 0, 255, 0];
        let mut list = self.answer(&sense)?;
        ensure!(list[7] == 8, "no block descriptor: {list:02x?}");
        // Reserved in MODE SELECT: the length, what is particular to the device, and whether a page can be saved.
        list[..2].fill(0);
        list[3] = 0;
        list[HEADER + 8] &= 0x7f;
        let select = [0x55, 0x10, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
        let outcome = self.send(&select, Data::Out(list.clone()))?;
        ensure!(outcome.is_success(), "{}", describe(&outcome));
        // A long descriptor, two of them, another block length, another number of blocks.
        for (at, value) in [
            (4, 1),
            (6, 1),
            (7, 16),
            (HEADER + 6, 0x7e),
            (HEADER + 3, 0x55),
        ] {
            let mut list = list.clone();
            list[at] = value;
            self.refused(&select, Data::Out(list), INVALID_PARAMETER)?;
        }
        let saved = [0x1a, 8, 0xc8, 0, 255, 0];
        self.refused(&saved, Data::In(255), SAVING_NOT_SUPPORTED)?;
        self.refused(&[0x1a, 8, 0x2e, 0, 255, 0], Data::In(255), INVALID_FIELD)
    }
}
