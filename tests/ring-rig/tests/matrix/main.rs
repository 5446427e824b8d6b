//! Every behaviour of the rings once, run over split × packed × direct × indirect × EVENT_IDX × IN_ORDER, against devices
//! that share no code with the driver side.

mod completion;
mod life;
mod model;
mod notify;
mod offer;
mod refuse;
mod threads;

use ring_rig::Mode;

/// Runs a test in every mode, at every small size.
fn each(test: impl Fn(Mode, u16)) {
    for mode in Mode::all() {
        for size in mode.sizes() {
            test(mode, *size);
        }
    }
}

/// Runs a test at the largest size, once for each ring format.
fn largest(test: impl Fn(Mode, u16)) {
    for mode in Mode::judged() {
        if mode.event_idx && mode.indirect == mode.in_order && !cfg!(miri) {
            test(mode, 32768);
        }
    }
}

/// How often something is repeated: less where each step is interpreted.
const fn rounds<const N: u64>() -> u64 {
    if cfg!(miri) { N.div_ceil(2000) } else { N }
}
