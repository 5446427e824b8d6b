//! SRB extensions: where a request lives, and the part of it that the device sees.
//!
//! ```text
//!  ┌ to 16 ┬─────────┬────────────────────────────────┬──────────────────────────┐
//!  │       │ Request │ header 16 · serial 20 · status │ indirect table, 16 a row │
//!  └───────┴─────────┴────────────────────────────────┴──────────────────────────┘
//!            private   HEAD_LEN, seen by the device     seen by the device
//! ```

use crate::limits::{self, Limits};
use crate::request::{DESCRIPTOR_LEN, HEAD_LEN, NO_STATUS, Request, STATUS_OFFSET};
use crate::ring::Rules;
use core::mem::size_of;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use storport::srb::Usual;
use storport::{Adapter, Dma, ScatterGather, Segment, Srb};
use virtio_core::spec::blk::{RequestStatus, RequestType};

const ALIGN: usize = 16;
const PRIVATE: usize = size_of::<Request>().next_multiple_of(ALIGN);
/// Bytes of an extension besides the table.
const FIXED: usize = ALIGN - 1 + PRIVATE + HEAD_LEN;

// The promise of the design: at most 16 bytes for each descriptor, and 256.
const _: () = assert!(FIXED <= 256);
const _: () = assert!(align_of::<Request>() <= ALIGN);

/// SrbExtensionSize for requests of up to `segments` data descriptors.
pub const fn size(segments: u32) -> u32 {
    limits::rows(segments)
        .saturating_mul(DESCRIPTOR_LEN as u32)
        .saturating_add(FIXED as u32)
}

/// Bytes of an extension that the device may be given: head and table.
pub const fn room(limits: &Limits) -> u32 {
    size(limits.segments).saturating_sub((FIXED - HEAD_LEN) as u32)
}

/// What the device may be given of the smallest extension.
const LEAST: usize = (size(1) as usize).saturating_sub(FIXED - HEAD_LEN);

/// A block that HwBuildIo has, so that nobody has a box for its request yet.
#[derive(Clone, Copy)]
pub struct Building<'a>(&'a Srb);

impl<'a> Building<'a> {
    /// # Safety
    /// HwBuildIo was called with this block, and no more than HwBuildIo uses this `Srb`.
    #[inline(always)] // nothing
    pub const unsafe fn assume(srb: &'a Srb) -> Self {
        Self(srb)
    }

    /// The block.
    #[inline(always)] // as above
    pub const fn srb(self) -> &'a Srb {
        self.0
    }
}

/// The place of a request in the extension of its block.
pub struct Place(NonNull<u8>);

impl Place {
    /// That of a block. `None` if there is no extension.
    #[inline]
    pub fn of(srb: &Srb) -> Option<Self> {
        Self::inside(srb.extension())
    }

    /// The same, if the block is usual.
    #[inline(always)] // part of HwBuildIo
    pub fn of_usual(usual: &Usual<'_>) -> Option<Self> {
        Self::inside(usual.extension())
    }

    #[inline(always)] // as above
    fn inside(extension: *mut u8) -> Option<Self> {
        // NULL stays NULL.
        let base = extension.map_addr(|at| at.wrapping_add(ALIGN - 1) & !(ALIGN - 1));
        NonNull::new(base).map(Self)
    }

    /// The device's part of the extension, as far as it is contiguous for the device. `None` if not even the head is.
    ///
    /// This is the one physical-address lookup of a request that does not go the short way.
    #[inline(always)] // for the stack of its callers
    pub fn memory(&self, rules: &Rules) -> Option<Dma> {
        // SAFETY: the head lies there.
        let va = unsafe { self.0.add(PRIVATE) };
        // MS: nf-storport-storportgetphysicaladdress: no SRB for an address that is not in its data or sense buffer.
        let physical = rules.adapter.physical_address(None, va.as_ptr().cast())?;
        let len = rules.room.min(physical.len) as usize;
        (len >= HEAD_LEN).then_some(Dma {
            va,
            address: physical.address,
            len,
        })
    }

    /// The first `len` bytes of the device's part of the extension, which are no more than every extension has. `None` if they are not
    /// contiguous for the device.
    ///
    /// As [`Self::memory`], for a request that goes the short way: its one lookup.
    #[inline(always)] // part of HwBuildIo
    pub fn short_memory(&self, adapter: Adapter, len: usize) -> Option<Dma> {
        if len > LEAST {
            return None;
        }
        // SAFETY: the head lies there.
        let va = unsafe { self.0.add(PRIVATE) };
        // SAFETY: `inside` aligned the place, and `PRIVATE` is a multiple.
        unsafe { core::hint::assert_unchecked(va.addr().get().is_multiple_of(ALIGN)) };
        let physical = adapter.physical_address(None, va.as_ptr().cast())?;
        (physical.len as usize >= len).then_some(Dma {
            va,
            address: physical.address,
            len,
        })
    }

    /// Writes the head of a request that the device does not know yet: what [`Request::header`] says, and no status.
    #[inline(always)] // part of HwBuildIo
    pub fn write_head(&self, request_type: RequestType, sector: u64) {
        let head = self.0.as_ptr().wrapping_add(PRIVATE);
        let words = head.cast::<u64>();
        // SAFETY: the extension has a head at `PRIVATE`, which is aligned and this driver's alone.
        unsafe { words.write(u64::from(request_type.0).to_le()) };
        // SAFETY: as above.
        unsafe { words.wrapping_add(1).write(sector.to_le()) };
        // SAFETY: as above.
        unsafe { head.wrapping_add(STATUS_OFFSET).write(NO_STATUS) };
    }

    /// Puts the request of a block there, which owns the block from HwStartIo on ([`RequestBox::take`]).
    #[inline(always)] // part of HwBuildIo, so that the request is made where it stays
    pub fn put(self, block: Building<'_>, request: Request) {
        // SAFETY: the block's `Srb` ends with HwBuildIo (`Building`), and nobody has a box for the request before `take`, which takes the
        // next one.
        let srb = unsafe { Srb::from_raw(block.srb().as_raw()) };
        let request = Request { srb, ..request };
        // SAFETY: the extension has at least `size(1)` bytes, so an aligned `Request` fits at its start; it is this driver's alone
        // until the block is completed. Only HwBuildIo puts a request, before there is a box for it, and one that is overwritten needs
        // no drop.
        unsafe { self.0.cast::<Request>().write(request) };
    }
}

/// A request in the extension of the block that it owns. Not `Clone`: whoever has it owns the request.
#[derive(Debug)]
#[repr(transparent)]
pub struct RequestBox(NonNull<Request>);

// SAFETY: the box is the only way to the request, which is bound to no processor.
unsafe impl Send for RequestBox {}

impl RequestBox {
    /// Takes the block over together with the request that HwBuildIo put into its extension.
    ///
    /// # Safety
    /// A request was [put](Place::put) into this block's extension since StorPort gave it to the driver; if it says
    /// where success is written, that is [of this block](Usual::status).
    #[inline(always)] // part of HwStartIo
    pub unsafe fn take(srb: Srb) -> Self {
        // SAFETY: the block has an extension, as a request was put there.
        let place = unsafe { Place::of(&srb).unwrap_unchecked() };
        // The request has had the block since it was put there.
        Self(place.0.cast())
    }

    /// The request's place.
    pub const fn as_ptr(&self) -> NonNull<Request> {
        self.0
    }

    /// Gives the block out; the request is over.
    pub fn finish(mut self) -> Option<Srb> {
        self.srb.take()
    }

    /// Whether the device did all of a plain transfer that it says it has finished: what [`Request::judge`] says of it, in short.
    #[inline(always)] // part of a DPC
    pub fn has_succeeded(&self, written: u32) -> bool {
        if self.plain.is_none() || written < self.enough {
            return false;
        }
        let head = self.0.cast::<u8>().as_ptr().wrapping_add(PRIVATE);
        // SAFETY: the extension has a head at `PRIVATE`, which the device was given with a plain transfer; it may still write there.
        let status = unsafe { head.wrapping_add(STATUS_OFFSET).read_volatile() };
        status == RequestStatus::OK.0
    }

    /// Completes a plain transfer that went well.
    ///
    /// # Safety
    /// The request is [plain](Request::plain).
    #[inline(always)] // part of a DPC
    pub unsafe fn succeed(self, adapter: Adapter) {
        // SAFETY: the caller's promise.
        let plain = unsafe { self.plain.unwrap_unchecked() };
        // SAFETY: the request is given up here, so nobody finds what is left behind of it.
        let srb = unsafe { (&raw const self.srb).read() };
        // SAFETY: `put` put it there; `finish` takes it away with the request, and nobody else that of a plain one (`Request::srb`).
        let mut srb = unsafe { srb.unwrap_unchecked() };
        // SAFETY: `plain` is of this block (`take`).
        unsafe { srb.succeed(plain) };
        adapter.complete_as_set(srb);
    }
}

/// The runs of a request's data, for as long as it takes to describe them to the device.
pub fn segments(adapter: Adapter, srb: &Srb) -> Option<ScatterGather<'static>> {
    let list = adapter.scatter_gather(srb)?;
    // SAFETY: StorPort keeps the list until the block is completed; the callers use it up while they hold the request, or
    // the queue lock under which the request was given to the ring.
    Some(unsafe { core::mem::transmute::<ScatterGather<'_>, ScatterGather<'static>>(list) })
}

/// The run of a request's data, if there is but one.
#[inline(always)] // part of HwBuildIo
pub fn only_segment(adapter: Adapter, srb: &Srb) -> Option<Segment> {
    let mut list = adapter.scatter_gather(srb)?;
    (list.len() == 1).then(|| list.next()).flatten()
}

impl Deref for RequestBox {
    type Target = Request;
    fn deref(&self) -> &Request {
        // SAFETY: `take` proved that a request is there, and the box is the only way to it.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for RequestBox {
    fn deref_mut(&mut self) -> &mut Request {
        // SAFETY: as above, and the box is borrowed mutably.
        unsafe { self.0.as_mut() }
    }
}

#[cfg(test)]
mod tests;
