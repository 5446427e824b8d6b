//! Commands that are refused, each of which the driver counts once.

use anyhow::{Context, ensure};
use host_storport::{Adapter, Address, Data};

use crate::cdb::{self, Form, Transfer};
use crate::judge::describe;
use crate::statistics;

// Sense codes. // SPC-4 annex D
const INVALID_OPCODE: (u8, u8, u8) = (5, 0x20, 0);
const OUT_OF_RANGE: (u8, u8, u8) = (5, 0x21, 0);
const INVALID_FIELD: (u8, u8, u8) = (5, 0x24, 0);

/// On a device that has the feature for its wear and then does not know the request, nor any other.
///
/// Virtio 1.3 §5.2.6.1: VIRTIO_BLK_S_UNSUPP for what a device does not support.
pub(super) fn refusals(adapter: &Adapter, address: Address) -> anyhow::Result<()> {
    const LOG_SENSE: u8 = 0x4d;
    let log = |page: u8| vec![LOG_SENSE, 0, 0x40 | page, 0, 0, 0, 0, 0, 255, 0];
    let beyond = cdb::transfer(Form::Sixteen, Transfer::Read, u64::MAX, 1);
    // Each with how many requests the device is sent for it.
    for (cdb, sense, sent) in [
        (log(0x11), INVALID_FIELD, 1),
        (log(0x0c), INVALID_FIELD, 0),
        (vec![0x5e, 0, 0, 0, 0, 0, 0, 0, 255, 0], INVALID_OPCODE, 0),
        (beyond, OUT_OF_RANGE, 0),
        (log(0x11), INVALID_FIELD, 1),
    ] {
        let before = statistics::read(adapter, address)?;
        let outcome = adapter.execute(address, &cdb, Data::In(512))?;
        ensure!(
            !outcome.is_success() && outcome.sense_code() == Some(sense),
            "{cdb:02x?} was to be refused with {sense:x?}: {}",
            describe(&outcome)
        );
        let after = statistics::read(adapter, address)?;
        let counted = (
            after.refusals - before.refusals,
            after.sum(|queue| queue.failed) - before.sum(|queue| queue.failed),
            after.sum(|queue| queue.sent) - before.sum(|queue| queue.sent),
        );
        ensure!(
            counted == (1, sent, sent),
            "{cdb:02x?}: refused, failed, sent are {counted:?}"
        );
    }
    // What is answered is no refusal.
    let before = statistics::read(adapter, address)?;
    let outcome = adapter.execute(address, &log(0), Data::In(255))?;
    ensure!(outcome.is_success(), "{}", describe(&outcome));
    let after = statistics::read(adapter, address).context("the last time")?;
    ensure!(after == before, "{before:?}, {after:?}");
    Ok(())
}
