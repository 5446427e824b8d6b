//! Locks, and the tokens that prove the IRQL they may be taken at.

use nt::sync::{SpinLock, SpinLockGuard};

/// Proof that the code runs at DISPATCH_LEVEL: in HwStartIo, HwResetBus or a DPC.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch(());

impl Dispatch {
    /// # Safety
    /// The caller runs at DISPATCH_LEVEL for as long as the token is used.
    pub const unsafe fn assume() -> Self {
        Self(())
    }
}

/// Proof that the code runs above DISPATCH_LEVEL, with the interrupt lock held: in HwInitialize or HwAdapterControl.
#[derive(Clone, Copy, Debug)]
pub struct Device(());

impl Device {
    /// # Safety
    /// The caller runs at an IRQL above DISPATCH_LEVEL for as long as the token is used.
    pub const unsafe fn assume() -> Self {
        Self(())
    }
}

/// Data that is used at DISPATCH_LEVEL, and above only if it is free.
///
/// It is a lock of the kernel and not one of StorPort's, because HwResetBus needs it too, and there StorPort allows no lock
/// but the interrupt lock. MS: nf-storport-storportacquirespinlock
pub struct Lock<T>(SpinLock<T>);

impl<T> core::fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Lock")
    }
}

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(data: T) -> Self {
        Self(SpinLock::new(data))
    }

    /// Waits for the lock.
    pub fn lock(&self, _: Dispatch) -> SpinLockGuard<'_, T> {
        // SAFETY: the token proves DISPATCH_LEVEL; takers above it never wait (`try_lock`); and no function of this driver
        // takes a lock while it holds one.
        unsafe { self.0.lock_at_dispatch() }
    }

    /// Takes the lock if it is free. Waiting at DIRQL could deadlock: the owner may be an interrupted DPC of a processor
    /// that waits for the interrupt lock, which the caller holds.
    pub fn try_lock(&self, _: Device) -> Option<SpinLockGuard<'_, T>> {
        // SAFETY: the token proves an IRQL above DISPATCH_LEVEL.
        unsafe { self.0.try_lock_at_dispatch() }
    }
}
