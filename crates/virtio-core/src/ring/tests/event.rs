//! The event-idx comparison, at every position.

use crate::ring::event::passed;

/// The rule as the specification words it: some entry of the batch was written at index `event`.
fn by_the_word(event: u16, old: u16, batch: u16) -> bool {
    (0..batch).any(|n| old.wrapping_add(n) == event)
}

#[test]
#[cfg_attr(miri, ignore = "millions of steps, and no memory")]
fn every_position_and_batch_size_agrees_with_the_rule() {
    for batch in [0, 1, 2, 3, 7, 8, 31, 32, 33, 255, 256] {
        for old in 0..=u16::MAX {
            let new = old.wrapping_add(batch);
            // Every event at which the answer could change, and some far away.
            let near = [0, 1, 2, batch, batch / 2];
            for event in near.iter().flat_map(|&n| {
                [
                    old.wrapping_add(n),
                    old.wrapping_sub(n),
                    new.wrapping_add(n),
                    new.wrapping_sub(n),
                    old.wrapping_add(n ^ 0x8000),
                ]
            }) {
                let distance = event.wrapping_sub(old);
                assert_eq!(
                    passed(event, old, new),
                    distance < batch,
                    "event {event} old {old} batch {batch}"
                );
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "millions of steps, and no memory")]
fn every_event_agrees_with_the_rule() {
    for batch in [1, 2, 8, 32, 256, 1024] {
        for old in [0, 1, 0x7fff, 0x8000, 0xff00, 0xffff] {
            for event in 0..=u16::MAX {
                assert_eq!(
                    passed(event, old, old.wrapping_add(batch)),
                    by_the_word(event, old, batch),
                    "event {event} old {old} batch {batch}"
                );
            }
        }
    }
}

#[test]
fn largest_batch_is_the_largest_queue() {
    for event in 0..=u16::MAX {
        assert_eq!(
            passed(event, 0x9000, 0x1000),
            event.wrapping_sub(0x9000) < 0x8000
        );
    }
}
