//! SCSI for one disk: which command means what, and what each one answers.
#![forbid(unsafe_code)]

mod cdb;
mod opcodes;
mod pages;
mod parameters;
mod reply;
mod unit;

pub use cdb::{Command, Extent, decode};
pub use pages::wear;
pub use parameters::{Parameters, unmap_extent};
pub use reply::{MAX_REPLY, Reply};
pub use unit::{Span, Transfer, Unit};

use crate::identity::Serial;
use storport::Sense;

/// What has to happen for a command.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a plan is carried out at once, and there is no heap to put a reply on"
)]
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

/// Decides what a command with parameter data needs; as [`plan`] for all others.
pub fn plan_with(
    command: &Command,
    unit: &Unit<'_>,
    serial: Option<&Serial>,
    data: &dyn Parameters,
) -> Result<Plan, Sense> {
    match *command {
        Command::Unmap { list } => parameters::unmap(unit, list, data),
        Command::WriteSame(ref command) => parameters::write_same(unit, command, data),
        Command::ModeSelect { ten, list } => parameters::mode_select(unit, ten, list, data),
        _ => plan(
            command,
            unit,
            serial,
            u32::try_from(data.size()).unwrap_or(u32::MAX),
        ),
    }
}

/// Decides what a command needs. `serial` is `None` until the device has been asked; `available` is the length of the data
/// buffer in bytes.
pub fn plan(
    command: &Command,
    unit: &Unit<'_>,
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
            unit.writable()?;
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
            if unit.flushes && !no_flush {
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
        Command::Verify(extent) => {
            unit.ready()?;
            match unit.span(extent)? {
                Span { blocks: 0, .. } => Plan::Done,
                span => Plan::Verify(span),
            }
        }
        Command::LogSense {
            page,
            subpage,
            allocation,
        } => match pages::log_sense(unit, page, subpage)? {
            Some(reply) => Plan::Reply(reply.truncated(allocation)),
            None => Plan::Lifetime,
        },
        Command::SupportedOpcodes {
            ref one,
            allocation,
        } => {
            let reply = match one {
                Some(one) => opcodes::one(one)?,
                None => opcodes::all(),
            };
            Plan::Reply(reply.truncated(allocation))
        }
        // They have parameter data: `plan_with`.
        Command::Unmap { .. } | Command::WriteSame(_) | Command::ModeSelect { .. } => {
            return Err(Sense::INVALID_OPCODE);
        }
        Command::ModeSense(ref command) => {
            Plan::Reply(pages::mode_sense(command, unit)?.truncated(command.allocation))
        }
    })
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
