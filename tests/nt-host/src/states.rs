//! What a disk says when the device under it fails flushes, or has become read-only.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use host_ntos::sched;
use host_storport::{Adapter, Address, Data, Function, Outcome, Request};

use crate::cdb::{self, Form, Transfer};
use crate::judge::{attention, describe, failure, success};
use crate::statistics;

// Sense keys: MEDIUM ERROR and HARDWARE ERROR; DATA PROTECT. // SPC-4 §4.5.6
const FAILED: [u8; 2] = [0x3, 0x4];
const PROTECTED: [u8; 1] = [0x7];

/// Checks that flushes fail, writes through the cache with them, and other writes do not.
///
/// # Errors
/// The first thing that went wrong.
pub fn flushes_fail(adapter: &Adapter, address: Address, block: u32) -> Result<()> {
    let block = block as usize;
    let write = |what| {
        let cdb = cdb::transfer(Form::Ten, what, 3, 1);
        // What the disk was made with, so that it holds the same whether or not the data arrives.
        let read = cdb::transfer(Form::Ten, Transfer::Read, 3, 1);
        let data = adapter.execute(address, &read, Data::In(block))?.data;
        adapter.execute(address, &cdb, Data::Out(data))
    };
    success(&write(Transfer::Write)?, block).map_err(anyhow::Error::msg)?;
    failure(&write(Transfer::WriteThrough)?, &FAILED).map_err(anyhow::Error::msg)?;
    let flush = adapter.execute(address, &cdb::synchronize_cache(), Data::None)?;
    failure(&flush, &FAILED).map_err(anyhow::Error::msg)?;
    for function in [Function::Flush, Function::Shutdown] {
        let outcome = adapter.request(Request::new(address, function, Data::None))?;
        ensure!(
            !outcome.is_success(),
            "a flush that failed: {}",
            describe(&outcome)
        );
    }
    // A disk that could not be flushed is not stopped.
    let stop = adapter.execute(address, &[0x1b, 0, 0, 0, 0, 0], Data::None)?;
    failure(&stop, &FAILED).map_err(anyhow::Error::msg)?;
    success(&write(Transfer::Write)?, block).map_err(anyhow::Error::msg)
}

/// Checks that a disk that has become read-only over a restart says so before the next command, and from then on refuses writes.
///
/// # Errors
/// The first thing that went wrong.
pub fn becomes_read_only(adapter: &Adapter, address: Address, block: u32) -> Result<()> {
    let block = block as usize;
    let read = cdb::transfer(Form::Ten, Transfer::Read, 3, 1);
    let write = cdb::transfer(Form::Ten, Transfer::Write, 3, 1);
    let data = adapter.execute(address, &read, Data::In(block))?.data;
    let send = || adapter.execute(address, &write, Data::Out(data.clone()));
    success(&send()?, block).map_err(anyhow::Error::msg)?;
    adapter.stop()?;
    adapter.restart()?;
    let mode = adapter.execute(address, &cdb::mode_sense(), Data::In(0xff))?;
    let mode = if attention(&mode) {
        let changed = mode.sense_code() == Some((6, 0x2a, 1));
        ensure!(changed, "{}", describe(&mode));
        adapter.execute(address, &cdb::mode_sense(), Data::In(0xff))?
    } else {
        mode
    };
    // A scan by the port driver may have been told instead.
    let told = adapter.counters().attentions;
    ensure!(told == 1, "{told} unit attentions for one change");
    let protected = mode.data.get(2).is_some_and(|byte| byte & 0x80 != 0);
    ensure!(protected, "MODE SENSE shows no write protection");
    let flags = statistics::read(adapter, address)?.flags;
    ensure!(flags & statistics::READ_ONLY != 0, "flags {flags}");
    failure(&send()?, &PROTECTED).map_err(anyhow::Error::msg)?;
    let outcome = adapter.execute(address, &read, Data::In(block))?;
    success(&outcome, block).map_err(anyhow::Error::msg)
}

/// Checks that requests for a reset end with the reset, however long the device takes.
///
/// # Errors
/// One failed.
pub fn slow_resets(adapter: &Adapter, address: Address) -> Result<()> {
    for function in [Function::ResetLogicalUnit, Function::ResetDevice] {
        let outcome = adapter.request(Request::new(address, function.clone(), Data::None))?;
        ensure!(outcome.is_success(), "{function:?}: {}", describe(&outcome));
        let capacity = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let outcome = adapter.execute(address, &capacity, Data::In(8))?;
        success(&outcome, 8).map_err(anyhow::Error::msg)?;
    }
    resets_in_resets(adapter, address)?;
    bus_reset_in_a_reset(adapter, address)
}

/// A bus reset from within the completion of a reset that is not over for the miniport: whoever has to go on for it to end is below on
/// the same stack, so waiting is for nothing.
fn bus_reset_in_a_reset(adapter: &Adapter, address: Address) -> Result<()> {
    // HwResetBus, and how long it took on the kernel's clock.
    let told: Rc<RefCell<Vec<(bool, Duration)>>> = Rc::default();
    for cpu in 0..2 {
        let (again, put) = (adapter.clone(), Rc::clone(&told));
        let mut reset = Request::new(address, Function::ResetLogicalUnit, Data::None);
        reset.cpu = Some(cpu);
        adapter.submit(reset.on_complete(move |_| {
            let before = sched::now();
            let done = again.reset_bus_here(address.path);
            put.borrow_mut().push((done, sched::now() - before));
        }));
    }
    sched::run_until(&mut || told.borrow().len() == 2, Duration::from_secs(120))?;
    adapter.drain(Duration::from_secs(120))?;
    let told = told.borrow();
    let refused = || told.iter().filter(|(done, _)| !done);
    ensure!(refused().count() > 0, "no bus reset came within a reset");
    ensure!(
        refused().all(|(_, took)| *took < Duration::from_millis(1)),
        "a bus reset within a reset waited: {told:?}"
    );
    // It was not forgotten: the device is reset once more, and works.
    let capacity = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    success(&adapter.execute(address, &capacity, Data::In(8))?, 8).map_err(anyhow::Error::msg)
}

/// Two resets from two CPUs, and two more that are asked for when these are over, from within their completions where the miniport's
/// DPC completes them: each comes while another is under way.
fn resets_in_resets(adapter: &Adapter, address: Address) -> Result<()> {
    let told: Rc<RefCell<Vec<Outcome>>> = Rc::default();
    for cpu in 0..2 {
        let (again, first, second) = (adapter.clone(), Rc::clone(&told), Rc::clone(&told));
        let mut reset = Request::new(address, Function::ResetLogicalUnit, Data::None);
        reset.cpu = Some(cpu);
        adapter.submit(reset.on_complete(move |outcome| {
            first.borrow_mut().push(outcome);
            let reset = Request::new(address, Function::ResetDevice, Data::None);
            again.submit(reset.on_complete(move |outcome| second.borrow_mut().push(outcome)));
        }));
    }
    sched::run_until(&mut || told.borrow().len() == 4, Duration::from_secs(120))?;
    let wrong = told
        .borrow()
        .iter()
        .find(|outcome| !outcome.is_success())
        .map(describe);
    ensure!(
        wrong.is_none(),
        "a reset in a reset: {}",
        wrong.unwrap_or_default()
    );
    let timeouts = adapter.counters().timeouts;
    ensure!(timeouts == 0, "{timeouts} resets timed out");
    Ok(())
}

/// Checks that writes are flushed, on a device whose flushes fail, once a command turned the cache off that the device keeps on.
///
/// # Errors
/// The first thing that went wrong.
pub fn cache_stays_on(adapter: &Adapter, address: Address, block: u32) -> Result<()> {
    let block = block as usize;
    let read = cdb::transfer(Form::Ten, Transfer::Read, 3, 1);
    let data = adapter.execute(address, &read, Data::In(block))?.data;
    let write = cdb::transfer(Form::Ten, Transfer::Write, 3, 1);
    let send = || adapter.execute(address, &write, Data::Out(data.clone()));
    success(&send()?, block).map_err(anyhow::Error::msg)?;
    // The caching page with WCE clear. // SBC-4 §6.5.5
    let sense = adapter.execute(address, &[0x1a, 8, 0x08, 0, 255, 0], Data::In(255))?;
    let mut list = sense.data;
    list.truncate(sense.transferred as usize);
    ensure!(list.get(6).is_some_and(|byte| byte & 4 != 0), "no cache");
    list[..4].fill(0);
    list[6] = 0;
    let select = [0x15, 0x10, 0, 0, list.len() as u8, 0];
    failure(
        &adapter.execute(address, &select, Data::Out(list))?,
        &FAILED,
    )
    .map_err(anyhow::Error::msg)?;
    failure(&send()?, &FAILED).map_err(anyhow::Error::msg)
}
