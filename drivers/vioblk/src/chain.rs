//! The descriptor chain of a request: header, data, status. Virtio 1.3 §5.2.6
#![forbid(unsafe_code)]

use crate::ffi::dma::{given, region};
use crate::ffi::extension::{self, Place};
use crate::limits::PAGE;
use crate::ranges::{self, Steps};
use crate::request::{
    DESCRIPTOR_LEN, Extra, HEAD_LEN, ID_OFFSET, NO_STATUS, Operation, Outcome, Request,
    STATUS_OFFSET, Stage,
};
use crate::ring::Rules;
use crate::segments::{Measure, Parts, measure};
use core::cell::Cell;
use core::iter::{Chain as Joined, Flatten, Once, once};
use core::mem::{size_of, size_of_val};
use storport::{Dma, ScatterGather, Segment, Srb};
use virtio_core::mem::DmaRegion;
use virtio_core::ring::{IndirectChain, Part};
use virtio_core::spec::blk::{ID_LEN, Lifetime, RequestHeader};

/// Whether the request's table fits into `room` bytes.
pub fn table_fits(request: &Request, room: usize) -> bool {
    (request.chain_len() as usize).saturating_mul(DESCRIPTOR_LEN) <= room
}

/// Whether what lies behind the head fits into `room` bytes: ranges of blocks, and the table if there is one.
pub fn fits(rules: &Rules, request: &Request, room: usize) -> bool {
    room.checked_sub(request.ranges_len())
        .is_some_and(|room| !rules.indirect() || table_fits(request, room))
}

/// The parts of a chain.
pub struct Chain<I> {
    header: Part,
    status: Part,
    /// Data that the device reads.
    out: Option<I>,
    /// Data that the device writes.
    into: Option<I>,
}

type DataParts<I> = Flatten<core::option::IntoIter<I>>;

impl<I: Iterator<Item = Part>> Chain<I> {
    /// The chain of the request's present stage, whose head lies at `place`.
    fn new(request: &Request, place: Dma, data: I) -> Option<Self> {
        let at = given(place.address());
        let (out, into) = match (request.stage, request.operation) {
            (Stage::Flush, _) | (_, Operation::None | Operation::Flush { .. }) => (None, None),
            (
                _,
                Operation::Read | Operation::Identify | Operation::Lifetime | Operation::Verify,
            ) => (None, Some(data)),
            _ => (Some(data), None),
        };
        Some(Self {
            header: Part::new(at, size_of::<RequestHeader>() as u32),
            status: Part::new(at.checked_add(STATUS_OFFSET as u64)?, 1),
            out,
            into,
        })
    }

    /// Hands the parts over: what the device reads, then what it writes.
    #[inline]
    pub fn parts<R>(
        self,
        take: impl FnOnce(Joined<Once<Part>, DataParts<I>>, Joined<DataParts<I>, Once<Part>>) -> R,
    ) -> R {
        let readable = once(self.header).chain(self.out.into_iter().flatten());
        let writable = self.into.into_iter().flatten().chain(once(self.status));
        take(readable, writable)
    }
}

/// One side of a chain that is described when it is added to a queue: what the device reads, or what it writes.
pub struct Side {
    first: Option<Part>,
    data: Option<Parts<Data>>,
    last: Option<Part>,
}

impl Iterator for Side {
    type Item = Part;
    // Few requests come here; elsewhere it would be copied into each way to add a chain.
    #[inline(never)]
    fn next(&mut self) -> Option<Part> {
        self.first
            .take()
            .or_else(|| self.data.as_mut().and_then(Iterator::next))
            .or_else(|| self.last.take())
    }
}

impl Chain<Parts<Data>> {
    /// What the device reads, and what it writes.
    pub fn sides(self) -> (Side, Side) {
        let readable = Side {
            first: Some(self.header),
            data: self.out,
            last: None,
        };
        let writable = Side {
            first: None,
            data: self.into,
            last: Some(self.status),
        };
        (readable, writable)
    }
}

/// A request's data. It may go on for ever: [`Parts`] stops at the end of the request.
pub enum Data {
    /// As it lies in the request's buffer, again and again.
    List(Blocks),
    /// One piece of memory, again and again.
    One(Segment),
}

impl Iterator for Data {
    type Item = Segment;
    fn next(&mut self) -> Option<Segment> {
        match self {
            Self::List(list) => list.next(),
            Self::One(one) => Some(*one),
        }
    }
}

/// The first bytes of a scatter list, again and again.
pub struct Blocks {
    whole: ScatterGather<'static>,
    block: u32,
    rest: ScatterGather<'static>,
    left: u32,
}

impl Blocks {
    fn new(list: ScatterGather<'static>, block: u32) -> Self {
        Self {
            whole: list.clone(),
            block,
            rest: list,
            left: block,
        }
    }
}

impl Iterator for Blocks {
    type Item = Segment;
    #[inline]
    fn next(&mut self) -> Option<Segment> {
        if self.left == 0 {
            self.rest = self.whole.clone();
            self.left = self.block;
        }
        let mut segment = self.rest.next()?;
        segment.len = segment.len.min(self.left);
        self.left = self.left.saturating_sub(segment.len);
        Some(segment)
    }
}

/// Writes the head and cuts the place in two: what the device reads as it lies there, of `head` bytes, and the table.
#[inline(never)] // used twice
fn split(request: &Request, place: Dma, head: usize) -> Option<(DmaRegion, DmaRegion)> {
    let (mut head, table) = region(place)?.split_at(head).ok()?;
    head.write(0, request.header()).ok()?;
    head.write(STATUS_OFFSET, NO_STATUS).ok()?;
    Some((head, table))
}

/// Writes the head of the request's present stage to `place`. Returns the chain, and the room for its table.
pub fn start(
    rules: &Rules,
    request: &Request,
    place: Dma,
    page: Option<Dma>,
) -> Option<(Chain<Parts<Data>>, DmaRegion)> {
    let ranges_len = request.ranges_len();
    let (mut head, table) = split(request, place, HEAD_LEN.checked_add(ranges_len)?)?;
    let one = |address, len| Data::One(Segment { address, len });
    let inside = |offset: usize, len: usize| {
        let address = place.address().checked_add(offset as u64)?;
        Some((one(address, len as u32), len as u32))
    };
    let block = rules.config.block_size;
    let (data, bytes) = match (request.stage, request.operation, page) {
        // A flush moves no data.
        (Stage::Flush, ..) | (_, Operation::None | Operation::Flush { .. }, _) => (one(0, 0), 0),
        (_, operation @ (Operation::Identify | Operation::Lifetime), _) => {
            // Whatever the device leaves out reads as nothing.
            head.write(ID_OFFSET, [0u8; ID_LEN]).ok()?;
            let len = match operation {
                Operation::Identify => ID_LEN,
                _ => size_of::<Lifetime>(),
            };
            inside(ID_OFFSET, len)?
        }
        (_, Operation::Discard | Operation::Zero { .. }, _) => {
            write_ranges(rules, request, &mut head)?;
            inside(HEAD_LEN, ranges_len)?
        }
        (_, Operation::Verify, _) => (one(rules.scratch, PAGE), request.bytes),
        (_, Operation::Repeat, Some(page)) => (one(page.address(), block), request.bytes),
        (_, _, Some(page)) => (one(page.address(), request.bytes), request.bytes),
        (_, operation, None) => {
            let list = extension::segments(rules.adapter, request.srb.as_ref()?)?;
            let turn = if operation == Operation::Repeat {
                block
            } else {
                request.bytes
            };
            (Data::List(Blocks::new(list, turn)), request.bytes)
        }
    };
    let parts = Parts::new(data, bytes, rules.limits.segment_bytes);
    Some((Chain::new(request, place, parts)?, table))
}

/// Writes the ranges of the present step behind the head. `None`: there are fewer than there were.
fn write_ranges(rules: &Rules, request: &Request, head: &mut DmaRegion) -> Option<()> {
    let mut offset = HEAD_LEN;
    for segment in ranges::present(rules, request)? {
        head.write(offset, segment).ok()?;
        offset = offset.checked_add(size_of_val(&segment))?;
    }
    (offset == head.len()).then_some(())
}

/// Measures the one block of data that is to be written to many. The outcome says whether the request can be sent.
pub fn prepare_repeat(rules: &Rules, srb: &Srb, request: &mut Request) {
    let block = rules.config.block_size;
    let measure = extension::segments(rules.adapter, srb)
        .map(|list| measure(Parts::new(list, block, rules.limits.segment_bytes)));
    let mut amount = match measure {
        Some(measure) if measure.bytes == block => measure.parts,
        _ => {
            request.outcome = Outcome::Invalid;
            return;
        }
    };
    if amount > rules.limits.segments {
        // One block lies in one page there.
        request.bytes = block;
        bounce(rules, srb, request);
        amount = request.parts;
    }
    request.extra = Extra::Steps(Steps {
        amount,
        ..Steps::default()
    });
}

/// Describes a transfer to the device as far as that needs no lock: head, table, number of parts.
///
/// `srb` is the block that the request belongs to, and `place` that of the request. The outcome says whether the request can be sent.
#[cold]
#[inline(never)] // for its stack
pub fn prepare(rules: &Rules, srb: &Srb, place: &Place, request: &mut Request) {
    let Some(list) = extension::segments(rules.adapter, srb) else {
        request.outcome = Outcome::Invalid;
        return;
    };
    let limits = &rules.limits;
    request.memory = place.memory(rules, srb);
    let parts = Parts::new(list, request.bytes, limits.segment_bytes);
    let written = match request.memory {
        Some(place) if rules.indirect() => write_table(rules, request, place, parts.clone()),
        _ => None,
    };
    let (chain, measure) = match written {
        Some((chain, measure)) => (Some(chain), measure),
        None => (None, measure(parts)),
    };
    request.parts = measure.parts;
    if measure.bytes != request.bytes {
        request.outcome = Outcome::Invalid;
    } else if measure.parts > limits.segments {
        bounce(rules, srb, request);
    } else {
        request.chain = chain;
    }
}

/// Has a page that does not fit as it lies go through a bounce page.
fn bounce(rules: &Rules, srb: &Srb, request: &mut Request) {
    let limits = &rules.limits;
    let (data, _) = srb.data();
    request.parts = limits.parts_of(request.bytes);
    request.outcome = if !limits.bounce || request.bytes > PAGE || request.parts > limits.segments {
        Outcome::Invalid
    } else if data.is_null() {
        // StorPort had no memory to map the buffer. MS: ns-storport-_port_configuration_information, MapBuffers
        Outcome::Busy
    } else {
        request.needs_bounce = true;
        Outcome::Done
    };
}

/// Writes head and table in one walk over the data. `None` if the table does not fit.
fn write_table(
    rules: &Rules,
    request: &Request,
    place: Dma,
    parts: impl Iterator<Item = Part>,
) -> Option<(IndirectChain, Measure)> {
    let (_, mut table) = split(request, place, HEAD_LEN)?;
    let bytes = Cell::new(0u32);
    let counted = parts.inspect(|part| bytes.set(bytes.get().saturating_add(part.len)));
    let chain = Chain::new(request, place, counted)?
        .parts(|readable, writable| {
            IndirectChain::write(&mut table, rules.features, readable, writable)
        })
        .ok()?;
    let measure = Measure {
        parts: u32::from(chain.parts()).saturating_sub(2),
        bytes: bytes.get(),
    };
    Some((chain, measure))
}
