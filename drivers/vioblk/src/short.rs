//! The short way: a READ or WRITE that can be carried out, as nearly every request is one, is described to the device and sent in one go.
#![forbid(unsafe_code)]

use crate::disk::Disk;
use crate::ffi::dma::given;
use crate::ffi::extension::{self, GivenUsual, Token};
use crate::ffi::lock::{Locks, QueueCell};
use crate::limits::Limits;
use crate::request::STATUS_OFFSET;
use crate::scsi::PlainTransfer;
use core::mem::size_of;
use core::ptr;
use core::sync::atomic::Ordering;
use nt::irql::Dispatch;
use virtio_core::ring::{Flow, Framed};
use virtio_core::spec::blk::RequestHeader;
use virtio_core::spec::features::Features;

/// The table of a transfer: header, data, status. Virtio 1.3 §5.2.6
pub type Table = Framed<{ size_of::<RequestHeader>() as u32 }, 1>;

/// The tables of transfers whose data is one part: as long as the device takes one. Without tables nothing goes the short way.
pub fn table(limits: &Limits, features: Features) -> Table {
    Table::new(features, limits.segment_bytes)
}

impl Disk {
    /// HwStartIo, if the block is like nearly every other: sends a READ or WRITE that can be carried out, with its data in one piece.
    /// `None`: the block was not sent.
    ///
    /// All but the ring is done before the queue is locked. What can be found out without StorPort is, before it is asked, so that little
    /// has to be kept over the calls.
    #[inline(always)] // part of HwStartIo
    pub fn start_short(&self, at: Dispatch, locks: Locks, block: GivenUsual<'_>) -> Option<()> {
        let rules = &self.rules;
        let usual = block.usual();
        // What a stopped disk refuses, or one that is read-only, and what a flush follows (as in `scsi::plan_transfer`), is not found
        // plain; nor is anything while the disk is not there, or has something to tell.
        let look = self.state.now().commands();
        let plain = PlainTransfer::new(usual.cdb(), look, usual.cdb_len())?;
        if !usual.is_for_first_unit() {
            return None;
        }
        let flow = if plain.write {
            Flow::ToDevice
        } else {
            Flow::FromDevice
        };
        // What has no data, or more than the device takes in one part, would be looked up in vain.
        let bytes = usual.data_len();
        let data = rules.short.data(flow, bytes)?;
        let blocks = u64::from(plain.extent.blocks);
        if plain.end > self.blocks.load(Ordering::Relaxed)
            // Others have to be told how much was moved, or are refused. Two factors of 32 bits: it cannot wrap.
            || blocks.wrapping_mul(u64::from(rules.config.block_size)) != u64::from(bytes)
        {
            return None;
        }
        // Below the capacity.
        let sector = plain.extent.lba.wrapping_mul(rules.sectors_per_block);
        let (adapter, srb) = (locks.adapter(), block.srb());
        let described = block.describe(flow, sector, data.written());
        let segment = extension::only_segment(adapter, srb)?;
        // A list of one element that is longer than the request is cut, as others are.
        if segment.len < bytes {
            return None;
        }
        let number = self.queue_of(adapter, srb);
        let own = match self.queues.get(number) {
            Some(own) => own,
            None => self.queue_in_turn(number)?,
        };
        let mut lent = described.lend(adapter, rules.owner(srb))?;
        let head = lent.head();
        let parts = [
            head,
            given(segment.address),
            head.within(STATUS_OFFSET as u64),
        ];
        let chain = rules.short.write(lent.table(), parts, data);
        let token = lent.finish();
        let Some(mut held) = own.hold_swift(locks) else {
            self.send_elsewhere(at, own, token);
            return Some(());
        };
        match held.ring().submit_now(token, chain) {
            Ok(notice) => {
                if notice.kick.needed() {
                    drop(held);
                    self.notify(notice);
                }
            }
            Err(token) => {
                drop(held);
                self.send_elsewhere(at, own, token);
            }
        }
        Some(())
    }

    /// The queue for a number that there is none of: of more processors than queues.
    #[cold]
    #[inline(never)] // as few machines have these
    fn queue_in_turn(&self, number: usize) -> Option<&'static QueueCell> {
        self.queues.get(number.checked_rem(self.queues.len())?)
    }

    /// What a queue cannot take at once.
    #[cold]
    #[inline(never)] // as few requests come here
    fn send_elsewhere(&self, at: Dispatch, own: &QueueCell, token: Token) {
        let first = self.queues.iter().position(|cell| ptr::eq(cell, own));
        self.send_from(at, first.unwrap_or(0), token.open());
    }
}
