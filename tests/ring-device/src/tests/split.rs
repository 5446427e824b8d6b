//! Split rings.

use super::{DESCRIPTOR, DEVICE, DRIVER, Descriptors, Plain, TABLE, setup};
use crate::{Queue, Setup, Violation};

fn fresh(size: u16) -> (Plain, Queue) {
    let memory = Plain::new();
    let queue = Queue::new(setup(false, size), &memory).unwrap();
    (memory, queue)
}

/// A descriptor of one byte at 0x9000 + index.
fn put(memory: &Plain, index: u64, flags: u16, next: u16) {
    memory.descriptor(DESCRIPTOR + 16 * index, 0x9000 + index, 1, [flags, next]);
}

/// Makes heads available, from position 0 on.
fn offer(memory: &Plain, heads: &[u16]) {
    for (at, head) in heads.iter().enumerate() {
        memory.word(DRIVER + 4 + 2 * at as u64, *head);
    }
    memory.word(DRIVER + 2, heads.len() as u16);
}

#[test]
fn used_elements_lie_where_and_as_the_specification_says() {
    let (memory, mut queue) = fresh(4);
    put(&memory, 3, 1, 1);
    put(&memory, 1, 2, 0);
    put(&memory, 0, 0, 0);
    assert_eq!(queue.pop(&memory), Ok(None));
    offer(&memory, &[3, 0]);
    let first = queue.pop(&memory).unwrap().unwrap();
    assert_eq!(
        (first.id, first.descriptors, first.writable_bytes()),
        (3, 2, 1)
    );
    assert_eq!(
        first
            .parts
            .iter()
            .map(|part| part.address)
            .collect::<Vec<_>>(),
        [0x9003, 0x9001]
    );
    let second = queue.pop(&memory).unwrap().unwrap();
    assert_eq!(queue.held(), [3, 0]);
    queue.push(&memory, second.id, 0).unwrap();
    queue.push(&memory, first.id, 1).unwrap();
    assert_eq!(
        memory.bytes(DEVICE, 12),
        [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(memory.bytes(DEVICE + 12, 8), [3, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(queue.push(&memory, 3, 0), Err(Violation::NotHeld { id: 3 }));
}

#[test]
fn batch_takes_one_used_element() {
    let memory = Plain::new();
    let in_order = Setup {
        in_order: true,
        ..setup(false, 4)
    };
    let mut queue = Queue::new(in_order, &memory).unwrap();
    for index in 0..4 {
        put(&memory, index, 0, 0);
    }
    offer(&memory, &[0, 1, 2, 3]);
    while queue.pop(&memory).unwrap().is_some() {}
    assert_eq!(queue.push(&memory, 1, 0), Err(Violation::NotHeld { id: 1 }));
    queue.push_batch(&memory, 2, 0).unwrap();
    assert_eq!(memory.bytes(DEVICE, 8), [0, 0, 3, 0, 2, 0, 0, 0]);
    queue.push(&memory, 3, 0).unwrap();
    assert_eq!(memory.bytes(DEVICE + 4 + 24, 4), [3, 0, 0, 0]);
}

#[test]
fn each_broken_rule_is_named() {
    let cases: &[(Descriptors, &[u16], Violation)] = &[
        (&[(0, 8, 0)], &[0], Violation::Flags { flags: 8 }),
        (
            &[(0, 3, 1), (1, 0, 0)],
            &[0],
            Violation::ReadableAfterWritable,
        ),
        (&[(0, 5, 1)], &[0], Violation::IndirectInChain),
        (&[(0, 1, 0)], &[0], Violation::ChainTooLong { max: 4 }),
        (&[(0, 1, 4)], &[0], Violation::IndexOutOfTable { index: 4 }),
        (&[(0, 0, 0)], &[7], Violation::IndexOutOfTable { index: 7 }),
        (&[(0, 4, 0)], &[0], Violation::TableLength { len: 1 }),
        (
            &[],
            &[0, 0, 0, 0, 0],
            Violation::Overrun {
                available: 5,
                outstanding: 0,
                size: 4,
            },
        ),
    ];
    for (descriptors, heads, violation) in cases {
        let (memory, mut queue) = fresh(4);
        for (index, flags, next) in *descriptors {
            put(&memory, *index, *flags, *next);
        }
        offer(&memory, heads);
        assert_eq!(queue.pop(&memory), Err(*violation));
    }
    let (memory, mut queue) = fresh(4);
    put(&memory, 0, 1, 1);
    put(&memory, 1, 0, 0);
    offer(&memory, &[0, 1]);
    assert!(queue.pop(&memory).unwrap().is_some());
    assert_eq!(
        queue.pop(&memory),
        Err(Violation::DescriptorInUse { index: 1 })
    );
    memory.word(DRIVER + 2, 0);
    let back = Violation::Overrun {
        available: 0xffff,
        outstanding: 1,
        size: 4,
    };
    assert_eq!(queue.pop(&memory), Err(back));
    memory.word(DESCRIPTOR + 16, 1);
    let changed = Violation::Changed {
        address: DESCRIPTOR + 16,
        id: 0,
    };
    assert_eq!(queue.push(&memory, 0, 0), Err(changed));
}

#[test]
fn two_parts_of_4_gib_are_too_many_bytes() {
    let (memory, mut queue) = fresh(4);
    memory.descriptor(DESCRIPTOR, 0, u32::MAX, [1, 1]);
    memory.descriptor(DESCRIPTOR + 16, 0, 2, [0, 0]);
    offer(&memory, &[0]);
    assert_eq!(queue.pop(&memory), Err(Violation::TooManyBytes));
}

#[test]
fn in_order_is_ring_order() {
    let in_order = Setup {
        in_order: true,
        ..setup(false, 4)
    };
    for (descriptors, heads, found, expected) in [
        (&[(1, 0, 0)][..], &[1][..], 1, 0),
        (&[(0, 1, 2), (2, 0, 0)], &[0], 2, 1),
        (&[(0, 0, 0), (2, 0, 0)], &[0, 2], 2, 1),
    ] {
        let memory = Plain::new();
        let mut queue = Queue::new(in_order, &memory).unwrap();
        for (index, flags, next) in descriptors {
            put(&memory, *index, *flags, *next);
        }
        offer(&memory, heads);
        let last = (0..heads.len()).map(|_| queue.pop(&memory)).last().unwrap();
        assert_eq!(last, Err(Violation::OutOfOrder { found, expected }));
    }
    let memory = Plain::new();
    let mut queue = Queue::new(in_order, &memory).unwrap();
    memory.descriptor(TABLE, 0x9000, 1, [1, 2]);
    memory.descriptor(DESCRIPTOR, TABLE, 48, [4, 0]);
    offer(&memory, &[0]);
    let skipped = Violation::OutOfOrder {
        found: 2,
        expected: 1,
    };
    assert_eq!(queue.pop(&memory), Err(skipped));
}

#[test]
fn tables_are_walked_by_their_links() {
    let (memory, mut queue) = fresh(4);
    memory.descriptor(TABLE, 0x9000, 3, [1, 2]);
    memory.descriptor(TABLE + 32, 0x9100, 4, [2, 0]);
    memory.descriptor(DESCRIPTOR, TABLE, 48, [4, 0]);
    offer(&memory, &[0]);
    let buffer = queue.pop(&memory).unwrap().unwrap();
    assert_eq!((buffer.parts.len(), buffer.writable_bytes()), (2, 4));
    for (flags, next, violation) in [
        (1, 0, Violation::ChainTooLong { max: 4 }),
        (1, 3, Violation::IndexOutOfTable { index: 3 }),
        (4, 0, Violation::Flags { flags: 4 }),
    ] {
        let (memory, mut queue) = fresh(4);
        memory.descriptor(TABLE, 0x9000, 3, [flags, next]);
        memory.descriptor(DESCRIPTOR, TABLE, 48, [4, 0]);
        offer(&memory, &[0]);
        assert_eq!(queue.pop(&memory), Err(violation));
    }
}

#[test]
fn driver_is_interrupted_as_it_wishes() {
    for event_idx in [false, true] {
        for (flags, event, due) in [
            (0, 1, [false, true]),
            (0, 9, [false; 2]),
            (1, 0, [false; 2]),
        ] {
            let memory = Plain::new();
            let mut queue = Queue::new(
                Setup {
                    event_idx,
                    ..setup(false, 4)
                },
                &memory,
            )
            .unwrap();
            put(&memory, 0, 0, 0);
            put(&memory, 1, 0, 0);
            offer(&memory, &[0, 1]);
            memory.word(DRIVER, flags);
            memory.word(DRIVER + 4 + 8, event);
            for (id, due) in (0..).zip(due) {
                let _ = queue.pop(&memory).unwrap();
                queue.push(&memory, id, 0).unwrap();
                let words = [flags, event];
                let want = match (event_idx, flags) {
                    (true, 0) => Ok(due),
                    (true, _) => Err(Violation::EventSuppression { words }),
                    (false, flags) => Ok(flags == 0),
                };
                assert_eq!(queue.interrupt_due(&memory), want);
            }
        }
    }
}

#[test]
fn notifications_are_due_as_the_device_wishes() {
    for event_idx in [false, true] {
        let memory = Plain::new();
        let mut queue = Queue::new(
            Setup {
                event_idx,
                ..setup(false, 4)
            },
            &memory,
        )
        .unwrap();
        put(&memory, 0, 0, 0);
        offer(&memory, &[0]);
        assert_eq!(queue.notification_due(&memory), Ok(true));
        assert_eq!(queue.notification_due(&memory), Ok(false), "nothing new");
        assert_eq!(queue.notification_data(&memory), Ok(1));
        queue.suppress_notification(&memory).unwrap();
        put(&memory, 1, 0, 0);
        offer(&memory, &[0, 1]);
        assert_eq!(queue.notification_due(&memory), Ok(false));
        assert_eq!(
            queue.request_notification(&memory),
            Ok(true),
            "two are there"
        );
        let _ = (queue.pop(&memory).unwrap(), queue.pop(&memory).unwrap());
        assert_eq!(queue.request_notification(&memory), Ok(false));
        put(&memory, 2, 0, 0);
        offer(&memory, &[0, 1, 2]);
        assert_eq!(queue.notification_due(&memory), Ok(true));
    }
}
