//! What crossings cost. Not a limit: other work may share the processor.

use std::time::Instant;

use host_machine::mmio;

use crate::host::{self, call};

#[test]
fn crossings_are_cheap() {
    let image = host::load();
    let rounds = if cfg!(target_arch = "x86_64") {
        200_000
    } else {
        2_000
    };
    let best = |what: &str, work: &mut dyn FnMut()| {
        let best = (0..5)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed().as_nanos() as u64 / rounds
            })
            .min();
        println!("{what}: {} ns", best.unwrap_or(0));
        best.unwrap_or(0)
    };
    host_machine::cpu::set_dispatch(|_, _, _| 1);
    let import = best("import", &mut || {
        assert_eq!(call(&image, "clobber_n", &[rounds]), rounds)
    });
    let window = mmio::map(4096, Box::new(|_| 1));
    let va = window.va() as u64;
    let read = best("register read", &mut || {
        assert_eq!(call(&image, "poll", &[va, rounds]), rounds)
    });
    best("register write", &mut || {
        call(&image, "ring", &[va, rounds]);
    });
    // Ten times what an idle machine takes.
    if cfg!(target_arch = "x86_64") {
        assert!(import < 300 && read < 30_000, "{import} {read}");
    }
}
