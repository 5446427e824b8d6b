//! What there is to fail: the calls of the functions that can, and the register accesses, in a whole life.

use std::cell::RefCell;

use anyhow::{Result, ensure};
use host_ntos::inject::Fault;

use super::life::{self, Ground};
use super::plan::Plan;

/// Functions that can fail and that vioblk calls, for random plans. A test sees to it that none is left out.
pub const NAMES: [&str; 12] = [
    "StorPortInitialize",
    "StorPortGetBusData",
    "StorPortGetDeviceBase",
    "StorPortGetUncachedExtension",
    "StorPortGetPhysicalAddress",
    "StorPortGetScatterGatherList",
    "StorPortAllocateRegistryBuffer",
    "StorPortRegistryRead",
    "StorPortEnablePassiveInitialization",
    "GetMessageInterruptInformation",
    "InitializePerformanceOptimizations",
    "GetStartIoPerformanceParameters",
];

thread_local! {
    static KNOWN: RefCell<Vec<Fault>> = const { RefCell::new(Vec::new()) };
}

/// Every call that can fail, as [`learn`] found them.
pub fn calls() -> Result<Vec<Fault>> {
    let known = KNOWN.with_borrow(Clone::clone);
    ensure!(
        !known.is_empty(),
        "pairs of calls are chosen from those of a driver that has run once"
    );
    Ok(known)
}

/// Runs a whole life without faults, and returns how many register accesses it has.
///
/// # Errors
/// It failed.
pub fn learn(sys: &[u8], ground: &mut Ground) -> Result<u64> {
    let found = life::run(&Plan::whole_life(), sys, ground);
    ensure!(
        found.wrong.is_empty(),
        "without any fault: {}",
        found.wrong.join("\n")
    );
    let faults = found.calls.iter().flat_map(|(call, count)| {
        (1..=*count).map(|nth| Fault {
            call: call.clone(),
            nth,
        })
    });
    KNOWN.set(faults.collect());
    Ok(found.accesses)
}
