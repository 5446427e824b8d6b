//! Packed rings.

use super::{DESCRIPTOR, DEVICE, DRIVER, Descriptors, Plain, TABLE, setup};
use crate::{Queue, Setup, Violation};

const A: u16 = 0x0080;
const U: u16 = 0x8000;

fn fresh(size: u16) -> (Plain, Queue) {
    let memory = Plain::new();
    let queue = Queue::new(setup(true, size), &memory).unwrap();
    (memory, queue)
}

/// Makes a descriptor available at a place: one byte at 0x9000 + place.
fn put(memory: &Plain, place: u64, id: u16, flags: u16) {
    memory.descriptor(DESCRIPTOR + 16 * place, 0x9000 + place, 1, [id, flags]);
}

#[test]
fn used_descriptors_lie_where_and_as_the_specification_says() {
    // Size 3: two buffers in the first lap, used the other way round, then one across the end.
    let (memory, mut queue) = fresh(3);
    assert_eq!(queue.pop(&memory), Ok(None));
    put(&memory, 0, 7, A);
    put(&memory, 1, 5, A | 2);
    let (first, second) = (
        queue.pop(&memory).unwrap().unwrap(),
        queue.pop(&memory).unwrap().unwrap(),
    );
    assert_eq!(
        (first.id, first.parts[0].address, first.parts[0].writable),
        (7, 0x9000, false)
    );
    assert_eq!(
        (second.id, second.parts[0].address, second.parts[0].writable),
        (5, 0x9001, true)
    );
    assert_eq!(queue.held(), [7, 5]);
    queue.push(&memory, 5, 1).unwrap();
    assert_eq!(
        memory.bytes(DESCRIPTOR + 8, 8),
        [1, 0, 0, 0, 5, 0, 0x82, 0x80]
    );
    queue.push(&memory, 7, 0).unwrap();
    assert_eq!(
        memory.bytes(DESCRIPTOR + 24, 8),
        [0, 0, 0, 0, 7, 0, 0x80, 0x80]
    );
    // The driver's wrap counter is 1 at place 2 and 0 at place 0.
    put(&memory, 2, 0, A | 1);
    put(&memory, 0, 9, U | 2);
    let across = queue.pop(&memory).unwrap().unwrap();
    assert_eq!(
        (across.id, across.descriptors, across.parts.len()),
        (9, 2, 2)
    );
    queue.push(&memory, 9, 0).unwrap();
    assert_eq!(
        memory.bytes(DESCRIPTOR + 32 + 8, 8),
        [0, 0, 0, 0, 9, 0, 0x80, 0x80]
    );
    // Next is place 1 in the second lap: used means both flags 0.
    put(&memory, 1, 4, U | 2);
    let second_lap = queue.pop(&memory).unwrap().unwrap();
    queue.push(&memory, second_lap.id, 1).unwrap();
    assert_eq!(
        memory.bytes(DESCRIPTOR + 16 + 8, 8),
        [1, 0, 0, 0, 4, 0, 2, 0]
    );
}

#[test]
fn batch_takes_one_used_descriptor() {
    let memory = Plain::new();
    let in_order = Setup {
        in_order: true,
        ..setup(true, 5)
    };
    let mut queue = Queue::new(in_order, &memory).unwrap();
    for place in 0..4 {
        put(&memory, place, place as u16, A);
        let _ = queue.pop(&memory).unwrap();
    }
    assert_eq!(queue.push(&memory, 1, 0), Err(Violation::NotHeld { id: 1 }));
    queue.push_batch(&memory, 2, 0).unwrap();
    assert_eq!(memory.bytes(DESCRIPTOR + 12, 4), [2, 0, 0x80, 0x80]);
    assert_eq!(memory.bytes(DESCRIPTOR + 28, 4), [1, 0, 0x80, 0]);
    queue.push(&memory, 3, 0).unwrap();
    assert_eq!(
        memory.bytes(DESCRIPTOR + 3 * 16 + 12, 4),
        [3, 0, 0x80, 0x80]
    );
    let (_, mut any_order) = fresh(5);
    assert_eq!(
        any_order.push_batch(&memory, 0, 0),
        Err(Violation::NotHeld { id: 0 })
    );
}

#[test]
fn each_broken_rule_is_named() {
    let cases: &[(Descriptors, Violation)] = &[
        (&[(0, 0, A | 0x10)], Violation::Flags { flags: A | 0x10 }),
        (&[(0, 0, A | 2 | 4)], Violation::Flags { flags: A | 6 }),
        (
            &[(0, 0, A | 1), (1, 0, U)],
            Violation::PartialChain { index: 1 },
        ),
        (
            &[(0, 0, A | 3), (1, 0, A)],
            Violation::ReadableAfterWritable,
        ),
        (&[(0, 0, A | 1 | 4), (1, 0, A)], Violation::IndirectInChain),
        (&[(0, 0, A | 1), (1, 0, A | 4)], Violation::IndirectInChain),
        (
            &[(0, 0, A | 1), (1, 0, A | 1), (2, 0, A | 1), (3, 0, A | 1)],
            Violation::ChainTooLong { max: 4 },
        ),
        (&[(0, 0, A | 4)], Violation::TableLength { len: 1 }),
    ];
    for (descriptors, violation) in cases {
        let (memory, mut queue) = fresh(4);
        for (place, id, flags) in *descriptors {
            put(&memory, *place, *id, *flags);
        }
        assert_eq!(queue.pop(&memory), Err(*violation));
    }
    let (memory, mut queue) = fresh(4);
    put(&memory, 0, 3, A);
    put(&memory, 1, 3, A);
    assert!(queue.pop(&memory).unwrap().is_some());
    assert_eq!(queue.pop(&memory), Err(Violation::IdInUse { id: 3 }));
    let (memory, mut queue) = fresh(4);
    memory.descriptor(DESCRIPTOR, 0x9000, 0, [0, A]);
    assert_eq!(queue.pop(&memory), Err(Violation::EmptyPart));
    let plain = Setup {
        indirect: false,
        ..setup(true, 4)
    };
    let memory = Plain::new();
    let mut queue = Queue::new(plain, &memory).unwrap();
    put(&memory, 0, 0, A | 4);
    assert_eq!(queue.pop(&memory), Err(Violation::IndirectNotNegotiated));
}

#[test]
fn what_the_device_holds_must_not_change() {
    let (memory, mut queue) = fresh(4);
    for place in 0..4 {
        put(&memory, place, place as u16, A);
        let _ = queue.pop(&memory).unwrap();
    }
    // A fifth one where the first still is.
    put(&memory, 0, 9, U);
    let overrun = Violation::Overrun {
        available: 1,
        outstanding: 4,
        size: 4,
    };
    assert_eq!(queue.pop(&memory), Err(overrun));
    let changed = Violation::Changed {
        address: DESCRIPTOR,
        id: 2,
    };
    assert_eq!(queue.push(&memory, 2, 0), Err(changed));
}

#[test]
fn tables_are_read_and_must_not_change() {
    let (memory, mut queue) = fresh(4);
    memory.descriptor(TABLE, 0x9000, 3, [0, 0]);
    memory.descriptor(TABLE + 16, 0x9100, 4, [0, 2]);
    memory.descriptor(DESCRIPTOR, TABLE, 32, [6, A | 4]);
    let buffer = queue.pop(&memory).unwrap().unwrap();
    assert_eq!(
        (buffer.id, buffer.descriptors, buffer.table),
        (6, 1, Some((TABLE, 32)))
    );
    assert_eq!((buffer.parts.len(), buffer.writable_bytes()), (2, 4));
    memory.word(TABLE + 24, 5);
    let changed = queue.push(&memory, 6, 0);
    assert!(matches!(changed, Err(Violation::Changed { id: 6, .. })));
    for (flags, len, violation) in [
        (1, 16, Violation::Flags { flags: 1 }),
        (4, 16, Violation::Flags { flags: 4 }),
        (A, 16, Violation::Flags { flags: A }),
        (0, 80, Violation::EmptyPart),
    ] {
        let (memory, mut queue) = fresh(4);
        memory.descriptor(TABLE, 0x9000, 3, [0, flags]);
        memory.descriptor(DESCRIPTOR, TABLE, len, [6, A | 4]);
        assert_eq!(queue.pop(&memory), Err(violation));
    }
}

#[test]
fn driver_is_interrupted_as_it_wishes() {
    // Event words: place 1 in the first lap, place 0 in the second, and so on; used descriptors 0..3 of size 3.
    for (words, due) in [
        ([0, 0], [true; 3]),
        ([0, 1], [false; 3]),
        ([0x8000, 2], [true, false, false]),
        ([0x8002, 2], [false, false, true]),
        ([2, 2], [false; 3]),
    ] {
        let (memory, mut queue) = fresh(3);
        memory.word(DRIVER, words[0]);
        memory.word(DRIVER + 2, words[1]);
        for place in 0..3 {
            put(&memory, place, place as u16, A);
            let buffer = queue.pop(&memory).unwrap().unwrap();
            queue.push(&memory, buffer.id, 0).unwrap();
            assert_eq!(
                queue.interrupt_due(&memory),
                Ok(due[place as usize]),
                "{words:x?}"
            );
            assert_eq!(queue.interrupt_due(&memory), Ok(false), "once for each");
        }
    }
    for words in [[0, 3], [0, 4], [0, 0x8000], [3, 2], [0x8003, 2]] {
        let (memory, mut queue) = fresh(3);
        memory.word(DRIVER, words[0]);
        memory.word(DRIVER + 2, words[1]);
        let bad = Violation::EventSuppression { words };
        assert_eq!(queue.interrupt_due(&memory), Err(bad));
    }
}

#[test]
fn notifications_are_due_as_the_device_wishes() {
    let (memory, mut queue) = fresh(3);
    put(&memory, 0, 0, A);
    assert_eq!(queue.notification_due(&memory), Ok(true));
    assert_eq!(queue.notification_due(&memory), Ok(false), "nothing new");
    assert_eq!(queue.notification_data(&memory), Ok(0x8001));
    queue.suppress_notification(&memory).unwrap();
    assert_eq!(memory.bytes(DEVICE + 2, 2), [1, 0]);
    put(&memory, 1, 1, A);
    assert_eq!(queue.notification_due(&memory), Ok(false));
    assert_eq!(
        queue.request_notification(&memory),
        Ok(true),
        "two are there"
    );
    let _ = (queue.pop(&memory).unwrap(), queue.pop(&memory).unwrap());
    assert_eq!(queue.request_notification(&memory), Ok(false));
    assert_eq!(memory.bytes(DEVICE, 4), [2, 0x80, 2, 0]);
    put(&memory, 2, 2, A);
    assert_eq!(queue.notification_data(&memory), Ok(0));
    assert_eq!(queue.notification_due(&memory), Ok(true));
}
