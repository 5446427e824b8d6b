//! HwBuildIo: what each transfer asks for, and its description for the device.
#![forbid(unsafe_code)]

use crate::chain;
use crate::disk::Disk;
use crate::ffi::dma::{given, region};
use crate::ffi::extension::{self, Place};
use crate::limits::Limits;
use crate::request::{DESCRIPTOR_LEN, HEAD_LEN, Operation, Request, STATUS_OFFSET};
use crate::scsi::{self, Plan};
use crate::start::addressee;
use core::mem::size_of;
use core::sync::atomic::Ordering;
use storport::{Function, Srb};
use virtio_core::ring::{IndirectChain, Part};
use virtio_core::spec::blk::{RequestHeader, RequestType};
use virtio_core::spec::features::Features;

/// Longest transfer that is built the short way, in bytes: so that no sum of its lengths wraps, and so that its data is one part of a
/// table.
pub const fn most(limits: &Limits, features: Features) -> u32 {
    const MOST: u32 = 1 << 24;
    if !features.contains(Features::INDIRECT_DESC) {
        0
    } else if limits.segment_bytes < MOST {
        limits.segment_bytes
    } else {
        MOST
    }
}

/// Descriptors of a transfer whose data lies in one piece: header, data, status.
const SHORT: usize = 3;

impl Disk {
    /// HwBuildIo: does all of a transfer that needs no lock. IRQL <= DISPATCH_LEVEL.
    ///
    /// False if the block has no extension, so that it cannot be carried out.
    #[inline(always)] // its only caller
    #[must_use]
    pub fn build(&self, srb: &Srb) -> bool {
        self.build_short(srb).is_some() || self.build_any(srb)
    }

    /// Describes the request to the device, if the block is like nearly every other: a READ or WRITE that can be carried out, with its
    /// data in one piece.
    #[inline(always)] // part of HwBuildIo
    fn build_short(&self, srb: &Srb) -> Option<()> {
        let rules = &self.rules;
        let usual = srb.usual()?;
        let place = Place::of_usual(&usual)?;
        let plain = scsi::plain_transfer(usual.cdb, usual.cdb_len)?;
        let (lba, blocks) = (plain.extent.lba, plain.extent.blocks);
        let end = lba.checked_add(u64::from(blocks))?;
        let bytes = usual.data_len;
        if !usual.first_unit
            || self.stopped.load(Ordering::Relaxed)
            || end > self.blocks.load(Ordering::Relaxed)
            || bytes.wrapping_sub(1) >= rules.short
            // Others have to be told how much was moved, or are refused. Two factors of 32 bits: it cannot wrap.
            || u64::from(blocks).wrapping_mul(u64::from(rules.config.block_size)) != u64::from(bytes)
        {
            return None;
        }
        let data = extension::only_segment(rules.adapter, srb)?;
        // A list of one element that is longer than the request is cut, as others are.
        if data.len < bytes {
            return None;
        }
        let data = Part::new(given(data.address), bytes);
        // What is refused, and what a flush follows (as in `scsi::plan_transfer`), goes the long way.
        if plain.write {
            let flushed = plain.force_unit_access
                && (rules.config.cache_mode || self.write_cache.load(Ordering::Relaxed));
            if self.read_only.load(Ordering::Relaxed) || flushed {
                return None;
            }
        }
        let memory = place.memory(rules, HEAD_LEN + SHORT * DESCRIPTOR_LEN)?;
        let (_, mut table) = region(memory)?.split_at(HEAD_LEN).ok()?;
        let at = given(memory.address);
        let header = Part::new(at, size_of::<RequestHeader>() as u32);
        let status = Part::new(at.checked_add(STATUS_OFFSET as u64)?, 1);
        // What the device reads ends before the data, or behind it.
        let readable = if plain.write { 2 } else { 1 };
        let parts = [header, data, status];
        let chain = IndirectChain::write_few(&mut table, rules.features, parts, readable).ok()?;
        let (request_type, operation) = if plain.write {
            let force_unit_access = false;
            (RequestType::OUT, Operation::Write { force_unit_access })
        } else {
            (RequestType::IN, Operation::Read)
        };
        // Below the capacity.
        let sector = lba.wrapping_mul(u64::from(rules.config.sectors_per_block()));
        place.write_head(request_type, sector);
        place.put(Request {
            memory: Some(memory),
            chain: Some(chain),
            parts: 1,
            plain: Some(usual.status),
            ..Request::new(operation, sector, bytes)
        });
        Some(())
    }

    /// [`Self::build`] for all other blocks.
    #[cold]
    #[inline(never)] // as few requests come here, or long ones
    fn build_any(&self, srb: &Srb) -> bool {
        let Some(place) = Place::of(srb) else {
            return false;
        };
        let (operation, sector, bytes) = self.transfer(srb);
        let mut request = Request::new(operation, sector, bytes);
        if request.operation != Operation::None {
            chain::prepare(&self.rules, srb, &place, &mut request);
        }
        place.put(request);
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
