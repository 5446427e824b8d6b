//! Records what the driver did that Windows' documentation forbids.

use std::time::Duration;

use serde::Serialize;

/// A named check. Other crates add their own as constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Short name, stable: scenarios and tests refer to it.
    pub id: &'static str,
    /// What it demands.
    pub text: &'static str,
}

impl Rule {
    /// A rule of this name.
    #[must_use]
    pub const fn new(id: &'static str, text: &'static str) -> Rule {
        Rule { id, text }
    }
}

/// One breach of a rule; the same breach from the same place is counted, not repeated.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// [`Rule::id`].
    pub rule: &'static str,
    /// Who: `viostor.sys+0x1234`, or the callback that was running.
    pub who: String,
    /// What happened.
    pub what: String,
    /// The kernel's clock at the first occurrence.
    pub when: Duration,
    /// The virtual CPU.
    pub cpu: u32,
    /// Its IRQL.
    pub irql: u8,
    /// The innermost driver callback that was running.
    pub callback: Option<&'static str>,
    /// How often.
    pub count: u64,
}

/// A function may only be called at the IRQLs its documentation states.
pub const IRQL_OF_CALL: Rule = Rule::new(
    "irql-of-call",
    "a function is called only at the IRQLs its documentation states",
);

/// Records a breach of `rule` by whatever driver code runs now.
pub fn violate(_rule: Rule, _what: String) {
    todo!()
}

/// Records a breach that no driver can continue from, and ends the run: [`crate::sched::run_until`] returns an error, this never returns.
pub fn fatal(_rule: Rule, _what: String) -> ! {
    todo!()
}

/// What was recorded so far.
#[must_use]
pub fn violations() -> Vec<Violation> {
    todo!()
}

/// Tells where an image lies, so that addresses in it can be named.
pub fn add_image(_name: &str, _base: usize, _size: usize) {
    todo!()
}

/// Forgets an image that was unmapped.
pub fn remove_image(_base: usize) {
    todo!()
}

/// `name.sys+0x1234`, or the bare address.
#[must_use]
pub fn describe(_address: usize) -> String {
    todo!()
}
