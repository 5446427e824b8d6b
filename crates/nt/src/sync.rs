//! A spin lock for code that already runs at DISPATCH_LEVEL or above.

use crate::irql::{Device, Dispatch};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use nt_sys::ntoskrnl::{
    KeAcquireSpinLockAtDpcLevel, KeReleaseSpinLockFromDpcLevel, KeTryToAcquireSpinLockAtDpcLevel,
};
use nt_sys::types::{FALSE, KSPIN_LOCK};

/// Data behind a KSPIN_LOCK. Must lie in non-paged memory; a zeroed one is free.
#[repr(C)]
pub struct SpinLock<T> {
    raw: UnsafeCell<KSPIN_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: the data is reached only through a guard, and the kernel gives the lock to one processor at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> core::fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SpinLock")
    }
}

impl<T> SpinLock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Self {
        Self {
            raw: UnsafeCell::new(0),
            data: UnsafeCell::new(data),
        }
    }

    /// Waits for the lock. Taking it twice on one processor waits for ever, as does waiting for an owner that the caller
    /// interrupted: code above DISPATCH_LEVEL uses [`SpinLock::try_lock`].
    pub fn lock(&self, _at: Dispatch) -> SpinLockGuard<'_, T> {
        // SAFETY: the token proves DISPATCH_LEVEL.
        unsafe { self.lock_at_dispatch() }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self, _at: Device) -> Option<SpinLockGuard<'_, T>> {
        // SAFETY: the token proves an IRQL above DISPATCH_LEVEL.
        unsafe { self.try_lock_at_dispatch() }
    }

    /// Waits for the lock without changing the IRQL.
    ///
    /// # Safety
    /// The caller runs at IRQL >= DISPATCH_LEVEL until the guard is dropped, does not hold this lock already, and every
    /// taker of this lock runs at the same IRQL or is never interrupted by a higher one that takes it.
    pub unsafe fn lock_at_dispatch(&self) -> SpinLockGuard<'_, T> {
        // SAFETY: the lock word is initialised and non-paged; the IRQL is the caller's promise.
        unsafe { KeAcquireSpinLockAtDpcLevel(self.raw.get()) };
        SpinLockGuard {
            lock: self,
            _here: PhantomData,
        }
    }

    /// Takes the lock if it is free, without changing the IRQL.
    ///
    /// # Safety
    /// The caller runs at IRQL >= DISPATCH_LEVEL until the guard is dropped.
    pub unsafe fn try_lock_at_dispatch(&self) -> Option<SpinLockGuard<'_, T>> {
        // SAFETY: as above.
        let taken = unsafe { KeTryToAcquireSpinLockAtDpcLevel(self.raw.get()) };
        // Made only if the lock was taken: a guard that is dropped frees it.
        (taken != FALSE).then(|| SpinLockGuard {
            lock: self,
            _here: PhantomData,
        })
    }

    /// The data, when there is only one owner anyway. Any IRQL.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

/// Holds the lock; frees it when dropped.
#[must_use]
pub struct SpinLockGuard<'a, T> {
    lock: &'a SpinLock<T>,
    /// A lock is released on the processor that took it.
    _here: PhantomData<*const ()>,
}

impl<T> Deref for SpinLockGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only way to the data while it lives.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for SpinLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for SpinLockGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard exists, so this processor holds the lock.
        unsafe { KeReleaseSpinLockFromDpcLevel(self.lock.raw.get()) };
    }
}

#[cfg(test)]
mod tests;
