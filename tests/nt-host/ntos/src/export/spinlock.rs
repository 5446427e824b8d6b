//! KSPIN_LOCK in its forms.
//!
//! The lock's memory is kept as Windows keeps it for a plain lock, 1 while it is held, so that a driver that looks sees the truth.

use super::table::register as export;
use crate::abi::KLOCK_QUEUE_HANDLE;
use crate::lock::{self, LockKind};
use crate::{guest, sched};

/// A lock of the driver's own.
const PLAIN: LockKind = LockKind {
    name: "KSPIN_LOCK",
    rank: None,
    irql: sched::DISPATCH,
};
/// An in-stack queued lock.
const QUEUED: LockKind = LockKind {
    name: "queued KSPIN_LOCK",
    rank: None,
    irql: sched::DISPATCH,
};

/// KLOCK_QUEUE_HANDLE.LockQueue.Lock: the second pointer of KSPIN_LOCK_QUEUE (wdm.h).
const QUEUE_LOCK: usize = 8;

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    export(k, "KeInitializeSpinLock", |c| {
        lock::forget(c.ptr(0));
        guest::write_u64(c.ptr(0), 0);
        0
    });
    export(k, "KeAcquireSpinLockRaiseToDpc", |c| {
        acquire(c.ptr(0)).into()
    });
    export(k, "KeReleaseSpinLock", |c| {
        guest::write_u64(c.ptr(0), 0);
        lock::release(c.ptr(0), c.u8(1));
        0
    });
    export(k, "KeAcquireSpinLockAtDpcLevel", |c| {
        acquire_raised(c.ptr(0), PLAIN)
    });
    export(k, "KeReleaseSpinLockFromDpcLevel", |c| {
        guest::write_u64(c.ptr(0), 0);
        lock::release_raised(c.ptr(0));
        0
    });
    export(k, "KeTryToAcquireSpinLockAtDpcLevel", |c| {
        let taken = lock::try_acquire_raised(c.ptr(0), PLAIN);
        if taken {
            guest::write_u64(c.ptr(0), 1);
        }
        taken.into()
    });
    export(k, "KeTestSpinLock", |c| {
        sched::yield_now();
        u64::from(lock::is_free(c.ptr(0)))
    });
    // nf-wdm-keacquirespinlockfordpc: from a threaded DPC, which may run at PASSIVE_LEVEL, it raises; threaded DPCs run at DISPATCH_LEVEL here.
    export(k, "KeAcquireSpinLockForDpc", |c| acquire(c.ptr(0)).into());
    export(k, "KeReleaseSpinLockForDpc", |c| {
        guest::write_u64(c.ptr(0), 0);
        lock::release(c.ptr(0), c.u8(1));
        0
    });
    for name in [
        "KeAcquireInStackQueuedSpinLock",
        "KeAcquireInStackQueuedSpinLockForDpc",
    ] {
        export(k, name, |c| {
            let old = lock::acquire(c.ptr(0), QUEUED);
            guest::write_u64(c.ptr(0), 1);
            remember(c.ptr(1), c.ptr(0), old)
        });
    }
    for name in [
        "KeReleaseInStackQueuedSpinLock",
        "KeReleaseInStackQueuedSpinLockForDpc",
    ] {
        export(k, name, |c| {
            let (key, old) = recall(c.ptr(0));
            guest::write_u64(key, 0);
            lock::release(key, old);
            0
        });
    }
    export(k, "KeAcquireInStackQueuedSpinLockAtDpcLevel", |c| {
        acquire_raised(c.ptr(0), QUEUED);
        remember(c.ptr(1), c.ptr(0), sched::DISPATCH)
    });
    export(k, "KeReleaseInStackQueuedSpinLockFromDpcLevel", |c| {
        let (key, _) = recall(c.ptr(0));
        guest::write_u64(key, 0);
        lock::release_raised(key);
        0
    });
}

fn acquire(key: usize) -> u8 {
    let old = lock::acquire(key, PLAIN);
    guest::write_u64(key, 1);
    old
}

fn acquire_raised(key: usize, kind: LockKind) -> u64 {
    lock::acquire_raised(key, kind);
    guest::write_u64(key, 1);
    0
}

fn remember(handle: usize, key: usize, old: u8) -> u64 {
    let queue = KLOCK_QUEUE_HANDLE::LockQueue.at(handle);
    guest::write_u64(queue, 0);
    guest::write_u64(queue + QUEUE_LOCK, key as u64);
    KLOCK_QUEUE_HANDLE::OldIrql.set(handle, old.into());
    0
}

fn recall(handle: usize) -> (usize, u8) {
    let queue = KLOCK_QUEUE_HANDLE::LockQueue.at(handle);
    let key = guest::read_u64(queue + QUEUE_LOCK) as usize;
    (key, KLOCK_QUEUE_HANDLE::OldIrql.get(handle) as u8)
}
