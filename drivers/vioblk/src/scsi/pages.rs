//! The data of INQUIRY, READ CAPACITY, MODE SENSE, REPORT LUNS and REQUEST SENSE.
#![forbid(unsafe_code)]

use super::cdb::{ModeSense, PageControl};
use super::reply::Reply;
use super::unit::Unit;
use crate::identity::{self, PRODUCT, REVISION, Serial, VENDOR};
use storport::Sense;

/// Supported vital product data pages, in the order that page 00h lists them. SPC-5 §7.7.15
const VPD_PAGES: [u8; 6] = [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2];

/// Whether a vital product data page needs the serial number.
pub fn needs_serial(page: u8) -> bool {
    matches!(page, 0x80 | 0x83)
}

/// Standard INQUIRY data. SPC-5 §6.7.2
pub fn standard_inquiry() -> Reply {
    let mut reply = Reply::new(36);
    reply
        // Version SPC-4; response data format 2; 31 bytes follow byte 4.
        .put(2, &[0x06, 0x02, 31])
        // Command queuing.
        .put(7, &[0x02])
        .put(8, VENDOR)
        .put(16, PRODUCT)
        .put(32, REVISION);
    reply
}

/// A vital product data page.
pub fn vital_product_data(page: u8, unit: &Unit, serial: &Serial) -> Result<Reply, Sense> {
    Ok(match page {
        0x00 => {
            let mut reply = Reply::new(10);
            reply.put(3, &[6]).put(4, &VPD_PAGES);
            reply
        }
        0x80 => unit_serial_number(serial),
        0x83 => identity::designation(serial, unit.place),
        0xb0 => block_limits(unit),
        // Block device characteristics: the rotation rate is not known. SBC-4 §6.6.2
        0xb1 => {
            let mut reply = Reply::new(64);
            reply.put(1, &[0xb1, 0, 60]);
            reply
        }
        // Logical block provisioning: no UNMAP, no WRITE SAME; fully provisioned. SBC-4 §6.6.6
        0xb2 => {
            let mut reply = Reply::new(8);
            reply.put(1, &[0xb2, 0, 4]);
            reply
        }
        _ => return Err(Sense::INVALID_FIELD),
    })
}

/// SPC-5 §7.7.17: spaces if the serial number is not available.
fn unit_serial_number(serial: &Serial) -> Reply {
    let text = match serial.bytes() {
        [] => b"    ",
        text => text,
    };
    let mut reply = Reply::new(text.len().saturating_add(4));
    reply
        .put(1, &[0x80, 0, u8::try_from(text.len()).unwrap_or(0)])
        .put(4, text);
    reply
}

/// SBC-4 §6.6.4
fn block_limits(unit: &Unit) -> Reply {
    let max_blocks = unit.max_transfer >> unit.block_size.trailing_zeros();
    let optimal = unit.topology.opt_io_size.min(max_blocks);
    let mut reply = Reply::new(64);
    reply
        .put(1, &[0xb0, 0, 60])
        .put(6, &unit.topology.min_io_size.to_be_bytes())
        .put(8, &max_blocks.to_be_bytes())
        .put(12, &optimal.to_be_bytes());
    reply
}

/// SBC-4 §5.19: all ones if the last address needs more than 32 bits.
pub fn read_capacity10(unit: &Unit) -> Result<Reply, Sense> {
    let last = unit.last_block()?;
    let mut reply = Reply::new(8);
    reply
        .put(0, &u32::try_from(last).unwrap_or(u32::MAX).to_be_bytes())
        .put(4, &unit.block_size.to_be_bytes());
    Ok(reply)
}

/// SBC-4 §5.20
pub fn read_capacity16(unit: &Unit) -> Result<Reply, Sense> {
    let last = unit.last_block()?;
    let topology = unit.topology;
    let mut reply = Reply::new(32);
    reply
        .put(0, &last.to_be_bytes())
        .put(8, &unit.block_size.to_be_bytes())
        .put(
            13,
            &[topology.physical_block_exp, 0, topology.alignment_offset],
        );
    Ok(reply)
}

/// SPC-5 §6.33: logical unit 0 is the only one, and there are no well-known ones.
pub fn report_luns(select: u8) -> Result<Reply, Sense> {
    match select {
        0x00 | 0x02 => {
            let mut reply = Reply::new(16);
            reply.put(3, &[8]);
            Ok(reply)
        }
        0x01 => Ok(Reply::new(8)),
        _ => Err(Sense::INVALID_FIELD),
    }
}

/// SPC-5 §6.39, §4.4
pub fn request_sense(descriptor: bool, sense: Sense) -> Reply {
    let (fixed, with_descriptors) = (sense.encode(), sense.encode_descriptor());
    let data: &[u8] = if descriptor {
        &with_descriptors
    } else {
        &fixed
    };
    let mut reply = Reply::new(data.len());
    reply.put(0, data);
    reply
}

/// The caching page. SBC-4 §6.5.5
fn caching_page(unit: &Unit, control: PageControl) -> [u8; 20] {
    let mut page = [0; 20];
    page[0] = 0x08;
    page[1] = 18;
    // Nothing can be changed, so the mask of what can is zero.
    if unit.write_cache && control != PageControl::Changeable {
        page[2] = 0x04;
    }
    page
}

/// MODE SENSE. SPC-5 §6.14, §7.5.6
pub fn mode_sense(command: &ModeSense, unit: &Unit) -> Result<Reply, Sense> {
    if command.control == PageControl::Saved {
        return Err(Sense::SAVING_NOT_SUPPORTED);
    }
    match (command.page, command.subpage) {
        (0x08, 0x00) | (0x3f, 0x00 | 0xff) => {}
        _ => return Err(Sense::INVALID_FIELD),
    }
    // Write protection, and FUA bits are obeyed.
    let device_specific = if unit.read_only { 0x90 } else { 0x10 };
    let header: usize = if command.ten { 8 } else { 4 };
    let descriptor: usize = if command.disable_block_descriptors {
        0
    } else {
        8
    };
    let page = caching_page(unit, command.control);
    let body = header.saturating_add(descriptor);
    let total = body.saturating_add(page.len());
    let byte = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);

    let mut reply = Reply::new(total);
    if command.ten {
        // The length counts what follows it.
        reply
            .put(1, &[byte(total.saturating_sub(2)), 0, device_specific])
            .put(7, &[byte(descriptor)]);
    } else {
        reply.put(
            0,
            &[
                byte(total.saturating_sub(1)),
                0,
                device_specific,
                byte(descriptor),
            ],
        );
    }
    if descriptor != 0 {
        // Short block descriptor: the length has three bytes, behind one that is reserved. SBC-4 §6.5.2
        let blocks = u32::try_from(unit.blocks).unwrap_or(u32::MAX);
        reply
            .put(header, &blocks.to_be_bytes())
            .put(header.saturating_add(4), &unit.block_size.to_be_bytes());
    }
    reply.put(body, &page);
    Ok(reply)
}
