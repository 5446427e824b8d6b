//! Descriptors, ring entries and buffers are used again: what one side writes, the other has read.

use ring_loom::rig::{Case, Memory};

use super::{Counter, explore};

/// A ring so small that a direct chain takes all of it; ring, buffer and table are used twice.
fn nothing_is_reused_too_early(case: Case) {
    let twice = Counter::default();
    let counter = twice.clone();
    explore(move || {
        let mut memory = Memory::new(case, 2);
        let (mut driver, mut device) = memory.queue();
        driver.add(0);
        let _ = driver.publish();
        // Neither side waits: each looks as often as it takes when the other is quick.
        let thread = loom::thread::spawn(move || {
            let mut served = 0;
            for _ in 0..2 {
                if let Some(taken) = device.pop() {
                    device.finish(taken);
                    served += 1;
                }
            }
            served
        });
        let again = driver.completed().is_some();
        if again {
            // The same descriptors, entries and buffer.
            driver.add(0);
            let _ = driver.publish();
        }
        let served = thread.join().unwrap();
        assert_eq!(
            driver.completed().is_some(),
            served == 2 || served == 1 && !again
        );
        counter.count(served == 2);
    });
    assert!(twice.get() > 0, "{case:?}: the ring was never used twice");
}

#[test]
fn nothing_is_reused_too_early_direct() {
    Case::direct().for_each(nothing_is_reused_too_early);
}

#[test]
fn nothing_is_reused_too_early_in_tables() {
    Case::indirect().for_each(nothing_is_reused_too_early);
}
