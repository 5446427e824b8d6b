//! The lock of a queue, and a value that is set once.

mod claim;

/// What a model checker takes the place of: `tests/loom` runs [`claim`] with atomics of its own.
mod atomic {
    pub use core::sync::atomic::{AtomicU32, Ordering};
}

use crate::ring::Ring;
use claim::Claim;
pub use claim::Free;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU8, Ordering};
use nt::irql::{Device, Dispatch};
use storport::{Adapter, Dpc};

/// One request queue with its DPC, and the lock that protects it: the driver's own.
///
/// StorPort leaves requests that come at the same time on several channels to the miniport, which "must provide its own lock" (MS:
/// nc-storport-hw_startio) and does so "by using a compiler interlocked intrinsic" (MS: nc-storport-hw_timer, of the same matter); the
/// kernel's spin locks are not for miniports (MS: HwStorPortProhibitedDDIs rule). StorPort's lock of a DPC would do for HwStartIo and the
/// DPCs, but HwInitialize, HwResetBus and others may not take it (MS: nf-storport-storportacquirespinlock).
///
/// Nobody spins for the queue for ever on the processor of its owner:
///
/// - HwStartIo, HwResetBus and the DPCs have it and wait for it at DISPATCH_LEVEL, where none of them interrupts another.
/// - HwInitialize and ScsiRestartAdapter run above that, where they may have interrupted one of those: they try for a while only
///   ([`Level::Device`]). Interrupt routines and the timer's never take it.
/// - The passive-initialisation routine has it below, where all of these may interrupt it, and tries for a while only. But until it
///   ends no DPC runs and no request takes a queue (`Disk::start_any`), and a reset first waits for the set-up, which the routine has for
///   as long, and not for ever ([`crate::disk::Disk`]'s `claim_setup`).
/// - The dump stack has one processor and nobody to wait for.
///
/// Who waits at DISPATCH_LEVEL spins and calls nothing: HwStartIo must not stall (MS: StorPortStartIo rule). Unlike the kernel's spin
/// locks, that tells a hypervisor of a long wait nothing but what it finds out itself by PAUSE, on x64.
///
/// An owner waits for nothing that another processor keeps while it waits for the queue, takes no second queue, completes no request, and
/// each of its waits for the device has a deadline.
pub struct QueueCell {
    /// Runs after the queue's interrupt. Nobody else queues it than `ffi::dpc`, as its routine is given the cell.
    pub(in crate::ffi) dpc: Dpc,
    claim: Claim,
    ring: UnsafeCell<Ring>,
}

// SAFETY: the ring is reached only by whoever has the claim.
unsafe impl Sync for QueueCell {}

impl core::fmt::Debug for QueueCell {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("QueueCell")
    }
}

/// Proof that the adapter's queues may be waited for: HwStartIo or a DPC runs.
///
/// It stays on the processor that it was made on.
#[derive(Clone, Copy, Debug)]
pub struct Locks(Adapter, PhantomData<*const ()>);

impl Locks {
    /// # Safety
    /// The processor runs at DISPATCH_LEVEL for as long as the token is used, or nothing interrupts it: the dump stack.
    #[inline(always)] // nothing
    pub const unsafe fn assume(adapter: Adapter) -> Self {
        Self(adapter, PhantomData)
    }

    /// The adapter.
    #[inline(always)] // as above
    pub const fn adapter(self) -> Adapter {
        self.0
    }
}

/// The level that code runs at, and so how long it may wait for a queue.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// HwStartIo, HwResetBus or a DPC.
    Dispatch(Dispatch),
    /// HwInitialize or HwAdapterControl.
    Device(Device),
    /// The passive-initialisation routine.
    Passive,
}

impl QueueCell {
    /// A queue that nobody uses yet.
    pub fn new(ring: Ring) -> Self {
        Self {
            dpc: Dpc::new(),
            claim: Claim::new(ring.free()),
            ring: UnsafeCell::new(ring),
        }
    }

    /// Runs `body` with the queue locked.
    #[inline]
    pub fn with<R>(&self, _: Dispatch, body: impl FnOnce(&mut Ring) -> R) -> R {
        if !self.claim.try_any() {
            self.claim.wait_any(spin_loop);
        }
        // SAFETY: claimed just now.
        run_any(unsafe { self.claimed() }, body)
    }

    /// Locks the queue if requests can go the short way there. Who changes what that depends on settles the ring ([`Ring::settle`]).
    #[inline(always)]
    pub fn hold_swift(&self, _: Locks) -> Option<Held<'_>> {
        let claimed = self.claim.try_swift() || self.claim.wait_swift(spin_loop);
        // SAFETY: if so, just now.
        claimed.then(|| unsafe { self.claimed() })
    }

    /// Runs `body` if the queue is free or becomes so soon. `None`: it does not. Waiting for ever could deadlock, as the owner may be
    /// interrupted by the caller.
    pub fn try_with<R>(
        &self,
        adapter: Adapter,
        level: Level,
        body: impl FnOnce(&mut Ring) -> R,
    ) -> Option<R> {
        match level {
            Level::Dispatch(at) => Some(self.with(at, body)),
            Level::Device(_) | Level::Passive => {
                // SAFETY: if so, just now.
                let held = self.claim_soon(adapter).then(|| unsafe { self.claimed() });
                held.map(|held| run_any(held, body))
            }
        }
    }

    /// Claims the queue, in longer than any owner takes it: that looks at some completions. False: it is not free.
    #[inline(never)] // used for several bodies
    fn claim_soon(&self, adapter: Adapter) -> bool {
        const POLL_US: u32 = 10;
        const LOOKS: u32 = 500;
        (0..LOOKS).any(|_| {
            let free = self.claim.try_any();
            if !free {
                adapter.stall(POLL_US);
            }
            free
        })
    }

    /// # Safety
    /// The caller has claimed the queue, once for each call.
    #[inline(always)] // nothing
    const unsafe fn claimed(&self) -> Held<'_> {
        Held(self, PhantomData)
    }
}

/// For a body that may do anything with the queue.
fn run_any<R>(mut held: Held<'_>, body: impl FnOnce(&mut Ring) -> R) -> R {
    let result = body(held.ring());
    held.ring().settle();
    result
}

/// A queue that is locked, until this is dropped, on the processor that it was locked on.
#[must_use]
#[derive(Debug)]
pub struct Held<'a>(&'a QueueCell, PhantomData<*const ()>);

impl Held<'_> {
    /// The ring.
    #[inline(always)] // nothing
    pub const fn ring(&mut self) -> &mut Ring {
        // SAFETY: the queue is claimed for this value (`claimed`), which is borrowed, so nobody else has a reference to the ring.
        unsafe { &mut *self.0.ring.get() }
    }
}

impl Drop for Held<'_> {
    #[inline(always)] // as small as that
    fn drop(&mut self) {
        let free = self.ring().free();
        self.0.claim.give(free);
    }
}

/// A value that is set at most once, by anybody.
pub struct Once<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written by one owner (`EMPTY` to `WRITING`) and only read from `SET` on.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> core::fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Once")
    }
}

const EMPTY: u8 = 0;
const WRITING: u8 = 1;
const SET: u8 = 2;

impl<T> Once<T> {
    /// Not set.
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(None),
        }
    }

    /// Sets the value, unless it is set already or somebody is about to.
    pub fn set(&self, value: T) {
        let first =
            self.state
                .compare_exchange(EMPTY, WRITING, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            // SAFETY: only the one who took EMPTY comes here, and nobody reads before SET.
            unsafe { *self.value.get() = Some(value) };
            // Orders the value before the word that says it is there; pairs with the load in `get`. Relaxed could show the
            // word first.
            self.state.store(SET, Ordering::Release);
        }
    }

    /// The value, if it is set.
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != SET {
            return None;
        }
        // SAFETY: nobody writes after SET.
        unsafe { &*self.value.get() }.as_ref()
    }
}

#[cfg(test)]
mod tests;
