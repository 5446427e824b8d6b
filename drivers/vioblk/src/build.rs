//! HwBuildIo: what each transfer asks for, and its description for the device.
#![forbid(unsafe_code)]

use crate::chain;
use crate::disk::Disk;
use crate::ffi::dma::{given, region};
use crate::ffi::extension::{self, Building, Place};
use crate::limits::Limits;
use crate::request::{DESCRIPTOR_LEN, HEAD_LEN, Operation, Request, STATUS_OFFSET};
use crate::scsi::{self, PlainCommand, Plan};
use crate::start::addressee;
use core::mem::size_of;
use core::sync::atomic::Ordering;
use storport::srb::Usual;
use storport::{Adapter, Dma, Function, Srb};
use virtio_core::ring::{IndirectChain, Part, Tables};
use virtio_core::spec::blk::{RequestHeader, RequestType};

/// Longest transfer that is built the short way, in bytes: so that no sum of its lengths wraps, and so that its data is one part of a
/// table. Without tables there is none.
pub const fn most(limits: &Limits, tables: Option<Tables>) -> u32 {
    const MOST: u32 = 1 << 24;
    if tables.is_none() {
        0
    } else if limits.segment_bytes < MOST {
        limits.segment_bytes
    } else {
        MOST
    }
}

/// Descriptors of a transfer whose data lies in one piece: header, data, status.
const SHORT: usize = 3;

/// A transfer that can be carried out, with its data in one piece.
struct Transfer<'a> {
    block: Building<'a>,
    usual: Usual<'a>,
    place: Place,
    memory: Dma,
    data: Part,
    sector: u64,
    tables: Tables,
}

impl Transfer<'_> {
    /// Describes it to the device, and puts its request in place.
    #[inline(always)] // part of HwBuildIo
    fn describe<const WRITE: bool>(self) -> Option<()> {
        // What the device reads ends before the data, or behind it.
        let (request_type, operation, readable, enough) = if WRITE {
            let force_unit_access = false;
            let operation = Operation::Write { force_unit_access };
            (RequestType::OUT, operation, 2, 0)
        } else {
            (RequestType::IN, Operation::Read, 1, self.data.len)
        };
        let (_, mut table) = region(self.memory)?.split_at(HEAD_LEN).ok()?;
        let at = given(self.memory.address);
        let header = Part::new(at, size_of::<RequestHeader>() as u32);
        let status = Part::new(at.checked_add(STATUS_OFFSET as u64)?, 1);
        let parts = [header, self.data, status];
        let chain = IndirectChain::write_few(&mut table, self.tables, parts, readable).ok()?;
        self.place.write_head(request_type, self.sector);
        let request = Request {
            memory: Some(self.memory),
            chain: Some(chain),
            parts: 1,
            plain: Some(self.usual.status()),
            enough,
            ..Request::new(operation, self.sector, self.data.len)
        };
        self.place.put(self.block, request);
        Some(())
    }
}

impl Disk {
    /// HwBuildIo, if the block is like nearly every other: describes a READ or WRITE to the device that can be carried out, with its
    /// data in one piece. That is all of a transfer that needs no lock. IRQL <= DISPATCH_LEVEL.
    ///
    /// What can be looked at later is looked at behind the calls, over which little has to be kept.
    #[inline(always)] // part of HwBuildIo
    pub fn build_short(&self, adapter: Adapter, block: Building<'_>) -> Option<()> {
        let rules = &self.rules;
        let srb = block.srb();
        let usual = srb.usual()?;
        let place = Place::of_usual(&usual)?;
        // What a stopped disk refuses, or one that is read-only, and what a flush follows (as in `scsi::plan_transfer`), is not found
        // plain.
        let command = PlainCommand::new(usual.cdb(), self.state.now().commands())?;
        // What has no data, or more than one part, would be looked up in vain: StorPort is asked once for each request.
        let bytes = usual.data_len();
        if !usual.is_for_first_unit() || bytes.wrapping_sub(1) >= rules.short {
            return None;
        }
        let data = extension::only_segment(adapter, srb)?;
        // A list of one element that is longer than the request is cut, as others are.
        if data.len < bytes {
            return None;
        }
        let memory = place.short_memory(adapter, HEAD_LEN + SHORT * DESCRIPTOR_LEN)?;
        let tables = rules.tables?;
        let plain = command.transfer(usual.cdb_len())?;
        let (lba, blocks) = (plain.extent.lba, plain.extent.blocks);
        let end = lba.checked_add(u64::from(blocks))?;
        if end > self.blocks.load(Ordering::Relaxed)
            // Others have to be told how much was moved, or are refused. Two factors of 32 bits: it cannot wrap.
            || u64::from(blocks).wrapping_mul(u64::from(rules.config.block_size)) != u64::from(bytes)
        {
            return None;
        }
        let transfer = Transfer {
            block,
            usual,
            place,
            memory,
            data: Part::new(given(data.address), bytes),
            // Below the capacity.
            sector: lba.wrapping_mul(rules.sectors_per_block),
            tables,
        };
        // Apart, as all that differs is then known when it is compiled.
        if plain.write {
            transfer.describe::<true>()
        } else {
            transfer.describe::<false>()
        }
    }

    /// HwBuildIo of all other blocks. False if the block has no extension, so that it cannot be carried out.
    #[must_use]
    pub fn build_any(&self, block: Building<'_>) -> bool {
        let srb = block.srb();
        let Some(place) = Place::of(srb) else {
            return false;
        };
        let (operation, sector, bytes) = self.transfer(srb);
        let mut request = Request::new(operation, sector, bytes);
        if request.operation != Operation::None {
            chain::prepare(&self.rules, srb, &place, &mut request);
        }
        place.put(block, request);
        true
    }

    /// The transfer that a block asks for, or [`Operation::None`]; its first sector and its bytes.
    #[inline]
    fn transfer(&self, srb: &Srb) -> (Operation, u64, u32) {
        const OTHER: (Operation, u64, u32) = (Operation::None, 0, 0);
        if srb.function() != Function::ExecuteScsi || addressee(srb).is_err() {
            return OTHER;
        }
        let Ok(command) = scsi::decode(srb.cdb()) else {
            return OTHER;
        };
        let (_, available) = srb.data();
        match scsi::plan_transfer(&command, &self.unit(), available) {
            Some(Ok(Plan::Read(transfer))) => (Operation::Read, transfer.sector, transfer.bytes),
            Some(Ok(Plan::Write {
                transfer,
                force_unit_access,
            })) => (
                Operation::Write { force_unit_access },
                transfer.sector,
                transfer.bytes,
            ),
            _ => OTHER,
        }
    }
}
