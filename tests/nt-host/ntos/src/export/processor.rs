//! Processors: how many, which one, and their numbers. There is one group.

use super::Call;
use super::table::{self, register as export, register_data};
use crate::abi::{GROUP_AFFINITY, PROCESSOR_NUMBER};
use crate::{guest, rules, sched};

/// wdm.h: ALL_PROCESSOR_GROUPS.
const ALL_GROUPS: u16 = 0xffff;
/// INVALID_PROCESSOR_INDEX, STATUS_INVALID_PARAMETER.
const INVALID_INDEX: u64 = 0xffff_ffff;
const INVALID_PARAMETER: u64 = 0xc000_000d;

thread_local! {
    /// KeNumberProcessors: a byte that drivers read directly.
    static NUMBER: &'static std::cell::Cell<u64> = Box::leak(Box::default());
}

pub(super) fn boot() {
    NUMBER.with(|number| number.set(sched::cpus().into()));
}

fn all() -> u64 {
    u64::MAX >> (64 - sched::cpus())
}

/// The index of a PROCESSOR_NUMBER, if there is such a CPU.
pub(super) fn read_number(address: usize) -> Option<u32> {
    let group = PROCESSOR_NUMBER::Group.get(address);
    let number = PROCESSOR_NUMBER::Number.get(address) as u32;
    (group == 0 && number < sched::cpus()).then_some(number)
}

fn write_number(address: usize, index: u32) {
    guest::write_u32(address, 0);
    PROCESSOR_NUMBER::Number.set(address, index.into());
}

fn write_affinity(address: usize, mask: u64) {
    guest::fill(address, GROUP_AFFINITY::SIZE, 0);
    GROUP_AFFINITY::Mask.set(address, mask);
}

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    for name in [
        "KeQueryActiveProcessorCountEx",
        "KeQueryMaximumProcessorCountEx",
    ] {
        export(k, name, |c| match c.u16(0) {
            0 | ALL_GROUPS => sched::cpus().into(),
            _ => 0,
        });
    }
    export(k, "KeQueryActiveProcessorCount", |c| {
        if c.ptr(0) != 0 {
            guest::write_u64(c.ptr(0), all());
        }
        sched::cpus().into()
    });
    export(k, "KeQueryMaximumProcessorCount", |_| sched::cpus().into());
    export(k, "KeQueryActiveProcessors", |_| all());
    for name in ["KeQueryActiveGroupCount", "KeQueryMaximumGroupCount"] {
        export(k, name, |_| 1);
    }
    export(k, "KeQueryGroupAffinity", |c| {
        if c.u16(0) == 0 { all() } else { 0 }
    });
    export(k, "KeQueryHighestNodeNumber", |_| 0);
    export(k, "KeGetCurrentNodeNumber", |_| 0);
    export(k, "KeQueryNodeActiveAffinity", |c| {
        if c.ptr(1) != 0 {
            write_affinity(c.ptr(1), if c.u16(0) == 0 { all() } else { 0 });
        }
        if c.ptr(2) != 0 {
            guest::write_u16(c.ptr(2), sched::cpus() as u16);
        }
        0
    });
    export(k, "KeGetCurrentProcessorNumberEx", |c| {
        if c.ptr(0) != 0 {
            write_number(c.ptr(0), sched::cpu());
        }
        sched::cpu().into()
    });
    export(k, "KeGetProcessorIndexFromNumber", |c| {
        read_number(c.ptr(0)).map_or(INVALID_INDEX, u64::from)
    });
    export(k, "KeGetProcessorNumberFromIndex", |c| {
        if c.u32(0) >= sched::cpus() {
            return INVALID_PARAMETER;
        }
        write_number(c.ptr(1), c.u32(0));
        0
    });
    register_data(
        k,
        "KeNumberProcessors",
        NUMBER.with(|number| number.as_ptr() as usize),
    );
    affinity(k);
}

/// Threads keep to one CPU here; setting an affinity moves the thread to its lowest one.
fn affinity(k: &'static str) {
    table::register(k, "KeSetSystemAffinityThread", |c| move_to(c, c.arg(0)));
    table::register(k, "KeSetSystemAffinityThreadEx", |c| {
        move_to(c, c.arg(0));
        0
    });
    table::register(k, "KeRevertToUserAffinityThread", |_| 0);
    table::register(k, "KeRevertToUserAffinityThreadEx", |_| 0);
    table::register(k, "KeSetSystemGroupAffinityThread", |c| {
        if c.ptr(1) != 0 {
            write_affinity(c.ptr(1), all());
        }
        if GROUP_AFFINITY::Group.get(c.ptr(0)) == 0 {
            move_to(c, GROUP_AFFINITY::Mask.get(c.ptr(0)));
        }
        0
    });
    table::register(k, "KeRevertToUserGroupAffinityThread", |_| 0);
}

fn move_to(c: &Call, mask: u64) -> u64 {
    match mask & all() {
        0 => rules::violate(
            rules::BAD_ARGUMENT,
            format!("{} with no existing CPU", c.name()),
        ),
        mask if sched::irql() < sched::DISPATCH => sched::migrate(mask.trailing_zeros()),
        _ => {}
    }
    0
}
