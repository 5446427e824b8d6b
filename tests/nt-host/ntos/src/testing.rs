//! What the unit tests of this crate share: a booted kernel, and imports called the way driver code calls them.

use std::time::Duration;

use host_machine::image::Binding;
use host_machine::ram::Ram;

use crate::rules::{self, Rule};
use crate::sched::{self, Stuck};
use crate::{Config, Preempt, Report, boot, export, shutdown};

/// Ample on the virtual clock.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Boots with `cpus` CPUs and pre-emption at every third point.
pub(crate) fn start(cpus: u32) {
    start_with(Config {
        cpus,
        preempt: Preempt { one_in: 3 },
        ..Config::default()
    });
}

pub(crate) fn start_with(config: Config) {
    let seed = config.seed;
    boot(config, Ram::new(8 << 20, seed).expect("/dev/shm has room"));
}

/// Calls an import as driver code does, from the current fiber.
pub(crate) fn import(name: &str, args: &[u64]) -> u64 {
    // Arguments that a function reads beyond those given are garbage on Windows, too.
    let mut slots = [0xdead_beef_dead_beef; 16];
    slots[..args.len()].copy_from_slice(args);
    match export::resolve("ntoskrnl.exe", name) {
        Binding::Function(id) => export::dispatch(id, slots.as_ptr(), 0x1000),
        Binding::Data(address) => panic!("{name} is data at {address:?}"),
    }
}

/// Runs `f` as a thread of CPU 0 to its end.
pub(crate) fn on_cpu<R: 'static>(f: impl FnOnce() -> R + 'static) -> Result<R, Stuck> {
    sched::run_thread(0, "test", SOON, f)
}

/// Runs `f` as a thread; no rule may be broken.
pub(crate) fn clean<R: 'static>(f: impl FnOnce() -> R + 'static) -> R {
    let result = on_cpu(f).unwrap_or_else(|stuck| panic!("{stuck}"));
    expect(&[]);
    result
}

/// Exactly these rules were broken, in this order of first occurrence.
pub(crate) fn expect(rules: &[Rule]) {
    let found: Vec<&str> = rules::violations().iter().map(|v| v.rule).collect();
    let wanted: Vec<&str> = rules.iter().map(|rule| rule.id).collect();
    assert_eq!(found, wanted, "{:#?}", rules::violations());
}

/// Runs `f`, which ends the run by breaking `rule`.
pub(crate) fn expect_fatal(rule: Rule, f: impl FnOnce() + 'static) -> Report {
    let stuck = on_cpu(f).expect_err("the run was to be ended");
    assert!(stuck.why.starts_with(rule.id), "{stuck}");
    let report = shutdown();
    let last = report.violations.last().expect("it was recorded");
    assert!(last.fatal && last.rule == rule.id, "{last:?}");
    report
}
