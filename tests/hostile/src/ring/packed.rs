//! Lies that only a packed ring has room for.

use ring_device::{Packed, Queue};
use ring_rig::{Mode, Rig, part};

use super::lie::{ROOM, areas, busy, bytes, closes, fill, mark, packed, used, used_ahead, works};
use crate::{Outcome, Row, Run, Verdict};

const fn ordered(mode: Mode) -> bool {
    mode.packed && mode.in_order
}

/// Direct chains, so that they take as many descriptors as they have parts.
const fn direct(mode: Mode) -> bool {
    mode.packed && !mode.indirect && !mode.in_order
}

/// Writes a used descriptor with any flags where the device stands.
fn flags(rig: &Rig, id: u16, written: u32, flags: u16) {
    if let Queue::Packed(queue) = rig.device.queue() {
        let (place, _) = queue.next_used();
        let done = queue.write_used(&rig.memory, place, id, written, flags);
        done.expect("a ring in guest memory");
    }
}

/// Flags that mark a descriptor as used where the device stands.
fn used_flags(rig: &Rig) -> u16 {
    match rig.device.queue() {
        Queue::Packed(queue) => Packed::used_flags(queue.next_used().1),
        Queue::Split(_) => 0,
    }
}

/// Lets so many chains go through, so that the device stands elsewhere.
fn run_on(rig: &mut Rig, count: u16) {
    for token in 5000..5000 + u64::from(count) {
        rig.submit(token);
        let id = rig.pop().expect("a chain").id;
        rig.finish(id, 0);
        assert_eq!(rig.completed(), Ok(Some((token, 0))));
    }
}

/// Does it at every place of two laps.
fn everywhere(rig: &mut Rig, lie: impl Fn(&mut Rig) -> Outcome) -> Outcome {
    let mut seen = Outcome::Ignored;
    for start in 0..2 * rig.size() {
        rig.rebuild(rig.mode, rig.size());
        run_on(rig, start);
        let now = lie(rig);
        assert!(
            start == 0 || now == seen,
            "{now:?} at {start}, {seen:?} before"
        );
        seen = now;
    }
    seen
}

/// Places, wrap counters and flags of packed rings.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "P020",
        section: "Virtio 1.3 §2.8.1",
        lie: "used flags have the wrong wrap counter",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            everywhere(rig, |rig| {
                let held = busy(rig, 1);
                let at = areas(rig)[0].0;
                let before = bytes(rig, at, 16 * u64::from(rig.size()));
                flags(rig, held[0].id, 0, used_flags(rig) ^ 0x8080);
                assert_eq!(rig.completed(), Ok(None));
                rig.poke(at, &before);
                works(rig, held)
            })
        }),
    },
    Row {
        id: "P021",
        section: "Virtio 1.3 §2.8.1",
        lie: "only the USED flag changes, or only the AVAIL flag",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            everywhere(rig, |rig| {
                let held = busy(rig, 1);
                let at = areas(rig)[0].0;
                let before = bytes(rig, at, 16 * u64::from(rig.size()));
                for half in [0x80, 0x8000] {
                    flags(rig, held[0].id, 0, half);
                    assert_eq!(rig.completed(), Ok(None), "half of the flags is not used");
                }
                rig.poke(at, &before);
                works(rig, held)
            })
        }),
    },
    Row {
        id: "P022",
        section: "Virtio 1.3 §2.8.3, §2.8.4",
        lie: "a used descriptor without WRITE has a length that is too large",
        verdict: Verdict::Harmless,
        run: Run::Ring(packed, |rig| {
            everywhere(rig, |rig| {
                let held = busy(rig, 1);
                // The length has no meaning without WRITE, so it breaks no rule; nobody may believe it either.
                flags(rig, held[0].id, u32::MAX, used_flags(rig));
                assert_eq!(rig.completed(), Ok(Some((0, ROOM))));
                Outcome::Harmless
            })
        }),
    },
    Row {
        id: "P044",
        section: "Virtio 1.3 §2.8.3, §2.8.4",
        lie: "a used descriptor tells a length and leaves WRITE out, as QEMU's do",
        verdict: Verdict::Harmless,
        run: Run::Ring(packed, |rig| {
            everywhere(rig, |rig| {
                let held = busy(rig, 1);
                flags(rig, held[0].id, 17, used_flags(rig));
                assert_eq!(rig.completed(), Ok(Some((0, 17))));
                Outcome::Harmless
            })
        }),
    },
    Row {
        id: "P023",
        section: "Virtio 1.3 §2.8.6",
        lie: "a used descriptor has NEXT, INDIRECT and flags that were never defined",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            for more in [1, 4, 8, 0x70, 0x7f00, 0x7f7d] {
                rig.rebuild(rig.mode, rig.size());
                let held = busy(rig, 1);
                flags(rig, held[0].id, 9, used_flags(rig) | more | 2);
                assert_eq!(rig.completed(), Ok(Some((0, 9))), "flags {more:#x}");
            }
            Outcome::Ignored
        }),
    },
    Row {
        id: "P024",
        section: "Virtio 1.3 §2.8.4",
        lie: "a used descriptor has another address",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            let held = busy(rig, 1);
            used(rig, held[0].id, 7);
            fill(rig, areas(rig)[0].0, 8, 0xff);
            assert_eq!(rig.completed(), Ok(Some((0, 7))));
            Outcome::Ignored
        }),
    },
    Row {
        id: "P025",
        section: "Virtio 1.3 §2.8.2",
        lie: "the used descriptor is written one place too far",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            everywhere(rig, |rig| {
                let held = busy(rig, 2);
                let at = areas(rig)[0].0;
                let before = bytes(rig, at, 16 * u64::from(rig.size()));
                used_ahead(rig, 1, u32::from(held[0].id), 0);
                // Only the next place counts; polling another would be to trust the device's order.
                assert_eq!(rig.completed(), Ok(None));
                rig.poke(at, &before);
                works(rig, held)
            })
        }),
    },
    Row {
        id: "P026",
        section: "Virtio 1.3 §2.8.2",
        lie: "used descriptors fill every place but the next one",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            let held = busy(rig, 2);
            let at = areas(rig)[0].0;
            let before = bytes(rig, at, 16 * u64::from(rig.size()));
            for ahead in 1..rig.size() {
                used_ahead(rig, ahead, u32::from(held[0].id), 0);
            }
            assert_eq!(rig.completed(), Ok(None));
            rig.poke(at, &before);
            works(rig, held)
        }),
    },
    Row {
        id: "P027",
        section: "Virtio 1.3 §2.8.6",
        lie: "the device skips fewer descriptors than the chain has",
        verdict: Verdict::Harmless,
        run: Run::Ring(direct, |rig| {
            let parts = [part(0, 4), part(1, 4), part(2, 4)];
            rig.add(0, &parts, &[]).expect("room");
            rig.add(1, &[], &[part(3, 4)]).expect("room");
            let _ = rig.publish();
            let held = rig.pop_all();
            used_ahead(rig, 0, u32::from(held[0].id), 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            used_ahead(rig, 1, u32::from(held[1].id), 0);
            // How far to skip is the driver's own knowledge: there the second chain is not used yet.
            assert_eq!(rig.completed(), Ok(None));
            used_ahead(rig, 3, u32::from(held[1].id), 0);
            assert_eq!(rig.completed(), Ok(Some((1, 0))));
            Outcome::Harmless
        }),
    },
    Row {
        id: "P028",
        section: "Virtio 1.3 §2.8.6",
        lie: "the device skips more descriptors than the chain has",
        verdict: Verdict::Harmless,
        run: Run::Ring(direct, |rig| {
            let held = busy(rig, 3);
            used_ahead(rig, 0, u32::from(held[0].id), 0);
            used_ahead(rig, 2, u32::from(held[1].id), 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            assert_eq!(rig.completed(), Ok(None));
            Outcome::Harmless
        }),
    },
    Row {
        id: "P029",
        section: "Virtio 1.3 §2.8.6",
        lie: "the id is that of a chain of another length",
        verdict: Verdict::Harmless,
        run: Run::Ring(direct, |rig| {
            rig.add(0, &[part(0, 4)], &[]).expect("room");
            rig.add(1, &[part(1, 4), part(2, 4)], &[part(3, 4)])
                .expect("room");
            let _ = rig.publish();
            let held = rig.pop_all();
            // As far as the driver sees, the second chain was finished first: its three descriptors come free.
            used_ahead(rig, 0, u32::from(held[1].id), 4);
            assert_eq!(rig.completed(), Ok(Some((1, 4))));
            assert_eq!(rig.driver.free(), rig.size() - 1);
            used_ahead(rig, 3, u32::from(held[0].id), 0);
            assert_eq!(rig.completed(), Ok(Some((0, 0))));
            assert_eq!(rig.driver.free(), rig.size());
            Outcome::Harmless
        }),
    },
    Row {
        id: "P030",
        section: "Virtio 1.3 §2.8.22",
        lie: "a descriptor is used though nothing was ever published",
        verdict: Verdict::Closed("NothingInFlight"),
        run: Run::Ring(packed, |rig| {
            used(rig, 0_u16, 0);
            closes(rig)
        }),
    },
    Row {
        id: "P031",
        section: "Virtio 1.3 §2.8.22",
        lie: "a descriptor is used again after all were taken",
        verdict: Verdict::Closed("NothingInFlight"),
        run: Run::Ring(packed, |rig| {
            everywhere(rig, |rig| {
                let held = busy(rig, 1);
                rig.finish(held[0].id, 0);
                assert_eq!(rig.completed(), Ok(Some((0, 0))));
                used(rig, held[0].id, 0);
                closes(rig)
            })
        }),
    },
    Row {
        id: "P032",
        section: "Virtio 1.3 §2.8.21.1",
        lie: "a chain is used while it is written and not yet published",
        verdict: Verdict::Closed("NothingInFlight"),
        run: Run::Ring(packed, |rig| {
            rig.add(0, &[part(0, 4)], &[part(1, ROOM)]).expect("room");
            used(rig, 0_u16, 0);
            closes(rig)
        }),
    },
    Row {
        id: "P033",
        section: "Virtio 1.3 §2.8.1",
        lie: "all descriptors become ones in the first lap",
        verdict: Verdict::Closed("IdOutOfRange"),
        run: Run::Ring(packed, |rig| {
            busy(rig, 2);
            let (at, len) = areas(rig)[0];
            fill(rig, at, len, 0xff);
            closes(rig)
        }),
    },
    Row {
        id: "P034",
        section: "Virtio 1.3 §2.8.1",
        lie: "all descriptors become ones in the second lap",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            run_on(rig, rig.size());
            let held = busy(rig, 2);
            let (at, len) = areas(rig)[0];
            let before = bytes(rig, at, len);
            fill(rig, at, len, 0xff);
            // In this lap a used descriptor has both flags clear.
            assert_eq!(rig.completed(), Ok(None));
            rig.poke(at, &before);
            works(rig, held)
        }),
    },
    Row {
        id: "P035",
        section: "Virtio 1.3 §2.8.1",
        lie: "all descriptors become zeros in the second lap",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(packed, |rig| {
            // Two in flight, of which the first was used and taken: zeros then say that id 0 was used, and again.
            run_on(rig, rig.size());
            busy(rig, 3);
            let (at, len) = areas(rig)[0];
            fill(rig, at, len, 0);
            let mut taken = 0;
            while let Ok(Some(_)) = rig.completed() {
                taken += 1;
            }
            assert!(taken <= 1, "id 0 is used once");
            Outcome::closed(&rig.driver.closed().expect("closed"))
        }),
    },
    Row {
        id: "P036",
        section: "Virtio 1.3 §2.8.1",
        lie: "all descriptors become zeros in the first lap",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            let held = busy(rig, 2);
            let (at, len) = areas(rig)[0];
            let before = bytes(rig, at, len);
            fill(rig, at, len, 0);
            assert_eq!(rig.completed(), Ok(None));
            rig.poke(at, &before);
            works(rig, held)
        }),
    },
    Row {
        id: "P037",
        section: "Virtio 1.3 §2.8.15",
        lie: "a used descriptor changes after the driver has taken it",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            let held = busy(rig, 2);
            rig.finish(held[0].id, 3);
            assert_eq!(rig.completed(), Ok(Some((0, 3))));
            let at = areas(rig)[0].0;
            let before = bytes(rig, at, 16);
            rig.poke(at + 8, &[0xff; 8]);
            assert_eq!(rig.completed(), Ok(None));
            rig.poke(at, &before);
            works(rig, held[1..].to_vec())
        }),
    },
    Row {
        id: "P038",
        section: "Virtio 1.3 §2.8.22",
        lie: "every place of the ring is used, with each id once, and then the next lap as well",
        verdict: Verdict::Closed("NothingInFlight"),
        run: Run::Ring(packed, |rig| {
            let held = busy(rig, u64::from(rig.size()));
            for (ahead, buffer) in (0..).zip(&held) {
                used_ahead(rig, ahead, u32::from(buffer.id), 0);
            }
            assert_eq!(rig.complete_all().len(), held.len());
            for (ahead, buffer) in (0..).zip(&held) {
                // The other lap's flags.
                mark(rig, rig.size() + ahead, buffer.id, 0, 0);
            }
            closes(rig)
        }),
    },
    Row {
        id: "P039",
        section: "Virtio 1.3 §2.8.8",
        lie: "with IN_ORDER the newest chain is used first, and then an older one",
        verdict: Verdict::Closed("NothingInFlight"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 3);
            used_ahead(rig, 0, u32::from(held[2].id), 9);
            // The newest stands for all three: the older ones were skipped.
            assert_eq!(rig.complete_all(), [(0, ROOM), (1, ROOM), (2, 9)]);
            used_ahead(rig, 3, u32::from(held[0].id), 0);
            closes(rig)
        }),
    },
    Row {
        id: "P040",
        section: "Virtio 1.3 §2.8.8",
        lie: "with IN_ORDER a packed batch takes in a chain that was not published",
        verdict: Verdict::Closed("IdNotOutstanding"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 2);
            rig.add(2, &[], &[part(2, ROOM)]).expect("room");
            used(rig, held[1].id + 1, 0);
            closes(rig)
        }),
    },
    Row {
        id: "P041",
        section: "Virtio 1.3 §2.8.8",
        lie: "with IN_ORDER the last chain of a packed batch has a length that is too large",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 3);
            used(rig, held[2].id, ROOM + 1);
            closes(rig)
        }),
    },
    Row {
        id: "P042",
        section: "Virtio 1.3 §2.8.8",
        lie: "with IN_ORDER the device marks every chain of a batch, not only the last",
        verdict: Verdict::Harmless,
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 3);
            for (ahead, buffer) in (0..).zip(&held) {
                used_ahead(rig, ahead, u32::from(buffer.id), 2);
            }
            assert_eq!(rig.complete_all(), [(0, 2), (1, 2), (2, 2)]);
            Outcome::Harmless
        }),
    },
    Row {
        id: "P043",
        section: "Virtio 1.3 §2.8.8",
        lie: "with IN_ORDER the used descriptor of a batch changes while the driver takes its chains",
        verdict: Verdict::Harmless,
        run: Run::Ring(ordered, |rig| {
            let held = busy(rig, 3);
            used(rig, held[2].id, 5);
            assert_eq!(rig.completed(), Ok(Some((0, ROOM))));
            let (at, len) = areas(rig)[0];
            fill(rig, at, len, 0xff);
            assert_eq!(rig.completed(), Ok(Some((1, ROOM))));
            assert_eq!(rig.completed(), Ok(Some((2, 5))));
            Outcome::Harmless
        }),
    },
];
