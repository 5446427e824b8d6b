//! Records what the driver did that Windows' documentation forbids.

mod list;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use host_machine::fiber;
use serde::Serialize;

pub use list::*;

use crate::abi::Range;
use crate::context::{self, Frame};
use crate::{lock, pool, sched, trace};

/// Violations that are kept apart; further ones are only counted.
const MOST: usize = 500;

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
    /// [`Rule::text`].
    pub demand: &'static str,
    /// Who: `viostor.sys+0x1234 (in KeStallExecutionProcessor)`, or the callback that was running.
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
    /// Whether it ended the run.
    pub fatal: bool,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule, self.who, self.what)?;
        if let Some(callback) = self.callback {
            write!(f, " [in {callback}]")?;
        }
        write!(
            f,
            " (CPU {}, IRQL {}, at {:?}",
            self.cpu, self.irql, self.when
        )?;
        if self.count > 1 {
            write!(f, ", {} times", self.count)?;
        }
        write!(f, ")")
    }
}

/// What a memory fault at an address means, to whoever owns that memory.
pub type Explainer = Box<dyn Fn(usize) -> Option<(Rule, String)>>;

#[derive(Default)]
struct State {
    explainers: Vec<Explainer>,
    violations: Vec<Violation>,
    /// Violations beyond [`MOST`].
    beyond: u64,
    /// Name, base, size.
    images: Vec<(String, usize, usize)>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

pub(crate) fn boot() {
    STATE.take();
}

/// Records a breach of `rule` by whatever driver code runs now.
pub fn violate(rule: Rule, what: String) {
    record(rule, what, who(), false, |known, new| {
        known.what == new.what
    });
}

/// As [`violate`], but a further breach of the rule from the same place is only counted, whatever it says.
pub fn violate_once(rule: Rule, what: String) {
    record(rule, what, who(), false, |_, _| true);
}

/// As [`violate`], by the code at `address`.
pub fn violate_at(rule: Rule, address: usize, what: String) {
    record(rule, what, describe(address), false, |known, new| {
        known.what == new.what
    });
}

/// Records a breach that no driver can continue from, and ends the run: the virtual CPU does not go on, and
/// [`sched::run_until`] returns an error.
///
/// # Panics
/// Outside any thread, where there is nothing that could be left behind.
pub fn fatal(rule: Rule, what: String) -> ! {
    fatal_from(rule, who(), what)
}

/// As [`fatal`], by the code at `address`.
///
/// # Panics
/// As [`fatal`].
pub fn fatal_at(rule: Rule, address: usize, what: String) -> ! {
    fatal_from(rule, describe(address), what)
}

pub(crate) fn fatal_from(rule: Rule, who: String, what: String) -> ! {
    let why = format!("{}: {who}: {what}", rule.id);
    record(rule, what, who, true, |_, _| false);
    sched::stop(&why);
    assert!(sched::on_cpu(), "{why}");
    fiber::abandon()
}

fn record(
    rule: Rule,
    what: String,
    who: String,
    fatal: bool,
    same: impl Fn(&Violation, &Violation) -> bool,
) {
    let new = Violation {
        rule: rule.id,
        demand: rule.text,
        who,
        what,
        when: sched::now(),
        cpu: sched::cpu(),
        irql: sched::irql(),
        callback: context::callback().map(|(name, _)| name),
        count: 1,
        fatal,
    };
    trace::event(rule.id, &[new.cpu.into(), new.irql.into()]);
    STATE.with_borrow_mut(|s| {
        let mut known = s.violations.iter_mut();
        if let Some(known) = known.find(|v| v.rule == new.rule && v.who == new.who && same(v, &new))
        {
            known.count += 1;
        } else if s.violations.len() < MOST || fatal {
            s.violations.push(new);
        } else {
            s.beyond += 1;
        }
    });
}

/// What was recorded so far, in order of first occurrence.
#[must_use]
pub fn violations() -> Vec<Violation> {
    STATE.with_borrow(|s| s.violations.clone())
}

/// How many further violations were not kept apart.
#[must_use]
pub fn beyond() -> u64 {
    STATE.with_borrow(|s| s.beyond)
}

/// Adds someone to ask what a fault at an address means, before the pool is asked; forgotten at boot.
pub fn add_explainer(explain: Explainer) {
    STATE.with_borrow_mut(|s| s.explainers.push(explain));
}

/// What a fault at `address` means.
pub(crate) fn explain(address: usize) -> Option<(Rule, String)> {
    // They may look into this module's state: they are asked without a borrow.
    let explainers = STATE.with_borrow_mut(|s| std::mem::take(&mut s.explainers));
    let found = explainers.iter().find_map(|explain| explain(address));
    STATE.with_borrow_mut(|s| s.explainers = explainers);
    found.or_else(|| pool::explain(address))
}

/// Reports `what` (a function, or one code of a function with many) being called outside `allowed`.
pub fn check_irql(what: &str, allowed: Range) {
    let level = sched::irql();
    if (allowed.min..=allowed.max).contains(&level) {
        return;
    }
    let locks = lock::held_count();
    let held = if locks == 0 {
        String::new()
    } else {
        format!(", {locks} spin locks held")
    };
    let (min, max) = (allowed.min, allowed.max);
    violate(
        IRQL_OF_CALL,
        format!("{what} called at IRQL {level}, allowed {min} to {max}{held}"),
    );
}

/// Tells where an image lies, so that addresses in it can be named.
pub fn add_image(name: &str, base: usize, size: usize) {
    STATE.with_borrow_mut(|s| s.images.push((name.to_owned(), base, size)));
}

/// Forgets an image that was unmapped.
pub fn remove_image(base: usize) {
    STATE.with_borrow_mut(|s| s.images.retain(|image| image.1 != base));
}

/// `name.sys+0x1234`, or the bare address.
#[must_use]
pub fn describe(address: usize) -> String {
    STATE.with_borrow(|s| {
        s.images
            .iter()
            .find(|(_, base, size)| address.wrapping_sub(*base) < *size)
            .map_or_else(
                || format!("{address:#x}"),
                |(name, base, _)| format!("{name}+{:#x}", address - base),
            )
    })
}

/// Whether the address lies in a driver image.
#[must_use]
pub fn in_image(address: usize) -> bool {
    STATE.with_borrow(|s| {
        s.images
            .iter()
            .any(|(_, base, size)| address.wrapping_sub(*base) < *size)
    })
}

/// Who runs now.
#[must_use]
pub fn who() -> String {
    match context::top() {
        Some(Frame::Import {
            name,
            return_address,
        }) => {
            format!("{} (in {name})", describe(return_address))
        }
        Some(Frame::Callback { name, .. }) => name.to_owned(),
        None => "host".to_owned(),
    }
}
