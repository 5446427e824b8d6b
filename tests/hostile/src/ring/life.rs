//! Devices that do not let go, and queues that are set up again.

use ring_rig::{Mode, part};

use super::lie::{any, areas, busy, closes, fill, packed, split, used, used_ahead, works};
use crate::{Outcome, Row, Run, Verdict};

/// Around the end of a queue's life.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "R060",
        section: "Virtio 1.3 §3.3.1",
        lie: "the device stops with chains in flight, some used and not taken",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 4);
            rig.finish(held[0].id, 0);
            rig.finish(held[1].id, 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            rig.add(9, &[], &[part(9, 1)]).expect("room");
            // The runner drains: 1, 2, 3 and 9, each once.
            assert_eq!(rig.inside().into_iter().collect::<Vec<_>>(), [1, 2, 3, 9]);
            Outcome::Harmless
        }),
    },
    Row {
        id: "R061",
        section: "Virtio 1.3 §2.6.1",
        lie: "completions of before a reset lie in the memory of the next queue",
        verdict: Verdict::Ignored,
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 4);
            for buffer in &held {
                rig.finish(buffer.id, 0);
            }
            rig.rebuild(rig.mode, rig.size());
            assert_eq!(rig.completed(), Ok(None), "a stale completion");
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "R062",
        section: "Virtio 1.3 §2.6.1",
        lie: "the device scribbles over the ring after it was drained and before it is set up again",
        verdict: Verdict::Ignored,
        run: Run::Ring(any, |rig| {
            busy(rig, 4);
            for (address, len) in areas(rig) {
                fill(rig, address, len, 0xff);
            }
            rig.rebuild(rig.mode, rig.size());
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "R063",
        section: "Virtio 1.3 §2.6.1",
        lie: "an id of the old queue is used in a new one that is smaller",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, u64::from(rig.size()));
            let old = held.iter().map(|buffer| buffer.id).max().expect("some");
            rig.rebuild(rig.mode, 4);
            busy(rig, 2);
            used(rig, old, 0);
            closes(rig)
        }),
    },
    Row {
        id: "R064",
        section: "Virtio 1.3 §2.6.1",
        lie: "the new queue has the other format",
        verdict: Verdict::Ignored,
        run: Run::Ring(any, |rig| {
            for _ in 0..2 {
                busy(rig, 3);
                let packed = !rig.mode.packed;
                rig.rebuild(Mode { packed, ..rig.mode }, 8);
                works(rig, Vec::new());
            }
            Outcome::Ignored
        }),
    },
    Row {
        id: "R065",
        section: "Virtio 1.3 §2.6.1",
        lie: "the device lies in every life of the queue",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(any, |rig| {
            for _ in 0..20 {
                busy(rig, 2);
                used(rig, u16::MAX, 0);
                let seen = closes(rig);
                assert_eq!(seen, Outcome::Closed("IdOutOfRange".to_owned()));
                rig.rebuild(rig.mode, rig.size());
            }
            busy(rig, 2);
            used(rig, u16::MAX, 0);
            closes(rig)
        }),
    },
    Row {
        id: "R066",
        section: "Virtio 1.3 §2.6.1",
        lie: "the device uses every chain after the queue has closed",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 3);
            used(rig, held[0].id, u32::MAX);
            let seen = closes(rig);
            for (ahead, buffer) in (0..).zip(&held) {
                used_ahead(rig, ahead, u32::from(buffer.id), 0);
                assert_eq!(rig.completed(), Ok(None));
            }
            // All three are still the queue's to give back.
            assert_eq!(rig.inside().len(), 3);
            seen
        }),
    },
    Row {
        id: "S010",
        section: "Virtio 1.3 §2.6.1, §2.7.8",
        lie: "a completion of before the reset arrives after the queue was set up again",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 2);
            rig.rebuild(rig.mode, rig.size());
            used(rig, held[0].id, 0);
            closes(rig)
        }),
    },
    Row {
        id: "P010",
        section: "Virtio 1.3 §2.6.1, §2.8.22",
        lie: "a used descriptor of before the reset arrives after the queue was set up again",
        verdict: Verdict::Closed("NothingInFlight"),
        run: Run::Ring(packed, |rig| {
            let held = busy(rig, 2);
            rig.rebuild(rig.mode, rig.size());
            used(rig, held[0].id, 0);
            closes(rig)
        }),
    },
];
