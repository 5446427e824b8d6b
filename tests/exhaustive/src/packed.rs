//! Places in a packed ring, of every size from 1 to 32768. // Virtio 1.3 §2.8.1, §2.8.10, §2.8.14
//!
//! The reference counts places from 0 to twice the size: the first lap has wrap counter 1, the second 0.
//!
//! The inputs together are about 2⁶⁰, so the runs stand for them like this. Up to [`SMALL`] everything is run. For larger sizes
//! it counts that `advance` uses offset and step in their sum only, and that `passed_packed` uses its two places in the
//! difference of their offsets and in whether their wrap counters differ, and compares with the count only at the end: so
//! every sum, every difference and the counts on either side of the answer's change stand for all. That reading of the
//! source is checked in turn, at every place with every batch, for the sizes of [`LARGE`].

use crate::event::{passed_in_lap, passed_packed as passed_in_any};
use crate::position::{LAP, Position, distance, shows, step_one};

/// Sizes up to this are run whole.
const SMALL: u16 = 160;
/// Sizes that are run at every place with every batch, for the ends of the batch.
const LARGE: [u16; 3] = [1000, 4095, LARGEST];
const LARGEST: u16 = 32768;
const WRAP: u16 = 1 << 15;

/// A place as the two sides write it: the first lap has wrap counter 1.
fn bits(place: u32, size: u32) -> u16 {
    if place < size {
        place as u16 | WRAP
    } else {
        (place - size) as u16
    }
}

/// The place `by` further on, or back from it, of twice `size`.
fn on(place: u32, by: u32, size: u32) -> u32 {
    let sum = place + by;
    if sum >= 2 * size { sum - 2 * size } else { sum }
}

fn back(place: u32, by: u32, size: u32) -> u32 {
    if place >= by {
        place - by
    } else {
        place + 2 * size - by
    }
}

/// Both ways of telling whether the event was passed: the short one where the batch lies in one lap. Of an event outside
/// the ring they need not say the same.
fn passed_packed(event: u16, new: u16, count: u16, size: u16) -> bool {
    let passed = passed_in_any(event, new, count, size);
    if count <= new & !WRAP && event & !WRAP < size {
        assert_eq!(
            passed_in_lap(event, new, count),
            passed,
            "event {event} new {new} count {count} size {size}"
        );
    }
    passed
}

/// The positions of a ring, each reached from the one before.
fn walk(size: u16) -> Vec<Position> {
    let step = |position: &Position| Some(position.advance(1, size));
    core::iter::successors(Some(Position::START), step)
        .take(2 * usize::from(size))
        .collect()
}

#[test]
fn every_ring_is_walked_in_two_laps() {
    for size in 1..=LARGEST {
        let mut position = Position::START;
        // As the ring writes descriptors: by offsets in bytes, 16 a descriptor, and the flags of the lap.
        let (mut offset, mut lap) = (0, Position::START.available());
        for place in 0..2 * u32::from(size) {
            assert_eq!(
                (offset >> 4, lap),
                (position.index().into(), position.available())
            );
            if step_one(&mut offset, 1 << 4, usize::from(size) << 4) {
                lap ^= LAP;
            }
            assert_eq!(position.bits(), bits(place, size.into()), "size {size}");
            assert_eq!(position.index(), bits(place, size.into()) & !WRAP);
            // Virtio 1.3 §2.8.1: AVAIL is the wrap counter, USED its inverse.
            let available = if place < size.into() { 1 << 7 } else { 1 << 15 };
            assert_eq!(position, Position::of(position.index(), available));
            position = position.advance(1, size);
        }
        assert_eq!(position, Position::START, "size {size}");
    }
}

#[test]
fn every_step_in_small_rings_lands_where_single_steps_do() {
    for size in 1..=SMALL {
        for (place, position) in (0_u32..).zip(walk(size)) {
            for by in 0..=size {
                let want = on(place, by.into(), size.into());
                assert_eq!(
                    position.advance(by, size).bits(),
                    bits(want, size.into()),
                    "size {size} place {place} by {by}"
                );
            }
        }
    }
}

#[test]
fn every_distance_in_small_rings_is_that_of_the_step() {
    for size in 1..=SMALL {
        for position in walk(size) {
            for by in 1..=size {
                let further = position.advance(by, size);
                let one_lap = further.available() == position.available();
                let (from, to) = (position.index().into(), further.index().into());
                assert_eq!(
                    distance(from, to, size.into()),
                    (by.into(), one_lap),
                    "size {size} by {by}"
                );
            }
        }
    }
}

#[test]
fn every_distance_from_both_ends_of_any_ring_is_that_of_the_step() {
    // In bytes, as the ring keeps them: 16 a descriptor.
    for size in 1..=usize::from(LARGEST) {
        let end = size << 4;
        let mut wrong = false;
        for from in [0, size - 1] {
            for by in 1..=size {
                let to = from + by;
                let (place, one_lap) = if to < size {
                    (to, true)
                } else {
                    (to - size, false)
                };
                wrong |= distance(from << 4, place << 4, end) != (by << 4, one_lap);
            }
        }
        assert!(!wrong, "size {size}");
    }
}

#[test]
fn every_step_in_any_ring_lands_where_the_sum_says() {
    for size in 1..=LARGEST {
        let positions = walk(size);
        let lap = u32::from(size);
        let mut wrong = false;
        // From the first descriptor every step, and from the last one every step: all sums, one lap each.
        for place in [0, 2 * lap - 1] {
            let position = positions[place as usize];
            for by in 0..=lap {
                let want = bits(on(place, by, lap), lap);
                wrong |= position.advance(by as u16, size).bits() != want;
            }
        }
        assert!(!wrong, "size {size}");
    }
}

#[test]
fn every_event_and_batch_in_small_rings_agrees_with_a_walk() {
    for size in 1..=SMALL {
        let lap = u32::from(size);
        for new in 0..2 * lap {
            let mut marked = vec![false; 2 * usize::from(size)];
            for count in 0..=lap {
                let mut wrong = false;
                for (event, &mark) in (0..).zip(&marked) {
                    wrong |=
                        passed_packed(bits(event, lap), bits(new, lap), count as u16, size) != mark;
                }
                assert!(!wrong, "size {size} new {new} count {count}");
                // A batch larger by one reaches one descriptor further back.
                marked[back(new, count + 1, lap) as usize] = true;
            }
        }
    }
}

#[test]
fn every_difference_in_any_ring_is_passed_by_the_right_batches() {
    for size in 1..=LARGEST {
        let lap = u32::from(size);
        let mut wrong = false;
        // Before the first descriptor and before the last one, one lap each: all differences of offsets, both signs.
        for new in [0, 2 * lap - 1] {
            let new_bits = bits(new, lap);
            for event in 0..2 * lap {
                // How far the event lies behind; the place itself is a whole round of two laps back.
                let behind = back(new, event, lap);
                let behind = if behind == 0 { 2 * lap } else { behind };
                let event = bits(event, lap);
                // A batch is at most the ring: longer ones pass nothing more.
                let within = behind.min(lap);
                wrong |= passed_packed(event, new_bits, within as u16, size) != (behind <= lap);
                wrong |= passed_packed(event, new_bits, (within - 1) as u16, size);
                wrong |= passed_packed(event, new_bits, size, size) != (behind <= lap);
            }
        }
        assert!(!wrong, "size {size}");
    }
}

#[test]
fn every_place_and_batch_in_large_rings_agrees_at_the_ends() {
    for size in LARGE {
        let lap = u32::from(size);
        for new in 0..2 * lap {
            let mut wrong = false;
            for count in 1..=lap {
                let passed =
                    |event| passed_packed(bits(event, lap), bits(new, lap), count as u16, size);
                let old = back(new, count, lap);
                wrong |= passed(new);
                wrong |= !passed(back(new, 1, lap));
                wrong |= !passed(old);
                wrong |= passed(back(old, 1, lap));
            }
            assert!(!wrong, "size {size} new {new}");
        }
    }
}

#[test]
fn every_event_that_is_no_place_is_answered_too() {
    // A device may write any word: what matters is that there is an answer, also where arithmetic is checked.
    for size in [1, 2, 3, 255, 256, 32767, LARGEST] {
        for event in 0..=u16::MAX {
            for count in [0, 1, size / 2, size] {
                for new in [0, size - 1, WRAP, (size - 1) | WRAP] {
                    let _ = passed_packed(event, new, count, size);
                }
            }
        }
    }
}

/// `VIRTQ_DESC_F_AVAIL` and `_USED`. // Virtio 1.3 §2.8.1
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// The bits `AVAIL` and `USED` of some flags.
fn marks(flags: u16) -> (bool, bool) {
    (flags & AVAIL != 0, flags & USED != 0)
}

#[test]
fn every_flags_word_is_judged_by_its_two_bits() {
    for (position, wrap) in [
        (Position::START, true),
        (Position::START.advance(1, 1), false),
    ] {
        assert_eq!(Position::of_used(0, position.used()), position);
        assert_eq!(position.available() & !(AVAIL | USED), 0);
        assert_eq!(marks(position.available()), (wrap, !wrap));
        // A descriptor used in the lap before: both bits are the wrap counter of that lap.
        assert_eq!(position.stale() & !(AVAIL | USED), 0);
        assert_eq!(marks(position.stale()), (!wrap, !wrap));
        for flags in 0..=u16::MAX {
            let used = marks(flags) == (wrap, wrap);
            // The ring looks for used descriptors by these flags.
            assert_eq!(shows(flags, position.used()), used, "{flags:#x}");
        }
    }
}
