//! StorPortNotification: what a miniport tells the port driver, by type.
//!
//! MS: nf-storport-storportnotification and the inline wrappers of storport.h, which say what the arguments of each type are.
//! A type that this port driver does not know does nothing, as the call returns nothing.

use std::rc::Rc;
use std::time::Duration;

use host_ntos::abi::enums::{SCSI_ADAPTER_CONTROL_TYPE as control, SCSI_NOTIFICATION_TYPE as kind};
use host_ntos::abi::{KDPC, Range, STOR_DPC};
use host_ntos::export::Call;
use host_ntos::{guest, inject, rules, sched};

use super::{ANY, PASSIVE, TO_DISPATCH, locks};
use crate::codes::stor_status;
use crate::complete;
use crate::fallible;
use crate::rules::{CALL_CONTEXT, LEAK_DPC, PARAMETER};
use crate::state::{self, AdapterState, Callback, DIRQL, Dpc};
use crate::{dump, scan, timeout};

/// (NotificationType, HwDeviceExtension, ...)
pub fn notify(call: &Call) -> u64 {
    let (kind, name) = (call.u32(0), name(call.u32(0)));
    let Some(adapter) = state::adapter(call.ptr(1), name) else {
        return 0;
    };
    adapter
        .counters
        .borrow_mut()
        .call(&format!("StorPortNotification/{name}"));
    complete::observe(&adapter);
    if !dump::judge_call(&adapter, name) {
        rules::check_irql(name, irql_range(kind));
    }
    dispatch(&adapter, kind, call);
    0
}

fn name(code: u32) -> &'static str {
    match code {
        kind::RequestComplete => "RequestComplete",
        kind::NextRequest => "NextRequest",
        kind::NextLuRequest => "NextLuRequest",
        kind::ResetDetected => "ResetDetected",
        kind::RequestTimerCall => "RequestTimerCall",
        kind::BusChangeDetected => "BusChangeDetected",
        kind::WMIEvent => "WMIEvent",
        kind::WMIReregister => "WMIReregister",
        kind::LinkUp => "LinkUp",
        kind::LinkDown => "LinkDown",
        kind::QueryTickCount => "QueryTickCount",
        kind::BufferOverrunDetected => "BufferOverrunDetected",
        kind::TraceNotification => "TraceNotification",
        kind::EnablePassiveInitialization => "EnablePassiveInitialization",
        kind::InitializeDpc => "InitializeDpc",
        kind::InitializeDpcWithContext => "InitializeDpcWithContext",
        kind::InitializeThreadedDpc => "InitializeThreadedDpc",
        kind::IssueDpc => "IssueDpc",
        kind::AcquireSpinLock => "AcquireSpinLock",
        kind::ReleaseSpinLock => "ReleaseSpinLock",
        kind::StateChangeDetectedCall => "StateChangeDetectedCall",
        kind::IoTargetRequestServiceTime => "IoTargetRequestServiceTime",
        kind::AsyncNotificationDetected => "AsyncNotificationDetected",
        kind::MarkDeviceFailed => "MarkDeviceFailed",
        kind::MarkDeviceFailedEx => "MarkDeviceFailedEx",
        _ => "unknown",
    }
}

/// Documented per type, or following from the callbacks a type is documented for.
fn irql_range(code: u32) -> Range {
    match code {
        // nf-storport-storportenablepassiveinitialization: DIRQL (from HwInitialize).
        kind::EnablePassiveInitialization => Range { min: 0, max: DIRQL },
        // nf-storport-storportinitializedpc: from HwPassiveInitializeRoutine; HwInitialize and HwFindAdapter are in wide use.
        kind::InitializeDpc | kind::InitializeDpcWithContext | kind::InitializeThreadedDpc => {
            Range { min: 0, max: DIRQL }
        }
        kind::AcquireSpinLock | kind::ReleaseSpinLock | kind::RequestComplete | kind::IssueDpc => {
            Range { min: 0, max: DIRQL }
        }
        kind::MarkDeviceFailedEx | kind::MarkDeviceFailed => TO_DISPATCH,
        kind::TerminateSystemThread => PASSIVE,
        _ => ANY,
    }
}

fn dispatch(adapter: &Rc<AdapterState>, code: u32, call: &Call) {
    match code {
        kind::RequestComplete => complete::complete(adapter, call.ptr(2)),
        kind::ResetDetected => reset_detected(adapter),
        kind::RequestTimerCall => request_timer(adapter, call.ptr(2), call.u32(3)),
        kind::BusChangeDetected => scan::scan_later(adapter, || {}),
        kind::LinkDown => {
            // Windows pauses the adapter, for LinkDownTimeoutValue: 30 s by default.
            let until = sched::now() + Duration::from_secs(30);
            adapter.flow.borrow_mut().set_paused(None, Some(until));
        }
        kind::LinkUp => {
            adapter.flow.borrow_mut().set_paused(None, None);
            crate::io::kick_all(adapter);
        }
        // KeQueryTickCount: one tick each 15.625 ms.
        kind::QueryTickCount => {
            guest::write_u64(call.ptr(2), (sched::now().as_micros() / 15_625) as u64);
        }
        kind::BufferOverrunDetected => rules::fatal(
            rules::BUGCHECK,
            "the miniport reports corruption (BufferOverrunDetected)".into(),
        ),
        kind::EnablePassiveInitialization => enable_passive(adapter, call.ptr(2), call.ptr(3)),
        kind::InitializeDpc => initialize_dpc(adapter, call.ptr(2), call.ptr(3), false),
        kind::InitializeDpcWithContext | kind::InitializeThreadedDpc => {
            // STOR_IMPORTANCE: high is 2.
            initialize_dpc(adapter, call.ptr(2), call.ptr(3), call.slot(5) as u32 == 2);
            // The context is for the miniport to find again in the object (KDPC::DeferredContext).
            KDPC::DeferredContext.set(call.ptr(2), call.slot(4));
        }
        kind::IssueDpc => {
            let queued = issue_dpc(adapter, call.ptr(2), call.slot(3), call.slot(4));
            // A LONG in the wrapper of storport.h.
            guest::write_u32(call.ptr(5), queued.into());
        }
        kind::AcquireSpinLock => {
            locks::acquire(adapter, call.slot(2) as u32, call.ptr(3), call.ptr(4));
        }
        kind::ReleaseSpinLock => {
            locks::release(adapter, call.ptr(2));
        }
        kind::StateChangeDetectedCall => state_change(adapter, call),
        // (Address, Flags, &Status): this host registers no one for asynchronous notifications.
        kind::AsyncNotificationDetected => {
            guest::write_u32(call.ptr(4), stor_status::SUCCESS);
        }
        _ => {}
    }
}

/// The miniport still completes what it has; the port driver holds the queue for BusResetHoldTime, 0 unless it asked for more.
fn reset_detected(adapter: &Rc<AdapterState>) {
    use host_ntos::abi::PORT_CONFIGURATION_INFORMATION as Config;
    let block = adapter.config_block.borrow().clone();
    let hold = block.map_or(0, |region| Config::BusResetHoldTime.get(region.at()));
    let until = sched::now() + Duration::from_micros(hold);
    adapter.flow.borrow_mut().set_paused(None, Some(until));
    let this = Rc::clone(adapter);
    sched::timer(
        Duration::from_micros(hold),
        sched::cpu(),
        Box::new(move || crate::io::kick_all(&this)),
    );
}

/// (HwStorTimer, MiniportTimerValue in µs): one timer an adapter; 0 cancels it.
fn request_timer(adapter: &Rc<AdapterState>, routine: usize, microseconds: u32) {
    let old = adapter.request_timer.borrow_mut().pending.take();
    if let Some(timer) = old {
        sched::cancel_timer(timer);
    }
    if microseconds == 0 {
        return;
    }
    let this = Rc::clone(adapter);
    let run = Box::new(move || {
        this.request_timer.borrow_mut().pending = None;
        call_timer(&this, "HW_TIMER", routine, &[this.extension_at() as u64]);
    });
    let timer = sched::timer(
        Duration::from_micros(microseconds.into()),
        sched::cpu(),
        run,
    );
    adapter.request_timer.borrow_mut().pending = Some(timer);
}

/// Timer callbacks hold the StartIo lock and, half duplex, the interrupt lock.
pub fn call_timer(adapter: &Rc<AdapterState>, name: &'static str, routine: usize, args: &[u64]) {
    let half_duplex = adapter.config().is_some_and(|c| c.half_duplex);
    let name = if half_duplex {
        "HW_TIMER (half duplex)"
    } else {
        name
    };
    let (irql, raised) = timeout::lock_start_io(adapter, half_duplex);
    adapter.call(Callback::Timer, name, routine, args);
    timeout::unlock_start_io(adapter, irql, raised);
}

/// (HwPassiveInitializeRoutine, &Success): "only from within HwStorInitialize. Otherwise, it will return FALSE".
fn enable_passive(adapter: &Rc<AdapterState>, routine: usize, success: usize) {
    if inject::due(fallible::ENABLE_PASSIVE_INITIALIZATION) {
        return guest::write_u32(success, 0);
    }
    // A restart repeats HwInitialize, mostly by a call of it from HwAdapterControl.
    let contexts = [
        Callback::Initialize,
        Callback::AdapterControl(control::ScsiRestartAdapter),
    ];
    let fine = adapter
        .callback()
        .is_some_and(|now| contexts.contains(&now))
        && routine != 0;
    if fine {
        adapter.passive_routine.set(routine);
    }
    // A LONG in the wrapper of storport.h.
    guest::write_u32(success, fine.into());
}

fn initialize_dpc(adapter: &Rc<AdapterState>, dpc: usize, routine: usize, first: bool) {
    if adapter.callback() != Some(Callback::PassiveInitialize) {
        // "Must be called during HBA initialization from within the miniport driver's HwStorPassiveInitializeRoutine routine."
        // MS: nf-storport-storportinitializedpc
        rules::violate(
            CALL_CONTEXT,
            format!("StorPortInitializeDpc called in {:?}", adapter.callback()),
        );
    }
    guest::fill(dpc, STOR_DPC::SIZE, 0);
    // Behind the object's back nobody looks into it; the type tells that it was initialised (DpcObject).
    guest::write_u8(dpc, 0x13);
    adapter
        .dpcs
        .borrow_mut()
        .insert(dpc, Dpc { routine, first });
}

/// (Dpc, SystemArgument1, SystemArgument2, &Success). A DPC that is queued is not queued again.
fn issue_dpc(adapter: &Rc<AdapterState>, at: usize, first: u64, second: u64) -> bool {
    let Some(dpc) = adapter.dpcs.borrow().get(&at).copied() else {
        rules::violate(
            PARAMETER,
            format!("StorPortIssueDpc: {at:#x} is no initialised DPC"),
        );
        return false;
    };
    // A routine that was under way when the adapter was stopped on another CPU may just have looked whether it may queue a DPC: a
    // miniport cannot lock the stop out. Memory is taken away after such DPCs have run (`control::disconnect`).
    let stop = Callback::AdapterControl(control::ScsiStopAdapter);
    let late = {
        let calls = adapter.calls.borrow();
        let innermost = calls[sched::cpu() as usize].last();
        innermost.map_or(adapter.halted.get(), |under| {
            under.halted || under.callback == stop
        })
    };
    let this = Rc::clone(adapter);
    let run = Box::new(move || {
        this.counters.borrow_mut().dpcs += 1;
        if late && this.halted.get() {
            rules::violate(
                LEAK_DPC,
                format!("the DPC at {at:#x} runs after ScsiStopAdapter"),
            );
        }
        let args = [at as u64, this.extension_at() as u64, first, second];
        this.call(Callback::Dpc, "HW_DPC_ROUTINE", dpc.routine, &args);
    });
    // A DPC runs on the CPU that issues it; redirection moves the completion of requests.
    let cpu = sched::cpu();
    if dpc.first {
        sched::queue_dpc_first(cpu, at, run)
    } else {
        sched::queue_dpc(cpu, at, run)
    }
}

/// (ChangedEntity, Address, Attributes, HwStateChange, HwStateChangeContext, &Status).
///
/// MS: nf-storport-storportstatechangedetected: one at a time; leads to a new enumeration; then the routine is called.
fn state_change(adapter: &Rc<AdapterState>, call: &Call) {
    use host_ntos::abi::STOR_ADDRESS;
    let (entity, address, routine, context, status) = (
        call.u32(2),
        call.ptr(3),
        call.ptr(5),
        call.slot(6),
        call.ptr(7),
    );
    let result = if entity == 0
        || entity > 7
        || address == 0
        || STOR_ADDRESS::Type.get(address) != u64::from(crate::codes::ADDRESS_BTL8)
    {
        stor_status::INVALID_PARAMETER
    } else if inject::due(fallible::STATE_CHANGE_DETECTED) {
        stor_status::UNSUCCESSFUL
    } else if adapter.state_change.replace(true) {
        stor_status::BUSY
    } else {
        let this = Rc::clone(adapter);
        let run = move || {
            this.state_change.set(false);
            if routine == 0 {
                return;
            }
            let half_duplex = this.config().is_some_and(|c| c.half_duplex);
            let (irql, raised) = timeout::lock_start_io(&this, half_duplex);
            // (HwDeviceExtension, Context, AddressType, Address, Status), storport.h.
            let kind = u64::from(crate::codes::ADDRESS_BTL8);
            let args = [
                this.extension_at() as u64,
                context,
                kind,
                address as u64,
                stor_status::SUCCESS.into(),
            ];
            this.call(
                Callback::StateChange,
                "HW_STATE_CHANGE (with locks)",
                routine,
                &args,
            );
            timeout::unlock_start_io(&this, irql, raised);
        };
        scan::scan_later(adapter, run);
        stor_status::SUCCESS
    };
    if status != 0 {
        guest::write_u32(status, result);
    }
}
