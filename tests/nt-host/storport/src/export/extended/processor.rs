//! Processors: one group, one node.

use std::rc::Rc;

use host_ntos::abi::{GROUP_AFFINITY, PROCESSOR_NUMBER};
use host_ntos::export::Call;
use host_ntos::{guest, sched};

use crate::codes::stor_status as status;
use crate::state::AdapterState;

/// Writes a 4-byte result if there is a place for it.
fn put(at: usize, value: u32) -> u32 {
    if at == 0 {
        return status::INVALID_PARAMETER;
    }
    guest::write_u32(at, value);
    status::SUCCESS
}

/// The active processors as a KAFFINITY.
fn mask() -> u64 {
    u64::MAX.checked_shr(64 - sched::cpus()).unwrap_or(u64::MAX)
}

/// (PROCESSOR_NUMBER*)
pub fn number(_: &Rc<AdapterState>, call: &Call) -> u32 {
    let at = call.ptr(2);
    if at == 0 {
        return status::INVALID_PARAMETER;
    }
    PROCESSOR_NUMBER::Group.set(at, 0);
    PROCESSOR_NUMBER::Number.set(at, sched::cpu().into());
    PROCESSOR_NUMBER::Reserved.set(at, 0);
    status::SUCCESS
}

/// (PROCESSOR_NUMBER*, ULONG*)
pub fn index_of(_: &Rc<AdapterState>, call: &Call) -> u32 {
    let at = call.ptr(2);
    if at == 0
        || PROCESSOR_NUMBER::Group.get(at) != 0
        || PROCESSOR_NUMBER::Number.get(at) >= sched::cpus().into()
    {
        return status::INVALID_PARAMETER;
    }
    put(call.ptr(3), PROCESSOR_NUMBER::Number.get(at) as u32)
}

/// (ULONG*)
pub fn index(_: &Rc<AdapterState>, call: &Call) -> u32 {
    put(call.ptr(2), sched::cpu())
}

/// (ULONG*)
pub fn count(_: &Rc<AdapterState>, call: &Call) -> u32 {
    put(call.ptr(2), sched::cpus())
}

/// (USHORT*)
pub fn groups(_: &Rc<AdapterState>, call: &Call) -> u32 {
    if call.ptr(2) == 0 {
        return status::INVALID_PARAMETER;
    }
    guest::write_u16(call.ptr(2), 1);
    status::SUCCESS
}

/// (USHORT GroupNumber, KAFFINITY*)
pub fn group_affinity(_: &Rc<AdapterState>, call: &Call) -> u32 {
    if call.slot(2) as u16 != 0 || call.ptr(3) == 0 {
        return status::INVALID_PARAMETER;
    }
    guest::write_u64(call.ptr(3), mask());
    status::SUCCESS
}

/// (ULONG*)
pub fn nodes(_: &Rc<AdapterState>, call: &Call) -> u32 {
    put(call.ptr(2), 1)
}

/// (ULONG*)
pub fn highest_node(_: &Rc<AdapterState>, call: &Call) -> u32 {
    put(call.ptr(2), 0)
}

/// (ULONG NodeNumber, GROUP_AFFINITY*)
pub fn node_affinity(_: &Rc<AdapterState>, call: &Call) -> u32 {
    let at = call.ptr(3);
    if call.slot(2) as u32 > 0xffff || at == 0 {
        return status::INVALID_PARAMETER;
    }
    guest::fill(at, GROUP_AFFINITY::SIZE, 0);
    // A node that does not exist has no processors.
    GROUP_AFFINITY::Mask.set(at, if call.slot(2) as u32 == 0 { mask() } else { 0 });
    status::SUCCESS
}
