//! The descriptor chain of a request: header, data, status. Virtio 1.3 §5.2.6
#![forbid(unsafe_code)]

use crate::ffi::dma::region;
use crate::ffi::extension;
use crate::limits::PAGE;
use crate::request::{
    DESCRIPTOR_LEN, HEAD_LEN, ID_OFFSET, NO_STATUS, Operation, Outcome, Request, STATUS_OFFSET,
    Stage,
};
use crate::ring::Rules;
use crate::segments::{Measure, Parts, measure};
use core::cell::Cell;
use core::iter::{Chain as Joined, Flatten, Once, once};
use core::mem::size_of;
use storport::{Dma, ScatterGather, Segment, Srb};
use virtio_core::mem::{DeviceAddress, DmaRegion};
use virtio_core::ring::{IndirectChain, Part};
use virtio_core::spec::blk::{ID_LEN, RequestHeader};

/// Whether the request's table fits into `room` bytes.
pub fn table_fits(request: &Request, room: usize) -> bool {
    (request.chain_len() as usize).saturating_mul(DESCRIPTOR_LEN) <= room
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
        let at = DeviceAddress(place.address);
        let (out, into) = match (request.stage, request.operation) {
            (Stage::Operation, Operation::Read | Operation::Identify) => (None, Some(data)),
            (Stage::Operation, Operation::Write { .. }) => (Some(data), None),
            _ => (None, None),
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

/// A request's data: its scatter list, or one piece of memory.
pub enum Data {
    /// As it lies in the request's buffer.
    List(ScatterGather<'static>),
    /// In a bounce page, or where the serial number goes.
    One(Once<Segment>),
}

impl Iterator for Data {
    type Item = Segment;
    #[inline]
    fn next(&mut self) -> Option<Segment> {
        match self {
            Self::List(list) => list.next(),
            Self::One(one) => one.next(),
        }
    }
}

/// Writes the head and cuts the place in two: head and table.
fn split(request: &Request, place: Dma) -> Option<DmaRegion> {
    let (mut head, table) = region(place)?.split_at(HEAD_LEN).ok()?;
    head.write(0, request.header()).ok()?;
    head.write(STATUS_OFFSET, NO_STATUS).ok()?;
    Some(table)
}

/// Writes the head of the request's present stage to `place`. Returns the chain, and the room for its table.
pub fn start(
    rules: &Rules,
    request: &Request,
    place: Dma,
    page: Option<Dma>,
) -> Option<(Chain<Parts<Data>>, DmaRegion)> {
    let table = split(request, place)?;
    let segment = |address, len| Data::One(once(Segment { address, len }));
    let (data, bytes) = match (request.stage, request.operation, page) {
        (Stage::Operation, Operation::Identify, _) => {
            let address = place.address.checked_add(ID_OFFSET as u64)?;
            (segment(address, ID_LEN as u32), ID_LEN as u32)
        }
        (Stage::Operation, Operation::Read | Operation::Write { .. }, Some(page)) => {
            (segment(page.address, request.bytes), request.bytes)
        }
        (Stage::Operation, Operation::Read | Operation::Write { .. }, None) => {
            let list = extension::segments(rules.adapter, request.srb.as_ref()?)?;
            (Data::List(list), request.bytes)
        }
        // A flush moves no data.
        _ => (segment(0, 0), 0),
    };
    let parts = Parts::new(data, bytes, rules.limits.segment_bytes);
    Some((Chain::new(request, place, parts)?, table))
}

/// Describes a transfer to the device as far as that needs no lock: head, table, number of parts.
///
/// `srb` is the block that the request belongs to. The outcome says whether the request can be sent.
pub fn prepare(rules: &Rules, srb: &Srb, request: &mut Request) {
    let Some(list) = extension::segments(rules.adapter, srb) else {
        request.outcome = Outcome::Invalid;
        return;
    };
    let limits = &rules.limits;
    let parts = Parts::new(list, request.bytes, limits.segment_bytes);
    request.memory = extension::memory(rules.adapter, srb, limits);
    let written = match request.memory {
        Some(place) if rules.indirect() => write_table(rules, request, place, parts.clone()),
        _ => None,
    };
    let measure = match written {
        Some((chain, measure)) => {
            request.chain = Some(chain);
            measure
        }
        None => measure(parts),
    };
    request.parts = measure.parts;
    if measure.bytes != request.bytes {
        request.outcome = Outcome::Invalid;
    } else if measure.parts > limits.segments {
        request.chain = None;
        bounce(rules, srb, request);
    }
}

/// Has a page that does not fit as it lies go through a bounce page.
fn bounce(rules: &Rules, srb: &Srb, request: &mut Request) {
    let limits = &rules.limits;
    let (data, _) = srb.data();
    request.parts = request.bytes.div_ceil(limits.segment_bytes.max(1));
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
    let mut table = split(request, place)?;
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
