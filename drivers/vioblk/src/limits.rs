//! What is promised to StorPort, so that every request it may then send fits the device.
//!
//! A request of `m` pages at any alignment touches `m + 1` frames. Where a segment holds less than a page, a
//! full frame takes `k` descriptors and the two partial ones together at most `k + 1`; elements that StorPort
//! merged need no more than their frames would. So `m` pages need at most `m * k + 1` descriptors, and that is
//! what must fit.
#![forbid(unsafe_code)]

use crate::config::{Config, MAX_RANGES, Refusal};

/// The page that StorPort's scatter lists are made of, in bytes.
pub const PAGE: u32 = 4096;

/// Most data descriptors of a request: 1 MiB at any alignment. More would only make every request's table larger.
pub const MAX_SEGMENTS: u32 = 257;

/// Descriptors of a chain besides the data: header and status. Virtio 1.3 §5.2.6
pub const FIXED_DESCRIPTORS: u32 = 2;

/// Room for the table of a request with `segments` data descriptors, or for what names ranges of blocks and its table, in
/// rows of 16 bytes.
pub const fn rows(segments: u32) -> u32 {
    let data = segments.saturating_add(FIXED_DESCRIPTORS);
    // The ranges lie in one piece, unless `size_max` cuts it: then at most in as many as a page.
    let ranges = MAX_RANGES
        .saturating_mul(2)
        .saturating_add(FIXED_DESCRIPTORS);
    if data < ranges { ranges } else { data }
}

/// Limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most data descriptors of a chain.
    pub segments: u32,
    /// Most bytes of a data descriptor.
    pub segment_bytes: u32,
    /// Most bytes of a request: StorPort's `MaximumTransferLength`. Whole pages.
    pub max_transfer: u32,
    /// Most elements of a scatter list: StorPort's `NumberOfPhysicalBreaks`.
    pub breaks: u32,
    /// A page that straddles two frames does not fit: such requests go through a bounce page.
    pub bounce: bool,
}

impl Limits {
    /// Data descriptors that so many bytes take which are contiguous for the device.
    pub const fn parts_of(&self, bytes: u32) -> u32 {
        match self.segment_bytes {
            0 => 0,
            most => bytes.div_ceil(most),
        }
    }

    /// Computes the promise for a device whose smallest queue has `queue_size` descriptors.
    ///
    /// A chain is never longer than the queue, even in an indirect table. Virtio 1.3 §2.7.5.3.1
    pub fn new(config: &Config, queue_size: u16) -> Result<Self, Refusal> {
        let room = u32::from(queue_size)
            .checked_sub(FIXED_DESCRIPTORS)
            .filter(|room| *room > 0)
            .ok_or(Refusal::QueueTooSmall(queue_size))?;
        let segments = room.min(config.seg_max.unwrap_or(room)).min(MAX_SEGMENTS);
        let segment_bytes = config.size_max.unwrap_or(u32::MAX);
        let per_page = PAGE.div_ceil(segment_bytes.max(1));
        if segments < per_page {
            return Err(Refusal::PageDoesNotFit {
                segments,
                size_max: segment_bytes,
            });
        }
        let pages = segments
            .saturating_sub(1)
            .checked_div(per_page)
            .unwrap_or(0);
        let bounce = pages == 0;
        let pages = pages.max(1);
        Ok(Self {
            segments,
            segment_bytes,
            max_transfer: pages.saturating_mul(PAGE),
            breaks: pages.saturating_add(1),
            bounce,
        })
    }
}

#[cfg(test)]
mod tests;
