//! The device is notified when it asked to be, and the driver is interrupted when it asked to be: no more and no less.
//!
//! [`Rig::publish`] compares every answer of the driver with what the device holds to be due.

use ring_device::Queue as DeviceQueue;
use ring_rig::{Mode, Rig, Side, part};
use virtio_core::ring::Armed;

use crate::{each, largest, rounds};

/// The device takes and uses everything, and the driver takes it back.
fn settle(rig: &mut Rig) {
    for buffer in rig.pop_all() {
        rig.finish(buffer.id, 0);
    }
    let _ = rig.complete_all();
}

#[test]
fn silenced_device_is_not_kicked_and_one_that_listens_is() {
    for mode in Mode::all() {
        for size in [256_u16, 61] {
            if !mode.packed && !size.is_power_of_two() {
                continue;
            }
            let mut rig = Rig::new(mode, size);
            let mut token = 0;
            while token < rounds::<70_000>() {
                settle(&mut rig);
                // Asleep: the device has taken everything and listens.
                assert!(!rig.device.request_notification().unwrap());
                assert!(rig.submit(token), "{mode:?}: lost kick at {token}");
                // Awake: it was told once and polls.
                rig.device.suppress_notification().unwrap();
                token += 1;
                for _ in 0..token % 60 {
                    assert!(!rig.submit(token), "{mode:?}: needless kick at {token}");
                    token += 1;
                }
            }
            let _ = rig.end();
        }
    }
}

#[test]
fn batch_is_kicked_if_any_of_it_was_asked_for() {
    for mode in Mode::all() {
        let mut rig = Rig::new(mode, 256);
        for batch in (1..=64).cycle().take(rounds::<1500>() as usize) {
            assert!(!rig.device.request_notification().unwrap());
            for token in 0..batch {
                rig.add(token, &[part(token, 8)], &[]).unwrap();
            }
            assert!(rig.publish(), "{mode:?} batch {batch}");
            assert!(!rig.publish(), "nothing new to tell");
            settle(&mut rig);
        }
        let _ = rig.end();
    }
}

#[test]
fn work_published_before_the_device_sleeps_is_seen() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        for token in 0..u64::from(size) {
            rig.device.suppress_notification().unwrap();
            rig.submit(token);
            assert!(rig.device.request_notification().unwrap(), "{mode:?}");
            settle(&mut rig);
            assert!(!rig.device.request_notification().unwrap(), "{mode:?}");
        }
        let _ = rig.end();
    });
}

#[test]
fn every_event_position_is_kept_for_every_batch() {
    for mode in Mode::judged().into_iter().filter(|mode| mode.event_idx) {
        for size in mode.sizes().iter().filter(|size| **size <= 8) {
            let mut rig = Rig::new(mode, *size);
            let device = rig.driver.addresses().device.get();
            let laps = if mode.packed { 2 * size } else { 3 * size };
            for batch in 1..=u64::from(*size) {
                for event in 0..laps {
                    if mode.packed {
                        // Virtio 1.3 §2.8.14: offset, wrap counter; then RING_EVENT_FLAGS_DESC.
                        let wrap = event / size;
                        rig.poke16(device, (event % size) | (wrap << 15));
                        rig.poke16(device + 2, 2);
                    } else {
                        let around = rig.device.queue().clone();
                        let DeviceQueue::Split(queue) = around else {
                            panic!()
                        };
                        let event = queue.next_used().wrapping_sub(*size).wrapping_add(event);
                        rig.poke16(queue.avail_event_address(), event);
                    }
                    for token in 0..batch {
                        rig.add(token, &[part(token, 8)], &[]).unwrap();
                    }
                    let _ = rig.publish();
                    settle(&mut rig);
                }
            }
            let _ = rig.end();
        }
    }
}

#[test]
fn armed_driver_is_interrupted_and_disarmed_one_is_not() {
    for mode in Mode::all() {
        for size in [256_u16, 7] {
            if !mode.packed && !size.is_power_of_two() {
                continue;
            }
            let mut rig = Rig::new(mode, size);
            for token in 0..rounds::<35_000>() {
                let armed = token % 3 != 0;
                if armed {
                    assert_eq!(rig.driver.arm(), Armed::Idle);
                } else {
                    rig.driver.disarm();
                }
                // Two at once, so that 70,000 pass and the first of them is the one asked for.
                rig.submit(2 * token);
                rig.submit(2 * token + 1);
                for (first, buffer) in [true, false].into_iter().zip(rig.pop_all()) {
                    rig.finish(buffer.id, 0);
                    let due = rig.device.interrupt_due().unwrap();
                    let want = armed && (first || !mode.event_idx);
                    assert_eq!(due, want, "{mode:?} at {token}");
                }
                assert_eq!(rig.complete_all().len(), 2);
            }
            let _ = rig.end();
        }
    }
}

#[test]
fn arming_tells_of_work_that_came_meanwhile() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        for token in 0..20 {
            rig.driver.disarm();
            rig.submit(token);
            assert_eq!(rig.driver.arm(), Armed::Idle);
            rig.driver.disarm();
            let buffer = rig.pop().unwrap();
            rig.finish(buffer.id, 512);
            assert_eq!(rig.driver.arm(), Armed::WorkPending);
            assert_eq!(rig.complete_all(), [(token, 512)]);
            assert_eq!(rig.driver.arm(), Armed::Idle);
            // Between sleeps and for nothing: the answer stays.
            assert_eq!(rig.driver.arm(), Armed::Idle);
        }
        let _ = rig.end();
    });
}

#[test]
fn fresh_queue_is_armed() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        rig.submit(0);
        let buffer = rig.pop().unwrap();
        rig.finish(buffer.id, 0);
        assert!(rig.device.interrupt_due().unwrap());
        if mode.side == Side::RingDevice {
            let again = rig.device.interrupt_due().unwrap();
            assert!(!again, "once for each used buffer");
        }
        let _ = rig.end();
    });
}

#[test]
fn delayed_interrupt_comes_after_three_quarters() {
    let test = |mode: Mode, size: u16| {
        let mut rig = Rig::new(mode, size);
        for depth in [1, 2, 3, 4, 5, 7, 8, 100, 32768]
            .into_iter()
            .filter(|n| *n <= size)
        {
            for token in 0..u64::from(depth) {
                rig.add(token, &[], &[part(token, 8)]).unwrap();
            }
            let _ = rig.publish();
            let _ = rig.device.interrupt_due().unwrap();
            assert_eq!(rig.driver.arm_delayed(), Armed::Idle, "{mode:?}");
            let mut first = None;
            for (used, buffer) in (1..).zip(rig.pop_all()) {
                rig.finish(buffer.id, 8);
                if rig.device.interrupt_due().unwrap() && first.is_none() {
                    first = Some(used);
                }
            }
            let first = first.expect("the interrupt comes before all is used");
            // Three quarters, rounded up; without EVENT_IDX there is nothing to delay it with.
            let due = match mode.event_idx {
                true => (3 * u32::from(depth)).div_ceil(4) as u16,
                false => 1,
            };
            assert_eq!(first, due, "{mode:?} size {size} depth {depth}");
            assert_eq!(rig.complete_all().len(), usize::from(depth));
        }
        let _ = rig.end();
    };
    each(test);
    largest(test);
}

#[test]
fn delayed_arming_tells_of_work_that_is_enough_already() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        for used in 0..=usize::from(size) {
            for token in 0..u64::from(size) {
                rig.add(token, &[], &[part(token, 8)]).unwrap();
            }
            let _ = rig.publish();
            rig.driver.disarm();
            let buffers = rig.pop_all();
            let (now, later) = buffers.split_at(used);
            for buffer in now {
                rig.finish(buffer.id, 8);
            }
            let _ = rig.device.interrupt_due().unwrap();
            let armed = rig.driver.arm_delayed();
            if used == usize::from(size) {
                assert_eq!(
                    armed,
                    Armed::WorkPending,
                    "{mode:?} size {size}: all is used"
                );
            }
            if used == 0 {
                assert_eq!(armed, Armed::Idle);
            }
            // Either it looks now, or an interrupt is still to come.
            let mut due = false;
            for buffer in later {
                rig.finish(buffer.id, 8);
                due |= rig.device.interrupt_due().unwrap();
            }
            let told = armed == Armed::WorkPending || due;
            assert!(
                told,
                "{mode:?} size {size}: lost interrupt after {used} used"
            );
            assert_eq!(rig.complete_all().len(), usize::from(size));
        }
        let _ = rig.end();
    });
}

#[test]
fn notification_data_names_the_next_available_entry() {
    // Virtio 1.3 §2.9
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        let mut token = 0;
        for batch in (1..=u64::from(size))
            .cycle()
            .take(if cfg!(miri) { 8 } else { 400 })
        {
            for _ in 0..batch {
                rig.add(token, &[], &[part(token, 8)]).unwrap();
                token += 1;
            }
            let kick = rig.driver.publish();
            assert_eq!(
                kick.position(),
                rig.device.notification_data().unwrap(),
                "{mode:?} size {size} at {token}"
            );
            let _ = rig.device.notification_due().unwrap();
            settle(&mut rig);
        }
        let _ = rig.end();
    });
}
