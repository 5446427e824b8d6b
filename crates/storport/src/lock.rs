//! StorPort's spin locks. Order: StartIo or DPC first, then Interrupt (MS: nf-storport-storportacquirespinlock, which
//! also says which routine may take which).

use crate::adapter::Adapter;
use crate::dpc::Dpc;
use crate::status::StorStatus;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use nt_sys::storport::*;

/// Which lock.
#[derive(Clone, Copy, Debug)]
pub enum Lock<'a> {
    /// The lock of one DPC. From HwStartIo, HwBuildIo, HwAdapterControl, HwUnitControl, HwDpcRoutine.
    Dpc(&'a Dpc),
    /// The lock that HwStartIo runs under when channels are not concurrent.
    StartIo,
    /// The locks of all interrupts of the adapter. IRQL becomes DIRQL.
    Interrupt,
}

impl Adapter {
    /// Runs `body` with the lock held; raises the IRQL for as long. The body must not complete requests, take the same
    /// lock again or one that comes earlier in the order.
    pub fn with_lock<R>(self, lock: Lock<'_>, body: impl FnOnce() -> R) -> R {
        self.with_lock_if(true, lock, body)
    }

    /// The same, without the lock if it is not `needed`: in the dump stack ([`crate::dump`]), which has one processor.
    pub fn with_lock_if<R>(self, needed: bool, lock: Lock<'_>, body: impl FnOnce() -> R) -> R {
        // The lock's queue points to the handle: it stays in this frame, which nothing unwinds (panic = abort).
        let mut handle = MaybeUninit::<STOR_LOCK_HANDLE>::uninit();
        let handle = handle.as_mut_ptr();
        self.acquire(needed, lock, handle);
        let result = body();
        self.release(needed, handle);
        result
    }

    /// The same for the lock of a DPC, without a call in between: for what is done for each request.
    ///
    /// # Safety
    /// This is HwStartIo or a DPC (MS: nf-storport-storportacquirespinlock), and not in the dump stack ([`crate::dump`]).
    #[inline(always)]
    pub unsafe fn with_dpc_lock<R>(self, dpc: &Dpc, body: impl FnOnce() -> R) -> R {
        let mut handle = MaybeUninit::<STOR_LOCK_HANDLE>::uninit();
        let handle = handle.as_mut_ptr();
        // SAFETY: the handle stays in this frame, which nothing unwinds, until the release; the caller is where DPC locks may be taken.
        unsafe {
            StorPortNotification(
                AcquireSpinLock,
                self.as_raw(),
                DpcLock,
                dpc.as_raw(),
                handle,
            )
        };
        let result = body();
        // SAFETY: the acquisition filled the handle.
        unsafe { StorPortNotification(ReleaseSpinLock, self.as_raw(), handle) };
        result
    }

    #[inline(never)] // so that no body stands twice, for with and without
    fn acquire(self, needed: bool, lock: Lock<'_>, handle: *mut STOR_LOCK_HANDLE) {
        let (kind, context): (STOR_SPINLOCK, *mut c_void) = match lock {
            Lock::Dpc(dpc) => (DpcLock, dpc.as_raw().cast()),
            Lock::StartIo => (StartIoLock, null_mut()),
            Lock::Interrupt => (InterruptLock, null_mut()),
        };
        if needed {
            // MS: storport.h, AcquireSpinLock takes the kind, its context and the handle.
            // SAFETY: the handle is memory of ours that stays where it is until the release.
            unsafe { StorPortNotification(AcquireSpinLock, self.as_raw(), kind, context, handle) };
        }
    }

    #[inline(never)] // as above
    fn release(self, needed: bool, handle: *mut STOR_LOCK_HANDLE) {
        if needed {
            // SAFETY: the handle is the one that the acquisition filled.
            unsafe { StorPortNotification(ReleaseSpinLock, self.as_raw(), handle) };
        }
    }

    /// Runs `body` with the lock of one interrupt message held, at that message's IRQL. Only with
    /// InterruptSynchronizePerMessage. Any IRQL up to that of the message.
    ///
    /// # Errors
    /// What StorPort refused the lock with; `body` did not run then.
    pub fn with_message_lock<R>(
        self,
        message: u32,
        body: impl FnOnce() -> R,
    ) -> Result<R, StorStatus> {
        let mut old_irql = 0_u32;
        // SAFETY: `old_irql` outlives the call.
        let status = unsafe {
            StorPortExtendedFunction(
                ExtFunctionAcquireMSISpinLock,
                self.as_raw(),
                message,
                &raw mut old_irql,
            )
        };
        StorStatus::check(status)?;
        let result = body();
        // SAFETY: the lock was taken above, and `old_irql` is what it gave.
        let _released = unsafe {
            StorPortExtendedFunction(
                ExtFunctionReleaseMSISpinLock,
                self.as_raw(),
                message,
                old_irql,
            )
        };
        // The release of a lock that was taken has no failure of its own (MS: nf-storport-storportreleasemsispinlock).
        Ok(result)
    }
}
