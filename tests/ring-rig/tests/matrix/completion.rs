//! What the device used comes back once, with its token and length, in whatever order the device may choose.

use std::collections::VecDeque;

use ring_rig::{Mode, Rig, Variant, part};

use crate::{each, largest, rounds};

/// An order of completion: every mode its own worst one.
fn reordered<T>(mode: Mode, mut items: Vec<T>) -> Vec<T> {
    if !mode.in_order {
        items.reverse();
        let third = items.len() / 3;
        items.rotate_left(third);
    }
    items
}

#[test]
fn tokens_and_lengths_come_back_in_the_order_of_use() {
    let test = |mode: Mode, size| {
        let mut rig = Rig::new(mode, size);
        let depth = rig.depth(2);
        // Twice, so that the second round lies in the traces of the first.
        for _ in 0..2 {
            for token in 0..u64::from(depth) {
                rig.add(token, &[part(token, 16)], &[part(token, 512)])
                    .unwrap();
            }
            let _ = rig.publish();
            let buffers: Vec<_> = (0..).zip(rig.pop_all()).collect();
            assert_eq!(buffers.len(), usize::from(depth));
            let buffers = reordered(mode, buffers);
            let mut want = Vec::new();
            for (token, buffer) in buffers {
                let written = (token * 7 % 513) as u32;
                rig.finish(buffer.id, written);
                want.push((token, written));
            }
            assert_eq!(rig.complete_all(), want, "{mode:?} size {size}");
            assert_eq!((rig.driver.free(), rig.driver.in_flight()), (size, 0));
        }
        let _ = rig.end();
    };
    each(test);
    largest(test);
}

#[test]
fn batch_of_in_order_comes_back_with_one_used_element() {
    // Virtio 1.3 §2.7.9, §2.8.8
    for mode in Mode::judged().into_iter().filter(|mode| mode.in_order) {
        for size in mode.sizes() {
            let mut rig = Rig::new(mode, *size);
            let mut next = 0_u64;
            for batch in
                (1..=usize::from(rig.depth(2)))
                    .cycle()
                    .take(if cfg!(miri) { 8 } else { 300 })
            {
                let depth = u64::from(rig.depth(2));
                for token in next..next + depth {
                    rig.add(token, &[part(token, 4)], &[part(token, 64)])
                        .unwrap();
                }
                let _ = rig.publish();
                let buffers = rig.pop_all();
                for some in buffers.chunks(batch) {
                    let last = some.last().unwrap();
                    rig.device.push_batch(last.id, 9).unwrap();
                    let mut want: Vec<_> = (next..).take(some.len()).map(|n| (n, 64)).collect();
                    // What was skipped was used completely; of the last one the length is known.
                    want.last_mut().unwrap().1 = 9;
                    assert_eq!(
                        rig.complete_all(),
                        want,
                        "{mode:?} size {size} batch {batch}"
                    );
                    next += some.len() as u64;
                }
                assert_eq!(rig.driver.free(), *size);
            }
            let _ = rig.end();
        }
    }
}

#[test]
fn part_of_a_batch_can_be_taken_and_the_queue_refilled() {
    for mode in Mode::judged().into_iter().filter(|mode| mode.in_order) {
        let mut rig = Rig::new(mode, 8);
        let mut next = 0;
        let mut expected = VecDeque::new();
        for round in 0..rounds::<5000>() as usize {
            while rig.add(next, &[part(next, 4)], &[part(next, 4)]).is_ok() {
                expected.push_back(next);
                next += 1;
            }
            let _ = rig.publish();
            let _ = rig.pop_all();
            let held = ring_ids(&rig);
            if let Some(last) = held.get(round % 5).or(held.last()) {
                rig.device.push_batch(*last, 4).unwrap();
            }
            // Never all at once: some of a batch is still to be taken when more is added.
            for _ in 0..1 + round % 3 {
                if let Some((token, _)) = rig.completed().unwrap() {
                    assert_eq!(Some(token), expected.pop_front(), "{mode:?}");
                }
            }
        }
        let _ = rig.end();
    }
}

/// Ids of the buffers that the device holds, oldest first.
fn ring_ids(rig: &Rig) -> Vec<u16> {
    rig.device.queue().held()
}

#[test]
fn one_descriptor_works_for_ever() {
    for mode in Mode::all() {
        let mut rig = Rig::new(mode, 1);
        for token in 0..rounds::<70_000>() {
            rig.submit(token);
            let buffer = rig.pop().unwrap();
            rig.finish(buffer.id, 512);
            assert_eq!(rig.completed(), Ok(Some((token, 512))));
            assert_eq!(rig.completed(), Ok(None));
        }
        let _ = rig.end();
    }
}

#[test]
fn positions_wrap_in_any_order() {
    for mode in Mode::all() {
        for size in [8, 7] {
            if !mode.sizes().contains(&size) {
                continue;
            }
            let mut rig = Rig::new(mode, size);
            let mut held = VecDeque::new();
            let (mut added, mut done) = (0_u64, 0_u64);
            while done < rounds::<100_000>() {
                // Chains of one and of two parts, so that they lie across the end now and then.
                let parts = [part(added, 8), part(added, 8)];
                while rig
                    .add(added, &parts[..(added % 2) as usize], &parts[..1])
                    .is_ok()
                {
                    added += 1;
                }
                let _ = rig.publish();
                held.extend(rig.pop_all());
                // One is kept back each time, so that completion is out of order.
                while held.len() > 1 {
                    let buffer = held.remove(usize::from(!mode.in_order)).unwrap();
                    rig.finish(buffer.id, 8);
                }
                let taken = rig.complete_all();
                assert!(taken.iter().all(|(_, written)| *written == 8));
                done += taken.len() as u64;
                if done % 5 == 0
                    && let Some(buffer) = held.pop_front()
                {
                    rig.finish(buffer.id, 8);
                }
            }
            let _ = rig.end();
        }
    }
}

#[test]
fn used_without_a_byte_written_is_told_as_zero() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        rig.submit(3);
        let buffer = rig.pop().unwrap();
        rig.finish(buffer.id, 0);
        assert_eq!(rig.completed(), Ok(Some((3, 0))));
        let _ = rig.end();
    });
}

#[test]
fn length_of_a_legacy_device_is_cut_to_what_the_chain_offers() {
    // Virtio 1.3 §2.7.8.1: many devices set it wrongly, so it is no reason to give the device up.
    let legacy = Mode::all()
        .into_iter()
        .filter(|mode| mode.variant == Variant::Legacy);
    for mode in legacy {
        let mut rig = Rig::new(mode, 8);
        for (written, told) in [(0, 0), (512, 512), (513, 512), (u32::MAX, 512)] {
            rig.submit(1);
            let buffer = rig.pop().unwrap();
            rig.finish(buffer.id, written);
            assert_eq!(rig.completed(), Ok(Some((1, told))), "{mode:?}");
        }
        let _ = rig.end();
    }
}
