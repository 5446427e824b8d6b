//! Commands whose data says what to do: UNMAP, WRITE SAME, MODE SELECT.
#![forbid(unsafe_code)]

use super::Plan;
use super::cdb::{Extent, WriteSame};
use super::pages::{
    CACHING_PAGE, CACHING_PAGE_LEN, CONTROL_PAGE, CONTROL_PAGE_LEN, PageControl, WRITE_CACHE,
    caching_page, control_page,
};
use super::unit::{Span, Unit};
use crate::config::Config;
use storport::Sense;

/// A command's data, as the initiator may change it at any time.
pub trait Parameters {
    /// Bytes.
    fn size(&self) -> usize;
    /// Copies from `offset` on. False: the data ends before.
    fn copy(&self, offset: usize, to: &mut [u8]) -> bool;
}

/// Most block descriptors of an UNMAP command, as the block limits page says.
pub const MAX_UNMAP: u32 = 64;

/// Most bytes of a WRITE SAME command: what a slow host can do before the initiator loses patience.
const MAX_WRITE_SAME: u32 = 64 << 20;

/// Bytes before the first block descriptor, and bytes of one. SBC-4 §5.35.2
const UNMAP_HEADER: usize = 8;
const UNMAP_DESCRIPTOR: usize = 16;

/// Most blocks of an UNMAP command: those that one request of the device takes, so that none is cut into many.
pub fn max_unmap_blocks(config: &Config) -> u32 {
    config
        .discard
        .map_or(0, |limits| limits.blocks.saturating_mul(limits.segments))
}

/// Most blocks of a WRITE SAME command.
pub fn max_write_same_blocks(config: &Config) -> u32 {
    MAX_WRITE_SAME >> config.block_size.trailing_zeros()
}

fn read<const N: usize>(data: &dyn Parameters, offset: usize) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    data.copy(offset, &mut bytes).then_some(bytes)
}

/// A block descriptor of an UNMAP command. `None`: the data ends before.
pub fn unmap_extent(data: &dyn Parameters, index: u32) -> Option<Extent> {
    let at = (index as usize)
        .saturating_mul(UNMAP_DESCRIPTOR)
        .saturating_add(UNMAP_HEADER);
    Some(Extent {
        lba: u64::from_be_bytes(read(data, at)?),
        blocks: u32::from_be_bytes(read(data, at.saturating_add(8))?),
    })
}

/// UNMAP. SBC-4 §5.35: all of the list is checked before any block is given up.
pub fn unmap(unit: &Unit<'_>, list: usize, data: &dyn Parameters) -> Result<Plan, Sense> {
    if unit.config.discard.is_none() {
        return Err(Sense::INVALID_OPCODE);
    }
    unit.writable()?;
    if list == 0 {
        return Ok(Plan::Taken);
    }
    let list = list.min(data.size());
    let lengths: Option<[u8; UNMAP_HEADER]> =
        (list >= UNMAP_HEADER).then(|| read(data, 0)).flatten();
    let [_, _, high, low, ..] = lengths.ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    // A descriptor that is not whole is left out, as the standard wants.
    let descriptors = usize::from(u16::from_be_bytes([high, low]))
        .min(list.saturating_sub(UNMAP_HEADER))
        / UNMAP_DESCRIPTOR;
    let count = u32::try_from(descriptors)
        .ok()
        .filter(|count| *count <= MAX_UNMAP)
        .ok_or(Sense::INVALID_PARAMETER)?;
    let mut blocks = 0u32;
    for index in 0..count {
        let extent = unmap_extent(data, index).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        unit.contains(extent)?;
        blocks = blocks
            .checked_add(extent.blocks)
            .filter(|blocks| *blocks <= max_unmap_blocks(unit.config))
            .ok_or(Sense::INVALID_PARAMETER)?;
    }
    if blocks == 0 {
        return Ok(Plan::Taken);
    }
    Ok(Plan::Unmap { count })
}

/// WRITE SAME. SBC-4 §5.52
pub fn write_same(
    unit: &Unit<'_>,
    command: &WriteSame,
    data: &dyn Parameters,
) -> Result<Plan, Sense> {
    unit.writable()?;
    // B2h says then that WRITE SAME gives no blocks up, and the list of commands that the bit means nothing. SPC-5 §6.35
    if command.unmap && !unit.config.zeroes_unmap {
        return Err(Sense::INVALID_FIELD);
    }
    // Zero blocks would mean all up to the end, which the block limits page rules out (WSNZ).
    if command.extent.blocks == 0 || command.extent.blocks > max_write_same_blocks(unit.config) {
        return Err(Sense::INVALID_FIELD);
    }
    let span: Span = unit.span(command.extent)?;
    let zeroes = command.no_data || is_zero(unit.config.block_size, data)?;
    match (zeroes, unit.config.write_zeroes) {
        (true, Some(_)) => Ok(Plan::Zero {
            span,
            unmap: command.unmap,
        }),
        (_, None) if command.no_data => Err(Sense::INVALID_FIELD),
        _ => Ok(Plan::Repeat(span)),
    }
}

/// Whether the one block of data is all zeroes.
fn is_zero(block: u32, data: &dyn Parameters) -> Result<bool, Sense> {
    let mut offset = 0usize;
    let mut zero = true;
    while offset < block as usize {
        let bytes: [u8; 64] = read(data, offset).ok_or(Sense::INVALID_FIELD)?;
        zero &= bytes.iter().all(|byte| *byte == 0);
        offset = offset.saturating_add(bytes.len());
    }
    Ok(zero)
}

/// MODE SELECT. SPC-5 §6.12: the caching and the control page, and of the former the bit that turns the write cache on; all else has
/// to be as it is.
pub fn mode_select(
    unit: &Unit<'_>,
    ten: bool,
    list: usize,
    data: &dyn Parameters,
) -> Result<Plan, Sense> {
    if list == 0 {
        return Ok(Plan::Taken);
    }
    let list = list.min(data.size());
    let (header, descriptor_at) = if ten { (8usize, 7) } else { (4, 3) };
    let byte = |at: usize| (at < list).then(|| read::<1>(data, at)).flatten();
    let [descriptor] = byte(descriptor_at).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    if ten {
        // Long block descriptors, and more than one, are not known.
        let [long] = byte(4).unwrap_or([0]);
        let [high] = byte(6).unwrap_or([0]);
        if long & 1 != 0 || high != 0 {
            return Err(Sense::INVALID_PARAMETER);
        }
    }
    match descriptor {
        0 => {}
        8 => block_descriptor(unit, list, header, data)?,
        _ => return Err(Sense::INVALID_PARAMETER),
    }
    let mut at = header.saturating_add(usize::from(descriptor));
    let mut wanted = None;
    while at < list {
        let [code] = byte(at).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        let len = match code & CODE {
            CACHING_PAGE => {
                wanted = Some(write_cache(unit, whole(data, list, at)?)?);
                CACHING_PAGE_LEN
            }
            CONTROL_PAGE => {
                let page: [u8; CONTROL_PAGE_LEN] = whole(data, list, at)?;
                let current = control_page(PageControl::Current);
                if !page.iter().skip(1).eq(current.iter().skip(1)) {
                    return Err(Sense::INVALID_PARAMETER);
                }
                CONTROL_PAGE_LEN
            }
            _ => return Err(Sense::INVALID_PARAMETER),
        };
        at = at.saturating_add(len);
    }
    match wanted {
        Some(wanted) if wanted != unit.write_cache => Ok(Plan::SetCache(wanted)),
        _ => Ok(Plan::Taken),
    }
}

/// The block descriptor cannot change anything. SBC-4 §6.5.2: as many blocks as there are, or 0, of the length they have.
fn block_descriptor(
    unit: &Unit<'_>,
    list: usize,
    at: usize,
    data: &dyn Parameters,
) -> Result<(), Sense> {
    let end = at.saturating_add(8);
    let [b0, b1, b2, b3, _, l0, l1, l2] = (end <= list)
        .then(|| read::<8>(data, at))
        .flatten()
        .ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    let blocks = u32::from_be_bytes([b0, b1, b2, b3]);
    let len = u32::from_be_bytes([0, l0, l1, l2]);
    let present = u32::try_from(unit.blocks).unwrap_or(u32::MAX);
    let same = (blocks == 0 || blocks == present) && len == unit.config.block_size;
    same.then_some(()).ok_or(Sense::INVALID_PARAMETER)
}

/// The page code without PS, which is reserved here. SPC-5 §6.12
const CODE: u8 = 0x7f;

/// A page that has to lie in the list whole.
fn whole<const N: usize>(data: &dyn Parameters, list: usize, at: usize) -> Result<[u8; N], Sense> {
    let inside = at.saturating_add(N) <= list;
    let page = if inside { read(data, at) } else { None };
    page.ok_or(Sense::PARAMETER_LIST_LENGTH)
}

/// What the caching page says of the write cache.
fn write_cache(unit: &Unit<'_>, page: [u8; CACHING_PAGE_LEN]) -> Result<bool, Sense> {
    let changeable = caching_page(unit, PageControl::Changeable);
    let current = caching_page(unit, PageControl::Current);
    let [_, _, flags, ..] = page;
    let same = page
        .iter()
        .zip(current)
        .zip(changeable)
        .skip(1)
        .enumerate()
        // The length is no value that could change.
        .all(|(index, ((new, old), mask))| {
            let mask = if index == 0 { 0 } else { mask };
            (new ^ old) & !mask == 0
        });
    if !same {
        return Err(Sense::INVALID_PARAMETER);
    }
    Ok(flags & WRITE_CACHE != 0)
}
