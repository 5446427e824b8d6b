//! Used ids and lengths.

use ring_rig::part;

use super::lie::{ROOM, any, busy, closes, free_id, out_of_order, used, used_ahead};
use crate::{Outcome, Row, Run, Verdict};

/// Ids and lengths that no device may write.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "R001",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "used id is the queue size",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(any, |rig| {
            busy(rig, 2);
            used(rig, rig.size(), 0);
            closes(rig)
        }),
    },
    Row {
        id: "R002",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "used id has all 16 bits set",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(any, |rig| {
            busy(rig, 2);
            used(rig, u16::MAX, 0);
            closes(rig)
        }),
    },
    Row {
        id: "R003",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "used id names no chain that is in flight",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(any, |rig| {
            busy(rig, 2);
            used(rig, free_id(rig), 0);
            closes(rig)
        }),
    },
    Row {
        id: "R004",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "used id is repeated while other chains are in flight",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 3);
            rig.finish(held[0].id, 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            used(rig, held[0].id, 0);
            closes(rig)
        }),
    },
    Row {
        id: "R005",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "one batch of used buffers names the same id twice",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 3);
            used_ahead(rig, 0, u32::from(held[0].id), 0);
            used_ahead(rig, 1, u32::from(held[0].id), 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            closes(rig)
        }),
    },
    Row {
        id: "R006",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "used id is repeated when its number belongs to a new chain",
        verdict: Verdict::Harmless,
        run: Run::Ring(out_of_order, |rig| {
            let held = busy(rig, 1);
            rig.finish(held[0].id, 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            rig.submit(5);
            let again = rig.pop().expect("a chain");
            assert_eq!(again.id, held[0].id, "numbers are taken anew");
            // Nobody can tell this from an early completion of the new chain: it comes back, once.
            used(rig, held[0].id, 0);
            assert_eq!(rig.completed(), Ok(Some((5, 0))));
            Outcome::Harmless
        }),
    },
    Row {
        id: "R007",
        section: "Virtio 1.3 §2.7.13.3, §2.8.21.1",
        lie: "a chain that was added and not published is used",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 1);
            rig.add(1, &[], &[part(1, ROOM)]).expect("room");
            // The second chain has the next number in every format.
            used(rig, held[0].id + 1, 0);
            closes(rig)
        }),
    },
    Row {
        id: "R008",
        section: "Virtio 1.3 §2.7.13.3, §2.8.21.1",
        lie: "a chain is used before the device was told of it, with no other in flight",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            // Published without a notification, so that the device could not know, and could guess.
            rig.device.suppress_notification().expect("guest memory");
            rig.submit(0);
            let id = rig.pop().expect("a chain").id;
            used(rig, id, 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            Outcome::Harmless
        }),
    },
    Row {
        id: "R009",
        section: "Virtio 1.3 §2.7.8, §2.8.4",
        lie: "used length is one byte more than the chain offers",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 2);
            used(rig, held[0].id, ROOM + 1);
            closes(rig)
        }),
    },
    Row {
        id: "R010",
        section: "Virtio 1.3 §2.7.8, §2.8.4",
        lie: "used length is the largest number",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 2);
            used(rig, held[0].id, u32::MAX);
            closes(rig)
        }),
    },
    Row {
        id: "R011",
        section: "Virtio 1.3 §2.7.8, §2.8.4",
        lie: "a byte is said to be written to a chain that may only be read",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(any, |rig| {
            rig.add(0, &[part(0, 4096)], &[]).expect("room");
            let _ = rig.publish();
            let id = rig.pop().expect("a chain").id;
            used(rig, id, 1);
            closes(rig)
        }),
    },
    Row {
        id: "R012",
        section: "Virtio 1.3 §2.7.8, §2.8.4",
        lie: "used length counts the readable parts as well",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(any, |rig| {
            rig.add(0, &[part(0, 16)], &[part(1, ROOM), part(2, 1)])
                .expect("room");
            let _ = rig.publish();
            let id = rig.pop().expect("a chain").id;
            used(rig, id, 16 + ROOM + 1);
            closes(rig)
        }),
    },
    Row {
        id: "R013",
        section: "Virtio 1.3 §2.7.8, §2.8.4",
        lie: "used length fits the chain before, not the one that is named",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(out_of_order, |rig| {
            rig.submit(0);
            rig.add(1, &[], &[part(1, 4)]).expect("room");
            let _ = rig.publish();
            let held = rig.pop_all();
            used(rig, held[1].id, ROOM);
            closes(rig)
        }),
    },
    Row {
        id: "R014",
        section: "Virtio 1.3 §2.7.8.2, §2.7.8.3, §2.8.4",
        lie: "used length is less than was written",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 1);
            used(rig, held[0].id, 1);
            // The specification allows it; the driver's caller is told the device's number and trusts no byte beyond it.
            assert_eq!(rig.completed(), Ok(Some((0, 1))));
            Outcome::Harmless
        }),
    },
    Row {
        id: "R015",
        section: "Virtio 1.3 §2.7.8, §2.8.4",
        lie: "used length is exactly what the chain offers",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 1);
            used(rig, held[0].id, ROOM);
            assert_eq!(rig.completed(), Ok(Some((0, ROOM))));
            Outcome::Harmless
        }),
    },
    Row {
        id: "R016",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "a chain is used at once, without its work being done",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            for token in 0..100 {
                rig.submit(token);
                let id = rig.pop().expect("a chain").id;
                rig.finish(id, 0);
                assert_eq!(rig.completed(), Ok(Some((token, 0))));
            }
            Outcome::Harmless
        }),
    },
    Row {
        id: "R017",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "a second lie follows the first",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 3);
            used(rig, u16::MAX, 0);
            let seen = closes(rig);
            // Another kind of lie, then an honest completion: the first error stays and nothing is taken.
            used(rig, held[0].id, u32::MAX);
            assert_eq!(rig.completed(), Ok(None));
            used(rig, held[0].id, 0);
            assert_eq!(rig.completed(), Ok(None));
            assert_eq!(rig.inside().len(), 3);
            seen
        }),
    },
    Row {
        id: "R018",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "honest completions lie before the lie",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 4);
            rig.finish(held[0].id, 3);
            rig.finish(held[1].id, 4);
            used(rig, u16::MAX, 0);
            assert_eq!(rig.completed(), Ok(Some((0, 3))));
            assert_eq!(rig.completed(), Ok(Some((1, 4))));
            closes(rig)
        }),
    },
    Row {
        id: "R019",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "a full queue is used with one id throughout",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(any, |rig| {
            let held = busy(rig, u64::from(rig.size()));
            for ahead in 0..rig.size() {
                used_ahead(rig, ahead, u32::from(held[0].id), 0);
            }
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            closes(rig)
        }),
    },
    Row {
        id: "R020",
        section: "Virtio 1.3 §2.7.8, §2.8.22",
        lie: "used id is repeated across the end of the ring",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(any, |rig| {
            // The device stands at the last place.
            for token in 100..100 + u64::from(rig.size()) - 1 {
                rig.submit(token);
                let id = rig.pop().expect("a chain").id;
                rig.finish(id, 0);
            }
            let _ = rig.complete_all();
            let held = busy(rig, 3);
            used_ahead(rig, 0, u32::from(held[0].id), 0);
            used_ahead(rig, 1, u32::from(held[0].id), 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            closes(rig)
        }),
    },
];
