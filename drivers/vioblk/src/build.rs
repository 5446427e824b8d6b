//! HwBuildIo: what each transfer asks for, and its description for the device.
#![forbid(unsafe_code)]

use crate::chain;
use crate::disk::Disk;
use crate::ffi::dma::{given, region};
use crate::ffi::extension::{self, Place};
use crate::request::{DESCRIPTOR_LEN, HEAD_LEN, Operation, Request, STATUS_OFFSET};
use crate::scsi::{self, Plan};
use crate::start::addressee;
use core::mem::size_of;
use core::sync::atomic::Ordering;
use storport::srb::Address;
use storport::{Function, Srb};
use virtio_core::ring::{IndirectChain, Part};
use virtio_core::spec::blk::{RequestHeader, RequestType};

/// Longest transfer that is built the short way, in bytes: so that no sum of its lengths wraps.
const MOST: u32 = 1 << 24;

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
        const UNIT: Address = Address {
            path: 0,
            target: 0,
            lun: 0,
        };
        let rules = &self.rules;
        let usual = srb.usual()?;
        let place = Place::of_usual(&usual)?;
        let plain = scsi::plain_transfer(usual.cdb, usual.cdb_len)?;
        let (lba, blocks) = (plain.extent.lba, plain.extent.blocks);
        let end = lba.checked_add(u64::from(blocks))?;
        let bytes = blocks.checked_mul(rules.config.block_size)?;
        if usual.address != UNIT
            || self.stopped.load(Ordering::Relaxed)
            || end > self.blocks.load(Ordering::Relaxed)
            || bytes.wrapping_sub(1) >= MOST
            || bytes > rules.limits.segment_bytes
            // Others have to be told how much was moved, or are refused.
            || bytes != usual.data_len
        {
            return None;
        }
        let data = extension::only_segment(rules.adapter, srb)?;
        // A list of one element that is longer than the request is cut, as others are.
        if data.len < bytes {
            return None;
        }
        let data = Part::new(given(data.address), bytes);
        let sector = lba.wrapping_mul(u64::from(rules.config.sectors_per_block())); // below the capacity
        let refused = plain.write && self.read_only.load(Ordering::Relaxed);
        if refused || !rules.indirect() {
            return None;
        }
        let memory = place.memory(rules, HEAD_LEN + SHORT * DESCRIPTOR_LEN)?;
        let (_, mut table) = region(memory)?.split_at(HEAD_LEN).ok()?;
        let at = given(memory.address);
        let header = Part::new(at, size_of::<RequestHeader>() as u32);
        let status = Part::new(at.checked_add(STATUS_OFFSET as u64)?, 1);
        // Arrays, so that the compiler knows how many there are.
        let (request_type, operation, chain) = if plain.write {
            // As in `scsi::plan_transfer`.
            let force_unit_access = plain.force_unit_access
                && (rules.config.cache_mode || self.write_cache.load(Ordering::Relaxed));
            (
                RequestType::OUT,
                Operation::Write { force_unit_access },
                IndirectChain::write(&mut table, rules.features, [header, data], [status]),
            )
        } else {
            (
                RequestType::IN,
                Operation::Read,
                IndirectChain::write(&mut table, rules.features, [header], [data, status]),
            )
        };
        let chain = chain.ok()?;
        place.write_head(request_type, sector);
        let flushed = matches!(
            operation,
            Operation::Write {
                force_unit_access: true
            }
        );
        place.put(Request {
            memory: Some(memory),
            chain: Some(chain),
            parts: 1,
            plain: (!flushed).then_some(usual.status),
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
