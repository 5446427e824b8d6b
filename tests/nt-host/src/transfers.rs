//! Transfers that must not be carried out as they stand, in the forms that a driver sees most: whatever shortens the way of the others
//! has to find these.

use anyhow::{Context, Result, ensure};
use host_storport::{Adapter, Address, Data};

use crate::cdb::{self, Form, Transfer};
use crate::judge::{describe, refusal};
use host_disk::Disk;

// Sense codes. // SPC-4 annex D
const OUT_OF_RANGE: (u8, u8, u8) = (5, 0x21, 0);
const INVALID_FIELD: (u8, u8, u8) = (5, 0x24, 0);

/// SRB_STATUS_INVALID_PATH_ID, _NO_DEVICE, _SELECTION_TIMEOUT, _INVALID_LUN, _INVALID_TARGET_ID. // storport.h
const NOBODY_THERE: [u8; 5] = [0x07, 0x08, 0x0a, 0x20, 0x21];

/// Sends all of them. None changes a block, which whoever compares the disk afterwards will see.
///
/// # Errors
/// One was carried out, or refused with another answer.
pub fn refused(adapter: &Adapter, address: Address, disk: &Disk) -> Result<()> {
    for form in [Form::Ten, Form::Sixteen] {
        for what in [Transfer::Read, Transfer::Write] {
            let one = One {
                adapter,
                address,
                disk,
                form,
                what,
            };
            one.beyond_the_end().context("beyond the end")?;
            one.fields().context("fields that the disk has not")?;
            one.lengths().context("lengths that contradict")?;
            one.elsewhere().context("another unit")?;
        }
    }
    Ok(())
}

/// One form of one command.
struct One<'a> {
    adapter: &'a Adapter,
    address: Address,
    disk: &'a Disk,
    form: Form,
    what: Transfer,
}

impl One<'_> {
    fn cdb(&self, lba: u64, blocks: u32) -> Vec<u8> {
        cdb::transfer(self.form, self.what, lba, blocks)
    }

    fn data(&self, blocks: usize) -> Data {
        let bytes = blocks * self.disk.block();
        match self.what {
            Transfer::Read => Data::In(bytes),
            Transfer::Write | Transfer::WriteThrough => Data::Out(vec![0x5a; bytes]),
        }
    }

    fn refused(&self, cdb: &[u8], blocks: usize, sense: (u8, u8, u8)) -> Result<()> {
        let outcome = self.adapter.execute(self.address, cdb, self.data(blocks))?;
        refusal(cdb, &outcome, sense).map_err(anyhow::Error::msg)
    }

    /// The last block can be read, and none behind it. // SBC-4 §5.11, §5.40: LOGICAL BLOCK ADDRESS OUT OF RANGE
    fn beyond_the_end(&self) -> Result<()> {
        let end = self.disk.blocks();
        if self.what == Transfer::Read {
            let last = self.cdb(end - 1, 1);
            let outcome = self.adapter.execute(self.address, &last, self.data(1))?;
            ensure!(outcome.is_success(), "the last: {}", describe(&outcome));
        }
        let mut beyond = vec![(end, 1), (end - 1, 2), (u64::from(u32::MAX), 1)];
        if self.form == Form::Sixteen {
            // What is left of these if one looks at 32 bits, or adds without care, lies on the disk.
            beyond.extend([((1 << 32) + 3, 1), (u64::MAX, 1), (u64::MAX, 2)]);
        }
        for (lba, blocks) in beyond {
            self.refused(&self.cdb(lba, blocks), blocks as usize, OUT_OF_RANGE)?;
        }
        Ok(())
    }

    /// Protection information, which the disk has none of (SBC-4 §5.11, RDPROTECT; §5.40, WRPROTECT), and NACA, which it does not
    /// know (SAM-6 §5.2, CONTROL byte).
    fn fields(&self) -> Result<()> {
        for protect in [0x20, 0x80, 0xe0] {
            let mut cdb = self.cdb(3, 1);
            cdb[1] = protect;
            self.refused(&cdb, 1, INVALID_FIELD)?;
        }
        let mut cdb = self.cdb(3, 1);
        if let Some(control) = cdb.last_mut() {
            *control = 0x04;
        }
        self.refused(&cdb, 1, INVALID_FIELD)
    }

    /// A command that ends before its last byte (SPC-4 §4.2.5.1: the operation code says how long it is), and one that has more to move
    /// than its buffer has room for. // MS: ns-storport-_storage_request_block, DataTransferLength
    fn lengths(&self) -> Result<()> {
        let whole = self.cdb(3, 1);
        let short = &whole[..whole.len() - 1];
        for (cdb, blocks) in [(short, 1), (&self.cdb(3, 2)[..], 1)] {
            let outcome = self.adapter.execute(self.address, cdb, self.data(blocks))?;
            ensure!(
                !outcome.is_success(),
                "{cdb:02x?} with room for {blocks} blocks: {}",
                describe(&outcome)
            );
        }
        Ok(())
    }

    /// There is one unit.
    fn elsewhere(&self) -> Result<()> {
        let none = Address {
            lun: self.address.lun + 1,
            ..self.address
        };
        let outcome = self.adapter.execute(none, &self.cdb(3, 1), self.data(1))?;
        ensure!(
            NOBODY_THERE.contains(&outcome.srb_status()),
            "{none:?}: {}",
            describe(&outcome)
        );
        Ok(())
    }
}
