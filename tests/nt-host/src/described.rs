//! What a disk says of itself, against the device that it is: serial number and name, topology, limits; and all of it into buffers that
//! are shorter than what was asked for.

use anyhow::{Context, Result, ensure};
use host_storport::{Adapter, Address, Data, Outcome};
use test_device::inproc::Config;

use crate::judge::describe;

/// Characters of a serial number that virtio-blk carries. // Virtio 1.3 §5.2.6
const SERIAL: usize = 20;
/// Number of vioblk's event that a serial number may be cut. // drivers/vioblk/messages.toml
const MAY_BE_CUT: u32 = 11;

/// Vital product data. // SPC-5 §7.7, SBC-4 §6.6
const UNIT_SERIAL_NUMBER: u8 = 0x80;
const DEVICE_IDENTIFICATION: u8 = 0x83;
const BLOCK_LIMITS: u8 = 0xb0;

const READ_CAPACITY_16: [u8; 16] = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0];

/// Commands whose answer has a length that the initiator says, 255 here; READ CAPACITY(10) has eight bytes always.
const ANSWERED: [&[u8]; 16] = [
    &[0x12, 0, 0, 0, 255, 0],
    &[0x12, 1, 0x00, 0, 255, 0],
    &[0x12, 1, UNIT_SERIAL_NUMBER, 0, 255, 0],
    &[0x12, 1, DEVICE_IDENTIFICATION, 0, 255, 0],
    &[0x12, 1, BLOCK_LIMITS, 0, 255, 0],
    &[0x12, 1, 0xb1, 0, 255, 0],
    &[0x12, 1, 0xb2, 0, 255, 0],
    &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0],
    &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    &READ_CAPACITY_16,
    &[0x1a, 0, 0x3f, 0, 255, 0],
    &[0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255, 0],
    &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0],
    &[0xa3, 0x0c, 1, 0x12, 0, 0, 0, 0, 0, 255, 0, 0],
    // The list of pages, and what the device has to be asked for first.
    &[0x4d, 0, 0x40, 0, 0, 0, 0, 0, 255, 0],
    &[0x4d, 0, 0x51, 0, 0, 0, 0, 0, 255, 0],
];

/// Bytes of the buffers that are too short for most answers.
const SHORT: [usize; 5] = [0, 1, 4, 20, 35];

/// Compares all of it, and returns the name by which Windows knows the disk again.
///
/// # Errors
/// The first answer that is wrong.
pub fn all(adapter: &Adapter, address: Address, config: &Config, block: u32) -> Result<Vec<u8>> {
    let disk = Disk {
        adapter,
        address,
        config,
        block,
    };
    disk.serial().context("the serial number")?;
    disk.topology().context("the topology")?;
    disk.unmap().context("the limits of UNMAP")?;
    disk.short_buffers().context("short buffers")?;
    let name = disk.answer(&vital(DEVICE_IDENTIFICATION))?;
    adapter.stop()?;
    adapter.restart()?;
    let again = disk.answer(&vital(DEVICE_IDENTIFICATION))?;
    ensure!(
        name == again,
        "page 83h was {name:02x?}, and {again:02x?} after a restart"
    );
    disk.serial().context("the serial number after a restart")?;
    Ok(name)
}

struct Disk<'a> {
    adapter: &'a Adapter,
    address: Address,
    config: &'a Config,
    block: u32,
}

fn vital(page: u8) -> [u8; 6] {
    [0x12, 1, page, 0, 255, 0]
}

fn number(bytes: &[u8], at: usize, len: usize) -> Result<u64> {
    let bytes = bytes.get(at..at + len).context("the answer is too short")?;
    Ok(bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

impl Disk<'_> {
    fn send(&self, cdb: &[u8], room: usize) -> Result<Outcome> {
        let data = match room {
            0 => Data::None,
            room => Data::In(room),
        };
        let outcome = self.adapter.execute(self.address, cdb, data)?;
        ensure!(
            outcome.is_success() && outcome.transferred as usize <= room,
            "{cdb:02x?} into {room} bytes: {}, {} transferred",
            describe(&outcome),
            outcome.transferred
        );
        Ok(outcome)
    }

    fn answer(&self, cdb: &[u8]) -> Result<Vec<u8>> {
        let outcome = self.send(cdb, 255)?;
        let mut data = outcome.data;
        data.truncate(outcome.transferred as usize);
        Ok(data)
    }

    /// As many characters as fit are in page 80h, and where more may have been the event log says so, once.
    fn serial(&self) -> Result<()> {
        let given = self.config.serial.as_bytes();
        let carried = given.get(..SERIAL).unwrap_or(given);
        let page = self.answer(&vital(UNIT_SERIAL_NUMBER))?;
        let length = number(&page, 2, 2)? as usize;
        let told = page.get(4..).unwrap_or_default();
        ensure!(
            length == told.len() && told.trim_ascii() == carried,
            "page 80h is {page:02x?}, the serial number {given:02x?}"
        );
        let events = self.adapter.events();
        let events = events
            .iter()
            .filter(|event| event.code & 0xffff == MAY_BE_CUT);
        let (events, expected) = (events.count(), usize::from(given.len() >= SERIAL));
        ensure!(
            events == expected,
            "{events} events say that a serial number of {} characters may be cut",
            given.len()
        );
        Ok(())
    }

    /// READ CAPACITY(16) and page B0h repeat the device's topology. // SBC-4 §5.20.2, §6.6.4
    fn topology(&self) -> Result<()> {
        let config = self.config;
        let offered = config.physical_block_exp.is_some();
        let of_device = |value: u64| if offered { value } else { 0 };
        let capacity = self.answer(&READ_CAPACITY_16)?;
        let told = (
            number(&capacity, 13, 1)?,
            number(&capacity, 14, 2)? & 0x3fff,
        );
        let exponent = config.physical_block_exp.unwrap_or(0);
        let given = (
            u64::from(exponent),
            of_device(config.alignment_offset.into()),
        );
        ensure!(
            told == given,
            "exponent and lowest aligned block are {told:?}, the device has {given:?}"
        );
        let limits = self.answer(&vital(BLOCK_LIMITS))?;
        let most = number(&limits, 8, 4)?;
        let request = self.adapter.limits()?.max_request as u64;
        ensure!(
            most > 0 && most * u64::from(self.block) <= request,
            "{most} blocks at most, StorPort was told {request} bytes"
        );
        let told = (number(&limits, 6, 2)?, number(&limits, 12, 4)?);
        let best = of_device(config.opt_io_size.into()).min(most);
        let given = (of_device(config.min_io_size.into()), best);
        ensure!(
            told == given,
            "granularity and best length are {told:?}, the device has {given:?}"
        );
        Ok(())
    }

    /// Page B0h repeats the device's limits in blocks: what one request of the device takes is what one UNMAP may name.
    fn unmap(&self) -> Result<()> {
        const LEAST_GRANULARITY: u64 = 4096;
        const ALIGNMENT_VALID: u64 = 1 << 31;
        let limits = self.answer(&vital(BLOCK_LIMITS))?;
        let mut told = [0; 4];
        for (told, at) in told.iter_mut().zip([20, 24, 28, 32]) {
            *told = number(&limits, at, 4)?;
        }
        let Some(discard) = self.config.discard else {
            ensure!(told == [0; 4], "UNMAP limits {told:?} without DISCARD");
            return Ok(());
        };
        let block = u64::from(self.block);
        let blocks = |sectors: u32| u64::from(sectors) * 512 / block;
        let granularity = blocks(discard.extra).max(LEAST_GRANULARITY / block);
        // However many ranges the device takes at once, the driver takes 64.
        let given = [
            blocks(discard.sectors) * u64::from(discard.segments),
            64,
            granularity,
            ALIGNMENT_VALID,
        ];
        ensure!(told == given, "UNMAP limits {told:?}, not {given:?}");
        Ok(())
    }

    /// A shorter buffer gets the beginning of the answer and nothing behind it. Beyond its end the port driver looks itself.
    fn short_buffers(&self) -> Result<()> {
        let untouched = self.send(&[0; 6], 64)?.data;
        let fill = *untouched.first().context("no data")?;
        ensure!(
            fill != 0 && untouched.iter().all(|byte| *byte == fill),
            "a new buffer holds {untouched:02x?}"
        );
        for cdb in ANSWERED {
            let whole = self.answer(cdb)?;
            ensure!(!whole.is_empty(), "{cdb:02x?} answers nothing");
            for room in SHORT {
                let outcome = self.send(cdb, room)?;
                let written = whole.len().min(room);
                ensure!(
                    outcome.transferred as usize == written,
                    "{cdb:02x?} into {room} bytes: {} transferred, not {written}",
                    outcome.transferred
                );
                let (begin, rest) = outcome.data.split_at(written);
                ensure!(
                    whole.starts_with(begin) && rest.iter().all(|byte| *byte == fill),
                    "{cdb:02x?} into {room} bytes: {:02x?}",
                    outcome.data
                );
            }
        }
        Ok(())
    }
}
