//! Chains arrive as they were added and come back as they were finished.

use std::collections::VecDeque;
use std::vec::Vec;

use super::rig::{Mode, Rig, part};
use crate::ring::{AddError, Armed, Queue, QueueError};
use crate::testing::stopped;

/// Queue sizes at which behaviour may differ: the smallest, a usual one, the largest.
const SIZES: [u16; 5] = [2, 4, 8, 256, 32768];

fn each(test: impl Fn(Mode, u16)) {
    for mode in Mode::ALL {
        for size in SIZES {
            test(mode, size);
        }
    }
}

#[test]
fn device_sees_parts_in_order_readable_first() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        for (readable, writable) in [(1, 1), (1, 0), (0, 1), (2, 0), (0, 2), (1, 3), (3, 1)] {
            if readable + writable > u64::from(size) {
                continue;
            }
            let reads: Vec<_> = (0..readable).map(|n| part(n, 16 + n as u32)).collect();
            let writes: Vec<_> = (0..writable).map(|n| part(9 + n, 512 + n as u32)).collect();
            rig.add(7, &reads, &writes).unwrap();
            assert_eq!(rig.pop(), None, "{mode:?}: shown before it was published");
            let _ = rig.driver.publish();
            let seen = rig.pop().unwrap();
            let want: Vec<_> = reads
                .iter()
                .map(|p| (p.address.0, p.len, false))
                .chain(writes.iter().map(|p| (p.address.0, p.len, true)))
                .collect();
            assert_eq!(seen.parts, want, "{mode:?} size {size}");
            rig.finish(seen.head, 0);
            assert_eq!(rig.driver.completed().unwrap().unwrap().token, 7);
            assert_eq!(rig.driver.free(), size);
        }
    });
}

#[test]
fn written_length_and_token_come_back_in_any_order() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        let depth = if mode.indirect { size } else { size / 2 };
        for token in 0..u64::from(depth) {
            rig.submit(token);
        }
        let mut seen: Vec<_> = core::iter::from_fn(|| rig.pop()).collect();
        assert_eq!(seen.len(), usize::from(depth));
        assert_eq!(rig.driver.in_flight(), depth);
        // Last first, then the first ones: no order is assumed.
        seen.reverse();
        for (written, chain) in seen.iter().enumerate() {
            rig.finish(chain.head, written as u32 % 513);
        }
        for written in 0..usize::from(depth) {
            let done = rig.driver.completed().unwrap().unwrap();
            let token = usize::from(depth) - 1 - written;
            assert_eq!(
                (done.token, done.written),
                (token as u64, written as u32 % 513)
            );
        }
        assert_eq!(rig.driver.completed().unwrap(), None);
        assert_eq!((rig.driver.free(), rig.driver.in_flight()), (size, 0));
    });
}

#[test]
fn queue_of_one_descriptor_works() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 1);
        for token in 0..70_000 {
            rig.add(token, &[part(token, 64)], &[]).unwrap();
            let kick = rig.driver.publish();
            assert!(kick.needed() || mode.event_idx);
            let full = rig.add(1, &[part(1, 1)], &[]).unwrap_err();
            assert_eq!(full.error, AddError::Full);
            let seen = rig.pop().unwrap();
            rig.finish(seen.head, 0);
            assert_eq!(rig.driver.completed().unwrap().unwrap().token, token);
        }
    }
}

#[test]
fn positions_wrap_past_65536() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 8);
        let mut held = VecDeque::new();
        let (mut added, mut done) = (0_u64, 0_u64);
        while done < 200_000 {
            while rig.add(added, &[part(added, 8)], &[part(added, 8)]).is_ok() {
                added += 1;
            }
            let _ = rig.driver.publish();
            held.extend(core::iter::from_fn(|| rig.pop()));
            // Keep one chain back each time, so that completion is out of order.
            while held.len() > 1 {
                let seen = held.remove(1).unwrap();
                rig.finish(seen.head, 8);
            }
            let seen = held.pop_front().unwrap();
            rig.finish(seen.head, 8);
            while let Some(completion) = rig.driver.completed().unwrap() {
                assert_eq!(completion.written, 8);
                done += 1;
            }
            assert_eq!(added, done);
        }
    }
}

#[test]
fn full_queue_refuses_and_recovers() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        let mut token = 0;
        let refused = loop {
            match rig.add(token, &[part(token, 4)], &[part(token, 4)]) {
                Ok(()) => token += 1,
                Err(rejected) => break rejected,
            }
        };
        assert_eq!((refused.token, refused.error), (token, AddError::Full));
        assert_eq!(
            token,
            u64::from(if mode.indirect { size } else { size / 2 })
        );
        assert!(rig.driver.publish().needed());
        let seen = rig.pop().unwrap();
        assert_eq!(rig.driver.completed().unwrap(), None);
        rig.finish(seen.head, 4);
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 0);
        rig.submit(token);
    });
}

#[test]
fn arming_tells_of_work_that_came_meanwhile() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        rig.driver.disarm();
        rig.submit(1);
        assert_eq!(rig.driver.arm(), Armed::Idle);
        rig.driver.disarm();
        let seen = rig.pop().unwrap();
        rig.finish(seen.head, 512);
        assert_eq!(rig.driver.arm(), Armed::WorkPending);
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 1);
        assert_eq!(rig.driver.arm(), Armed::Idle);
    });
}

#[test]
fn drain_gives_back_exactly_what_was_not_finished() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        let depth = u64::from(size);
        for token in 0..depth {
            rig.add(token, &[part(token, 4)], &[]).unwrap();
        }
        let _ = rig.driver.publish();
        let seen = rig.pop().unwrap();
        rig.finish(seen.head, 0);
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 0);

        let proof = stopped();
        let mut driver = rig.driver.into_memory(&proof).map_or_else(
            |queue| queue,
            |_| panic!("memory given back with tokens in it"),
        );
        let mut rest: Vec<_> = core::iter::from_fn(|| driver.drain(&proof)).collect();
        rest.sort_unstable();
        assert_eq!(rest, (1..depth).collect::<Vec<_>>());
        assert_eq!(driver.closed(), Some(QueueError::Drained));
        assert_eq!(driver.completed(), Ok(None));

        // The memory serves a smaller queue with other features next.
        let memory = driver.into_memory(&proof).unwrap();
        let again = Queue::new(size / 2, Mode::ALL[0].features(), memory).unwrap();
        assert_eq!((again.size(), again.free()), (size / 2, size / 2));
    });
}

#[test]
fn memory_is_made_to_measure() {
    let mode = Mode::ALL[0];
    for size in SIZES {
        let layout = Queue::<u64>::layout(size, mode.features()).unwrap();
        let n = usize::from(size);
        let parts = 16 * n + (6 + 2 * n) + (6 + 8 * n);
        assert!((parts..parts + 3 * 64).contains(&layout.len()));
        let rig = Rig::new(mode, size);
        let at = rig.driver.addresses();
        assert!(at.driver.0 >= at.descriptor.0 + 16 * u64::from(size));
        assert!(at.device.0 >= at.driver.0 + 6 + 2 * u64::from(size));
        let end = at.descriptor.0 + layout.len() as u64;
        assert!(end >= at.device.0 + 6 + 8 * u64::from(size));
        // Virtio 1.3 §2.7: alignments 16, 2, 4; here a cache line each.
        for address in [at.descriptor, at.driver, at.device] {
            assert_eq!(address.0 % 64, 0);
        }
    }
}
