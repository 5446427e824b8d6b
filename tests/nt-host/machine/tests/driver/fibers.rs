//! Coroutines that run driver code.

use std::cell::Cell;
use std::rc::Rc;

use host_machine::cpu;
use host_machine::fiber::{self, Fiber, State};

use crate::host;

#[test]
fn fibers_switch_inside_imports() {
    let image = host::load();
    let yield_n = image.export("yield_n").expect("export");
    let results: Rc<[Cell<u64>; 20]> = Rc::default();
    let mut fibers: Vec<Fiber> = (0..20)
        .map(|index| {
            let results = results.clone();
            Fiber::new(
                8192,
                Box::new(move || results[index].set(cpu::call(yield_n, &[index as u64 + 1]))),
            )
        })
        .collect();
    let mut turns = 0;
    while !fibers.is_empty() {
        fibers.retain_mut(|fiber| fiber.resume() == State::Suspended);
        turns += 1;
    }
    assert_eq!(turns, 21);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result.get(), (0..=index as u64).sum());
    }
}

#[test]
fn the_drivers_stack_is_measured() {
    let image = host::load();
    let use_stack = image.export("use_stack").expect("export");
    let used = |depth: u64| {
        let mut fiber = Fiber::new(
            64 << 10,
            Box::new(move || {
                cpu::call(use_stack, &[depth]);
            }),
        );
        assert_eq!(fiber.resume(), State::Done);
        fiber.stack_used()
    };
    let (shallow, deep) = (used(0), used(40));
    assert!((512..1200).contains(&shallow), "{shallow}");
    assert!((40 * 512..40 * 700).contains(&(deep - shallow)), "{deep}");
    // A stack that was used before does not count for its next user.
    assert_eq!(used(0), shallow);
}

#[test]
fn the_rest_of_the_stack_is_known_in_an_import() {
    let image = host::load();
    let yield_n = image.export("yield_n").expect("export");
    let mut fiber = Fiber::new(
        16 << 10,
        Box::new(move || {
            assert_eq!(fiber::stack_left(), 16 << 10);
            cpu::call(yield_n, &[1]);
        }),
    );
    fiber.resume();
    assert_eq!(fiber.resume(), State::Done);
    thread_local! { static LEFT: Cell<usize> = const { Cell::new(0) }; }
    cpu::set_dispatch(|_, _, _| {
        LEFT.set(fiber::stack_left());
        0
    });
    let mut fiber = Fiber::new(
        16 << 10,
        Box::new(move || {
            cpu::call(yield_n, &[1]);
        }),
    );
    assert_eq!(fiber.resume(), State::Done);
    assert!(
        (14 << 10..(16 << 10) - 64).contains(&LEFT.get()),
        "{}",
        LEFT.get()
    );
}

#[test]
fn fibers_resume_fibers_and_suspended_ones_can_be_dropped() {
    let order: Rc<std::cell::RefCell<Vec<u32>>> = Rc::default();
    let log = order.clone();
    let mut outer = Fiber::new(
        4096,
        Box::new(move || {
            let inner_log = log.clone();
            let mut inner = Fiber::new(
                4096,
                Box::new(move || {
                    inner_log.borrow_mut().push(1);
                    fiber::suspend();
                    inner_log.borrow_mut().push(3);
                    fiber::suspend();
                    inner_log.borrow_mut().push(99);
                }),
            );
            inner.resume();
            log.borrow_mut().push(2);
            fiber::suspend();
            assert_eq!(inner.resume(), State::Suspended);
            log.borrow_mut().push(4);
        }),
    );
    assert_eq!(outer.resume(), State::Suspended);
    assert_eq!(outer.resume(), State::Done);
    assert_eq!(*order.borrow(), [1, 2, 3, 4]);
    assert!(!fiber::is_running());
}
