//! The only program of a small Linux guest: puts vioblk.sys on the guest's PCI functions, and Linux's own driver on the same ones.
//!
//! As process 1 it sets the machine up, runs each step in a process of its own and switches the machine off. `cargo xtask test`
//! starts the guest and listens to its serial console: a line `@NAME WORDS` says what begins or what was found. `@begin` and
//! `@end` are answered with an empty line, so that the other side can count what the device did in between.
#![forbid(unsafe_code)]

mod boot;
mod interrupts;
mod linux;
mod steps;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match (std::process::id(), arguments.next()) {
        (1, _) => boot::run(),
        (_, Some(step)) => steps::run(&step, arguments),
        (_, None) => Err(anyhow::anyhow!(
            "this program is process 1 of a guest: `cargo xtask test --full --only \"vioblk in QEMU\"` starts it"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED {error:#}");
            ExitCode::FAILURE
        }
    }
}
