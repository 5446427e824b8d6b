//! SRB extensions: where a request lives, and the part of it that the device sees.
//!
//! ```text
//!  ┌ to 16 ┬─────────┬────────────────────────────────┬──────────────────────────┐
//!  │       │ Request │ header 16 · serial 20 · status │ indirect table, 16 a row │
//!  └───────┴─────────┴────────────────────────────────┴──────────────────────────┘
//!            private   HEAD_LEN, seen by the device     seen by the device
//! ```

use crate::limits::{self, Limits};
use crate::request::{DESCRIPTOR_LEN, HEAD_LEN, Request};
use core::mem::size_of;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use storport::{Adapter, Dma, ScatterGather, Srb};

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

/// The aligned start of the extension.
fn base(srb: &Srb) -> Option<NonNull<u8>> {
    let extension = srb.extension();
    let skip = extension.addr().wrapping_neg() & (ALIGN - 1);
    NonNull::new(extension)
        .map(|_| extension.wrapping_add(skip))
        .and_then(NonNull::new)
}

/// The device's part of the extension, as far as it is contiguous for the device. `None` if not even the head is.
///
/// This is the one physical-address lookup of a request.
pub fn memory(adapter: Adapter, srb: &Srb, limits: &Limits) -> Option<Dma> {
    let va = base(srb)?.as_ptr().wrapping_add(PRIVATE);
    // MS: nf-storport-storportgetphysicaladdress: no SRB for an address that is not in its data or sense buffer.
    let physical = adapter.physical_address(None, va.cast())?;
    let table = (size(limits.segments) as usize).saturating_sub(FIXED);
    let len = HEAD_LEN.saturating_add(table).min(physical.len as usize);
    (len >= HEAD_LEN).then_some(Dma {
        va: NonNull::new(va)?,
        address: physical.address,
        len,
    })
}

/// Puts a request into the extension of its block. False if there is no extension.
pub fn store(srb: &Srb, request: Request) -> bool {
    let Some(at) = base(srb) else { return false };
    // SAFETY: the extension has at least `size(1)` bytes, so an aligned `Request` fits at `base`; it is this driver's alone
    // until the block is completed, and a `Request` that is overwritten needs no drop.
    unsafe { at.cast::<Request>().write(request) };
    true
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
    /// [`store`] succeeded for this block since StorPort gave it to the driver.
    pub unsafe fn take(srb: Srb) -> Result<Self, Srb> {
        let Some(at) = base(&srb) else {
            return Err(srb);
        };
        let mut request = Self(at.cast());
        request.srb = Some(srb);
        Ok(request)
    }

    /// Gives the block out; the request is over.
    pub fn finish(mut self) -> Option<Srb> {
        self.srb.take()
    }
}

/// The runs of a request's data, for as long as it takes to describe them to the device.
pub fn segments(adapter: Adapter, srb: &Srb) -> Option<ScatterGather<'static>> {
    let list = adapter.scatter_gather(srb)?;
    // SAFETY: StorPort keeps the list until the block is completed; the callers use it up while they hold the request, or
    // the queue lock under which the request was given to the ring.
    Some(unsafe { core::mem::transmute::<ScatterGather<'_>, ScatterGather<'static>>(list) })
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
