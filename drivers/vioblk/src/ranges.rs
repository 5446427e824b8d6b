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

/// How far a request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Descriptors that one repeated block takes.
    pub amount: u32,
    /// All that is to be done: blocks, or the block descriptors of a discard.
    pub total: u32,
    /// What the device has done of them; of a discard, what it has begun.
    pub done: u32,
    /// What it is doing now: blocks, or segments.
    pub now: u32,
    /// What is left of the block descriptor that a discard has begun, or of a write of zeroes.
    pub left: Extent,
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

/// The segments of a discard or a write of zeroes that the device has not done yet.
///
/// A discard's are read from the command's data anew at each step, so they may differ from those that were checked, if the
/// initiator changes its buffer meanwhile: it then gives up other blocks of its own disk, or the device refuses.
struct Segments<'a> {
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
        let steps = request.steps();
        Some(Self {
            config: &rules.config,
            pieces: Pieces::new(steps.left, limits(rules, request.operation)?),
            data: SrbData(request.srb.as_ref()?),
            next: steps.done,
            listed: steps.total,
            unmap: request.operation == Operation::Zero { unmap: true },
        })
    }
}

impl Iterator for Segments<'_> {
    type Item = DiscardWriteZeroes;

    #[inline(never)] // used three times, and on no transfer's way
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
    let now = request.steps().now;
    Some(Segments::new(rules, request)?.take(now as usize))
}

/// Starts a discard of so many block descriptors, or a write of zeroes to so many blocks. False: there is nothing to do.
///
/// Here and at each step no more segments are looked at than one request takes, however small the device wants them.
pub fn begin_segments(rules: &Rules, request: &mut Request, amount: u32) -> bool {
    let steps = match request.operation {
        Operation::Zero { .. } => Steps {
            left: Extent {
                lba: request.sector >> rules.config.sectors_per_block().trailing_zeros(),
                blocks: amount,
            },
            ..Steps::default()
        },
        _ => Steps {
            total: amount,
            ..Steps::default()
        },
    };
    next_step(rules, request, steps)
}

/// Starts a request of so many blocks. False: there is nothing to do.
pub fn begin(rules: &Rules, request: &mut Request, total: u32) -> bool {
    let amount = request.steps().amount;
    let steps = Steps {
        amount,
        total,
        ..Steps::default()
    };
    next_step(rules, request, steps)
}

/// How many segments the device takes next.
fn count(rules: &Rules, request: &Request) -> u32 {
    let most = limits(rules, request.operation).map_or(0, |limits| limits.segments);
    let segments = Segments::new(rules, request);
    let count = segments.map_or(0, |segments| segments.take(most as usize).count());
    u32::try_from(count).unwrap_or(most)
}

/// Where the request stands once the present step is done.
fn advanced(rules: &Rules, request: &Request) -> Steps {
    let steps = request.steps();
    let by_segments = matches!(
        request.operation,
        Operation::Discard | Operation::Zero { .. }
    );
    match Segments::new(rules, request) {
        Some(mut segments) if by_segments => {
            segments.by_ref().take(steps.now as usize).for_each(drop);
            Steps {
                done: segments.next,
                left: segments.pieces.left,
                ..steps
            }
        }
        _ => Steps {
            done: steps.done.saturating_add(steps.now),
            ..steps
        },
    }
}

/// Chooses what the device is to do next.
fn next_step(rules: &Rules, request: &mut Request, mut steps: Steps) -> bool {
    request.extra = Extra::Steps(steps);
    let most = match request.operation {
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
    let now = match request.operation {
        Operation::Discard | Operation::Zero { .. } => count(rules, request),
        _ => steps.total.saturating_sub(steps.done).min(most),
    };
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
            next_step(rules, request, advanced(rules, request))
        }
        (Operation::Repeat | Operation::Verify, Stage::Operation) => {
            let sectors = rules.config.sector(u64::from(request.steps().now));
            request.sector = request.sector.saturating_add(sectors);
            next_step(rules, request, advanced(rules, request))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
