//! The driver publishes and decides whether to notify; the device asks to be notified, looks once more and sleeps.

use loom::sync::Arc;
use ring_loom::device::Device;
use ring_loom::line::Line;
use ring_loom::rig::{Case, Memory};

use super::{Counter, explore};

/// The device until it sleeps: takes what is there, asks for a notification, looks again. Returns how many buffers it saw.
fn serve(device: &mut Device, kick: &Line) -> usize {
    let mut seen = 0;
    loop {
        kick.take();
        device.disable_notifications();
        while device.pop().is_some() {
            seen += 1;
        }
        if !device.enable_notifications() && !kick.raised() {
            return seen;
        }
    }
}

/// `batches` says how many chains each publish shows; `submit`: the last one is added in one with it.
fn no_kick_is_lost(case: Case, batches: &'static [usize], submit: bool) {
    let (slept, silent) = (Counter::default(), Counter::default());
    let counters = (slept.clone(), silent.clone());
    explore(move || {
        let total: usize = batches.iter().sum();
        let mut memory = Memory::new(case, 4);
        let (mut driver, mut device) = memory.queue();
        let kick = Arc::new(Line::default());
        device.disable_notifications();
        let line = Arc::clone(&kick);
        let thread = loom::thread::spawn(move || serve(&mut device, &line));
        let mut tokens = 0..total;
        for &batch in batches {
            let alone = usize::from(submit);
            for token in tokens.by_ref().take(batch - alone) {
                driver.add(token);
            }
            let needed = match tokens.by_ref().take(alone).next() {
                Some(token) => driver.submit(token),
                None => driver.publish(),
            }
            .needed();
            if needed {
                kick.raise();
            }
            counters.1.count(!needed);
        }
        let seen = thread.join().unwrap();
        let awake = kick.raised();
        counters.0.count(seen < total && awake);
        assert!(
            seen == total || awake,
            "device sleeps with {seen} of {total} seen"
        );
    });
    assert!(
        slept.get() > 0,
        "{case:?}: the device never slept too early"
    );
    assert!(silent.get() > 0, "{case:?}: every publish was kicked");
}

#[test]
fn no_kick_is_lost_one_by_one() {
    Case::direct().for_each(|case| no_kick_is_lost(case, &[1, 1], false));
}

#[test]
fn no_kick_of_a_batch_is_lost() {
    Case::direct().for_each(|case| no_kick_is_lost(case, &[2], false));
}

#[test]
fn no_kick_of_a_table_is_lost() {
    Case::indirect().for_each(|case| no_kick_is_lost(case, &[1], false));
}

#[test]
fn no_kick_of_what_is_sent_in_one_is_lost() {
    Case::indirect().for_each(|case| no_kick_is_lost(case, &[1], true));
}

#[test]
fn no_kick_of_what_is_sent_behind_another_is_lost() {
    Case::indirect().for_each(|case| no_kick_is_lost(case, &[2], true));
}
