//! Time, and KTIMER objects.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::dpc;
use super::table::register as export;
use super::time;
use super::wait::{self, Kind};
use crate::abi::{DISPATCHER_HEADER, KTIMER};
use crate::sched::{self, TimerId};
use crate::{guest, rules};

/// nf-ntifs-kestallexecutionprocessor: "typically to less than 50 microseconds".
const LONGEST_STALL: u64 = 50;

thread_local! {
    /// Set KTIMERs and their period.
    static SET: RefCell<BTreeMap<usize, (TimerId, Duration)>> = const { RefCell::new(BTreeMap::new()) };
}

pub(super) fn register() {
    SET.take();
    let k = "ntoskrnl.exe";
    for dll in [k, "hal.dll"] {
        export(dll, "KeQueryPerformanceCounter", |c| {
            if c.ptr(0) != 0 {
                guest::write_u64(c.ptr(0), time::FREQUENCY);
            }
            time::interrupt()
        });
        export(dll, "KeStallExecutionProcessor", |c| {
            let length = u64::from(c.u32(0));
            if length > LONGEST_STALL && sched::irql() >= sched::DISPATCH {
                rules::violate(
                    rules::STALL_TIME,
                    format!("stalls for {length} µs, at most {LONGEST_STALL} are documented"),
                );
            }
            sched::stall(length);
            0
        });
    }
    export(k, "KeQueryInterruptTime", |_| time::interrupt());
    export(k, "KeQueryUnbiasedInterruptTime", |_| time::interrupt());
    for name in [
        "KeQueryInterruptTimePrecise",
        "KeQueryUnbiasedInterruptTimePrecise",
    ] {
        export(k, name, |c| {
            if c.ptr(0) != 0 {
                guest::write_u64(c.ptr(0), time::interrupt());
            }
            time::interrupt()
        });
    }
    for name in ["KeQuerySystemTime", "KeQuerySystemTimePrecise"] {
        export(k, name, |c| {
            guest::write_u64(c.ptr(0), time::system());
            0
        });
    }
    export(k, "KeQueryTickCount", |c| {
        guest::write_u64(c.ptr(0), time::tick_count());
        0
    });
    export(k, "KeQueryTimeIncrement", |_| time::INCREMENT);
    // The time zone is UTC.
    for name in ["ExSystemTimeToLocalTime", "ExLocalTimeToSystemTime"] {
        export(k, name, |c| {
            guest::copy(c.ptr(1), c.ptr(0), 8);
            0
        });
    }
    export(k, "KeInitializeTimer", |c| initialize(c.ptr(0), 0));
    export(k, "KeInitializeTimerEx", |c| initialize(c.ptr(0), c.u32(1)));
    export(k, "KeSetTimer", |c| {
        set(c.ptr(0), c.arg(1), 0, c.ptr(2)).into()
    });
    export(k, "KeSetTimerEx", |c| {
        set(c.ptr(0), c.arg(1), c.u32(2), c.ptr(3)).into()
    });
    export(k, "KeSetCoalescableTimer", |c| {
        set(c.ptr(0), c.arg(1), c.u32(2), c.ptr(4)).into()
    });
    export(k, "KeCancelTimer", |c| cancel(c.ptr(0)).into());
    export(k, "KeReadStateTimer", |c| {
        u64::from(DISPATCHER_HEADER::SignalState.get(c.ptr(0)) != 0)
    });
}

/// A due time in 100 ns (negative: relative) as a time from now.
pub(super) fn from_now(due: u64) -> Duration {
    let due = due.cast_signed();
    let units = if due < 0 {
        due.unsigned_abs()
    } else {
        due.unsigned_abs().saturating_sub(time::system())
    };
    Duration::from_nanos(units.saturating_mul(100))
}

fn initialize(timer: usize, kind: u32) -> u64 {
    cancel(timer);
    wait::initialize(
        timer,
        if kind == 0 {
            Kind::NotificationTimer
        } else {
            Kind::SynchronizationTimer
        },
        0,
    );
    KTIMER::Dpc.set(timer, 0);
    KTIMER::Period.set(timer, 0);
    0
}

/// Sets a timer; gives whether it was set already.
fn set(timer: usize, due: u64, period: u32, dpc: usize) -> bool {
    let was_set = cancel(timer);
    KTIMER::DueTime.set(timer, due);
    KTIMER::Period.set(timer, period.into());
    KTIMER::Dpc.set(timer, dpc as u64);
    DISPATCHER_HEADER::SignalState.set(timer, 0);
    start(timer, from_now(due), Duration::from_millis(period.into()));
    was_set
}

fn start(timer: usize, after: Duration, period: Duration) {
    let id = sched::timer(after, sched::cpu(), Box::new(move || expire(timer)));
    SET.with_borrow_mut(|set| set.insert(timer, (id, period)));
}

fn expire(timer: usize) {
    let Some((_, period)) = SET.with_borrow_mut(|set| set.remove(&timer)) else {
        return;
    };
    if !period.is_zero() {
        start(timer, period, period);
    }
    wait::signal(timer);
    let dpc = KTIMER::Dpc.get(timer) as usize;
    if dpc != 0 {
        // nc-wdm-kdeferred_routine: the two arguments of a timer's DPC are not to be used.
        dpc::insert(dpc, 0, 0);
    }
}

fn cancel(timer: usize) -> bool {
    SET.with_borrow_mut(|set| set.remove(&timer))
        .is_some_and(|(id, _)| sched::cancel_timer(id))
}

/// The address of a set timer within `len` bytes at `address`.
pub(crate) fn set_within(address: usize, len: usize) -> Option<usize> {
    SET.with_borrow(|set| {
        set.range(address..address.saturating_add(len))
            .next()
            .map(|(timer, _)| *timer)
    })
}
