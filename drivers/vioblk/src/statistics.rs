//! Statistics: what is counted, and the control request by which a program reads it (docs/statistics.md has the layout).
//!
//! IOCTL_SCSI_MINIPORT with a signature of our own, and not WMI: every byte of it and every refusal is defined here, while WMI needs a
//! library of Microsoft's and a compiled class definition. MS: ni-ntddscsi-ioctl_scsi_miniport, ns-ntddscsi-_srb_io_control
//!
//! Nothing is counted for a request that goes the short way: how many these were the ring knows.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use crate::disk::Disk;
use crate::ffi::data::{self, SrbData};
use crate::ffi::extension::RequestBox;
use crate::ring::Ring;
use crate::scsi::Parameters;
use crate::state;
use core::sync::atomic::{AtomicU64, Ordering};
use nt::irql::Dispatch;
use storport::{Srb, SrbStatus};
use virtio_core::ring::Totals;
use zerocopy::IntoBytes;

/// SRB_IO_CONTROL.Signature of requests to this driver.
pub const SIGNATURE: [u8; 8] = *b"WINPVBLK";
/// SRB_IO_CONTROL.ControlCode: read the statistics.
pub const READ: u32 = 1;
/// The layout's version. A later one only adds to the ends of its two parts, whose lengths it states.
pub const VERSION: u32 = 1;

/// sizeof(SRB_IO_CONTROL), and the place of ReturnCode. // ntddscsi.h
const HEAD_LEN: usize = 28;
const RETURN_CODE: usize = 20;

/// The adapter's part.
type AdapterPart = [u64; 16];
/// A queue's part.
type QueuePart = [u64; 8];

/// SRB_IO_CONTROL.ReturnCode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ReturnCode {
    /// The statistics follow.
    Success = 0,
    /// There is no such control code.
    UnknownControlCode = 1,
    /// Length says more than the buffer has.
    BadLength = 2,
    /// Not even the part on the adapter fits.
    TooSmall = 3,
}

/// What the adapter has been through since it was found.
#[derive(Debug, Default)]
pub struct History {
    /// Resets after which the device had let go of what it had, whoever wanted them.
    pub resets: AtomicU64,
    /// Commands that ended with sense data.
    pub refusals: AtomicU64,
}

/// What a queue has done since the adapter was found. Written under the queue's lock.
#[derive(Debug)]
pub struct Counters {
    /// Times that a request found no room.
    pub full: u64,
    /// Requests that waited in the driver.
    pub waited: u64,
    /// Requests that the device failed.
    pub failed: u64,
    /// Requests whose description was put elsewhere, as their own memory did not do.
    pub moved: u64,
    /// Requests whose data was copied.
    pub copied: u64,
    published: Wide,
    completed: Wide,
}

/// A number of 64 bits, of which the ring keeps the lower half.
#[derive(Clone, Copy, Debug)]
struct Wide {
    sum: u64,
    seen: u32,
}

impl Wide {
    const ZERO: Self = Self { sum: 0, seen: 0 };

    fn look(&mut self, now: u32) {
        let more = u64::from(now.wrapping_sub(self.seen));
        self.sum = self.sum.wrapping_add(more);
        self.seen = now;
    }
}

impl Counters {
    /// Nothing was counted.
    pub const ZERO: Self = Self {
        full: 0,
        waited: 0,
        failed: 0,
        moved: 0,
        copied: 0,
        published: Wide::ZERO,
        completed: Wide::ZERO,
    };

    /// Takes over what the ring has counted. What it counts between two looks has to be less than 2³².
    pub fn look(&mut self, ring: Totals) {
        self.published.look(ring.published);
        self.completed.look(ring.completed);
    }

    /// Requests, or steps of them, that the device has finished.
    pub const fn completed(&self) -> u64 {
        self.completed.sum
    }

    /// The ring counts from 0 again.
    pub fn restart(&mut self) {
        self.published.seen = 0;
        self.completed.seen = 0;
    }
}

impl Ring {
    /// A queue's part of the answer.
    fn part(&mut self) -> QueuePart {
        let (in_flight, waiting) = self.outstanding();
        let counters = self.counters();
        [
            counters.published.sum,
            counters.completed(),
            pair(in_flight, waiting),
            counters.full,
            counters.waited,
            counters.failed,
            counters.moved,
            counters.copied,
        ]
    }
}

/// Two numbers of 32 bits in the order in which memory has them.
const fn pair(first: u32, second: u32) -> u64 {
    first as u64 | (second as u64) << 32
}

impl Disk {
    /// SRB_FUNCTION_IO_CONTROL.
    #[cold]
    #[inline(never)] // as few requests come here
    pub fn io_control(&self, at: Dispatch, request: RequestBox) {
        if let Some(mut srb) = request.finish() {
            let status = self.control(at, &mut srb);
            self.adapter.complete(srb, status);
        }
    }

    /// Carries a control request out. One that is not for this driver, or has not even a whole head, is left as it is.
    fn control(&self, at: Dispatch, srb: &mut Srb) -> SrbStatus {
        let buffer = SrbData(srb);
        let mut head = [[0; 4]; HEAD_LEN / 4];
        let Some(room) = buffer.size().checked_sub(HEAD_LEN) else {
            return SrbStatus::InvalidRequest;
        };
        if !buffer.copy(0, head.as_flattened_mut()) {
            return SrbStatus::InvalidRequest;
        }
        // HeaderLength, Signature, Timeout, ControlCode, ReturnCode, Length. // ntddscsi.h
        let [header_length, first, second, _, code, _, length] = head;
        if u32::from_le_bytes(header_length) != HEAD_LEN as u32
            || [first, second].as_flattened() != SIGNATURE
        {
            return SrbStatus::InvalidRequest;
        }
        let length = u32::from_le_bytes(length) as usize;
        let (code, written) = if u32::from_le_bytes(code) != READ {
            (ReturnCode::UnknownControlCode, 0)
        } else if length > room {
            (ReturnCode::BadLength, 0)
        } else if length < size_of::<AdapterPart>() {
            (ReturnCode::TooSmall, 0)
        } else {
            (ReturnCode::Success, self.write_statistics(at, srb, length))
        };
        data::write_at(srb, RETURN_CODE, &(code as u32).to_le_bytes());
        srb.set_transferred((HEAD_LEN as u32).saturating_add(written));
        SrbStatus::Success
    }

    /// Writes as many parts as fit into `length` bytes behind the head, which has room for the first; the bytes written.
    fn write_statistics(&self, at: Dispatch, srb: &mut Srb, length: usize) -> u32 {
        let fit = length
            .saturating_sub(size_of::<AdapterPart>())
            .checked_div(size_of::<QueuePart>());
        let parts = fit.unwrap_or(0).min(self.queues.len());
        let adapter = self.adapter_part(parts as u32);
        let mut written = data::write_at(srb, HEAD_LEN, adapter.as_bytes());
        for cell in self.queues.iter().take(parts) {
            let part = cell.with(at, Ring::part);
            let place = HEAD_LEN.saturating_add(written as usize);
            written = written.saturating_add(data::write_at(srb, place, part.as_bytes()));
        }
        written
    }

    fn adapter_part(&self, parts: u32) -> AdapterPart {
        let flags = [
            self.state.is(state::GONE),
            !self.state.is(state::RUNNING),
            self.state.is(state::READ_ONLY),
            self.state.is(state::WRITE_CACHE),
            self.late.load(Ordering::Relaxed) != 0,
        ];
        let flags = flags
            .iter()
            .rev()
            .fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        let [e0, e1, e2, e3, e4, e5, e6, e7] = self.journal.counts();
        [
            pair(VERSION, size_of::<AdapterPart>() as u32),
            pair(size_of::<QueuePart>() as u32, self.queues.len() as u32),
            pair(parts, flags),
            self.blocks.load(Ordering::Relaxed),
            pair(self.rules.config.block_size, u32::from(self.queue_size)),
            self.rules.features.bits(),
            self.history.resets.load(Ordering::Relaxed),
            self.history.refusals.load(Ordering::Relaxed),
            e0,
            e1,
            e2,
            e3,
            e4,
            e5,
            e6,
            e7,
        ]
    }
}

// The answer is laid out by writing numbers as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"));
