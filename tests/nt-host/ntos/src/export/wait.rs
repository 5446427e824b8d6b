//! Dispatcher objects: events, semaphores, mutexes, timers, threads; and waiting for them.

use std::time::Duration;

use super::table::register as export;
use super::timer;
use crate::abi::{DISPATCHER_HEADER, FAST_MUTEX};
use crate::{guest, rules, sched};

/// STATUS_TIMEOUT, STATUS_SUCCESS.
const TIMEOUT: u64 = 0x102;
const SUCCESS: u64 = 0;

/// DISPATCHER_HEADER.Type (wdm.h: EVENT_TYPE and TIMER_TYPE; the KOBJECTS values that the kernel keeps there).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    NotificationEvent = 0,
    SynchronizationEvent = 1,
    Mutant = 2,
    Semaphore = 5,
    Thread = 6,
    NotificationTimer = 8,
    SynchronizationTimer = 9,
}

/// KMUTANT.OwnerThread and KSEMAPHORE.Limit follow the header (wdm.h).
const LIMIT: usize = DISPATCHER_HEADER::SIZE;
const OWNER: usize = DISPATCHER_HEADER::SIZE + 16;

pub(super) fn initialize(object: usize, kind: Kind, state: i32) {
    guest::fill(object, DISPATCHER_HEADER::SIZE, 0);
    DISPATCHER_HEADER::Type.set(object, kind as u64);
    set_state(object, state);
    let list = DISPATCHER_HEADER::WaitListHead.at(object);
    guest::write_u64(list, list as u64);
    guest::write_u64(list + 8, list as u64);
}

pub(super) fn state(object: usize) -> i32 {
    guest::read_u32(DISPATCHER_HEADER::SignalState.at(object)).cast_signed()
}

fn set_state(object: usize, state: i32) {
    guest::write_u32(
        DISPATCHER_HEADER::SignalState.at(object),
        state.cast_unsigned(),
    );
}

/// Sets the object signalled; whoever waits finds it so.
pub(super) fn signal(object: usize) {
    set_state(object, 1);
}

/// Takes the object for thread `me` if it is signalled.
fn try_take(object: usize, me: u64) -> bool {
    let kind = DISPATCHER_HEADER::Type.get(object) & 0x7f;
    let current = state(object);
    if kind == Kind::Mutant as u64 {
        let owner = guest::read_u64(object + OWNER);
        if current <= 0 && owner != me {
            return false;
        }
        set_state(object, current - 1);
        guest::write_u64(object + OWNER, me);
        return true;
    }
    if current <= 0 {
        return false;
    }
    if kind == Kind::Semaphore as u64 {
        set_state(object, current - 1);
    } else if kind == Kind::SynchronizationEvent as u64 || kind == Kind::SynchronizationTimer as u64
    {
        set_state(object, 0);
    }
    true
}

/// A PLARGE_INTEGER timeout: none for a null pointer.
fn timeout(address: usize) -> Option<Duration> {
    (address != 0).then(|| timer::from_now(guest::read_u64(address)))
}

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    export(k, "KeInitializeEvent", |c| {
        let kind = if c.u32(1) == 0 {
            Kind::NotificationEvent
        } else {
            Kind::SynchronizationEvent
        };
        initialize(c.ptr(0), kind, c.u8(2).into());
        0
    });
    export(k, "KeSetEvent", |c| {
        // nf-wdm-kesetevent: with Wait the caller goes on to wait, so it must be below DISPATCH_LEVEL.
        if c.u8(2) != 0 && sched::irql() >= sched::DISPATCH {
            rules::violate(
                rules::IRQL_OF_CALL,
                format!("Wait is TRUE at IRQL {}", sched::irql()),
            );
        }
        let before = state(c.ptr(0));
        signal(c.ptr(0));
        u64::from(before.cast_unsigned())
    });
    export(k, "KeResetEvent", |c| {
        let before = state(c.ptr(0));
        set_state(c.ptr(0), 0);
        u64::from(before.cast_unsigned())
    });
    export(k, "KeClearEvent", |c| {
        set_state(c.ptr(0), 0);
        0
    });
    for name in [
        "KeReadStateEvent",
        "KeReadStateSemaphore",
        "KeReadStateMutex",
    ] {
        export(k, name, |c| u64::from(state(c.ptr(0)).cast_unsigned()));
    }
    export(k, "KeInitializeSemaphore", |c| {
        initialize(c.ptr(0), Kind::Semaphore, c.u32(1).cast_signed());
        guest::write_u32(c.ptr(0) + LIMIT, c.u32(2));
        0
    });
    export(k, "KeReleaseSemaphore", |c| {
        let before = state(c.ptr(0));
        let after = before.saturating_add(c.u32(2).cast_signed());
        if after > guest::read_u32(c.ptr(0) + LIMIT).cast_signed() || after < before {
            rules::fatal(
                rules::BUGCHECK,
                "STATUS_SEMAPHORE_LIMIT_EXCEEDED is raised".to_owned(),
            );
        }
        set_state(c.ptr(0), after);
        u64::from(before.cast_unsigned())
    });
    export(k, "KeInitializeMutex", |c| {
        initialize(c.ptr(0), Kind::Mutant, 1);
        guest::write_u64(c.ptr(0) + OWNER, 0);
        0
    });
    export(k, "KeReleaseMutex", |c| {
        let before = state(c.ptr(0));
        let me = sched::current_thread().map_or(0, |t| t.0);
        if guest::read_u64(c.ptr(0) + OWNER) != me || before > 0 {
            rules::fatal(
                rules::BUGCHECK,
                "STATUS_MUTANT_NOT_OWNED is raised".to_owned(),
            );
        }
        set_state(c.ptr(0), before + 1);
        if before + 1 == 1 {
            guest::write_u64(c.ptr(0) + OWNER, 0);
        }
        u64::from(before.cast_unsigned())
    });
    export(k, "KeWaitForSingleObject", |c| {
        wait_for(vec![c.ptr(0)], false, timeout(c.ptr(4)))
    });
    export(k, "KeWaitForMultipleObjects", |c| {
        let (count, all) = (c.u32(0) as usize, c.u32(2) == 0);
        // wdm.h: MAXIMUM_WAIT_OBJECTS
        if count == 0 || count > 64 {
            rules::fatal(rules::BUGCHECK, format!("waits for {count} objects"));
        }
        let objects = (0..count)
            .map(|i| guest::read_u64(c.ptr(1) + 8 * i) as usize)
            .collect();
        wait_for(objects, all, timeout(c.ptr(6)))
    });
    export(k, "KeDelayExecutionThread", |c| {
        let time = timeout(c.ptr(2))
            .unwrap_or_default()
            .max(Duration::from_nanos(1));
        sched::block_until("a delay", Some(time), Box::new(|| false));
        SUCCESS
    });
    fast_mutexes(k);
}

fn wait_for(objects: Vec<usize>, all: bool, timeout: Option<Duration>) -> u64 {
    let found = std::rc::Rc::new(std::cell::Cell::new(0));
    let slot = std::rc::Rc::clone(&found);
    let what = format!("{} kernel objects", objects.len());
    let me = sched::current_thread().map_or(0, |t| t.0);
    let check = move || {
        if all {
            return objects.iter().all(|&o| state(o) > 0)
                && objects.iter().all(|&o| try_take(o, me));
        }
        let taken = objects.iter().position(|&o| try_take(o, me));
        slot.set(taken.unwrap_or(0));
        taken.is_some()
    };
    if sched::block_until(&what, timeout, Box::new(check)) {
        found.get() as u64
    } else {
        TIMEOUT
    }
}

/// FAST_MUTEX and KGUARDED_MUTEX: Count is 1 while it is free, OldIrql keeps the caller's IRQL.
fn fast_mutexes(k: &'static str) {
    for name in ["ExInitializeFastMutex", "KeInitializeGuardedMutex"] {
        export(k, name, |c| {
            guest::fill(c.ptr(0), FAST_MUTEX::SIZE, 0);
            FAST_MUTEX::Count.set(c.ptr(0), 1);
            0
        });
    }
    for name in ["ExAcquireFastMutex", "KeAcquireGuardedMutex"] {
        export(k, name, |c| {
            let mutex = c.ptr(0);
            let free = move || FAST_MUTEX::Count.get(mutex) == 1;
            sched::block_until(
                "a fast mutex",
                None,
                Box::new(move || {
                    let taken = free();
                    if taken {
                        FAST_MUTEX::Count.set(mutex, 0);
                    }
                    taken
                }),
            );
            FAST_MUTEX::OldIrql.set(mutex, sched::raise(sched::APC).into());
            0
        });
    }
    export(k, "ExTryToAcquireFastMutex", |c| {
        let free = FAST_MUTEX::Count.get(c.ptr(0)) == 1;
        if free {
            FAST_MUTEX::Count.set(c.ptr(0), 0);
            FAST_MUTEX::OldIrql.set(c.ptr(0), sched::raise(sched::APC).into());
        }
        free.into()
    });
    for name in ["ExReleaseFastMutex", "KeReleaseGuardedMutex"] {
        export(k, name, |c| {
            if FAST_MUTEX::Count.get(c.ptr(0)) != 0 {
                rules::violate(
                    rules::LOCK_NOT_HELD,
                    "a fast mutex that is free is released".to_owned(),
                );
            }
            let old = FAST_MUTEX::OldIrql.get(c.ptr(0)) as u8;
            FAST_MUTEX::Count.set(c.ptr(0), 1);
            sched::lower(old);
            0
        });
    }
}
