//! DbgPrint and the ends of a system: bug checks, breakpoints, failed security checks.

use std::cell::RefCell;

use super::format::{Arguments, format_narrow};
use super::{Call, table};
use crate::{guest, rules, trace};

/// Lines that are kept.
const MOST_LINES: usize = 10_000;

thread_local! {
    static OUTPUT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn boot() {
    OUTPUT.take();
}

/// What drivers printed.
pub(crate) fn debug_output() -> Vec<String> {
    OUTPUT.with_borrow(Clone::clone)
}

pub(super) fn register() {
    let k = "ntoskrnl.exe";
    // nf-wdm-dbgprint
    table::register(k, "DbgPrint", |c| {
        print(c.ptr(0), Arguments::at(c.slot_address(1)))
    });
    table::register(k, "DbgPrintEx", |c| {
        print(c.ptr(2), Arguments::at(c.slot_address(3)))
    });
    table::register(k, "vDbgPrintEx", |c| {
        print(c.ptr(2), Arguments::at(c.ptr(3)))
    });
    table::register(k, "vDbgPrintExWithPrefix", |c| {
        print(c.ptr(3), Arguments::at(c.ptr(4)))
    });
    table::register(k, "DbgQueryDebugFilterState", |_| 0);
    table::register(k, "KdRefreshDebuggerNotPresent", |_| 1);
    table::register(k, "DbgBreakPoint", |c| {
        bugcheck(c, "a breakpoint without a debugger")
    });
    table::register(k, "DbgBreakPointWithStatus", |c| {
        bugcheck(c, "a breakpoint without a debugger")
    });
    table::register(k, "RtlAssert", |c| {
        let text = |i| String::from_utf8_lossy(&guest::c_string(c.ptr(i), 512)).into_owned();
        bugcheck(
            c,
            &format!("assertion {} at {}:{}", text(0), text(1), c.u32(2)),
        )
    });
    // nf-wdm-kebugcheck, nf-wdm-kebugcheckex
    table::register(k, "KeBugCheck", |c| {
        bugcheck(c, &format!("stop {:#x}", c.u32(0)))
    });
    table::register(k, "KeBugCheckEx", |c| {
        let parameters: Vec<String> = (1..5).map(|i| format!("{:#x}", c.arg(i))).collect();
        bugcheck(
            c,
            &format!("stop {:#x} ({})", c.u32(0), parameters.join(", ")),
        )
    });
    // No dump is ever written, so the callbacks are never called.
    for name in [
        "KeRegisterBugCheckCallback",
        "KeDeregisterBugCheckCallback",
        "KeRegisterBugCheckReasonCallback",
        "KeDeregisterBugCheckReasonCallback",
    ] {
        table::register(k, name, |_| 1);
    }
    // Structured exceptions are not dispatched here: a fault ends the run before any handler is looked for.
    table::register(k, "__C_specific_handler", |c| {
        bugcheck(c, "an exception handler was called")
    });
}

fn bugcheck(call: &Call, what: &str) -> u64 {
    rules::fatal_at(
        rules::BUGCHECK,
        call.caller(),
        format!("{}: {what}", call.name()),
    )
}

/// STATUS_SUCCESS.
fn print(format: usize, arguments: Arguments) -> u64 {
    let text = format_narrow(&guest::c_string(format, 4096), arguments);
    line(String::from_utf8_lossy(&text).trim_end_matches(['\r', '\n']));
    0
}

/// Keeps a line for the report.
pub fn line(text: &str) {
    // Lines hold addresses, so only that there was one is traced.
    trace::event("print", &[]);
    OUTPUT.with_borrow_mut(|lines| {
        if lines.len() < MOST_LINES {
            lines.push(text.to_owned());
        }
    });
}
