//! The adapter, as StorPort knows it: by the address of its device extension.

use crate::srb::{Address, Srb};
use crate::status::{SrbStatus, StorStatus};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use nt_sys::storport::*;
use nt_sys::types::FALSE;

/// Names an adapter in calls to StorPort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adapter(NonNull<c_void>);

// SAFETY: a name, not an owner; StorPort takes its calls on any processor.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

/// A device address and the bytes that are contiguous from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Physical {
    /// Where the device sees the memory.
    pub address: u64,
    /// Contiguous bytes.
    pub len: u32,
}

impl Adapter {
    /// The adapter whose routine StorPort called with `device_extension`.
    ///
    /// # Safety
    /// `device_extension` is NULL or the HwDeviceExtension that StorPort gave to a routine of this miniport, and the
    /// adapter is not freed while this value or a copy is used.
    #[must_use]
    pub unsafe fn from_raw(device_extension: *mut c_void) -> Option<Self> {
        NonNull::new(device_extension).map(Self)
    }

    /// The same for a routine that StorPort calls with a device extension only.
    ///
    /// # Safety
    /// As of [`Adapter::from_raw`], and `device_extension` is not NULL.
    #[inline(always)] // part of such routines
    #[must_use]
    pub const unsafe fn given(device_extension: *mut c_void) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { NonNull::new_unchecked(device_extension) })
    }

    /// The device extension.
    #[must_use]
    pub const fn as_raw(self) -> *mut c_void {
        self.0.as_ptr()
    }

    /// Sets the status and gives the request back to StorPort. IRQL: any that miniport routines run at. Call
    /// it with no lock held: what the owner of the request does next is not ours to know.
    pub fn complete(self, mut srb: Srb, status: SrbStatus) {
        srb.set_status(status);
        self.complete_as_set(srb);
    }

    /// Gives a request back whose status is set already ([`Srb::set_sense`]).
    pub fn complete_as_set(self, srb: Srb) {
        // MS: nf-storport-storportnotification, RequestComplete takes the SRB.
        // SAFETY: the adapter and the request are StorPort's; `srb` is given up here, so nobody uses it afterwards.
        unsafe { StorPortNotification(RequestComplete, self.as_raw(), srb.into_raw()) };
    }

    /// The device address of memory that StorPort gave out. `srb` is the request whose data or sense buffer `va` lies in, or its extension
    /// where DMA is remapped (io.c of Microsoft's sample StorAhci), and else `None`. `None` if StorPort cannot convert it.
    ///
    /// MS: nf-storport-storportgetphysicaladdress
    #[must_use]
    pub fn physical_address(self, srb: Option<&Srb>, va: *const c_void) -> Option<Physical> {
        let mut len = MaybeUninit::uninit();
        let srb = srb.map_or(null_mut(), Srb::as_raw);
        let va = va.cast_mut();
        // SAFETY: StorPort only looks the address up; `len` outlives the call.
        let found = unsafe { StorPortGetPhysicalAddress(self.as_raw(), srb, va, len.as_mut_ptr()) };
        let address = found.QuadPart.cast_unsigned();
        if address == 0 {
            return None;
        }
        // SAFETY: with an address StorPort returns the length (MS: as above).
        let len = unsafe { len.assume_init() };
        Some(Physical { address, len })
    }

    /// The device addresses of a request's data buffer. `None` if it has no data.
    #[must_use]
    pub fn scatter_gather(self, srb: &Srb) -> Option<ScatterGather<'_>> {
        // SAFETY: the request is with the miniport.
        let list = unsafe { StorPortGetScatterGatherList(self.as_raw(), srb.as_raw()) };
        // SAFETY: StorPort keeps the list until the request completes, and `srb` is borrowed for as long.
        NonNull::new(list).map(|list| unsafe { ScatterGather::new(list) })
    }

    /// How many requests StorPort may have outstanding on a unit. IRQL <= DISPATCH_LEVEL, from the first INQUIRY of the
    /// unit on. False if StorPort refused.
    #[must_use]
    pub fn set_queue_depth(self, address: Address, depth: u32) -> bool {
        let Address { path, target, lun } = address;
        // SAFETY: takes numbers only.
        let done = unsafe { StorPortSetDeviceQueueDepth(self.as_raw(), path, target, lun, depth) };
        done != FALSE
    }

    /// Tells StorPort to hold requests back until `requests` of those outstanding have completed.
    pub fn busy(self, requests: u32) -> bool {
        // SAFETY: takes numbers only.
        let done = unsafe { StorPortBusy(self.as_raw(), requests) };
        done != FALSE
    }

    /// Has StorPort look at the bus again (units came or went). IRQL <= DISPATCH_LEVEL.
    pub fn bus_changed(self, path: u8) {
        // MS: nf-storport-storportnotification, BusChangeDetected takes the path id, a UCHAR promoted to int.
        // SAFETY: takes numbers only.
        unsafe { StorPortNotification(BusChangeDetected, self.as_raw(), i32::from(path)) };
    }

    /// Has StorPort look at a unit again that has changed. Any IRQL. `done` is called when it has; until then no other change
    /// can be told (MS: nf-storport-storportstatechangedetected).
    ///
    /// # Errors
    /// [`StorStatus::NotImplemented`] before Windows 8; else what StorPort refused with: another change is being dealt with.
    pub fn unit_changed(
        self,
        unit: &'static STOR_ADDR_BTL8,
        done: HW_STATE_CHANGE,
    ) -> Result<(), StorStatus> {
        let mut status = STOR_STATUS_NOT_IMPLEMENTED;
        const NO_ATTRIBUTES: u32 = 0;
        // MS: storport.h, StateChangeDetectedCall takes what changed, its address, attributes, the routine, its context and where
        // to put the answer.
        // SAFETY: the address never goes away, `done` has the routine's type, and `status` outlives the call.
        unsafe {
            StorPortNotification(
                StateChangeDetectedCall,
                self.as_raw(),
                STATE_CHANGE_LUN,
                core::ptr::from_ref(unit),
                NO_ATTRIBUTES,
                done,
                null_mut::<c_void>(),
                &raw mut status,
            )
        };
        StorStatus::check(status)
    }

    /// Has StorPort call `routine` once, in so many microseconds, at DISPATCH_LEVEL with the StartIo lock held. An adapter has one
    /// such timer. IRQL <= DISPATCH_LEVEL.
    pub fn request_timer(self, routine: HW_TIMER, microseconds: u32) {
        // MS: nf-storport-storportnotification, RequestTimerCall takes the routine and a ULONG.
        // SAFETY: `routine` has the routine's type; "the miniport driver is not called again" for an adapter that was stopped (MS:
        // ne-storport-scsi_adapter_control_type), which is before it goes.
        unsafe { StorPortNotification(RequestTimerCall, self.as_raw(), routine, microseconds) };
    }

    /// Spins, for less than a millisecond. Any IRQL. MS: nf-storport-storportstallexecution
    pub fn stall(self, microseconds: u32) {
        // SAFETY: takes a number only.
        unsafe { StorPortStallExecution(microseconds) };
    }
}

/// One run of a request's data in device addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where the device sees it.
    pub address: u64,
    /// Bytes.
    pub len: u32,
}

/// The runs of a request's data, in order.
#[derive(Clone, Debug)]
pub struct ScatterGather<'srb> {
    next: *const STOR_SCATTER_GATHER_ELEMENT,
    left: u32,
    _srb: PhantomData<&'srb Srb>,
}

impl ScatterGather<'_> {
    /// # Safety
    /// `list` and its elements are valid and unchanged for the lifetime.
    unsafe fn new(list: NonNull<STOR_SCATTER_GATHER_LIST>) -> Self {
        let list = list.as_ptr();
        // SAFETY: the list is valid.
        let left = unsafe { (*list).NumberOfElements };
        // SAFETY: the array begins inside the list's allocation, or one past its head.
        let next = unsafe { &raw const (*list).List };
        Self {
            next: next.cast(),
            left,
            _srb: PhantomData,
        }
    }
}

impl Iterator for ScatterGather<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `left` elements remain from `next` on.
        let element = unsafe { self.next.read() };
        self.next = self.next.wrapping_add(1);
        Some(Segment {
            address: element.PhysicalAddress.QuadPart.cast_unsigned(),
            len: element.Length,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for ScatterGather<'_> {}

#[cfg(test)]
mod tests;
