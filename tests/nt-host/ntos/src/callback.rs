//! Calls the driver, and checks that it left the IRQL, the locks and the stack as it found them.

use std::time::Duration;

use host_machine::{cpu, fiber};

use crate::context::{self, Frame};
use crate::{abi, lock, rules, sched};

/// What entering driver code costs on the virtual clock.
const CALL_COST: Duration = Duration::from_nanos(50);

/// Calls driver code at `address` with integer `args` (at most 12) at the IRQL that is current.
///
/// `name` is the callback type as Microsoft spells it (`HW_STARTIO`); its documented IRQL is demanded of the host. Returns RAX/X0.
pub fn call(name: &'static str, address: usize, args: &[u64]) -> u64 {
    run(name, || cpu::call(address, args))
}

/// The type of the innermost callback that runs now, seen through those of one type.
#[must_use]
pub fn running_but(through: &str) -> Option<&'static str> {
    context::callback_but(through)
}

/// Runs host code under the same checks as a callback; for drivers written as closures.
pub fn run<R>(name: &'static str, f: impl FnOnce() -> R) -> R {
    let level = sched::irql();
    if let Some(range) = abi::function(name).and_then(|f| f.irql)
        && !(range.min..=range.max).contains(&level)
    {
        rules::violate(
            rules::CALLBACK_IRQL,
            format!(
                "{name} called at IRQL {level}, documented {} to {}",
                range.min, range.max
            ),
        );
    }
    let held = lock::held_count();
    let stack_left = if fiber::is_running() {
        fiber::stack_left()
    } else {
        0
    };
    context::push(Frame::Callback { name, stack_left });
    sched::tick(CALL_COST);
    sched::goes_on();
    let result = f();
    let after = sched::irql();
    if after != level {
        rules::violate(
            rules::IRQL_CHANGED,
            format!("called at IRQL {level}, returned at {after}"),
        );
    }
    lock::check_leaked(held, name);
    if after < level {
        sched::raise(level);
    } else if after > level {
        sched::lower(level);
    }
    context::pop();
    result
}
