//! What there is to fail: the calls of the functions that can, and the register accesses, in a whole life.

use std::cell::RefCell;

use anyhow::{Result, ensure};
use host_ntos::inject::Fault;
use object::Object as _;

use super::life::{self, Ground};
use super::plan::Plan;

/// Functions that can fail and that vioblk calls, for random plans. With [`MORE_NAMES`] they are all: [`learn`] sees to it.
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

/// The others, which random plans draw by a dice of its own: what a seed means otherwise does not change by them.
pub const MORE_NAMES: [&str; 3] = ["MiniportEtwEvent2", "LogSystemEvent", "StorPortBusy"];

/// What tells somebody something: nothing else may come of its failure.
pub const TELLING: [&str; 2] = ["MiniportEtwEvent2", "LogSystemEvent"];

/// What vioblk imports and what cannot fail, by Microsoft's pages.
const SURE: [(&str, &str); 9] = [
    (
        "KeBugCheckEx",
        "nf-wdm-kebugcheckex: brings down the system",
    ),
    (
        "KeGetCurrentProcessorNumberEx",
        "nf-wdm-kegetcurrentprocessornumberex: returns the number",
    ),
    (
        "KeQueryActiveProcessorCountEx",
        "nf-wdm-kequeryactiveprocessorcountex: 0 only for a group that does not exist",
    ),
    (
        "MmGetPhysicalAddress",
        "nf-ntddk-mmgetphysicaladdress: returns the address of a valid one",
    ),
    (
        "StorPortExtendedFunction",
        "each function code fails by its own name",
    ),
    (
        "StorPortFreeRegistryBuffer",
        "nf-storport-storportfreeregistrybuffer: returns nothing",
    ),
    (
        "StorPortNotification",
        "nf-storport-storportnotification: returns nothing; the types that answer fail by their own names",
    ),
    (
        "StorPortStallExecution",
        "nf-storport-storportstallexecution: returns nothing",
    ),
    (
        "__chkstk",
        "the stack probe of the compiler: returns nothing",
    ),
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
    for call in found.calls.keys() {
        let known = NAMES.contains(&&**call) || MORE_NAMES.contains(&&**call);
        ensure!(known, "{call} can fail, but no random plan makes it fail");
    }
    check_imports(sys)?;
    let faults = found.calls.iter().flat_map(|(call, count)| {
        (1..=*count).map(|nth| Fault {
            call: call.clone(),
            nth,
        })
    });
    KNOWN.set(faults.collect());
    Ok(found.accesses)
}

/// Each function that the driver imports either can be made to fail or is known not to fail.
fn check_imports(sys: &[u8]) -> Result<()> {
    let file = object::File::parse(sys)?;
    for import in file.imports()? {
        let name = std::str::from_utf8(import.name())?;
        let sure = SURE.iter().any(|(known, _)| *known == name);
        ensure!(
            sure != host_ntos::inject::can_fail(name),
            "nobody has looked in Microsoft's documentation whether {name} can fail"
        );
    }
    Ok(())
}
