//! Tests of the private bookkeeping, where its counters wrap and where it has to tell published from unpublished.

use std::boxed::Box;
use std::vec::Vec;

use super::{Buffer, Slot, Slots, Used};
use crate::ring::QueueError;
use crate::spec::ring::DescriptorFlags;

const SIZE: u16 = 4;

/// Slots whose counters begin `before` steps before they wrap.
fn slots(in_order: bool, before: u32) -> Slots<'static, u64> {
    let memory: Vec<_> = (0..SIZE).map(|_| Slot::EMPTY).collect();
    let memory = Box::leak(memory.into_boxed_slice());
    let mut slots = Slots::new(memory, SIZE, in_order, true, false).unwrap();
    let start = before.wrapping_neg();
    (slots.added, slots.published, slots.taken) = (start, start, start);
    slots
}

/// Adds a buffer of one slot; returns that.
fn add(slots: &mut Slots<'static, u64>, token: u64) -> u16 {
    let head = slots.head();
    let buffer = Buffer {
        number: slots.number(),
        first: head,
        ends: (0, 0),
        count: 1,
        writable: 8,
    };
    slots.claim::<false>(token, buffer).unwrap();
    head as u16
}

fn used(id: u16) -> Used {
    Used {
        id: id.into(),
        written: 8,
        flags: DescriptorFlags::WRITE.bits(),
    }
}

#[test]
fn counters_wrap_without_anybody_noticing() {
    for before in 0..8 {
        let mut slots = slots(false, before);
        let start = slots.totals();
        for token in 0..16 {
            let id = add(&mut slots, token);
            slots.publish();
            assert_eq!((slots.in_flight(), slots.free()), (1, SIZE - 1));
            let (done, count) = slots.take::<false>(used(id)).unwrap();
            assert_eq!((done.token, done.written, count), (token, 8, 1));
            assert_eq!(slots.report(), None);
        }
        let end = slots.totals();
        assert_eq!(end.published.wrapping_sub(start.published), 16);
        assert_eq!(end.completed.wrapping_sub(start.completed), 16);
    }
}

#[test]
fn unpublished_buffer_is_not_outstanding() {
    for before in 0..8 {
        let mut slots = slots(false, before);
        let published = add(&mut slots, 1);
        add(&mut slots, 3);
        slots.publish();
        let pending = add(&mut slots, 2);
        // The one that is published can be used while another is being added.
        let done = slots.take::<false>(used(published)).unwrap().0;
        assert_eq!(done.token, 1);
        assert!(slots.take::<false>(used(pending)).is_none());
        let error = QueueError::IdNotOutstanding { id: pending };
        assert_eq!(slots.report(), Some(error));
        assert_eq!(slots.report(), None, "told once");
        assert_eq!(slots.free(), 0, "nothing is added any more");
        let mut rest = [slots.drain(), slots.drain(), slots.drain()];
        rest.sort();
        assert_eq!(rest, [None, Some(2), Some(3)]);
        assert_eq!(slots.closed(), Some(error));
    }
}

#[test]
fn one_entry_in_order_stands_for_all_before_it() {
    for before in 0..8 {
        let mut slots = slots(true, before);
        let ids: Vec<_> = (0..3).map(|token| add(&mut slots, token)).collect();
        slots.publish();
        assert_eq!(slots.start_batch(used(ids[2]), 3), Some(()));
        for token in 0..3 {
            assert!(slots.in_batch());
            assert_eq!(slots.take_oldest::<false>().unwrap().0.token, token);
        }
        assert!(!slots.in_batch());
        assert_eq!((slots.free(), slots.in_flight()), (SIZE, 0));
    }
}

#[test]
fn entry_in_order_cannot_stand_for_more_than_were_used() {
    let mut slots = slots(true, 1);
    let ids: Vec<_> = (0..3).map(|token| add(&mut slots, token)).collect();
    slots.publish();
    assert_eq!(slots.start_batch(used(ids[2]), 2), None);
    let error = QueueError::BatchTooLong {
        id: ids[2],
        batch: 3,
        limit: 2,
    };
    assert_eq!(slots.report(), Some(error));
}
