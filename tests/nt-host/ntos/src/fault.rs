//! Turns what the processor refused into a violation with the driver's name on it.

use host_machine::fault::{Fault, FaultKind};

use crate::context::{self, Frame};
use crate::rules;

/// The machine's fault handler: records and leaves the virtual CPU for good.
pub(crate) fn on_fault(fault: &Fault) -> ! {
    let rule = match fault.kind {
        FaultKind::Read | FaultKind::Write | FaultKind::Execute | FaultKind::Bus => {
            memory_rule(fault)
        }
        FaultKind::StackOverflow => rules::STACK_DEPTH,
        FaultKind::IllegalInstruction
        | FaultKind::Privileged
        | FaultKind::Breakpoint
        | FaultKind::Arithmetic => rules::ILLEGAL_INSTRUCTION,
        FaultKind::FastFail(_) => rules::FAST_FAIL,
        FaultKind::CfgViolation => rules::CFG,
        FaultKind::Hang => rules::LOOP,
    };
    let mut what = fault.to_string();
    if let Some((_, more)) = explained(fault) {
        what = format!("{what}: {more}");
    }
    match context::top() {
        // The kernel itself touched what it was given.
        Some(Frame::Import { .. }) if !fault.in_driver => {
            rules::fatal_from(rule, rules::who(), what)
        }
        _ => rules::fatal_at(rule, fault.pc, what),
    }
}

fn memory_rule(fault: &Fault) -> rules::Rule {
    match explained(fault) {
        Some((rule, _)) => rule,
        None if fault.in_driver => rules::ACCESS_VIOLATION,
        None => rules::BAD_POINTER,
    }
}

fn explained(fault: &Fault) -> Option<(rules::Rule, String)> {
    match fault.kind {
        FaultKind::Read | FaultKind::Write => rules::explain(fault.address),
        _ => None,
    }
}
