//! Calls the driver, and checks that it left the IRQL, the locks and the stack as it found them.

/// Calls driver code at `address` with integer `args` (at most 12) at the IRQL that is current.
///
/// `name` is the callback type as Microsoft spells it (`HW_STARTIO`); its documented IRQL is asserted of the caller, that
/// is of the host itself. Returns RAX/X0.
pub fn call(_name: &'static str, _address: usize, _args: &[u64]) -> u64 {
    todo!()
}

/// Runs host code under the same checks as a callback; for tests and for drivers written as closures.
pub fn run<R>(_name: &'static str, _f: impl FnOnce() -> R) -> R {
    todo!()
}
