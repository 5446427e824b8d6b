//! Rules that bind the driver. The device of the rig looks for each breach (`ring_device::Violation`); a row leads the driver
//! to where it could break its rule.

use ring_device::{Queue as DeviceQueue, Setup};
use ring_rig::{Device, Mode, Rig, Variant, part};
use virtio_core::ring::Part;

use super::lie::{any, areas, busy, bytes, packed, split, works};
use crate::{Outcome, Row, Run, Verdict};

/// Lets `count` chains of changing shapes go through, three in flight, in the order that the mode allows.
pub(super) fn traffic(rig: &mut Rig, count: u64) {
    for token in 0..count {
        let readable: Vec<_> = (0..token % 3).map(|n| part(n, 16)).collect();
        let writable: Vec<_> = (0..1 + token % 2).map(|n| part(9 + n, 16)).collect();
        while rig.add(token, &readable, &writable).is_err() {
            turn(rig);
        }
        if token % 2 == 0 {
            let _ = rig.publish();
        }
        if token % 5 == 0 {
            turn(rig);
        }
    }
    let _ = rig.publish();
    turn(rig);
    turn(rig);
    assert_eq!(rig.driver.free(), rig.size());
}

/// The device takes all there is and uses it, the newest first if it may.
fn turn(rig: &mut Rig) {
    let _ = rig.publish();
    let _ = rig.device.request_notification().expect("guest memory");
    let _ = rig.driver.arm();
    let mut held = rig.pop_all();
    if !rig.mode.in_order {
        held.reverse();
    }
    for buffer in held {
        rig.finish(buffer.id, 1);
        // Judges what the driver has written as its wish.
        let _ = rig.device.interrupt_due().expect("a wish that it may have");
        rig.driver.disarm();
        let _ = rig.device.interrupt_due().expect("a wish that it may have");
        let _ = rig.driver.arm_delayed();
        let _ = rig.device.interrupt_due().expect("a wish that it may have");
    }
    let _ = rig.complete_all();
}

/// What the specification asks of drivers.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "R100",
        section: "Virtio 1.3 §2.7.1, §2.7.10.1, §2.8.11, §2.8.13",
        lie: "ring parts have to be aligned, and start as zeros whatever lay there",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            // The device checks both when it is set up.
            let at = rig.driver.addresses();
            let _ = Device::new(&rig.memory, rig.mode, rig.size(), at);
            for (address, len) in areas(rig) {
                assert!(bytes(rig, address, len).iter().all(|byte| *byte == 0));
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "R105",
        section: "Virtio 1.3 §2.7.4.2, §2.8.17",
        lie: "writable parts have to come after readable ones",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            for token in 0..50 {
                let (reads, writes) = ([part(1, 4), part(2, 4)], [part(3, 4), part(4, 4)]);
                rig.add(token, &reads, &writes).expect("room");
                let _ = rig.publish();
                let buffer = rig.pop().expect("a chain");
                let kinds: Vec<_> = buffer.parts.iter().map(|part| part.writable).collect();
                assert_eq!(kinds, [false, false, true, true]);
                rig.finish(buffer.id, 0);
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "R114",
        section: "Virtio 1.3 §2.7.5.3.1, §2.8.19",
        lie: "INDIRECT never comes with NEXT, tables hold no flag but those allowed, descriptors of a chain are available only \
            as a whole, and none changes while the device has it",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            // All of it is a violation to the device that takes part.
            traffic(rig, 60 * u64::from(rig.size()));
            Outcome::Kept
        }),
    },
    Row {
        id: "R115",
        section: "Virtio 1.3 §2.7.10.1, §2.8.10",
        lie: "a device that listens has to be notified, of a batch once",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            for round in 0..60 {
                let _ = rig.device.request_notification().expect("guest memory");
                for token in 0..1 + round % u64::from(rig.size()) {
                    rig.add(token, &[], &[part(token, 1)]).expect("room");
                }
                assert!(rig.publish());
                assert!(!rig.publish());
                for buffer in rig.pop_all() {
                    rig.finish(buffer.id, 0);
                }
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "R116",
        section: "Virtio 1.3 §2.9",
        lie: "a notification with data has to name the next available entry",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            for round in 0..60 {
                for token in 0..1 + round % u64::from(rig.size()) {
                    rig.add(token, &[], &[part(token, 1)]).expect("room");
                }
                let kick = rig.driver.publish();
                let data = rig.device.notification_data();
                assert_eq!(Ok(kick.position()), data);
                for buffer in rig.pop_all() {
                    rig.finish(buffer.id, 0);
                }
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "R117",
        section: "Virtio 1.3 §6.1",
        lie: "with ORDER_PLATFORM the ring has to work as without, and to cost no kick and no interrupt",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            let variant = Variant::OrderPlatform;
            rig.rebuild(
                Mode {
                    variant,
                    ..rig.mode
                },
                rig.size(),
            );
            match works(rig, Vec::new()) {
                Outcome::Ignored => Outcome::Kept,
                other => other,
            }
        }),
    },
    Row {
        id: "S101",
        section: "Virtio 1.3 §2.7.6.1",
        lie: "the available index must never go back",
        verdict: Verdict::Kept,
        run: Run::Ring(split, |rig| {
            let mut before = 0;
            for token in 0..200 {
                let refuse = token % 3 == 0;
                let parts: &[Part] = if refuse { &[] } else { &[part(0, 4)] };
                let _ = rig.add(token, parts, &[]);
                let _ = rig.publish();
                let now = rig.peek16(areas(rig)[1].0 + 2);
                assert_eq!(now.wrapping_sub(before), u16::from(!refuse));
                before = now;
                for buffer in rig.pop_all() {
                    rig.finish(buffer.id, 0);
                }
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "S102",
        section: "Virtio 1.3 §2.7.7.1",
        lie: "flags of the available ring have to be 0 or 1, and with EVENT_IDX 0",
        verdict: Verdict::Kept,
        run: Run::Ring(split, |rig| {
            for token in 0..50 {
                rig.driver.disarm();
                let silent = rig.peek16(areas(rig)[1].0);
                assert_eq!(silent, u16::from(!rig.mode.event_idx));
                let _ = rig.driver.arm();
                assert_eq!(rig.peek16(areas(rig)[1].0), 0);
                rig.submit(token);
                let id = rig.pop().expect("a chain").id;
                rig.finish(id, 0);
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "S103",
        section: "Virtio 1.3 §2.7.5, §2.7.5.2, §2.7.5.3.1",
        lie: "with IN_ORDER descriptors have to be taken in ring order, in the table and in tables of their own",
        verdict: Verdict::Kept,
        run: Run::Ring(
            |mode: Mode| !mode.packed && mode.in_order,
            |rig| {
                // OutOfOrder is a violation; the refused chains in between must not leave a gap.
                for _ in 0..40 {
                    let _ = rig.add(500, &[part(0, 4), part(1, 0)], &[]);
                    traffic(rig, 7);
                }
                Outcome::Kept
            },
        ),
    },
    Row {
        id: "S104",
        section: "Virtio 1.3 §2.7.2",
        lie: "a legacy ring has to lie where the formula says, and be used there",
        verdict: Verdict::Kept,
        run: Run::Ring(
            |mode| !mode.packed && !mode.in_order,
            |rig| {
                let variant = Variant::Legacy;
                for size in [1, 2, 4, rig.size()] {
                    rig.rebuild(
                        Mode {
                            variant,
                            ..rig.mode
                        },
                        size,
                    );
                    let (at, n) = (rig.driver.addresses(), u64::from(size));
                    // Only the page is told to such a device; the rest it computes, with pages of 4096 bytes.
                    assert_eq!(at.descriptor.get() % 4096, 0);
                    assert_eq!(at.driver.get(), at.descriptor.get() + 16 * n);
                    let used = (16 * n + 2 * (3 + n)).next_multiple_of(4096);
                    assert_eq!(at.device.get(), at.descriptor.get() + used);
                    for token in 0..20 {
                        rig.submit(token);
                        let id = rig.pop().expect("a chain").id;
                        rig.finish(id, 0);
                        assert_eq!(rig.complete_all(), [(token, 0)]);
                    }
                }
                Outcome::Kept
            },
        ),
    },
    Row {
        id: "P100",
        section: "Virtio 1.3 §2.8.17",
        lie: "the first descriptor of a chain must not be available before the others, nor before publish",
        verdict: Verdict::Kept,
        run: Run::Ring(packed, |rig| {
            for round in 0..4 * u64::from(rig.size()) {
                rig.add(1, &[part(round, 4)], &[part(1, 4)]).expect("room");
                assert_eq!(rig.pop(), None);
                rig.add(2, &[part(2, 4), part(3, 4)], &[part(4, 4)])
                    .expect("room");
                assert_eq!(rig.pop(), None);
                let _ = rig.publish();
                let held = rig.pop_all();
                assert_eq!(held.len(), 2);
                for buffer in held {
                    rig.finish(buffer.id, 0);
                }
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "P101",
        section: "Virtio 1.3 §2.8.16, §2.8.17",
        lie: "a refused chain must leave nothing that looks available",
        verdict: Verdict::Kept,
        run: Run::Ring(packed, |rig| {
            for token in 0..5 * u64::from(rig.size()) {
                for refused in 1..7_u64 {
                    let mut parts: Vec<_> = (0..refused).map(|n| part(n, 4)).collect();
                    parts.push(part(9, 0));
                    assert!(rig.add(500, &parts, &[]).is_err());
                    assert_eq!(rig.pop(), None);
                }
                // A shorter chain over it: what lies behind must not belong to it, nor be taken for the next.
                rig.submit(token);
                let buffer = rig.pop().expect("a chain");
                assert_eq!((buffer.parts.len(), rig.pop()), (1, None));
                rig.finish(buffer.id, 0);
                assert_eq!(rig.complete_all(), [(token, 0)]);
                assert_eq!(rig.pop(), None);
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "P102",
        section: "Virtio 1.3 §2.8.10, §2.8.14",
        lie: "the driver's wish has to be ENABLE, DISABLE or, with EVENT_IDX, a place in the ring; its reserved bits are 0",
        verdict: Verdict::Kept,
        run: Run::Ring(packed, |rig| {
            let driver = areas(rig)[1].0;
            for token in 0..3 * u64::from(rig.size()) {
                rig.driver.disarm();
                assert_eq!(rig.peek16(driver + 2), 1);
                let _ = rig.driver.arm();
                let wish = (rig.peek16(driver), rig.peek16(driver + 2));
                let DeviceQueue::Packed(queue) = rig.device.queue() else {
                    return Outcome::Harmless;
                };
                let (place, wrap) = queue.next_used();
                let expected = if rig.mode.event_idx {
                    (place | u16::from(wrap) << 15, 2)
                } else {
                    (0, 0)
                };
                assert_eq!(wish, expected);
                rig.submit(token);
                let id = rig.pop().expect("a chain").id;
                rig.finish(id, 0);
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "P103",
        section: "Virtio 1.3 §2.8.21.1",
        lie: "buffer ids have to be unique among the buffers in flight",
        verdict: Verdict::Kept,
        run: Run::Ring(packed, |rig| {
            for round in 0..20 {
                let held = busy(rig, u64::from(rig.size()));
                let mut ids: Vec<_> = held.iter().map(|buffer| buffer.id).collect();
                ids.sort_unstable();
                ids.dedup();
                assert_eq!(ids.len(), held.len());
                let keep = round % held.len();
                for (at, buffer) in held.iter().enumerate() {
                    if rig.mode.in_order || at != keep {
                        rig.finish(buffer.id, 0);
                    }
                }
                if !rig.mode.in_order {
                    rig.finish(held[keep].id, 0);
                }
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "P104",
        section: "Virtio 1.3 §2.8.1",
        lie: "a packed ring of one descriptor has to change its wrap counter at every chain",
        verdict: Verdict::Kept,
        run: Run::Ring(packed, |rig| {
            rig.rebuild(rig.mode, 1);
            let setup: Setup = *rig.device.queue().setup();
            for token in 0..20 {
                rig.submit(token);
                let flags = rig.peek16(setup.descriptor + 14) & 0x8080;
                assert_eq!(flags, if token % 2 == 0 { 0x80 } else { 0x8000 });
                let id = rig.pop().expect("a chain").id;
                rig.finish(id, 0);
                assert_eq!(rig.complete_all(), [(token, 0)]);
            }
            Outcome::Kept
        }),
    },
];
