//! Timers and work items of a miniport.
//!
//! MS: nf-storport-storportinitializetimer, -storportrequesttimer, -storportfreetimer, -storportinitializeworker, -storportqueueworkitem,
//! -storportfreeworker. Both are opaque handles, and both must be freed before the adapter is gone.

use std::rc::Rc;
use std::time::Duration;

use host_ntos::export::Call;
use host_ntos::{guest, sched};

use crate::codes::stor_status as status;
use crate::export::notification::call_timer;
use crate::state::{AdapterState, Callback, Phase, Timer, Worker};

/// (TimerHandle*)
pub fn initialize(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    if call.ptr(2) == 0 {
        return status::INVALID_PARAMETER;
    }
    let handle = adapter.handle();
    adapter.timers.borrow_mut().insert(handle, Timer::default());
    guest::write_u64(call.ptr(2), handle as u64);
    status::SUCCESS
}

/// (TimerHandle, TimerCallback, CallbackContext, TimerValue µs, TolerableDelay)
pub fn request(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let (handle, routine, context, value) = (call.ptr(2), call.ptr(3), call.slot(4), call.slot(5));
    let Some(timer) = adapter.timers.borrow().get(&handle).copied() else {
        return status::INVALID_PARAMETER;
    };
    if value == 0 {
        if let Some(pending) = timer.pending {
            sched::cancel_timer(pending);
            set(adapter, handle, None);
        }
        return status::SUCCESS;
    }
    if timer.pending.is_some() {
        return status::BUSY;
    }
    let this = Rc::clone(adapter);
    let run = Box::new(move || {
        set(&this, handle, None);
        call_timer(
            &this,
            "HW_TIMER_EX",
            routine,
            &[this.extension_at() as u64, context],
        );
    });
    let pending = sched::timer(Duration::from_micros(value), sched::cpu(), run);
    set(adapter, handle, Some(pending));
    status::SUCCESS
}

fn set(adapter: &AdapterState, handle: usize, pending: Option<sched::TimerId>) {
    if let Some(timer) = adapter.timers.borrow_mut().get_mut(&handle) {
        timer.pending = pending;
    }
}

/// (TimerHandle)
pub fn free(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    match adapter.timers.borrow_mut().remove(&call.ptr(2)) {
        Some(timer) => {
            if let Some(pending) = timer.pending {
                sched::cancel_timer(pending);
            }
            status::SUCCESS
        }
        None => status::INVALID_PARAMETER,
    }
}

/// (Worker*)
pub fn initialize_worker(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    if call.ptr(2) == 0 {
        return status::INVALID_PARAMETER;
    }
    let handle = adapter.handle();
    adapter
        .workers
        .borrow_mut()
        .insert(handle, Worker::default());
    guest::write_u64(call.ptr(2), handle as u64);
    status::SUCCESS
}

/// (WorkItemCallback, Worker, Context): runs in a system thread at PASSIVE_LEVEL.
pub fn queue_work_item(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let (routine, worker, context) = (call.ptr(2), call.ptr(3), call.slot(4));
    if routine == 0 {
        return status::INVALID_PARAMETER;
    }
    if adapter.phase.get() == Phase::Dead {
        return status::INVALID_DEVICE_STATE;
    }
    match adapter.workers.borrow_mut().get_mut(&worker) {
        None => return status::INVALID_PARAMETER,
        Some(known) if known.queued => return status::BUSY,
        Some(known) => known.queued = true,
    }
    let this = Rc::clone(adapter);
    let run = move || {
        if let Some(known) = this.workers.borrow_mut().get_mut(&worker) {
            known.queued = false;
        }
        let args = [this.extension_at() as u64, context, worker as u64];
        this.call(Callback::WorkItem, "HW_WORKITEM", routine, &args);
    };
    sched::spawn(sched::cpu(), "work item", Box::new(run));
    status::SUCCESS
}

/// (Worker)
pub fn free_worker(adapter: &Rc<AdapterState>, call: &Call) -> u32 {
    let mut workers = adapter.workers.borrow_mut();
    match workers.get(&call.ptr(2)) {
        None => status::INVALID_PARAMETER,
        Some(worker) if worker.queued => status::BUSY,
        Some(_) => {
            workers.remove(&call.ptr(2));
            status::SUCCESS
        }
    }
}

/// (DelayInMicroseconds): waits below DISPATCH_LEVEL, busy-waits otherwise.
pub fn delay(_: &Rc<AdapterState>, call: &Call) -> u32 {
    let microseconds = u64::from(call.slot(2) as u32);
    if sched::irql() < sched::DISPATCH {
        let time = Some(Duration::from_micros(microseconds));
        sched::block_until("StorPortDelayExecution", time, Box::new(|| false));
    } else {
        sched::stall(microseconds);
    }
    status::SUCCESS
}
