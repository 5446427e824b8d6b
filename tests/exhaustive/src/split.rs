//! The event-idx comparison of the split ring: three 16-bit numbers. // Virtio 1.3 §2.7.7, §2.7.10
//!
//! 2⁴⁸ inputs are too many, and two runs of 2³² and 2³³ stand for them:
//!
//! 1. with `old` = 0: every batch and every event, against a walk that marks entry after entry;
//! 2. with every `old` and every batch: the events just outside and just inside both ends.
//!
//! `passed` uses its arguments in the differences `new - event` and `new - old` only, modulo 2¹⁶, and these do not change when
//! the same number is added to all three. So what 1 shows for `old` = 0 holds for every `old`. Run 2 does not rest on that
//! reading of the source: it finds a function whose answer depends on where the batch lies.

use crate::event::passed;

/// Number of values of a position.
const POSITIONS: usize = 1 << 16;

#[test]
fn every_batch_and_event_agrees_with_a_walk() {
    let mut marked = vec![false; POSITIONS];
    for batch in 0..=u16::MAX {
        let mut wrong = false;
        for (event, &mark) in (0..=u16::MAX).zip(&marked) {
            wrong |= passed(event, 0, batch) != mark;
        }
        assert!(!wrong, "batch of {batch} from position 0");
        // The next larger batch writes one entry more: the one at this index.
        marked[usize::from(batch)] = true;
    }
}

#[test]
fn every_position_and_batch_agrees_at_the_ends() {
    for old in 0..=u16::MAX {
        let mut wrong = false;
        // The last batch is as long as there are positions less one; the largest queue's is half as long.
        for batch in 1..=u16::MAX {
            let new = old.wrapping_add(batch);
            wrong |= passed(old.wrapping_sub(1), old, new);
            wrong |= !passed(old, old, new);
            wrong |= !passed(new.wrapping_sub(1), old, new);
            wrong |= passed(new, old, new);
        }
        assert!(!wrong, "some batch from position {old}");
    }
}

#[test]
fn nothing_is_passed_by_standing_still() {
    for at in 0..=u16::MAX {
        assert!((0..=u16::MAX).all(|event| !passed(event, at, at)), "{at}");
    }
}
