//! Event tracing and WMI: nobody listens, which is a state that every driver meets on Windows.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::table::register as export;
use crate::{guest, kernel, rules};

/// STATUS_INVALID_HANDLE.
const INVALID_HANDLE: u64 = 0xc000_0008;

thread_local! {
    static PROVIDERS: RefCell<(u64, BTreeSet<u64>)> = const { RefCell::new((0, BTreeSet::new())) };
}

/// Providers that are still registered: a leak when their driver is unloaded.
#[must_use]
pub fn registered_providers() -> usize {
    PROVIDERS.with_borrow(|(_, live)| live.len())
}

pub(super) fn register() {
    PROVIDERS.take();
    let k = "ntoskrnl.exe";
    export(k, "EtwRegister", |c| {
        let handle = PROVIDERS.with_borrow_mut(|(next, live)| {
            *next += 1;
            live.insert(*next);
            *next
        });
        guest::write_u64(c.ptr(3), handle);
        0
    });
    export(k, "EtwUnregister", |c| {
        if PROVIDERS.with_borrow_mut(|(_, live)| live.remove(&c.arg(0))) {
            return 0;
        }
        rules::violate(
            rules::BAD_ARGUMENT,
            "an ETW provider is unregistered that is not registered".to_owned(),
        );
        INVALID_HANDLE
    });
    for name in [
        "EtwWrite",
        "EtwWriteEx",
        "EtwWriteTransfer",
        "EtwWriteString",
    ] {
        export(k, name, |_| {
            kernel::count("etw events", 1);
            0
        });
    }
    for name in ["EtwEventEnabled", "EtwProviderEnabled"] {
        export(k, name, |_| 0);
    }
    for name in ["EtwSetInformation", "EtwActivityIdControl"] {
        export(k, name, |_| 0);
    }
    // No consumer ever enables a WPP provider, so nothing calls back.
    for name in [
        "IoWMIRegistrationControl",
        "WmiTraceMessage",
        "WmiTraceMessageVa",
    ] {
        export(k, name, |_| 0);
    }
    // STATUS_NOT_SUPPORTED: WPP's start-up asks for a function that this host lacks, and goes on without.
    export(k, "WmiQueryTraceInformation", |_| 0xc000_00bb);
}
