//! Reading and changing the IRQL.

use super::table::register as export;
use crate::{abi, sched};

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    export(k, "KeGetCurrentIrql", |_| sched::irql().into());
    export(k, "KfRaiseIrql", |c| sched::raise(c.u8(0)).into());
    export(k, "KeRaiseIrqlToDpcLevel", |_| {
        sched::raise(sched::DISPATCH).into()
    });
    export(k, "KeRaiseIrqlToSynchLevel", |_| {
        sched::raise(abi::irql::DIRQL_MAX).into()
    });
    export(k, "KeLowerIrql", |c| {
        sched::lower(c.u8(0));
        0
    });
    // nf-ntddk-keareapcsdisabled and others: APCs are disabled in no thread here.
    export(k, "KeAreApcsDisabled", |_| {
        u64::from(sched::irql() >= sched::APC)
    });
    export(k, "KeAreAllApcsDisabled", |_| {
        u64::from(sched::irql() >= sched::APC)
    });
    for name in [
        "KeEnterCriticalRegion",
        "KeLeaveCriticalRegion",
        "KeEnterGuardedRegion",
        "KeLeaveGuardedRegion",
    ] {
        // Normal kernel APCs do not exist here, so nothing has to be held off.
        export(k, name, |_| 0);
    }
    // nf-ntifs-keshouldyieldprocessor: whether other work waits; saying no is always allowed.
    export(k, "KeShouldYieldProcessor", |_| 0);
}
