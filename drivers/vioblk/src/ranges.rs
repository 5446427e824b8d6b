//! Requests that name blocks without moving their data through a buffer, and that may take the device several steps: discard,
//! write zeroes, one block written to many, verify.
#![forbid(unsafe_code)]

use crate::config::{Config, RangeLimits};
use crate::ffi::data::SrbData;
use crate::limits::PAGE;
use crate::request::{Extra, Operation, Request, Stage};
use crate::ring::Rules;
use crate::scsi::{Extent, unmap_extent};
use virtio_core::spec::blk::DiscardWriteZeroes;

/// How far a request has come. What is counted depends on the operation: segments, or blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Block descriptors of a discard, blocks of a write of zeroes, descriptors that one repeated block takes.
    pub amount: u32,
    /// All that is to be done.
    pub total: u32,
    /// What the device has done.
    pub done: u32,
    /// What it is doing now.
    pub now: u32,
}

/// Cuts an extent into pieces that the device takes, at its favourite multiples as far as possible.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    left: Extent,
    limits: &'a RangeLimits,
}

impl<'a> Pieces<'a> {
    /// All of `extent`.
    pub const fn new(extent: Extent, limits: &'a RangeLimits) -> Self {
        Self {
            left: extent,
            limits,
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let Extent { lba, blocks: left } = self.left;
        let mut blocks = left.min(self.limits.blocks);
        if blocks == 0 {
            return None;
        }
        if blocks < left {
            let beyond = lba
                .checked_add(u64::from(blocks))
                .and_then(|end| end.checked_rem(u64::from(self.limits.alignment)))
                .and_then(|beyond| u32::try_from(beyond).ok())
                .unwrap_or(0);
            // A piece that would be empty stays as long as it is.
            if beyond < blocks {
                blocks = blocks.saturating_sub(beyond);
            }
        }
        self.left = Extent {
            lba: lba.saturating_add(u64::from(blocks)),
            blocks: left.saturating_sub(blocks),
        };
        Some(Extent { lba, blocks })
    }
}

/// The limits of a discard or a write of zeroes.
fn limits(rules: &Rules, operation: Operation) -> Option<&RangeLimits> {
    match operation {
        Operation::Discard => rules.config.discard.as_ref(),
        Operation::Zero { .. } => rules.config.write_zeroes.as_ref(),
        _ => None,
    }
}

/// The segments of a discard or a write of zeroes: all of them, from the first step's on.
///
/// A discard's are read from the command's data anew at each step, so they may differ from those that were checked, if the
/// initiator changes its buffer meanwhile: it then gives up other blocks of its own disk, or the device refuses.
pub struct Segments<'a> {
    config: &'a Config,
    pieces: Pieces<'a>,
    data: SrbData<'a>,
    /// The next block descriptor of the data, and how many there are.
    next: u32,
    listed: u32,
    unmap: bool,
}

impl<'a> Segments<'a> {
    fn new(rules: &'a Rules, request: &'a Request) -> Option<Self> {
        let config = &rules.config;
        let limits = limits(rules, request.operation)?;
        let shift = config.sectors_per_block().trailing_zeros();
        let mut first = Extent { lba: 0, blocks: 0 };
        let (listed, unmap) = match request.operation {
            Operation::Zero { unmap } => {
                first.lba = request.sector >> shift;
                first.blocks = request.steps().amount;
                (0, unmap)
            }
            _ => (request.steps().amount, false),
        };
        Some(Self {
            config,
            pieces: Pieces::new(first, limits),
            data: SrbData(request.srb.as_ref()?),
            next: 0,
            listed,
            unmap,
        })
    }
}

impl Iterator for Segments<'_> {
    type Item = DiscardWriteZeroes;

    #[inline(never)] // used twice, and on no transfer's way
    fn next(&mut self) -> Option<DiscardWriteZeroes> {
        loop {
            if let Some(piece) = self.pieces.next() {
                let sector = self.config.sector(piece.lba);
                let shift = self.config.sectors_per_block().trailing_zeros();
                // Cannot overflow: no piece has more blocks than the device has sectors for.
                let sectors = piece.blocks << shift;
                return Some(DiscardWriteZeroes::new(sector, sectors, self.unmap));
            }
            if self.next == self.listed {
                return None;
            }
            let extent = unmap_extent(&self.data, self.next)?;
            self.next = self.next.saturating_add(1);
            self.pieces = Pieces::new(extent, self.pieces.limits);
        }
    }
}

/// The segments of the present step.
pub fn present<'a>(
    rules: &'a Rules,
    request: &'a Request,
) -> Option<impl Iterator<Item = DiscardWriteZeroes> + 'a> {
    let Steps { done, now, .. } = request.steps();
    let segments = Segments::new(rules, request)?;
    Some(segments.skip(done as usize).take(now as usize))
}

/// Starts a discard of so many block descriptors, or a write of zeroes to so many blocks. False: there is nothing to do.
pub fn begin_segments(rules: &Rules, request: &mut Request, amount: u32) -> bool {
    request.extra = Extra::Steps(Steps {
        amount,
        ..Steps::default()
    });
    let count = Segments::new(rules, request).map_or(0, Iterator::count);
    begin(rules, request, u32::try_from(count).unwrap_or(u32::MAX))
}

/// Starts a request of so many segments or blocks. False: there is nothing to do.
pub fn begin(rules: &Rules, request: &mut Request, total: u32) -> bool {
    let amount = request.steps().amount;
    let steps = Steps {
        amount,
        total,
        ..Steps::default()
    };
    next_step(rules, request, steps)
}

/// Chooses what the device is to do next.
fn next_step(rules: &Rules, request: &mut Request, mut steps: Steps) -> bool {
    let most = match request.operation {
        Operation::Discard | Operation::Zero { .. } => {
            limits(rules, request.operation).map_or(0, |limits| limits.segments)
        }
        Operation::Repeat => {
            let one = steps.amount.max(1);
            rules.limits.segments.checked_div(one).unwrap_or(0)
        }
        Operation::Verify => {
            let pages = rules
                .limits
                .segments
                .checked_div(rules.limits.parts_of(PAGE))
                .unwrap_or(0);
            pages.saturating_mul(PAGE) >> rules.config.block_size.trailing_zeros()
        }
        _ => 0,
    };
    let left = steps.total.saturating_sub(steps.done);
    let now = left.min(most);
    steps.now = now;
    request.extra = Extra::Steps(steps);
    (request.bytes, request.parts) = match request.operation {
        Operation::Repeat => (
            now.saturating_mul(rules.config.block_size),
            now.saturating_mul(steps.amount),
        ),
        Operation::Verify => {
            let bytes = now.saturating_mul(rules.config.block_size);
            let pages = bytes / PAGE;
            let rest = rules.limits.parts_of(bytes % PAGE);
            let parts = pages.saturating_mul(rules.limits.parts_of(PAGE));
            (bytes, parts.saturating_add(rest))
        }
        _ => {
            let bytes = now.saturating_mul(size_of::<DiscardWriteZeroes>() as u32);
            (bytes, rules.limits.parts_of(bytes))
        }
    };
    now > 0
}

/// After a step that succeeded: whether the device has to do more, which the request then says.
pub fn goes_on(rules: &Rules, request: &mut Request) -> bool {
    let advanced = |request: &Request| {
        let steps = request.steps();
        Steps {
            done: steps.done.saturating_add(steps.now),
            ..steps
        }
    };
    match (request.operation, request.stage) {
        (
            Operation::Write {
                force_unit_access: true,
            },
            Stage::Operation,
        ) => {
            request.stage = Stage::Flush;
            true
        }
        (Operation::Discard | Operation::Zero { .. }, Stage::Operation) => {
            next_step(rules, request, advanced(request))
        }
        (Operation::Repeat | Operation::Verify, Stage::Operation) => {
            let sectors = rules.config.sector(u64::from(request.steps().now));
            request.sector = request.sector.saturating_add(sectors);
            next_step(rules, request, advanced(request))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
