//! Loops that wait for another processor.

use std::cell::Cell;

use host_machine::cpu;
use host_machine::fault::FaultKind;
use host_machine::fiber::{self, Fiber, State};

use crate::host::{self, call, faulting_call};

thread_local! {
    /// What the driver waits for.
    static WORD: Cell<u32> = const { Cell::new(0) };
    static HINTS: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn a_loop_that_waits_lets_others_run() {
    cpu::set_after_hint(|| {
        HINTS.set(HINTS.get() + 1);
        fiber::suspend();
    });
    let image = host::load();
    let word = WORD.with(Cell::as_ptr) as u64;
    let mut fiber = Fiber::new(
        8192,
        Box::new(move || {
            assert_eq!(call(&image, "wait_for", &[word, 7]), 7);
        }),
    );
    for value in [0, 5, 6] {
        WORD.set(value);
        assert_eq!(fiber.resume(), State::Suspended);
    }
    WORD.set(7);
    assert_eq!(fiber.resume(), State::Done);
    assert_eq!(HINTS.get(), 3);
}

#[test]
fn an_undefined_instruction_of_the_drivers_own_is_none() {
    cpu::set_after_hint(|| HINTS.set(HINTS.get() + 1));
    let image = host::load();
    let fault = faulting_call(&image, "illegal", &[]);
    assert_eq!(fault.kind, FaultKind::IllegalInstruction);
    assert_eq!(HINTS.get(), 0);
}
