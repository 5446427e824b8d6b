//! SCSI for one disk: which command means what, and what each one answers.
#![forbid(unsafe_code)]

mod cdb;
mod pages;
mod reply;
mod unit;

pub use cdb::{Command, Extent, decode};
pub use reply::{MAX_REPLY, Reply};
pub use unit::{Transfer, Unit};

use crate::identity::Serial;
use storport::Sense;

/// What has to happen for a command.
#[derive(Debug)]
pub enum Plan {
    /// The command is done and has no data.
    Done,
    /// The command is done and returns this data.
    Reply(Reply),
    /// Data moves from the device to memory.
    Read(Transfer),
    /// Data moves from memory to the device.
    Write {
        /// Where and how much.
        transfer: Transfer,
        /// A flush must follow before the command is done.
        force_unit_access: bool,
    },
    /// The device's cache must be emptied.
    Flush,
    /// The cache must be emptied; then the disk counts as stopped.
    FlushAndStop,
    /// The disk counts as started.
    Start,
    /// The disk counts as stopped.
    Stop,
    /// The serial number must be fetched from the device before the command can be answered.
    Identify,
}

/// Decides what a command needs. `serial` is `None` until the device has been asked; `available` is the length of the data
/// buffer in bytes.
pub fn plan(
    command: &Command,
    unit: &Unit,
    serial: Option<&Serial>,
    available: u32,
) -> Result<Plan, Sense> {
    Ok(match *command {
        Command::Read(extent) => match unit.transfer(extent, available)? {
            Transfer { bytes: 0, .. } => Plan::Done,
            transfer => Plan::Read(transfer),
        },
        Command::Write {
            extent,
            force_unit_access,
        } => {
            if unit.read_only {
                return Err(Sense::WRITE_PROTECTED);
            }
            match unit.transfer(extent, available)? {
                Transfer { bytes: 0, .. } => Plan::Done,
                transfer => Plan::Write {
                    transfer,
                    force_unit_access: force_unit_access && unit.write_cache,
                },
            }
        }
        Command::SynchronizeCache(extent) => {
            unit.ready()?;
            unit.contains(extent)?;
            flush(unit)
        }
        Command::TestUnitReady => {
            unit.ready()?;
            Plan::Done
        }
        Command::StartStopUnit { start: true, .. } => Plan::Start,
        Command::StartStopUnit {
            start: false,
            no_flush,
        } => {
            if unit.write_cache && !no_flush {
                Plan::FlushAndStop
            } else {
                Plan::Stop
            }
        }
        Command::RequestSense {
            descriptor,
            allocation,
        } => {
            let sense = unit.ready().err().unwrap_or(Sense::NONE);
            Plan::Reply(pages::request_sense(descriptor, sense).truncated(allocation))
        }
        Command::Inquiry {
            page: None,
            allocation,
        } => Plan::Reply(pages::standard_inquiry().truncated(allocation)),
        Command::Inquiry {
            page: Some(page),
            allocation,
        } => match serial {
            None if pages::needs_serial(page) => Plan::Identify,
            serial => {
                let serial = serial.unwrap_or(&Serial::EMPTY);
                Plan::Reply(pages::vital_product_data(page, unit, serial)?.truncated(allocation))
            }
        },
        Command::ReadCapacity10 => Plan::Reply(pages::read_capacity10(unit)?),
        Command::ReadCapacity16 { allocation } => {
            Plan::Reply(pages::read_capacity16(unit)?.truncated(allocation))
        }
        Command::ReportLuns { select, allocation } => {
            Plan::Reply(pages::report_luns(select)?.truncated(allocation))
        }
        Command::ModeSense(ref command) => {
            Plan::Reply(pages::mode_sense(command, unit)?.truncated(command.allocation))
        }
    })
}

/// A disk without volatile cache has nothing to empty. Virtio 1.3 §5.2.6.2
pub fn flush(unit: &Unit) -> Plan {
    if unit.write_cache {
        Plan::Flush
    } else {
        Plan::Done
    }
}

#[cfg(test)]
mod tests;
