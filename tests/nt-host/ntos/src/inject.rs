//! Makes chosen calls of the driver fail, to see what it does then.
//!
//! A function that can fail is told of by [`register`], with what its documentation says it returns then. What it would have
//! written to memory is not written. Functions whose failure is told otherwise ask [`due`] themselves.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// One call that is to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The function.
    pub call: String,
    /// Which of its calls, from 1.
    pub nth: u64,
}

/// A function that can fail.
#[derive(Clone, Copy, Debug)]
pub struct Fallible {
    /// Its name.
    pub call: &'static str,
    /// What it returns then.
    pub result: u64,
    /// Where that is written.
    pub source: &'static str,
}

/// What ntoskrnl's functions return when they fail.
const KERNEL: &[Fallible] = &[
    null("ExAllocatePool", "nf-wdm-exallocatepool"),
    null("ExAllocatePoolWithTag", "nf-wdm-exallocatepoolwithtag"),
    null("ExAllocatePool2", "nf-wdm-exallocatepool2"),
    null("ExAllocatePool3", "nf-wdm-exallocatepool3"),
    null("IoAllocateMdl", "nf-wdm-ioallocatemdl"),
    null("IoAllocateWorkItem", "nf-wdm-ioallocateworkitem"),
    null(
        "MmAllocateContiguousMemorySpecifyCache",
        "nf-wdm-mmallocatecontiguousmemoryspecifycache",
    ),
    null(
        "MmGetSystemRoutineAddress",
        "nf-wdm-mmgetsystemroutineaddress",
    ),
    Fallible {
        call: "EtwRegister",
        // STATUS_NO_MEMORY
        result: 0xc000_0017,
        source: "nf-wdm-etwregister",
    },
];

/// A function that fails with NULL, FALSE or 0.
#[must_use]
pub const fn null(call: &'static str, source: &'static str) -> Fallible {
    Fallible {
        call,
        result: 0,
        source,
    }
}

#[derive(Default)]
struct State {
    results: BTreeMap<&'static str, Fallible>,
    armed: Vec<Fault>,
    seen: BTreeMap<&'static str, u64>,
    fired: Vec<Fault>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

pub(crate) fn boot() {
    STATE.take();
    register(KERNEL);
}

/// Tells of functions that can fail. Until the next boot.
pub fn register(functions: &[Fallible]) {
    STATE.with_borrow_mut(|s| {
        let rows = functions.iter().map(|function| (function.call, *function));
        s.results.extend(rows);
    });
}

/// Whether an imported function of this name can be made to fail.
#[must_use]
pub fn can_fail(name: &str) -> bool {
    STATE.with_borrow(|s| s.results.contains_key(name))
}

/// Makes these calls fail. Until the next boot.
pub fn arm(faults: &[Fault]) {
    STATE.with_borrow_mut(|s| s.armed = faults.to_vec());
}

/// Counts a call of a function that can fail; true if this one has to.
pub fn due(call: &'static str) -> bool {
    STATE.with_borrow_mut(|s| {
        let count = s.seen.entry(call).or_default();
        *count += 1;
        let nth = *count;
        let fault = s
            .armed
            .iter()
            .find(|fault| fault.call == call && fault.nth == nth)
            .cloned();
        s.fired.extend(fault.clone());
        fault.is_some()
    })
}

/// What an imported function returns instead of being carried out.
pub(crate) fn result(name: &str) -> Option<u64> {
    let row = STATE.with_borrow(|s| s.results.get(name).copied())?;
    due(row.call).then_some(row.result)
}

/// Calls so far of the functions that can fail.
#[must_use]
pub fn seen() -> BTreeMap<&'static str, u64> {
    STATE.with_borrow(|s| s.seen.clone())
}

/// The calls that failed so far.
#[must_use]
pub fn fired() -> Vec<Fault> {
    STATE.with_borrow(|s| s.fired.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_call_fails_and_no_other() {
        boot();
        register(&[null("Grow", "a page")]);
        let second = Fault {
            call: "Grow".to_owned(),
            nth: 2,
        };
        arm(std::slice::from_ref(&second));
        let results = [result("Grow"), result("Grow"), result("Grow")];
        assert_eq!(results, [None, Some(0), None]);
        assert_eq!(result("Shrink"), None, "it cannot fail");
        assert!(can_fail("Grow") && !can_fail("Shrink"));
        assert_eq!(seen().get("Grow"), Some(&3));
        assert_eq!(fired(), [second]);
        boot();
        assert!(fired().is_empty() && seen().is_empty());
    }
}
