//! Queues are set up, drained, and set up again in the same memory.

use ring_rig::{Mode, Rig, Variant, part, slots, stopped};
use virtio_core::ring::{AddError, Armed, Queue, QueueError, QueueMemory, SetupError, Slot};
use virtio_core::spec::features::Features;

use crate::{each, largest};

#[test]
fn drain_gives_back_exactly_what_was_not_finished() {
    let test = |mode, size| {
        let mut rig = Rig::new(mode, size);
        let depth = u64::from(size);
        // The last one is added and not published.
        for token in 0..depth {
            if token + 1 == depth && depth > 1 {
                let _ = rig.publish();
            }
            rig.add(token, &[part(token, 4)], &[]).unwrap();
        }
        if depth == 1 {
            let _ = rig.publish();
        }
        let buffer = rig.pop().unwrap();
        rig.finish(buffer.id, 0);
        assert_eq!(rig.completed(), Ok(Some((0, 0))));
        let want: Vec<_> = (1..depth).collect();
        assert_eq!(rig.inside().into_iter().collect::<Vec<_>>(), want);
        let _ = rig.end();
    };
    each(test);
    largest(test);
}

#[test]
fn drained_queue_is_closed() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        rig.submit(0);
        let proof = stopped();
        let mut driver = match rig.driver.into_memory(&proof) {
            Ok(_) => panic!("memory given back with a token in it"),
            Err(queue) => queue,
        };
        assert_eq!(driver.closed(), None);
        assert_eq!(driver.drain(&proof), Some(0));
        assert_eq!(driver.drain(&proof), None);
        assert_eq!(driver.closed(), Some(QueueError::Drained));
        assert_eq!(driver.completed(), Ok(None));
        assert_eq!(driver.arm(), Armed::Idle);
        assert!(!driver.publish().needed());
        let refused = driver.add_direct(4, [part(0, 4)], []).unwrap_err();
        assert_eq!((refused.token, refused.error), (4, AddError::Closed));
        assert!(driver.into_memory(&proof).is_ok());
    });
}

#[test]
fn memory_serves_a_queue_of_any_size_and_format_next() {
    let modes = Mode::judged();
    for (mode, next) in modes.iter().zip(modes.iter().cycle().skip(5)) {
        let mut rig = Rig::new(*mode, 8);
        // Traces in every place of the ring, some of them beyond the first lap.
        for token in 0..13 {
            rig.submit(token);
            let buffer = rig.pop().unwrap();
            rig.finish(buffer.id, 5);
            assert_eq!(rig.complete_all(), [(token, 5)]);
        }
        rig.submit(99);
        let memory = rig.memory.clone();
        let mut lent = rig.end();
        for (mode, size) in [(next, 4), (mode, 2), (next, 4)] {
            let mut driver = Queue::new(size, mode.features(), lent).unwrap();
            // Judges that the ring starts as it has to.
            let mut device = ring_rig::Device::new(&memory, *mode, size, driver.addresses());
            assert_eq!(device.pop().unwrap(), None, "stale work is shown");
            assert_eq!(driver.completed(), Ok(None), "stale completion");
            assert_eq!(
                (driver.size(), driver.free(), driver.in_flight()),
                (size, size, 0)
            );
            driver.add_direct(1, [], [part(1, 4)]).unwrap();
            assert!(driver.publish().needed(), "a fresh device listens");
            let buffer = device.pop().unwrap().unwrap();
            device.push(buffer.id, 4).unwrap();
            assert!(device.interrupt_due().unwrap(), "a fresh queue is armed");
            assert_eq!(driver.completed().unwrap().map(|done| done.token), Some(1));
            lent = driver.into_memory(&stopped()).unwrap();
        }
        memory.check_guards();
    }
}

#[test]
fn memory_is_made_to_measure() {
    for mode in Mode::judged() {
        for size in mode.sizes().iter().chain(&[32768]) {
            let layout = Queue::<u64>::layout(*size, mode.features()).unwrap();
            let n = usize::from(*size);
            // Virtio 1.3 §2.7, §2.8.10.1
            let [descriptor, driver, device] = if mode.packed {
                [16 * n, 4, 4]
            } else {
                [16 * n, 6 + 2 * n, 6 + 8 * n]
            };
            let needed = descriptor + driver + device;
            assert!(
                (needed..needed + 4 * 64).contains(&layout.len()),
                "{mode:?} {size}"
            );
            let rig = Rig::new(mode, *size);
            let at = rig.driver.addresses();
            let end = at.descriptor.get() + layout.len() as u64;
            assert!(at.driver.get() >= at.descriptor.get() + descriptor as u64);
            assert!(at.device.get() >= at.driver.get() + driver as u64);
            assert!(end >= at.device.get() + device as u64);
            // A cache line each, so that the two sides do not share one.
            for address in [at.descriptor, at.driver, at.device] {
                assert_eq!(address.get() % 64, 0);
            }
        }
    }
}

#[test]
fn legacy_ring_lies_as_its_formula_says() {
    // Virtio 1.3 §2.7.2, with a queue align of 4096: the device computes the places itself.
    for size in [1_u16, 2, 8, 128, 256, 1024, 32768] {
        let n = usize::from(size);
        let mut mode = Mode::all()[0];
        mode.variant = Variant::Legacy;
        let layout = Queue::<u64>::layout(size, mode.features()).unwrap();
        let used = (16 * n + 2 * (3 + n)).next_multiple_of(4096);
        assert_eq!(layout.len(), used + (2 * 3 + 8 * n).next_multiple_of(4096));
        assert_eq!(layout.align(), 4096);
        if n <= 1024 {
            let at = Rig::new(mode, size).driver.addresses();
            assert_eq!(at.descriptor.get() % 4096, 0);
            assert_eq!(at.driver.get() - at.descriptor.get(), 16 * u64::from(size));
            assert_eq!(at.device.get() - at.descriptor.get(), used as u64);
        }
    }
    for feature in [Features::RING_PACKED, Features::IN_ORDER] {
        let error = Queue::<u64>::layout(8, feature);
        assert_eq!(error, Err(SetupError::Format), "only with VERSION_1");
    }
}

#[test]
fn set_up_checks_what_it_is_given() {
    for mode in Mode::judged() {
        let features = mode.features();
        let rig = Rig::new(mode, 8);
        let memory = || Rig::lend(&rig.memory, mode, 8);
        let sizes: &[u16] = if mode.packed {
            &[0, 32769, 65535]
        } else {
            &[0, 3, 7, 9, 32769, 65535]
        };
        for size in sizes {
            let error = Queue::new(*size, features, memory()).unwrap_err();
            assert_eq!(error, SetupError::Size { size: *size });
            assert_eq!(Queue::<u64>::layout(*size, features), Err(error));
        }
        let needed = Queue::<u64>::layout(8, features).unwrap().len();
        let start = rig.driver.addresses().descriptor.get();
        let ring = rig.memory.lend(start, needed - 1);
        let len = needed - 1;
        let error = Queue::new(8, features, QueueMemory { ring, ..memory() }).unwrap_err();
        assert_eq!(error, SetupError::RingTooSmall { len, needed });
        let ring = rig.memory.lend(start + 32, needed);
        let error = Queue::new(8, features, QueueMemory { ring, ..memory() }).unwrap_err();
        assert_eq!(error, SetupError::RingMisaligned { align: 64 });
        let few = QueueMemory {
            slots: slots(7),
            ..memory()
        };
        let error = Queue::new(8, features, few).unwrap_err();
        assert_eq!(error, SetupError::TooFewSlots { len: 7, needed: 8 });
    }
}

#[test]
fn slots_in_use_are_refused() {
    for mode in Mode::judged() {
        let rig = Rig::new(mode, 8);
        let mut own: Vec<Slot<u64>> = (0..8).map(|_| Slot::EMPTY).collect();
        let ring = || Rig::lend(&rig.memory, mode, 8).ring;
        {
            let slots = &mut own;
            let lent = QueueMemory {
                ring: ring(),
                slots,
            };
            let mut queue = Queue::new(8, mode.features(), lent).unwrap();
            queue.add_direct(1, [part(0, 4)], []).unwrap();
            // It goes without being drained, and leaves its token in a slot.
        }
        let slots = &mut own;
        let lent = QueueMemory {
            ring: ring(),
            slots,
        };
        let error = Queue::new(8, mode.features(), lent).unwrap_err();
        assert!(matches!(error, SetupError::SlotInUse { index } if index < 8));
    }
}
