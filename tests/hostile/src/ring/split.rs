//! Lies that only a split ring has room for.

use ring_rig::{Mode, Rig, Variant, part};

use super::lie::{ROOM, busy, closes, element, split, used, used_ahead, used_idx, works};
use crate::{Outcome, Row, Run, Verdict};

const fn ordered(mode: Mode) -> bool {
    !mode.packed && mode.in_order
}

/// The device finishes one chain after the other, `count` times.
fn run_on(rig: &mut Rig, count: u32) {
    for _ in 0..count {
        rig.submit(0);
        let id = rig.pop().expect("a chain").id;
        rig.finish(id, 0);
        assert_eq!(rig.completed(), Ok(Some((0, 0))));
    }
}

/// Used indices, 32-bit ids and IN_ORDER in split rings.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "S020",
        section: "Virtio 1.3 §2.7.8",
        lie: "used index shows one buffer more than is in flight",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 3);
            for (position, buffer) in (0..).zip(&held) {
                element(rig, position, u32::from(buffer.id), 0);
            }
            used_idx(rig, 4);
            closes(rig)
        }),
    },
    Row {
        id: "S021",
        section: "Virtio 1.3 §2.7.8",
        lie: "used index jumps by half of all numbers",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            busy(rig, 3);
            used_idx(rig, 0x8000);
            closes(rig)
        }),
    },
    Row {
        id: "S022",
        section: "Virtio 1.3 §2.7.8",
        lie: "used index jumps by the queue size and one",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            busy(rig, u64::from(rig.size()));
            used_idx(rig, rig.size() + 1);
            closes(rig)
        }),
    },
    Row {
        id: "S023",
        section: "Virtio 1.3 §2.7.8",
        lie: "used index goes back by one",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 3);
            rig.finish(held[0].id, 0);
            rig.finish(held[1].id, 0);
            assert_eq!(rig.complete_all().len(), 2);
            used_idx(rig, 0_u16.wrapping_sub(1));
            closes(rig)
        }),
    },
    Row {
        id: "S024",
        section: "Virtio 1.3 §2.7.8",
        lie: "used index goes back to 0",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            run_on(rig, 5);
            busy(rig, 2);
            used_idx(rig, 0_u16.wrapping_sub(5));
            closes(rig)
        }),
    },
    Row {
        id: "S025",
        section: "Virtio 1.3 §2.7.13.3",
        lie: "used index shows a buffer before anything was published",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            rig.add(0, &[], &[part(0, ROOM)]).expect("room");
            used(rig, 0_u16, 0);
            closes(rig)
        }),
    },
    Row {
        id: "S026",
        section: "Virtio 1.3 §2.7.8",
        lie: "used index jumps where the numbers wrap",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(
            |mode| !mode.packed && !mode.indirect,
            |rig| {
                run_on(rig, 65_535);
                let held = busy(rig, 2);
                used_ahead(rig, 0, u32::from(held[0].id), 0);
                assert_eq!(rig.completed(), Ok(Some((0, 0))));
                used_idx(rig, 3);
                closes(rig)
            },
        ),
    },
    Row {
        id: "S027",
        section: "Virtio 1.3 §2.7.8",
        lie: "used index jumps while the driver still takes what it saw before",
        verdict: Verdict::Closed("UsedIndexJump"),
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 3);
            rig.finish(held[0].id, 1);
            rig.finish(held[1].id, 2);
            assert_eq!(rig.completed(), Ok(Some((0, 1))));
            used_idx(rig, 0x8000);
            // What was seen stays valid; the lie shows at the next look.
            assert_eq!(rig.completed(), Ok(Some((1, 2))));
            closes(rig)
        }),
    },
    Row {
        id: "S028",
        section: "Virtio 1.3 §2.7.8.2",
        lie: "used index is moved before the elements are written",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 3);
            assert_eq!(held[0].id, 0);
            // Both elements are still zeros: chain 0 is finished early, and then once more.
            used_idx(rig, 2);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            closes(rig)
        }),
    },
    Row {
        id: "S029",
        section: "Virtio 1.3 §2.7.8",
        lie: "used id is an outstanding one with a bit above the lower 16",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 2);
            used(rig, 0x1_0000 | u32::from(held[0].id), 0);
            closes(rig)
        }),
    },
    Row {
        id: "S030",
        section: "Virtio 1.3 §2.7.8",
        lie: "used id has all 32 bits set",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(split, |rig| {
            busy(rig, 2);
            used(rig, u32::MAX, 0);
            closes(rig)
        }),
    },
    Row {
        id: "S031",
        section: "Virtio 1.3 §2.7.8",
        lie: "used id names a descriptor inside a chain",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(
            |mode| !mode.packed && !mode.indirect,
            |rig| {
                let parts = [part(0, 4), part(1, 4), part(2, 4)];
                rig.add(0, &parts, &[]).expect("room");
                let _ = rig.publish();
                let held = rig.pop().expect("a chain");
                // The head's next field, as the driver wrote it.
                let table = rig.driver.addresses().descriptor.get();
                let inside = rig.peek16(table + 16 * u64::from(held.id) + 14);
                used(rig, inside, 0);
                closes(rig)
            },
        ),
    },
    Row {
        id: "S032",
        section: "Virtio 1.3 §2.7.8",
        lie: "a used element is written over after the driver has taken it",
        verdict: Verdict::Ignored,
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 2);
            rig.finish(held[0].id, 3);
            assert_eq!(rig.completed(), Ok(Some((0, 3))));
            element(rig, 0, u32::MAX, u32::MAX);
            works(rig, held[1..].to_vec())
        }),
    },
    Row {
        id: "S033",
        section: "Virtio 1.3 §2.7.8",
        lie: "elements behind the used index are garbage",
        verdict: Verdict::Ignored,
        run: Run::Ring(split, |rig| {
            let held = busy(rig, 2);
            for position in 0..rig.size() {
                element(rig, position, u32::MAX, u32::MAX);
            }
            assert_eq!(rig.completed(), Ok(None));
            works(rig, held)
        }),
    },
    Row {
        id: "S034",
        section: "Virtio 1.3 §2.7.9",
        lie: "with IN_ORDER a chain is used that is not the oldest, and the index moves by one",
        verdict: Verdict::Closed("BatchTooLong"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 3);
            used(rig, held[1].id, 0);
            closes(rig)
        }),
    },
    Row {
        id: "S035",
        section: "Virtio 1.3 §2.7.9",
        lie: "with IN_ORDER the index moves further than the chain that is named",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 4);
            element(rig, 0, u32::from(held[1].id), 0);
            used_idx(rig, 3);
            // Two chains for the element; where the third would be named lies a zero, and chain 0 is taken.
            assert_eq!(rig.completed(), Ok(Some((0, ROOM))));
            assert_eq!(rig.completed(), Ok(Some((1, 0))));
            closes(rig)
        }),
    },
    Row {
        id: "S036",
        section: "Virtio 1.3 §2.7.9",
        lie: "with IN_ORDER a batch ends in a chain that was used before",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 4);
            rig.finish(held[0].id, 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            element(rig, 1, u32::from(held[0].id), 0);
            used_idx(rig, 2);
            closes(rig)
        }),
    },
    Row {
        id: "S037",
        section: "Virtio 1.3 §2.7.9",
        lie: "with IN_ORDER the last chain of a batch has a length that is too large",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 3);
            element(rig, 0, u32::from(held[2].id), ROOM + 1);
            used_idx(rig, 3);
            // Not one of the batch is taken.
            closes(rig)
        }),
    },
    Row {
        id: "S038",
        section: "Virtio 1.3 §2.7.9",
        lie: "with IN_ORDER the element of a batch is written over while the driver takes its chains",
        verdict: Verdict::Harmless,
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 3);
            element(rig, 0, u32::from(held[2].id), 5);
            used_idx(rig, 3);
            assert_eq!(rig.completed(), Ok(Some((0, ROOM))));
            for position in 0..3 {
                element(rig, position, u32::MAX, u32::MAX);
            }
            used_idx(rig, 0x8000);
            assert_eq!(rig.completed(), Ok(Some((1, ROOM))));
            assert_eq!(rig.completed(), Ok(Some((2, 5))));
            Outcome::Harmless
        }),
    },
    Row {
        id: "S039",
        section: "Virtio 1.3 §2.7.9",
        lie: "with IN_ORDER a batch takes in a chain that was not published",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 2);
            rig.add(2, &[], &[part(2, ROOM)]).expect("room");
            element(rig, 0, u32::from(held[1].id) + 1, 0);
            used_idx(rig, 2);
            closes(rig)
        }),
    },
    Row {
        id: "S040",
        section: "Virtio 1.3 §2.7.8",
        lie: "used id is the last descriptor of the table, which is free",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(split, |rig| {
            busy(rig, 2);
            used(rig, rig.size() - 1, 0);
            closes(rig)
        }),
    },
    Row {
        id: "S041",
        section: "Virtio 1.3 §2.7.8.1",
        lie: "a legacy device's used length is more than the chain offers",
        verdict: Verdict::Harmless,
        run: Run::Ring(
            |mode| !mode.packed && !mode.in_order,
            |rig| {
                let variant = Variant::Legacy;
                rig.rebuild(
                    Mode {
                        variant,
                        ..rig.mode
                    },
                    4,
                );
                for written in [ROOM + 1, u32::MAX] {
                    let held = busy(rig, 1);
                    // Many such devices do it, and it breaks no rule of theirs: nobody is told more than there is room for.
                    rig.finish(held[0].id, written);
                    assert_eq!(rig.completed(), Ok(Some((0, ROOM))));
                }
                Outcome::Harmless
            },
        ),
    },
];
