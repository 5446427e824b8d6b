//! SCSI for one disk: which command means what, and what each one answers.
#![forbid(unsafe_code)]

mod cdb;
mod opcodes;
mod pages;
mod parameters;
mod plain;
mod reply;
mod unit;

pub use cdb::{Command, Extent, decode};
pub use pages::wear;
pub use parameters::{Parameters, unmap_extent};
pub use plain::{FORCED, PLAIN, PlainTransfer, STARTED, WRITES};
pub use reply::{MAX_REPLY, Reply};
pub use unit::{Span, Transfer, Unit};

use crate::identity::Serial;
use storport::Sense;

/// What has to happen for a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// The command is done and has no data.
    Done,
    /// The command is done and its data, which said that there is nothing to do, was taken.
    Taken,
    /// The command is done and returns the reply.
    Reply,
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
    /// The device must be asked how worn it is.
    Lifetime,
    /// Blocks are given up, as the command's data says.
    Unmap {
        /// Block descriptors in the data.
        count: u32,
    },
    /// Zeroes are written.
    Zero {
        /// Where.
        span: Span,
        /// The device may give the blocks up.
        unmap: bool,
    },
    /// The one block of data is written to all blocks.
    Repeat(Span),
    /// The blocks are read, and what was read is dropped.
    Verify(Span),
    /// The write cache is turned on or off.
    SetCache(bool),
}

/// Decides what READ or WRITE needs; `None` for any other command. `available` is the length of the data buffer in bytes.
pub fn plan_transfer(
    command: &Command,
    unit: &Unit<'_>,
    available: u32,
) -> Option<Result<Plan, Sense>> {
    let transfer = |extent| unit.transfer(extent, available);
    match *command {
        Command::Read(extent) => Some(transfer(extent).map(|transfer| match transfer.bytes {
            0 => Plan::Done,
            _ => Plan::Read(transfer),
        })),
        Command::Write { .. } if unit.read_only => Some(Err(Sense::WRITE_PROTECTED)),
        Command::Write {
            extent,
            force_unit_access,
        } => Some(transfer(extent).map(|transfer| match transfer.bytes {
            0 => Plan::Done,
            _ => Plan::Write {
                transfer,
                // A cache that can be turned on may be on by the time the device has the write.
                force_unit_access: force_unit_access
                    && (unit.write_cache || unit.config.cache_mode),
            },
        })),
        _ => None,
    }
}

/// Decides what a command needs, and fills in the reply of one that needs nothing more. `serial` is `None` until the device has
/// been asked.
pub fn plan(
    command: &Command,
    unit: &Unit<'_>,
    serial: Option<&Serial>,
    data: &dyn Parameters,
    reply: &mut Reply,
) -> Result<Plan, Sense> {
    let available = u32::try_from(data.size()).unwrap_or(u32::MAX);
    if let Some(plan) = plan_transfer(command, unit, available) {
        return plan;
    }
    let allocation = match *command {
        Command::Unmap { list } => return parameters::unmap(unit, list, data),
        Command::WriteSame(ref command) => return parameters::write_same(unit, command, data),
        Command::ModeSelect { ten, list } => {
            return parameters::mode_select(unit, ten, list, data);
        }
        Command::SynchronizeCache(extent) => {
            unit.ready()?;
            unit.contains(extent)?;
            return Ok(flush(unit));
        }
        // `plan_transfer` knows the transfers.
        Command::TestUnitReady | Command::Read(_) | Command::Write { .. } => {
            unit.ready()?;
            return Ok(Plan::Done);
        }
        Command::StartStopUnit { start: true, .. } => return Ok(Plan::Start),
        Command::StartStopUnit { no_flush, .. } => {
            return Ok(if unit.flushes && !no_flush {
                Plan::FlushAndStop
            } else {
                Plan::Stop
            });
        }
        Command::Verify(extent) => {
            unit.ready()?;
            return Ok(match unit.span(extent)? {
                Span { blocks: 0, .. } => Plan::Done,
                span => Plan::Verify(span),
            });
        }
        Command::RequestSense {
            descriptor,
            allocation,
        } => {
            let sense = unit.ready().err().unwrap_or(Sense::NONE);
            pages::request_sense(descriptor, sense, reply);
            allocation
        }
        Command::Inquiry {
            page: None,
            allocation,
        } => {
            pages::standard_inquiry(reply);
            allocation
        }
        Command::Inquiry {
            page: Some(page),
            allocation,
        } => {
            if serial.is_none() && pages::needs_serial(page) {
                return Ok(Plan::Identify);
            }
            let serial = serial.unwrap_or(&Serial::EMPTY);
            pages::vital_product_data(page, unit, serial, reply)?;
            allocation
        }
        Command::ReadCapacity10 => {
            pages::read_capacity10(unit, reply)?;
            usize::MAX
        }
        Command::ReadCapacity16 { allocation } => {
            pages::read_capacity16(unit, reply)?;
            allocation
        }
        Command::ReportLuns { select, allocation } => {
            pages::report_luns(select, reply)?;
            allocation
        }
        Command::LogSense {
            page,
            subpage,
            allocation,
        } => {
            if !pages::log_sense(unit, page, subpage, reply)? {
                return Ok(Plan::Lifetime);
            }
            allocation
        }
        Command::SupportedOpcodes {
            ref one,
            allocation,
        } => {
            match one {
                Some(one) => opcodes::one(one, unit, reply)?,
                None => opcodes::all(unit, reply),
            }
            allocation
        }
        Command::ModeSense(ref command) => {
            pages::mode_sense(command, unit, reply)?;
            command.allocation
        }
    };
    reply.truncate(allocation);
    Ok(Plan::Reply)
}

/// A disk that takes no flush has no volatile cache. One that writes through is flushed all the same: what was written while
/// its cache was turned off may be volatile still. Virtio 1.3 §5.2.6.2
pub fn flush(unit: &Unit<'_>) -> Plan {
    if unit.flushes {
        Plan::Flush
    } else {
        Plan::Done
    }
}

#[cfg(test)]
mod tests;
