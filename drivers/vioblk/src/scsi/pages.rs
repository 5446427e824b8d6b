//! The data of INQUIRY, READ CAPACITY, MODE SENSE, REPORT LUNS and REQUEST SENSE.
#![forbid(unsafe_code)]

use super::cdb::ModeSense;
pub use super::cdb::PageControl;
use super::parameters::{MAX_UNMAP, max_unmap_blocks, max_write_same_blocks};
use super::reply::Reply;
use super::unit::Unit;
use crate::config::{Config, RangeLimits};
use crate::identity::{self, PRODUCT, REVISION, Serial, VENDOR};
use storport::Sense;
use virtio_core::spec::blk::Lifetime;

/// Supported vital product data pages, in the order that page 00h lists them. SPC-5 §7.7.15
const VPD_PAGES: [u8; 6] = [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2];

/// Whether a vital product data page needs the serial number.
pub fn needs_serial(page: u8) -> bool {
    matches!(page, 0x80 | 0x83)
}

/// Standard INQUIRY data. SPC-5 §6.7.2
pub fn standard_inquiry(reply: &mut Reply) {
    reply
        .of(36)
        // Version SPC-4; response data format 2; 31 bytes follow byte 4.
        .put(2, &[0x06, 0x02, 31])
        // Command queuing.
        .put(7, &[0x02])
        .put(8, VENDOR)
        .put(16, PRODUCT)
        .put(32, REVISION);
}

/// A vital product data page.
pub fn vital_product_data(
    page: u8,
    unit: &Unit<'_>,
    serial: &Serial,
    reply: &mut Reply,
) -> Result<(), Sense> {
    match page {
        0x00 => {
            reply.of(10).put(3, &[6]).put(4, &VPD_PAGES);
        }
        0x80 => unit_serial_number(serial, reply),
        0x83 => identity::designation(serial, unit.place, reply),
        0xb0 => block_limits(unit, reply),
        // Block device characteristics: the rotation rate is not known. SBC-4 §6.6.2
        0xb1 => {
            reply.of(64).put(1, &[0xb1, 0, 60]);
        }
        0xb2 => provisioning(unit, reply),
        _ => return Err(Sense::INVALID_FIELD),
    }
    Ok(())
}

/// SPC-5 §7.7.17: spaces if the serial number is not available.
fn unit_serial_number(serial: &Serial, reply: &mut Reply) {
    let text = match serial.bytes() {
        [] => b"    ",
        text => text,
    };
    reply
        .of(text.len().saturating_add(4))
        .put(1, &[0x80, 0, u8::try_from(text.len()).unwrap_or(0)])
        .put(4, text);
}

/// SBC-4 §6.6.4
fn block_limits(unit: &Unit<'_>, reply: &mut Reply) {
    let config = unit.config;
    let max_blocks = unit.max_transfer >> config.block_size.trailing_zeros();
    let optimal = config.topology.opt_io_size.min(max_blocks);
    reply
        .of(64)
        // WSNZ: a WRITE SAME of zero blocks is not understood as one of all blocks.
        .put(1, &[0xb0, 0, 60, 0x01])
        .put(6, &config.topology.min_io_size.to_be_bytes())
        .put(8, &max_blocks.to_be_bytes())
        .put(12, &optimal.to_be_bytes())
        .put(36, &u64::from(max_write_same_blocks(config)).to_be_bytes());
    if let Some(discard) = config.discard {
        const ALIGNMENT_VALID: u32 = 1 << 31;
        reply
            .put(20, &max_unmap_blocks(config).to_be_bytes())
            .put(24, &MAX_UNMAP.to_be_bytes())
            .put(28, &unmap_granularity(config, discard).to_be_bytes())
            // Multiples of the granularity, counted from block 0.
            .put(32, &ALIGNMENT_VALID.to_be_bytes());
    }
}

/// Blocks that Windows had best give up together: what the device says, and at least 4 KiB.
///
/// With less, optimising a drive takes for ever and has blocks written that were free. virtio-win: issue 666, 41b521c8. The
/// administrator's larger granularity has to come through, as newer versions of Windows want more still. virtio-win: issue 1574
fn unmap_granularity(config: &Config, discard: RangeLimits) -> u32 {
    const LEAST: u32 = 4096;
    discard
        .alignment
        .max(LEAST >> config.block_size.trailing_zeros())
}

/// Logical block provisioning. SBC-4 §6.6.6
///
/// Discarded blocks may hold anything afterwards (Virtio 1.3 §5.2.6.1), so LBPRZ is 0. WRITE SAME with UNMAP leaves zeroes.
fn provisioning(unit: &Unit<'_>, reply: &mut Reply) {
    const UNMAP: u8 = 0x80;
    const WRITE_SAME: u8 = 0x60;
    // Windows treats a disk as thin only if it says so and has UNMAP (classpnp, ClasspIsThinProvisioned), and formats such a disk
    // in no other way than quickly. An alignment of zero is how an administrator says that it is not. virtio-win: PR 927
    const THIN: u8 = 2;
    const RESOURCE: u8 = 1;
    let config = unit.config;
    let (unmap, kind) = match config.discard {
        Some(RangeLimits { alignment: 0, .. }) => (UNMAP, RESOURCE),
        Some(_) => (UNMAP, THIN),
        None => (0, 0),
    };
    let write_same = if config.zeroes_unmap { WRITE_SAME } else { 0 };
    reply
        .of(8)
        .put(1, &[0xb2, 0, 4, 0, unmap | write_same, kind]);
}

/// SBC-4 §5.19: all ones if the last address needs more than 32 bits.
pub fn read_capacity10(unit: &Unit<'_>, reply: &mut Reply) -> Result<(), Sense> {
    let last = unit.last_block()?;
    reply
        .of(8)
        .put(0, &u32::try_from(last).unwrap_or(u32::MAX).to_be_bytes())
        .put(4, &unit.config.block_size.to_be_bytes());
    Ok(())
}

/// SBC-4 §5.20
pub fn read_capacity16(unit: &Unit<'_>, reply: &mut Reply) -> Result<(), Sense> {
    let last = unit.last_block()?;
    let topology = unit.config.topology;
    // LBPME: whenever page B2h names a way to give blocks up.
    let provisioned = if unit.config.provisioned() { 0x80 } else { 0 };
    reply
        .of(32)
        .put(0, &last.to_be_bytes())
        .put(8, &unit.config.block_size.to_be_bytes())
        .put(
            13,
            &[
                topology.physical_block_exp,
                provisioned,
                topology.alignment_offset,
            ],
        );
    Ok(())
}

/// SPC-5 §6.33: logical unit 0 is the only one, and there are no well-known ones.
pub fn report_luns(select: u8, reply: &mut Reply) -> Result<(), Sense> {
    match select {
        0x00 | 0x02 => reply.of(16).put(3, &[8]),
        0x01 => reply.of(8),
        _ => return Err(Sense::INVALID_FIELD),
    };
    Ok(())
}

/// SPC-5 §6.39, §4.4
pub fn request_sense(descriptor: bool, sense: Sense, reply: &mut Reply) {
    let (fixed, with_descriptors) = (sense.encode(), sense.encode_descriptor());
    let data: &[u8] = if descriptor {
        &with_descriptors
    } else {
        &fixed
    };
    reply.of(data.len()).put(0, data);
}

/// Code of the caching page.
pub const CACHING_PAGE: u8 = 0x08;
/// Its bytes, with code and length.
pub const CACHING_PAGE_LEN: usize = 20;
/// WCE, in its third byte.
pub const WRITE_CACHE: u8 = 0x04;

/// The caching page, or a mask of what of it can be changed. SBC-4 §6.5.5
pub fn caching_page(unit: &Unit<'_>, control: PageControl) -> [u8; CACHING_PAGE_LEN] {
    let mut page = [0; CACHING_PAGE_LEN];
    let write_cache = match control {
        PageControl::Changeable => unit.config.cache_mode,
        _ => unit.write_cache,
    };
    page[0] = CACHING_PAGE;
    page[1] = 18;
    page[2] = if write_cache { WRITE_CACHE } else { 0 };
    page
}

/// Code of the control page.
pub const CONTROL_PAGE: u8 = 0x0a;
/// Its bytes, with code and length.
pub const CONTROL_PAGE_LEN: usize = 12;

/// The control page, of which nothing can be changed. SPC-5, control mode page
///
/// QERR is 0: one command's error ends no other. Windows sees to that when it starts a thin disk (classpnp, ClasspZeroQERR).
pub fn control_page(control: PageControl) -> [u8; CONTROL_PAGE_LEN] {
    /// GLTSD: log pages are not saved.
    const NO_SAVING: u8 = 0x02;
    /// QUEUE ALGORITHM MODIFIER: the device may reorder as it likes.
    const REORDERED: u8 = 0x10;
    let mut page = [0; CONTROL_PAGE_LEN];
    page[0] = CONTROL_PAGE;
    page[1] = 10;
    if control != PageControl::Changeable {
        page[2] = NO_SAVING;
        page[3] = REORDERED;
    }
    page
}

/// MODE SENSE. SPC-5 §6.14, §7.5.6
pub fn mode_sense(command: &ModeSense, unit: &Unit<'_>, reply: &mut Reply) -> Result<(), Sense> {
    if command.control == PageControl::Saved {
        return Err(Sense::SAVING_NOT_SUPPORTED);
    }
    let (caching, control): (usize, usize) = match (command.page, command.subpage) {
        (CACHING_PAGE, 0x00) => (CACHING_PAGE_LEN, 0),
        (CONTROL_PAGE, 0x00) => (0, CONTROL_PAGE_LEN),
        (0x3f, 0x00 | 0xff) => (CACHING_PAGE_LEN, CONTROL_PAGE_LEN),
        _ => return Err(Sense::INVALID_FIELD),
    };
    // Write protection, and FUA bits are obeyed.
    let device_specific = if unit.read_only { 0x90 } else { 0x10 };
    let header: usize = if command.ten { 8 } else { 4 };
    let descriptor: usize = if command.disable_block_descriptors {
        0
    } else {
        8
    };
    let body = header.saturating_add(descriptor);
    let behind = body.saturating_add(caching);
    let total = behind.saturating_add(control);
    let byte = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);

    reply.of(total);
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
        reply.put(header, &blocks.to_be_bytes()).put(
            header.saturating_add(4),
            &unit.config.block_size.to_be_bytes(),
        );
    }
    if caching > 0 {
        reply.put(body, &caching_page(unit, command.control));
    }
    // Of no effect where there is no room for it.
    reply.put(behind, &control_page(command.control));
    Ok(())
}

/// Log pages: the list of them, and how worn a solid-state medium is, where the device tells. SPC-5 §7.3.1
const SOLID_STATE_MEDIA: u8 = 0x11;

/// LOG SENSE. False: the device has to be asked first. SPC-5 §6.8
pub fn log_sense(unit: &Unit<'_>, page: u8, subpage: u8, reply: &mut Reply) -> Result<bool, Sense> {
    let known: &[u8] = if unit.config.lifetime {
        &[0, SOLID_STATE_MEDIA]
    } else {
        &[0]
    };
    match (page, subpage) {
        (0, 0) => {
            reply
                .of(known.len().saturating_add(4))
                .put(3, &[u8::try_from(known.len()).unwrap_or(0)])
                .put(4, known);
            Ok(true)
        }
        (SOLID_STATE_MEDIA, 0) if unit.config.lifetime => Ok(false),
        _ => Err(Sense::INVALID_FIELD),
    }
}

/// The solid-state media log page: percentage used endurance indicator. SBC-4 §6.4.9
///
/// The device tells tenths, of two kinds of cells (Virtio 1.3 §5.2.6); the worse is taken. A device that does not know says 0.
pub fn wear(lifetime: &Lifetime, reply: &mut Reply) {
    let tenths = [
        lifetime.device_lifetime_est_typ_a,
        lifetime.device_lifetime_est_typ_b,
    ];
    let worst = tenths.map(|value| value.get()).into_iter().max();
    // 11 stands for "exceeded", and what is above is reserved.
    let percent = u8::try_from(worst.unwrap_or(0).min(11)).unwrap_or(0);
    reply
        .of(12)
        .put(0, &[SOLID_STATE_MEDIA, 0, 0, 8])
        // Parameter 0001h, binary list, four bytes, of which the last is the value.
        .put(4, &[0, 0x01, 0x03, 4, 0, 0, 0, percent.saturating_mul(10)]);
}
