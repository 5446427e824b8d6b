//! The device is notified when it asked to be, and the driver is interrupted when it asked to be.

use virtio_queue::QueueT;

use super::rig::{Mode, Rig};

#[test]
fn silenced_device_is_not_kicked_and_one_that_listens_is() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 256);
        let mut token = 0;
        while token < 140_000 {
            // Asleep: the device has taken everything and listens.
            while let Some(seen) = rig.pop() {
                rig.finish(seen.head, 0);
            }
            while rig.driver.completed().unwrap().is_some() {}
            assert!(
                !rig.device
                    .queue
                    .enable_notification(&rig.device.memory)
                    .unwrap()
            );
            assert!(rig.submit(token), "{mode:?}: lost kick at {token}");
            // Awake: it is told once and polls.
            rig.device
                .queue
                .disable_notification(&rig.device.memory)
                .unwrap();
            token += 1;
            for _ in 0..token % 60 {
                assert!(!rig.submit(token), "{mode:?}: needless kick at {token}");
                token += 1;
            }
        }
    }
}

#[test]
fn batch_is_kicked_if_any_of_it_was_asked_for() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 256);
        for batch in (1..=64).cycle().take(4000) {
            assert!(
                !rig.device
                    .queue
                    .enable_notification(&rig.device.memory)
                    .unwrap()
            );
            for token in 0..batch {
                rig.add(token, &[super::rig::part(token, 8)], &[]).unwrap();
            }
            assert!(rig.driver.publish().needed(), "{mode:?} batch {batch}");
            assert!(!rig.driver.publish().needed(), "nothing new to tell");
            while let Some(seen) = rig.pop() {
                rig.finish(seen.head, 0);
            }
            while rig.driver.completed().unwrap().is_some() {}
        }
    }
}

#[test]
fn armed_driver_is_interrupted_and_disarmed_one_is_not() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 256);
        for token in 0..70_000 {
            let armed = token % 3 != 0;
            if armed {
                assert_eq!(rig.driver.arm(), crate::ring::Armed::Idle);
            } else {
                rig.driver.disarm();
            }
            rig.submit(token);
            let seen = rig.pop().unwrap();
            rig.finish(seen.head, 0);
            let interrupt = if mode.event_idx {
                // Virtio 1.3 §2.7.7.1: with EVENT_IDX flags stay 0.
                assert_eq!(rig.peek16(rig.driver.addresses().driver, 0), 0);
                rig.device
                    .queue
                    .needs_notification(&rig.device.memory)
                    .unwrap()
            } else {
                // The device side does not know the flag, so the rule is applied here: Virtio 1.3 §2.7.7.2.
                rig.peek16(rig.driver.addresses().driver, 0) & 1 == 0
            };
            assert_eq!(interrupt, armed, "{mode:?} at {token}");
            assert!(rig.driver.completed().unwrap().is_some());
        }
    }
}

#[test]
fn fresh_queue_is_armed() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 8);
        rig.submit(0);
        let seen = rig.pop().unwrap();
        rig.finish(seen.head, 0);
        assert!(
            rig.device
                .queue
                .needs_notification(&rig.device.memory)
                .unwrap()
        );
        assert_eq!(rig.peek16(rig.driver.addresses().driver, 0), 0);
    }
}
