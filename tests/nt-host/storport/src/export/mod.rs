//! The functions of storport.sys.
//!
//! Where Microsoft's tables are silent on the IRQL, the range below names what it rests on: the callbacks that a routine is documented
//! for, and their IRQLs.

mod bus;
mod extended;
mod flow;
mod locks;
mod log;
mod memory;
mod notification;
mod registers;
mod registry;

use std::rc::Rc;

use host_ntos::abi::Range;
use host_ntos::export::{Call, Handler, register_curated};
use host_ntos::{callback, rules, sched};

use crate::complete;
use crate::rules::{STALL, STARTIO_WAIT};
use crate::state::{self, AdapterState, DIRQL};

const DLL: &str = "storport.sys";
const PASSIVE: Range = Range { min: 0, max: 0 };
const TO_DISPATCH: Range = Range { min: 0, max: 2 };
const ANY: Range = Range { min: 0, max: 15 };
/// FALSE and TRUE.
const FALSE: u64 = 0;
const TRUE: u64 = 1;

/// Registers everything that storport.sys exports for physical miniports.
pub fn register() {
    let add = |name, range, evidence, handler: Handler| {
        register_curated(DLL, name, range, evidence, handler)
    };
    add(
        "StorPortInitialize",
        PASSIVE,
        "nf-storport-storportinitialize: called from DriverEntry",
        initialize,
    );
    add(
        "StorPortNotification",
        ANY,
        "each notification type is checked by itself",
        notification::notify,
    );
    add(
        "ScsiPortNotification",
        ANY,
        "as StorPortNotification",
        notification::notify,
    );
    add(
        "StorPortExtendedFunction",
        ANY,
        "each function code is checked by itself",
        extended::extended,
    );
    for (name, handler) in flow::EXPORTS {
        add(
            name,
            ANY,
            "documented for HwStartIo, the interrupt routine and DPCs alike",
            *handler,
        );
    }
    for (name, handler) in registers::EXPORTS {
        add(
            name,
            ANY,
            "register access: nf-storport-storportreadregisterulong names no limit",
            *handler,
        );
    }
    for (name, range, evidence, handler) in bus::EXPORTS
        .iter()
        .chain(memory::EXPORTS)
        .chain(registry::EXPORTS)
        .chain(log::EXPORTS)
    {
        add(name, *range, evidence, *handler);
    }
    add(
        "StorPortSynchronizeAccess",
        Range { min: 0, max: DIRQL },
        "nf-wdm-kesynchronizeexecution, which it stands for: IRQL <= DIRQL",
        locks::synchronize_access,
    );
    add(
        "StorPortStallExecution",
        ANY,
        "nf-wdm-kestallexecutionprocessor, which it stands for",
        |call| {
            let microseconds = call.u32(0);
            if microseconds >= 1000 {
                rules::violate(STALL, format!("a stall of {microseconds} microseconds"));
            }
            if callback::running_but("STOR_SYNCHRONIZED_ACCESS") == Some("HW_STARTIO") {
                rules::violate(
                    STARTIO_WAIT,
                    format!("a stall of {microseconds} microseconds in HwStartIo"),
                );
            }
            sched::stall(u64::from(microseconds));
            0
        },
    );
    add(
        "StorPortQuerySystemTime",
        ANY,
        "nf-storport-storportquerysystemtime: any level",
        |call| {
            // 100 ns units; the run's clock begins at 0, which says nothing of the year.
            host_ntos::guest::write_u64(call.ptr(0), (sched::now().as_nanos() / 100) as u64);
            0
        },
    );
}

fn initialize(call: &Call) -> u64 {
    u64::from(crate::driver::storport_initialize(
        call.ptr(0),
        call.ptr(1),
        call.ptr(2),
    ))
}

/// The adapter that the first argument of a routine names, counted.
fn adapter_of(call: &Call) -> Option<Rc<AdapterState>> {
    let adapter = state::adapter(call.ptr(0), call.name())?;
    adapter.counters.borrow_mut().call(call.name());
    // The oftener the rings are looked at, the less of them can pass unseen.
    complete::observe(&adapter);
    Some(adapter)
}
