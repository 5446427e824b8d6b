//! The lock of a queue, and a value that is set once.

use crate::ring::Ring;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use nt::irql::{Device, Dispatch};
use storport::lock::Lock;
use storport::{Adapter, Dpc};

/// One request queue with its DPC, whose lock protects it.
///
/// StorPort's DPC lock, because kernel spin locks are forbidden to miniports (MS: HwStorPortProhibitedDDIs rule). It cannot be
/// taken in HwInitialize and in ScsiRestartAdapter, which run above DISPATCH_LEVEL, nor in HwResetBus (MS:
/// nf-storport-storportacquirespinlock); these claim the queue by `busy`, which every owner of the lock sets as well.
pub struct QueueCell {
    /// Runs after the queue's interrupt. Nobody else queues it than `ffi::dpc`, as its routine is given the cell.
    pub(in crate::ffi) dpc: Dpc,
    guard: Guard,
    busy: AtomicBool,
    ring: UnsafeCell<Ring>,
}

// SAFETY: the ring is reached only by whoever set `busy`.
unsafe impl Sync for QueueCell {}

impl core::fmt::Debug for QueueCell {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("QueueCell")
    }
}

/// What keeps processors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The lock of the queue's DPC.
    Lock,
    /// That there is but one: in the dump stack, which has no DPCs.
    OneProcessor,
}

/// Proof that the locks of an adapter's queues may be taken: HwStartIo or a DPC runs, and if it does so in the dump stack, the token
/// is used for no queue.
///
/// It stays on the processor that it was made on.
#[derive(Clone, Copy, Debug)]
pub struct Locks(Adapter, PhantomData<*const ()>);

impl Locks {
    /// # Safety
    /// This is HwStartIo or a DPC (MS: nf-storport-storportacquirespinlock), and nothing is locked with the token in the dump stack.
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

/// The level that code runs at, and so the way it gets at a queue.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// HwStartIo or a DPC.
    Dispatch(Dispatch),
    /// HwResetBus, which may not take the lock.
    ResetBus(Dispatch),
    /// HwInitialize or HwAdapterControl.
    Device(Device),
    /// The passive-initialisation routine, which may take no lock. MS: nf-storport-storportacquirespinlock
    Passive,
}

impl QueueCell {
    /// A queue that nobody uses yet.
    pub const fn new(guard: Guard, ring: Ring) -> Self {
        Self {
            dpc: Dpc::new(),
            guard,
            busy: AtomicBool::new(false),
            ring: UnsafeCell::new(ring),
        }
    }

    /// Runs `body` with the queue locked. From HwStartIo or a DPC, once the DPCs are initialised.
    #[inline]
    pub fn with<R>(&self, adapter: Adapter, _: Dispatch, body: impl FnOnce(&mut Ring) -> R) -> R {
        self.with_lock_if(self.guard == Guard::Lock, adapter, body)
    }

    #[inline]
    fn with_lock_if<R>(
        &self,
        needed: bool,
        adapter: Adapter,
        body: impl FnOnce(&mut Ring) -> R,
    ) -> R {
        adapter.with_lock_if(needed, Lock::Dpc(&self.dpc), || {
            // Not free only while another processor starts the adapter, resets the bus, or, for those, has the lock. It waits
            // for nothing that this one holds, and each of its waits for the device has a deadline.
            self.claim_at_last(adapter);
            self.run_any(body)
        })
    }

    /// As [`Self::with`], without a call in between: for what is done for each request. The body settles the ring itself, if need be
    /// ([`Ring::settle`]).
    #[inline(always)]
    pub fn with_now<R>(&self, locks: Locks, body: impl FnOnce(&mut Ring) -> R) -> R {
        let adapter = locks.adapter();
        let body = || {
            if !self.claim() {
                self.claim_at_last(adapter);
            }
            self.run(body)
        };
        // SAFETY: the token says so.
        unsafe { adapter.with_dpc_lock(&self.dpc, body) }
    }

    /// Claims the queue, however long that takes: see [`Self::with`].
    #[cold]
    #[inline(never)] // used twice or more
    fn claim_at_last(&self, adapter: Adapter) {
        while !self.claim() {
            adapter.stall(1);
        }
    }

    /// Runs `body` if the queue is free or becomes so soon. `None`: it does not. Waiting for ever could deadlock, as the owner may be
    /// an interrupted DPC of a processor that waits for the interrupt lock, which the caller holds.
    pub fn try_with<R>(
        &self,
        adapter: Adapter,
        level: Level,
        body: impl FnOnce(&mut Ring) -> R,
    ) -> Option<R> {
        match level {
            Level::Dispatch(_) => Some(self.with_lock_if(self.guard == Guard::Lock, adapter, body)),
            Level::ResetBus(_) => Some(self.with_lock_if(false, adapter, body)),
            Level::Device(_) | Level::Passive => {
                self.claim_soon(adapter).then(|| self.run_any(body))
            }
        }
    }

    /// Claims the queue, in longer than any owner takes it: that looks at some completions. False: it is not free.
    #[inline(never)] // used for several bodies
    fn claim_soon(&self, adapter: Adapter) -> bool {
        const POLL_US: u32 = 10;
        const LOOKS: u32 = 500;
        (0..LOOKS).any(|_| {
            let free = self.claim();
            if !free {
                adapter.stall(POLL_US);
            }
            free
        })
    }

    /// Acquire orders the body after this; it pairs with the release in `run`, so that the last owner's writes are seen.
    /// Relaxed would let the body read the ring as it was before; where the claim fails nothing is read, so there it is enough.
    fn claim(&self) -> bool {
        self.busy
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// For a body that may do anything with the queue.
    fn run_any<R>(&self, body: impl FnOnce(&mut Ring) -> R) -> R {
        self.run(|ring| {
            let result = body(ring);
            ring.settle();
            result
        })
    }

    fn run<R>(&self, body: impl FnOnce(&mut Ring) -> R) -> R {
        // SAFETY: `busy` was free and is now set by this caller, so nobody else has a reference to the ring.
        let result = body(unsafe { &mut *self.ring.get() });
        // Orders the body before this; see `claim`.
        self.busy.store(false, Ordering::Release);
        result
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
