//! Requests that take too long: reset the unit, then the target, then the bus.
//!
//! MS: "Multi-Tier Reset in Storport" gives the order. The bus is reset by a call of HwResetBus with every queue of the adapter
//! held, and the miniport completes what it has (MS: nc-storport-hw_reset_bus).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use host_ntos::lock::{self, LockKind};
use host_ntos::{rules, sched};

use crate::events::{Event, Source};
use crate::request::{Address, Data, Function, Outcome, Request};
use crate::rules::{LOST_REQUEST, RESET_COMPLETES};
use crate::state::{AdapterState, Callback, Phase, Under};
use crate::{interrupt, io};

/// Event id of "Reset to device, \Device\RaidPort%1, was issued" in the system event log.
pub const RESET_EVENT: u32 = 129;

/// Arms the timeout of a request. `TimeOutValue` counts seconds.
pub fn arm(
    adapter: &Rc<AdapterState>,
    srb: usize,
    id: u64,
    after: Duration,
    cpu: u32,
) -> sched::TimerId {
    let this = Rc::clone(adapter);
    let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
    sched::timer(
        Duration::from_secs(seconds),
        cpu,
        Box::new(move || expired(&this, srb, id)),
    )
}

/// Runs at DISPATCH_LEVEL.
fn expired(adapter: &Rc<AdapterState>, srb: usize, id: u64) {
    let address = {
        let mut io = adapter.io.borrow_mut();
        let Some(o) = io.outstanding.get_mut(&srb).filter(|o| o.id == id) else {
            return;
        };
        o.timer = None;
        // A reset that does not return is dealt with by whoever sent it. A flush on the way to a stop is a request like others.
        let resets = [Function::ResetLogicalUnit, Function::ResetDevice];
        if resets.contains(&o.request.function) {
            return;
        }
        o.request.address
    };
    adapter.counters.borrow_mut().timeouts += 1;
    adapter.events.borrow_mut().push(Event {
        when: sched::now(),
        source: Source::Port,
        code: RESET_EVENT,
        unique_id: 0,
        address,
        strings: vec![format!("\\Device\\RaidPort{}", adapter.number)],
        data: Vec::new(),
    });
    let this = Rc::clone(adapter);
    sched::spawn(
        sched::cpu(),
        "reset",
        Box::new(move || escalate(&this, srb, id, address)),
    );
}

/// Runs in a thread at PASSIVE_LEVEL.
fn escalate(adapter: &Rc<AdapterState>, srb: usize, id: u64, address: Address) {
    adapter.flow.borrow_mut().freeze(None, true);
    for function in [Function::ResetLogicalUnit, Function::ResetDevice] {
        if !io::is_outstanding(adapter, srb, id) {
            break;
        }
        let request = Request {
            timeout: adapter.options.reset_timeout,
            ..Request::new(address, function, Data::None)
        };
        run(adapter, request, adapter.options.reset_timeout, true);
    }
    if io::is_outstanding(adapter, srb, id) {
        reset_bus(adapter, address.path);
        let patience = Some(adapter.options.reset_timeout);
        let this = Rc::clone(adapter);
        let done = Box::new(move || !io::is_outstanding(&this, srb, id));
        if !sched::block_until("a request to end after a bus reset", patience, done) {
            rules::violate(
                LOST_REQUEST,
                format!(
                    "SRB {srb:#x} is still not completed {:?} after its bus was reset",
                    adapter.options.reset_timeout
                ),
            );
        }
    }
    adapter.flow.borrow_mut().freeze(None, false);
    io::kick_all(adapter);
}

/// Sends a request, past every hold if `bypass`, and waits for it in this thread; `None` when it does not come back in time.
pub fn run(
    adapter: &Rc<AdapterState>,
    request: Request,
    patience: Duration,
    bypass: bool,
) -> Option<Outcome> {
    let answer: Rc<RefCell<Option<Outcome>>> = Rc::default();
    let (put, look) = (Rc::clone(&answer), Rc::clone(&answer));
    let request = request.on_complete(move |outcome| *put.borrow_mut() = Some(outcome));
    io::submit(adapter, request, bypass);
    let done = Box::new(move || look.borrow().is_some());
    sched::block_until("a request of the port driver", Some(patience), done);
    answer.take()
}

/// Calls HwResetBus at DISPATCH_LEVEL with the StartIo lock, all channels and, half duplex, the interrupt lock.
pub fn reset_bus(adapter: &Rc<AdapterState>, path: u8) -> bool {
    let Some(config) = adapter
        .config()
        .filter(|_| adapter.phase.get() == Phase::Running)
    else {
        return false;
    };
    adapter.flow.borrow_mut().freeze(None, true);
    let (irql, raised) = lock_start_io(adapter, config.half_duplex);
    let args = [adapter.extension_at() as u64, u64::from(path)];
    let fine = adapter.call(
        Callback::ResetBus,
        "HW_RESET_BUS",
        adapter.init().hw_reset_bus,
        &args,
    ) as u8
        != 0;
    if fine {
        left_over(adapter, path);
    }
    unlock_start_io(adapter, irql, raised);
    adapter.flow.borrow_mut().freeze(None, false);
    io::kick_all(adapter);
    fine
}

/// Requests that a reset has left, and the CPUs on which a DPC routine ran when it was over: each may be about to complete what it
/// has taken.
pub struct Left {
    /// How the miniport said that it was over.
    by: String,
    ids: Vec<u64>,
    cpus: Vec<usize>,
}

/// Of a routine that says it has reset the bus: what HwStartIo was given for the path and is not completed.
fn left_over(adapter: &AdapterState, path: u8) {
    let kept = |o: &&io::Outstanding| o.started && o.request.address.path == path;
    let io = adapter.io.borrow();
    let ids = io.outstanding.values().filter(kept).map(|o| o.id).collect();
    drop(io);
    leave(
        adapter,
        format!("HwResetBus returned TRUE for path {path}"),
        ids,
    );
}

/// A request is about to be given to HwStartIo: if it is a reset, what it has to end is what HwStartIo has returned with.
pub fn before_reset(adapter: &AdapterState, srb: usize) {
    let mut io = adapter.io.borrow_mut();
    let Some(o) = io.outstanding.get(&srb) else {
        return;
    };
    let (unit, address) = (Function::ResetLogicalUnit, o.request.address);
    let one = o.request.function == unit;
    if !one && o.request.function != Function::ResetDevice {
        return;
    }
    let hit = |other: &&io::Outstanding| {
        let at = other.request.address;
        other.given
            && (at.path, at.target) == (address.path, address.target)
            && (!one || at.lun == address.lun)
    };
    let ends = io.outstanding.values().filter(hit).map(|o| o.id).collect();
    if let Some(o) = io.outstanding.get_mut(&srb) {
        o.ends = ends;
    }
}

/// A request was completed with success.
pub fn after_reset(adapter: &AdapterState, o: &io::Outstanding) {
    let by = || format!("{:?} succeeded", o.request.function);
    if !o.ends.is_empty() {
        leave(adapter, by(), o.ends.clone());
    }
}

/// What a reset has left is judged when the DPC routines have ended that run now.
fn leave(adapter: &AdapterState, by: String, mut ids: Vec<u64>) {
    let io = adapter.io.borrow();
    ids.retain(|id| io.outstanding.values().any(|o| o.id == *id));
    drop(io);
    if ids.is_empty() {
        return;
    }
    let in_dpc = |stack: &[Under]| stack.iter().any(|under| under.callback == Callback::Dpc);
    let calls = adapter.calls.borrow();
    let cpus: Vec<usize> = (0..)
        .zip(calls.iter())
        .filter(|(_, stack)| in_dpc(stack))
        .map(|(cpu, _)| cpu)
        .collect();
    drop(calls);
    let left = Left { by, ids, cpus };
    if left.cpus.is_empty() {
        judge(adapter, &left);
    } else {
        adapter.left.borrow_mut().push(left);
    }
}

/// A DPC routine has ended on a CPU.
pub fn dpc_ended(adapter: &AdapterState, cpu: usize) {
    let mut all = adapter.left.borrow_mut();
    for left in all.iter_mut() {
        left.cpus.retain(|waited_for| *waited_for != cpu);
    }
    let over: Vec<Left> = all.extract_if(.., |left| left.cpus.is_empty()).collect();
    drop(all);
    over.iter().for_each(|left| judge(adapter, left));
}

fn judge(adapter: &AdapterState, left: &Left) {
    let io = adapter.io.borrow();
    let kept = |o: &&io::Outstanding| left.ids.contains(&o.id);
    let count = io.outstanding.values().filter(kept).count();
    drop(io);
    if count > 0 {
        rules::violate(
            RESET_COMPLETES,
            format!("{} and left {count} requests with the device", left.by),
        );
    }
}

/// Keeps HwStartIo from being called: the StartIo lock and every channel.
pub fn lock_start_io(adapter: &AdapterState, interrupt_too: bool) -> (u8, Option<u8>) {
    let kind = LockKind {
        name: "StartIoLock",
        rank: None,
        irql: sched::DISPATCH,
    };
    let irql = lock::acquire(adapter.keys.start_io(), kind);
    let channel = LockKind {
        name: "channel",
        ..kind
    };
    (0..adapter.perf.get().channels)
        .for_each(|c| lock::acquire_raised(adapter.keys.channel(c), channel));
    (irql, interrupt_too.then(|| interrupt::lock_all(adapter)))
}

/// Undoes [`lock_start_io`].
pub fn unlock_start_io(adapter: &AdapterState, irql: u8, raised: Option<u8>) {
    if let Some(before) = raised {
        interrupt::unlock_all(adapter, before);
    }
    (0..adapter.perf.get().channels)
        .rev()
        .for_each(|c| lock::release_raised(adapter.keys.channel(c)));
    lock::release(adapter.keys.start_io(), irql);
}
