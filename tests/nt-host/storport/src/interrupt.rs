//! Interrupts: connecting them, their locks, and the way from the device to the miniport's routine.
//!
//! HwInterrupt and HwMSInterruptRoutine are called at DIRQL with the interrupt lock held: one for all messages, or one a message
//! if the miniport set InterruptSynchronizePerMessage (MS: nc-storport-hw_message_signaled_interrupt_routine).

use std::rc::Rc;
use std::time::Duration;

use host_ntos::lock::{self, LockKind};
use host_ntos::{rules, sched};
use test_device::InterruptMode;

use crate::complete;
use crate::rules::{DEVICE, UNCLAIMED_INTERRUPT};
use crate::state::{self, AdapterState, Callback, Connection, DIRQL, Phase};

/// Calls of HwInterrupt in a row that may leave the line asserted and unclaimed. Windows gives up on a line after
/// 100,000 of them; here a line has one owner.
const UNCLAIMED_LIMIT: u32 = 1000;

const INTERRUPT_LOCK: LockKind = LockKind {
    name: "InterruptLock",
    rank: None,
    irql: DIRQL,
};
const MESSAGE_LOCK: LockKind = LockKind {
    name: "MSI lock",
    rank: None,
    irql: DIRQL,
};

/// Has the bus driver route the interrupts: as many messages as the INF allows and the function has, or the line.
pub fn route(adapter: &AdapterState) -> anyhow::Result<u16> {
    let mut device = adapter.device.borrow_mut();
    let count = test_device::Device::msix_vectors(&*device).min(adapter.options.msi_limit);
    let mode = if count > 0 {
        InterruptMode::Messages(count)
    } else {
        InterruptMode::Line
    };
    test_device::Device::enable_interrupts(&mut *device, mode)?;
    Ok(count)
}

/// Connects what was routed to the miniport's routines.
pub fn connect(adapter: &AdapterState, messages: u16, ms_routine: usize, per_message: bool) {
    adapter.connection.set(match (messages, ms_routine) {
        (0, _) => Connection::Line,
        (count, 0) => Connection::MessagesAsLine { count },
        (count, _) => Connection::Messages { count, per_message },
    });
}

/// Disconnects: nothing is delivered any more.
pub fn disconnect(adapter: &AdapterState) {
    adapter.connection.set(Connection::None);
}

/// Messages that have a lock of their own.
pub fn message_locks(adapter: &AdapterState) -> u16 {
    match adapter.connection.get() {
        Connection::Messages {
            count,
            per_message: true,
        } => count,
        _ => 0,
    }
}

/// Raises to DIRQL and takes the interrupt lock: every message's, in order, if each has one.
pub fn lock_all(adapter: &AdapterState) -> u8 {
    match message_locks(adapter) {
        0 => lock::acquire(adapter.keys.interrupt(), INTERRUPT_LOCK),
        count => {
            let irql = if sched::irql() < DIRQL {
                sched::raise(DIRQL)
            } else {
                sched::irql()
            };
            (0..count).for_each(|m| lock::acquire_raised(adapter.keys.message(m), MESSAGE_LOCK));
            irql
        }
    }
}

/// Undoes [`lock_all`].
pub fn unlock_all(adapter: &AdapterState, irql: u8) {
    match message_locks(adapter) {
        0 => lock::release(adapter.keys.interrupt(), irql),
        count => {
            (0..count)
                .rev()
                .for_each(|m| lock::release_raised(adapter.keys.message(m)));
            if irql < sched::irql() {
                sched::lower(irql);
            }
        }
    }
}

/// Raises to DIRQL and takes one message's lock.
pub fn lock_message(adapter: &AdapterState, message: u16) -> u8 {
    lock::acquire(message_key(adapter, message), MESSAGE_LOCK)
}

/// Undoes [`lock_message`].
pub fn unlock_message(adapter: &AdapterState, message: u16, irql: u8) {
    lock::release(message_key(adapter, message), irql);
}

/// The lock that the routine of a message holds.
pub fn message_key(adapter: &AdapterState, message: u16) -> usize {
    if message_locks(adapter) > 0 {
        adapter.keys.message(message)
    } else {
        adapter.keys.interrupt()
    }
}

/// Whether this CPU holds an interrupt lock of the adapter.
pub fn holds_any(adapter: &AdapterState) -> bool {
    lock::held_here(adapter.keys.interrupt())
        || (0..message_locks(adapter)).any(|m| lock::held_here(adapter.keys.message(m)))
}

/// The CPU that a message interrupts: spread over all of them, as the INF's policy "spread messages across all processors".
pub fn cpu_of(message: u16) -> u32 {
    u32::from(message) % sched::cpus().max(1)
}

/// Lets every device run and delivers what it raised.
pub fn poll(wait: Duration) {
    let adapters = state::adapters();
    let live: Vec<_> = adapters
        .into_iter()
        .filter(|a| a.connection.get() != Connection::None && a.phase.get() != Phase::Dead)
        .collect();
    let share = wait / (live.len().max(1) as u32);
    for adapter in live {
        let polled = test_device::Device::poll(&mut *adapter.device.borrow_mut(), share);
        complete::observe(&adapter);
        complete::observe_rings(&adapter);
        match polled {
            Ok(interrupts) => {
                for message in interrupts.messages {
                    post_message(&adapter, message);
                }
                if interrupts.line {
                    post_line(&adapter);
                } else {
                    adapter.lines.borrow_mut().unclaimed = 0;
                }
            }
            Err(error) => {
                disconnect(&adapter);
                rules::violate(DEVICE, format!("the device is gone: {error:#}"));
            }
        }
    }
}

/// Lets every device pass over so many polls; false if something would come of them.
pub fn rest(polls: u64) -> bool {
    let adapters = state::adapters();
    let live = adapters
        .iter()
        .filter(|a| a.connection.get() != Connection::None && a.phase.get() != Phase::Dead);
    let rests = |adapter: &Rc<AdapterState>, polls| {
        test_device::Device::rest(&mut *adapter.device.borrow_mut(), polls)
    };
    live.clone().all(|adapter| rests(adapter, 0))
        && live.clone().all(|adapter| rests(adapter, polls))
}

/// Delivers an interrupt out of nowhere and waits until its routine has run.
pub fn deliver(adapter: &Rc<AdapterState>, message: u16) -> Result<(), sched::Stuck> {
    let before = adapter.connection.get();
    if let (Connection::None, Some(config)) = (before, adapter.config()) {
        connect(
            adapter,
            config.limits.messages,
            config.ms_routine,
            config.per_message,
        );
    }
    match adapter.connection.get() {
        Connection::None => return Ok(()),
        Connection::Line => post_line(adapter),
        Connection::Messages { .. } | Connection::MessagesAsLine { .. } => {
            post_message(adapter, message);
        }
    }
    let this = Rc::clone(adapter);
    let mut quiet = move || {
        let lines = this.lines.borrow();
        lines.pending.is_empty() && !lines.line_pending
    };
    let result = sched::run_until(&mut quiet, adapter.options.patience);
    if before == Connection::None {
        disconnect(adapter);
    }
    result
}

fn post_message(adapter: &Rc<AdapterState>, message: u16) {
    // A message that comes before its routine has begun is one interrupt with it, as in the local APIC.
    if adapter
        .lines
        .borrow_mut()
        .pending
        .insert(message, ())
        .is_some()
    {
        return;
    }
    let this = Rc::clone(adapter);
    sched::interrupt(
        cpu_of(message),
        DIRQL,
        Box::new(move || on_message(&this, message)),
    );
}

fn on_message(adapter: &AdapterState, message: u16) {
    adapter.lines.borrow_mut().pending.remove(&message);
    let Some(config) = adapter.config() else {
        return;
    };
    let extension = adapter.extension_at() as u64;
    let key = message_key(adapter, message);
    match adapter.connection.get() {
        Connection::Messages { count, .. } if message < count => {
            lock::acquire_raised(key, MESSAGE_LOCK);
            adapter.counters.borrow_mut().interrupts += 1;
            let args = [extension, u64::from(message)];
            let name = "HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE";
            adapter.call(Callback::Interrupt, name, config.ms_routine, &args);
            lock::release_raised(key);
        }
        Connection::MessagesAsLine { .. } => {
            interrupt_routine(adapter);
        }
        _ => {}
    }
}

fn interrupt_routine(adapter: &AdapterState) -> bool {
    let key = adapter.keys.interrupt();
    lock::acquire_raised(key, INTERRUPT_LOCK);
    adapter.counters.borrow_mut().interrupts += 1;
    let args = [adapter.extension_at() as u64];
    let claimed = adapter.call(
        Callback::Interrupt,
        "HW_INTERRUPT",
        adapter.init().hw_interrupt,
        &args,
    ) as u8
        != 0;
    lock::release_raised(key);
    claimed
}

fn post_line(adapter: &Rc<AdapterState>) {
    if std::mem::replace(&mut adapter.lines.borrow_mut().line_pending, true) {
        return;
    }
    let this = Rc::clone(adapter);
    // The line goes to the boot processor.
    sched::interrupt(0, DIRQL, Box::new(move || on_line(&this)));
}

fn on_line(adapter: &AdapterState) {
    let connected = matches!(adapter.connection.get(), Connection::Line);
    let claimed = connected && interrupt_routine(adapter);
    let mut lines = adapter.lines.borrow_mut();
    lines.line_pending = false;
    lines.unclaimed = if claimed || !connected {
        0
    } else {
        lines.unclaimed + 1
    };
    let storm = lines.unclaimed == UNCLAIMED_LIMIT;
    drop(lines);
    if storm {
        rules::violate(
            UNCLAIMED_INTERRUPT,
            format!("HwInterrupt did not claim the asserted line {UNCLAIMED_LIMIT} times in a row"),
        );
    }
}
