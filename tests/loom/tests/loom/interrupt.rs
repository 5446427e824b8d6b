//! The device uses a buffer and decides whether to interrupt; the driver asks for an interrupt, looks once more and sleeps.

use loom::sync::Arc;
use ring_loom::line::Line;
use ring_loom::rig::{Case, Driver, Memory};
use ring_loom::ring::{Armed, Taken};

use super::{Counter, explore};

/// How the driver takes what is done and asks for its interrupt: how many buffers it got back, and whether it may sleep.
type Take = fn(&mut Driver<'_>) -> (usize, bool);

const AT_THE_NEXT: Take = |driver| (each(driver), driver.queue.arm() == Armed::Idle);
const LATER: Take = |driver| (each(driver), driver.queue.arm_delayed() == Armed::Idle);
const IN_ONE: Take = |driver| {
    let (done, ended) = driver.take_all();
    (done, ended == Taken::Idle)
};

const ALONE: Take = |driver| driver.take_alone();

/// Takes what is done, one by one.
fn each(driver: &mut Driver<'_>) -> usize {
    core::iter::from_fn(|| driver.completed()).count()
}

/// The driver until it sleeps. Returns how many buffers it got back.
fn collect(driver: &mut Driver<'_>, interrupt: &Line, take: Take) -> usize {
    let mut done = 0;
    loop {
        interrupt.take();
        driver.queue.disarm();
        let (more, idle) = take(driver);
        done += more;
        if idle && !interrupt.raised() {
            return done;
        }
    }
}

/// `batches` says how many buffers the device finishes before each decision.
fn no_interrupt_is_lost(case: Case, batches: &'static [usize], take: Take) {
    let (slept, silent) = (Counter::default(), Counter::default());
    let counters = (slept.clone(), silent.clone());
    explore(move || {
        let total: usize = batches.iter().sum();
        let mut memory = Memory::new(case, 4);
        let (mut driver, mut device) = memory.queue();
        let interrupt = Arc::new(Line::default());
        (0..total).for_each(|token| driver.add(token));
        assert!(driver.publish().needed());
        driver.queue.disarm();
        let (line, silent) = (Arc::clone(&interrupt), counters.1.clone());
        let thread = loom::thread::spawn(move || {
            let taken: Vec<_> = core::iter::from_fn(|| device.pop()).collect();
            let mut rest = &taken[..];
            for &batch in batches {
                let (now, later) = rest.split_at(batch);
                rest = later;
                device.finish_batch(now);
                let needed = device.interrupts();
                if needed {
                    line.raise();
                }
                silent.count(!needed);
            }
        });
        let done = collect(&mut driver, &interrupt, take);
        thread.join().unwrap();
        let awake = interrupt.raised();
        counters.0.count(done < total && awake);
        assert!(
            done == total || awake,
            "driver sleeps with {done} of {total} done"
        );
    });
    assert!(
        slept.get() > 0,
        "{case:?}: the driver never slept too early"
    );
    assert!(
        silent.get() > 0,
        "{case:?}: every buffer was interrupted for"
    );
}

#[test]
fn no_interrupt_is_lost_one_by_one() {
    Case::direct().for_each(|case| no_interrupt_is_lost(case, &[1, 1], AT_THE_NEXT));
}

#[test]
fn no_interrupt_of_a_batch_is_lost() {
    Case::direct().for_each(|case| no_interrupt_is_lost(case, &[2], AT_THE_NEXT));
}

#[test]
fn no_interrupt_is_lost_when_all_is_taken_in_one() {
    Case::direct().for_each(|case| no_interrupt_is_lost(case, &[1, 1], IN_ONE));
}

#[test]
fn no_interrupt_is_lost_when_one_is_taken_alone() {
    Case::direct().for_each(|case| no_interrupt_is_lost(case, &[1, 1], ALONE));
}

#[test]
fn no_interrupt_is_lost_when_armed_for_later() {
    Case::direct().for_each(|case| no_interrupt_is_lost(case, &[1, 1], LATER));
}
