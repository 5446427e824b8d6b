//! The spin locks of StorPort: DPC, StartIo, interrupt and message locks.
//!
//! MS: nf-storport-storportacquirespinlock has the order, and the table of locks that each callback may acquire.

use std::rc::Rc;

use host_ntos::abi::enums::STOR_SPINLOCK as kind;
use host_ntos::abi::{STOR_DPC, STOR_LOCK_HANDLE};
use host_ntos::export::Call;
use host_ntos::lock::{self, LockKind};
use host_ntos::{guest, rules, sched};

use super::{FALSE, adapter_of};
use crate::codes::stor_status;
use crate::interrupt;
use crate::rules::{LOCK_CONTEXT, LOCK_HANDLE, PARAMETER};
use crate::state::{AdapterState, Callback};

const DPC_LOCK: LockKind = LockKind {
    name: "DpcLock",
    rank: None,
    irql: sched::DISPATCH,
};
const START_IO_LOCK: LockKind = LockKind {
    name: "StartIoLock",
    rank: None,
    irql: sched::DISPATCH,
};

/// Which of the three a kind is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Dpc,
    StartIo,
    Interrupt,
}

/// The table of nf-storport-storportacquirespinlock.
fn allowed(adapter: &AdapterState, callback: Callback) -> &'static [Wanted] {
    use Wanted::{Dpc, Interrupt, StartIo};
    let half_duplex = adapter.config().is_some_and(|c| c.half_duplex);
    match callback {
        Callback::FindAdapter
        | Callback::Initialize
        | Callback::Interrupt
        | Callback::PassiveInitialize
        | Callback::SynchronizedAccess => &[],
        Callback::StartIo if half_duplex => &[],
        Callback::StartIo if adapter.perf.get().channels > 0 => &[Dpc, StartIo, Interrupt],
        Callback::StartIo => &[Dpc, Interrupt],
        Callback::Timer | Callback::ResetBus | Callback::StateChange if half_duplex => &[],
        // That the order of locks would let them acquire the DPC lock as well, says the text above the table.
        Callback::Timer | Callback::ResetBus | Callback::StateChange => &[Interrupt],
        Callback::BuildIo
        | Callback::AdapterControl(_)
        | Callback::UnitControl
        | Callback::Dpc
        | Callback::WorkItem => &[Dpc, StartIo, Interrupt],
    }
}

/// AcquireSpinLock: (SpinLock, LockContext, LockHandle) from argument `first` on.
pub fn acquire(adapter: &Rc<AdapterState>, spin_lock: u32, context: usize, handle: usize) -> u32 {
    let wanted = match spin_lock {
        kind::DpcLock | kind::ThreadedDpcLock | kind::DpcLevelLock => Wanted::Dpc,
        kind::StartIoLock => Wanted::StartIo,
        kind::InterruptLock => Wanted::Interrupt,
        _ => {
            rules::violate(PARAMETER, format!("lock kind {spin_lock} does not exist"));
            return stor_status::INVALID_PARAMETER;
        }
    };
    let callback = adapter.callback();
    let in_context = callback.is_none_or(|callback| {
        let fine = allowed(adapter, callback).contains(&wanted);
        if !fine {
            rules::violate(
                LOCK_CONTEXT,
                format!("{wanted:?} lock acquired in {callback:?}"),
            );
        }
        fine
    });
    if in_context && wanted != Wanted::Interrupt && interrupt::holds_any(adapter) {
        rules::violate(
            rules::LOCK_ORDER,
            format!("{wanted:?} lock acquired while the interrupt lock is held"),
        );
    }
    let (key, before) = match wanted {
        Wanted::Interrupt => (adapter.keys.interrupt(), interrupt::lock_all(adapter)),
        Wanted::StartIo => (
            adapter.keys.start_io(),
            take(adapter.keys.start_io(), START_IO_LOCK),
        ),
        Wanted::Dpc => {
            if !adapter.dpcs.borrow().contains_key(&context) {
                rules::violate(
                    PARAMETER,
                    format!("DpcLock of {context:#x}, which is no initialised DPC"),
                );
            }
            let key = STOR_DPC::Lock.at(context);
            (key, take(key, DPC_LOCK))
        }
    };
    STOR_LOCK_HANDLE::Lock.set(handle, spin_lock.into());
    STOR_LOCK_HANDLE::Context_LockQueue_Next.set(handle, 0);
    STOR_LOCK_HANDLE::Context_LockQueue_Lock.set(handle, key as u64);
    STOR_LOCK_HANDLE::Context_OldIrql.set(handle, before.into());
    stor_status::SUCCESS
}

/// Raises and takes; above the lock's IRQL, which was reported already, only takes.
fn take(key: usize, kind: LockKind) -> u8 {
    let before = sched::irql();
    if before > kind.irql {
        lock::acquire_raised(key, kind);
        return before;
    }
    lock::acquire(key, kind)
}

/// ReleaseSpinLock: (LockHandle).
pub fn release(adapter: &Rc<AdapterState>, handle: usize) -> u32 {
    let spin_lock = STOR_LOCK_HANDLE::Lock.get(handle) as u32;
    let key = STOR_LOCK_HANDLE::Context_LockQueue_Lock.get(handle) as usize;
    let before = STOR_LOCK_HANDLE::Context_OldIrql.get(handle) as u8;
    // An interrupt lock handle stands for each message's lock.
    let known = match spin_lock {
        kind::InterruptLock => key == adapter.keys.interrupt(),
        kind::StartIoLock => key == adapter.keys.start_io(),
        kind::DpcLock | kind::ThreadedDpcLock | kind::DpcLevelLock => adapter
            .dpcs
            .borrow()
            .keys()
            .any(|&dpc| STOR_DPC::Lock.at(dpc) == key),
        _ => false,
    };
    if !known || before > sched::irql() {
        rules::violate(
            LOCK_HANDLE,
            format!("the handle at {handle:#x} is of no acquired lock"),
        );
        return stor_status::INVALID_PARAMETER;
    }
    // A handle is good for one release.
    STOR_LOCK_HANDLE::Lock.set(handle, 0);
    if spin_lock == kind::InterruptLock {
        interrupt::unlock_all(adapter, before);
    } else if before > sched::DISPATCH {
        lock::release_raised(key);
    } else {
        lock::release(key, before);
    }
    stor_status::SUCCESS
}

/// StorPortAcquireMSISpinLock: (MessageId, OldIrql).
pub fn acquire_msi(adapter: &Rc<AdapterState>, message: u32, old_irql: usize) -> u32 {
    let Some(message) = message_id(adapter, message) else {
        return stor_status::INVALID_PARAMETER;
    };
    let before = interrupt::lock_message(adapter, message);
    // OldIrql points to a ULONG.
    guest::write_u32(old_irql, before.into());
    stor_status::SUCCESS
}

/// StorPortReleaseMSISpinLock: (MessageId, OldIrql).
pub fn release_msi(adapter: &Rc<AdapterState>, message: u32, old_irql: u32) -> u32 {
    let Some(message) = message_id(adapter, message) else {
        return stor_status::INVALID_PARAMETER;
    };
    interrupt::unlock_message(adapter, message, old_irql as u8);
    stor_status::SUCCESS
}

fn message_id(adapter: &AdapterState, message: u32) -> Option<u16> {
    let count = adapter.config().map_or(0, |c| c.limits.messages);
    let found = u16::try_from(message).ok().filter(|&m| m < count);
    if found.is_none() {
        rules::violate(PARAMETER, format!("message {message} of {count}"));
    }
    found
}

/// StorPortSynchronizeAccess: (HwDeviceExtension, SynchronizedAccessRoutine, Context).
pub fn synchronize_access(call: &Call) -> u64 {
    let Some(adapter) = adapter_of(call) else {
        return FALSE;
    };
    let irql = interrupt::lock_all(&adapter);
    let args = [call.arg(0), call.arg(2)];
    let result = adapter.call(
        Callback::SynchronizedAccess,
        "STOR_SYNCHRONIZED_ACCESS",
        call.ptr(1),
        &args,
    );
    interrupt::unlock_all(&adapter, irql);
    result & 0xff
}
