//! Deferred procedure calls: work that an interrupt hands on to DISPATCH_LEVEL.

use crate::adapter::Adapter;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use nt_sys::storport::*;

/// A DPC with its lock. Lives in memory that neither moves nor goes away while the adapter exists.
#[repr(transparent)]
pub struct Dpc(UnsafeCell<MaybeUninit<STOR_DPC>>);

// SAFETY: only StorPort touches the content, and it does so under its own synchronisation.
unsafe impl Sync for Dpc {}
// SAFETY: as above.
unsafe impl Send for Dpc {}

impl core::fmt::Debug for Dpc {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Dpc({:p})", self.as_raw())
    }
}

impl Default for Dpc {
    fn default() -> Self {
        Self::new()
    }
}

impl Dpc {
    /// A DPC that is not initialised yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    pub(crate) const fn as_raw(&self) -> *mut STOR_DPC {
        self.0.get().cast()
    }

    /// Gives it its routine. PASSIVE_LEVEL, from the passive-initialisation routine.
    ///
    /// # Safety
    /// `self` stays where it is as long as the adapter exists, and it is not queued.
    pub unsafe fn initialize(&self, adapter: Adapter, routine: HW_DPC_ROUTINE) {
        // MS: storport.h, InitializeDpc takes the DPC and the routine.
        // SAFETY: the caller keeps the DPC in place; StorPort fills it.
        unsafe { StorPortNotification(InitializeDpc, adapter.as_raw(), self.as_raw(), routine) };
    }

    /// Queues it, unless it is queued already: then it still runs after this moment. Runs on this processor, soon, at DISPATCH_LEVEL,
    /// with `argument` as its first one. Any IRQL.
    ///
    /// # Safety
    /// It was initialised.
    #[inline(always)] // part of an interrupt
    pub unsafe fn issue(&self, adapter: Adapter, argument: *const c_void) {
        let mut queued = MaybeUninit::<i32>::uninit();
        // MS: storport.h, IssueDpc takes the DPC, two arguments and where to put a LONG answer.
        // SAFETY: the DPC is initialised and `queued` outlives the call.
        unsafe {
            StorPortNotification(
                IssueDpc,
                adapter.as_raw(),
                self.as_raw(),
                argument.cast_mut(),
                null_mut::<u8>(),
                queued.as_mut_ptr(),
            )
        };
    }
}
