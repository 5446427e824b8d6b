//! What crossings cost. Not a limit: other work may share the processor.

use std::time::Instant;

use host_machine::{cpu, mmio};

use crate::host::{self, call};

/// Few enough to fit into a slice of processor time, so that the best of many tries is undisturbed.
const ROUNDS: u64 = 1000;

fn best(what: &str, work: &mut dyn FnMut()) -> u64 {
    let best = (0..100)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_nanos() as u64 / ROUNDS
        })
        .min();
    println!("{what}: {} ns", best.unwrap_or(0));
    best.unwrap_or(0)
}

#[test]
fn crossings_are_cheap() {
    let image = host::load();
    cpu::set_dispatch(|_, _, _| 1);
    let import = best("import", &mut || {
        assert_eq!(call(&image, "clobber_n", &[ROUNDS]), ROUNDS)
    });
    let window = mmio::map(4096, Box::new(|_| 1));
    let va = window.va() as u64;
    let read = best("register read", &mut || {
        assert_eq!(call(&image, "poll", &[va, ROUNDS]), ROUNDS)
    });
    best("register write", &mut || {
        call(&image, "ring", &[va, ROUNDS]);
    });
    // Ten times what a machine takes that has nothing else to do.
    if cfg!(target_arch = "x86_64") {
        assert!(import < 300 && read < 30_000, "{import} {read}");
    }
}
