//! KDPC objects.

use crate::abi::{KDPC, enums};
use crate::{callback, rules, sched};

use super::Call;
use super::table::register as export;

/// KDPC.Type: KOBJECTS of the kernel's public symbols.
const DPC_OBJECT: u64 = 19;
const THREADED_DPC_OBJECT: u64 = 24;
/// KDPC.Number, which is opaque to drivers: a target CPU is kept beyond this.
const TARGETED: u64 = 0x500;

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    export(k, "KeInitializeDpc", |c| initialize(c, DPC_OBJECT));
    // A threaded DPC may be run as an ordinary one (nf-wdm-keinitializethreadeddpc), so it is.
    export(k, "KeInitializeThreadedDpc", |c| {
        initialize(c, THREADED_DPC_OBJECT)
    });
    export(k, "KeInsertQueueDpc", |c| {
        insert(c.ptr(0), c.arg(1), c.arg(2)).into()
    });
    export(k, "KeRemoveQueueDpc", |c| {
        let removed = sched::remove_dpc(c.ptr(0));
        if removed {
            KDPC::DpcData.set(c.ptr(0), 0);
        }
        removed.into()
    });
    export(k, "KeSetImportanceDpc", |c| {
        KDPC::Importance.set(c.ptr(0), c.arg(1));
        0
    });
    export(k, "KeSetTargetProcessorDpc", |c| {
        target(c.ptr(0), u32::from(c.u8(1)));
        0
    });
    export(k, "KeSetTargetProcessorDpcEx", |c| {
        let number = super::processor::read_number(c.ptr(1));
        target(c.ptr(0), number.unwrap_or(u32::MAX)).into()
    });
    export(k, "KeFlushQueuedDpcs", |_| {
        // nf-wdm-keflushqueueddpcs: returns after every queued DPC on every CPU has run.
        let done = sched::dpcs_drained();
        sched::block_until("the queued DPCs", None, done);
        0
    });
}

fn initialize(c: &Call, kind: u64) -> u64 {
    let dpc = c.ptr(0);
    if sched::dpc_queued(dpc) {
        rules::violate(
            rules::OBJECT_IN_USE,
            "a queued DPC is initialised".to_owned(),
        );
    }
    KDPC::TargetInfoAsUlong.set(dpc, 0);
    KDPC::Type.set(dpc, kind);
    KDPC::Importance.set(dpc, enums::KDPC_IMPORTANCE::MediumImportance.into());
    KDPC::Number.set(dpc, 0);
    KDPC::DeferredRoutine.set(dpc, c.arg(1));
    KDPC::DeferredContext.set(dpc, c.arg(2));
    KDPC::DpcData.set(dpc, 0);
    0
}

/// Sets the CPU a DPC is queued to; 0 (STATUS_SUCCESS) or STATUS_INVALID_PARAMETER.
fn target(dpc: usize, cpu: u32) -> u32 {
    if cpu >= sched::cpus() {
        rules::violate(
            rules::BAD_ARGUMENT,
            "a DPC is targeted at a CPU that does not exist".to_owned(),
        );
        return 0xc000_000d;
    }
    KDPC::Number.set(dpc, TARGETED + u64::from(cpu));
    0
}

/// Queues a KDPC for its CPU; `false` if it is queued already.
pub(super) fn insert(dpc: usize, argument1: u64, argument2: u64) -> bool {
    if !matches!(KDPC::Type.get(dpc), DPC_OBJECT | THREADED_DPC_OBJECT) {
        rules::violate(
            rules::BAD_ARGUMENT,
            "a DPC is queued that was not initialised".to_owned(),
        );
        return false;
    }
    if sched::dpc_queued(dpc) {
        return false;
    }
    let number = KDPC::Number.get(dpc);
    let cpu = number
        .checked_sub(TARGETED)
        .map_or_else(sched::cpu, |cpu| cpu as u32);
    KDPC::SystemArgument1.set(dpc, argument1);
    KDPC::SystemArgument2.set(dpc, argument2);
    KDPC::DpcData.set(dpc, 1);
    let run: Box<dyn FnOnce()> = Box::new(move || run(dpc));
    if KDPC::Importance.get(dpc) == u64::from(enums::KDPC_IMPORTANCE::HighImportance) {
        sched::queue_dpc_first(cpu, dpc, run)
    } else {
        sched::queue_dpc(cpu, dpc, run)
    }
}

fn run(dpc: usize) {
    KDPC::DpcData.set(dpc, 0);
    let routine = KDPC::DeferredRoutine.get(dpc) as usize;
    let context = KDPC::DeferredContext.get(dpc);
    let arguments = [
        dpc as u64,
        context,
        KDPC::SystemArgument1.get(dpc),
        KDPC::SystemArgument2.get(dpc),
    ];
    callback::call("KDEFERRED_ROUTINE", routine, &arguments);
}
