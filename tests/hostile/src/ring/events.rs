//! What the device says it wants to be told, and interrupts that mean nothing.

use ring_device::Queue;
use ring_rig::{Rig, part};
use virtio_core::ring::Armed;

use super::lie::{any, busy, device_word, packed, split, works};
use crate::{Outcome, Row, Run, Verdict};

/// Publishes one chain; whether the device has to be told, which is not compared with anything.
fn kick(rig: &mut Rig, token: u64) -> bool {
    rig.add(token, &[], &[part(token, 8)]).expect("room");
    rig.driver.publish().needed()
}

/// The device finishes everything that it finds.
fn settle(rig: &mut Rig) {
    let _ = rig.device.notification_due();
    for buffer in rig.pop_all() {
        rig.finish(buffer.id, 0);
    }
    let _ = rig.complete_all();
}

/// Address of `avail_event`, and where the driver stands.
fn avail_event(rig: &Rig) -> (u64, u16) {
    match rig.device.queue() {
        Queue::Split(queue) => (queue.avail_event_address(), queue.next_used()),
        Queue::Packed(_) => (0, 0),
    }
}

/// Wishes of the device.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "R050",
        section: "Virtio 1.3 §2.7.7.1",
        lie: "interrupts come without a used buffer",
        verdict: Verdict::Ignored,
        run: Run::Ring(any, |rig| {
            let held = busy(rig, 2);
            for _ in 0..50 {
                rig.driver.disarm();
                assert_eq!(rig.completed(), Ok(None));
                assert_eq!(rig.driver.arm(), Armed::Idle);
            }
            works(rig, held)
        }),
    },
    Row {
        id: "R051",
        section: "Virtio 1.3 §2.7.7.1",
        lie: "interrupts come for a queue that was never used",
        verdict: Verdict::Ignored,
        run: Run::Ring(any, |rig| {
            for _ in 0..10 {
                assert_eq!(rig.completed(), Ok(None));
                assert_eq!(rig.driver.arm(), Armed::Idle);
                assert_eq!(rig.driver.arm_delayed(), Armed::Idle);
            }
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "R052",
        section: "Virtio 1.3 §2.7.7, §2.8.10",
        lie: "used buffers come without an interrupt",
        verdict: Verdict::Ignored,
        run: Run::Ring(any, |rig| {
            // Whoever looks finds them: nothing depends on the interrupt.
            let held = busy(rig, 3);
            for buffer in &held {
                rig.finish(buffer.id, 1);
            }
            assert_eq!(rig.driver.arm(), Armed::WorkPending);
            assert_eq!(rig.complete_all().len(), 3);
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "R053",
        section: "Virtio 1.3 §2.7.10.2, §2.8.10",
        lie: "the device says that it needs no notification, and never looks again",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            rig.device.suppress_notification().expect("guest memory");
            for token in 0..u64::from(rig.size()) {
                assert!(!rig.submit(token), "a device that polls is told");
            }
            // The queue is full and still; nothing spins and nothing is lost.
            assert_eq!(rig.driver.free(), 0);
            assert_eq!(rig.driver.arm(), Armed::Idle);
            assert_eq!(rig.completed(), Ok(None));
            Outcome::Harmless
        }),
    },
    Row {
        id: "R054",
        section: "Virtio 1.3 §2.7.10, §2.8.10",
        lie: "the wish for notifications changes at every publish",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            for token in 0..200 {
                if token % 3 == 0 {
                    rig.device.suppress_notification().expect("guest memory");
                } else {
                    let _ = rig.device.request_notification().expect("guest memory");
                }
                // The rig compares the answer with what was wished.
                assert_eq!(rig.submit(token), token % 3 != 0);
                settle(rig);
            }
            Outcome::Kept
        }),
    },
    Row {
        id: "R055",
        section: "Virtio 1.3 §2.7.9, §2.8.8",
        lie: "with IN_ORDER the driver arms when it has taken a part of a batch, of which the rest shows nowhere in the ring",
        verdict: Verdict::Kept,
        run: Run::Ring(
            |mode| mode.in_order,
            |rig| {
                for _ in 0..rig.size() {
                    let held = busy(rig, 4);
                    let last = held[2].id;
                    rig.device.push_batch(last, 0).expect("a batch");
                    for _ in 0..3 {
                        assert_eq!(rig.driver.arm(), Armed::WorkPending);
                        assert_eq!(rig.driver.arm_delayed(), Armed::WorkPending);
                        assert!(matches!(rig.completed(), Ok(Some(_))));
                    }
                    assert_eq!(rig.driver.arm(), Armed::Idle);
                    rig.finish(held[3].id, 0);
                    assert_eq!(rig.driver.arm(), Armed::WorkPending);
                    assert_eq!(rig.complete_all().len(), 1);
                }
                Outcome::Kept
            },
        ),
    },
    Row {
        id: "S001",
        section: "Virtio 1.3 §2.7.10.1",
        lie: "flags of the used ring have bits that were never defined",
        verdict: Verdict::Ignored,
        run: Run::Ring(
            |mode| !mode.packed && !mode.event_idx,
            |rig| {
                // Only the lowest bit has a meaning: whatever the others are, a device that left it 0 is told.
                for flags in [0xfffe, 2, 0x8000, 0x5554] {
                    rig.poke16(device_word(rig, 0), flags);
                    assert!(kick(rig, 1), "flags {flags:#x}");
                    settle(rig);
                }
                rig.poke16(device_word(rig, 0), 1);
                assert!(!kick(rig, 1));
                settle(rig);
                rig.poke16(device_word(rig, 0), 0);
                works(rig, Vec::new())
            },
        ),
    },
    Row {
        id: "S002",
        section: "Virtio 1.3 §2.7.10.1",
        lie: "flags of the used ring ask for silence though EVENT_IDX was negotiated",
        verdict: Verdict::Ignored,
        run: Run::Ring(
            |mode| !mode.packed && mode.event_idx,
            |rig| {
                // The driver MUST ignore the lower bit of flags.
                rig.poke16(device_word(rig, 0), 1);
                assert!(kick(rig, 1));
                settle(rig);
                works(rig, Vec::new())
            },
        ),
    },
    Row {
        id: "S003",
        section: "Virtio 1.3 §2.7.10.1",
        lie: "avail_event is set though EVENT_IDX was not negotiated",
        verdict: Verdict::Ignored,
        run: Run::Ring(
            |mode| !mode.packed && !mode.event_idx,
            |rig| {
                // The driver MUST ignore the avail_event value.
                for event in [0, 1, 5, 0x7fff, 0x8000, 0xffff] {
                    let (at, _) = avail_event(rig);
                    rig.poke16(at, event);
                    assert!(kick(rig, 1), "event {event:#x}");
                    settle(rig);
                }
                works(rig, Vec::new())
            },
        ),
    },
    Row {
        id: "S004",
        section: "Virtio 1.3 §2.7.10.1",
        lie: "avail_event lies anywhere, before and behind what is available",
        verdict: Verdict::Kept,
        run: Run::Ring(
            |mode| !mode.packed && mode.event_idx,
            |rig| {
                for event in (0..=u16::MAX).step_by(97).chain([0x7fff, 0x8000, 0xffff]) {
                    let (at, stands) = avail_event(rig);
                    rig.poke16(at, event);
                    assert_eq!(
                        kick(rig, 1),
                        event == stands,
                        "event {event:#x} at {stands:#x}"
                    );
                    settle(rig);
                    let (at, stands) = avail_event(rig);
                    rig.poke16(at, stands);
                    assert!(kick(rig, 1));
                    settle(rig);
                }
                Outcome::Kept
            },
        ),
    },
    Row {
        id: "P001",
        section: "Virtio 1.3 §2.8.10",
        lie: "event flags of the device have the reserved value 3",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            // Of what may be meant, a notification too many is what harms nobody.
            for place in [0, 1, 0x7fff, 0x8000, 0xffff] {
                rig.poke16(device_word(rig, 0), place);
                rig.poke16(device_word(rig, 2), 3);
                assert!(kick(rig, 1));
                settle(rig);
            }
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "P002",
        section: "Virtio 1.3 §2.8.14",
        lie: "reserved bits of the device's event flags are set",
        verdict: Verdict::Ignored,
        run: Run::Ring(packed, |rig| {
            for (flags, due) in [
                (0xfffc, true),
                (0x8000, true),
                (4, true),
                (0xfffd, false),
                (5, false),
            ] {
                rig.poke16(device_word(rig, 2), flags);
                assert_eq!(kick(rig, 1), due, "flags {flags:#x}");
                settle(rig);
            }
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "P003",
        section: "Virtio 1.3 §2.8.10",
        lie: "the device asks for a descriptor event though EVENT_IDX was not negotiated",
        verdict: Verdict::Ignored,
        run: Run::Ring(
            |mode| mode.packed && !mode.event_idx,
            |rig| {
                for place in [0, 3, 0x7fff, 0x8000] {
                    rig.poke16(device_word(rig, 0), place);
                    rig.poke16(device_word(rig, 2), 2);
                    assert!(kick(rig, 1));
                    settle(rig);
                }
                works(rig, Vec::new())
            },
        ),
    },
    Row {
        id: "P004",
        section: "Virtio 1.3 §2.8.14",
        lie: "the device asks for an event at a place outside the ring",
        verdict: Verdict::Harmless,
        run: Run::Ring(
            |mode| mode.packed && mode.event_idx,
            |rig| {
                for token in 0..4 * u64::from(rig.size()) {
                    for place in [rig.size(), rig.size() + 1, 0x7fff] {
                        for wrap in [0, 0x8000] {
                            rig.poke16(device_word(rig, 0), place | wrap);
                            rig.poke16(device_word(rig, 2), 2);
                            let _ = kick(rig, token);
                            settle(rig);
                        }
                    }
                }
                // A sane wish is understood again.
                works(rig, Vec::new());
                Outcome::Harmless
            },
        ),
    },
    Row {
        id: "P005",
        section: "Virtio 1.3 §2.8.10",
        lie: "the device's event has the other lap's wrap counter",
        verdict: Verdict::Kept,
        run: Run::Ring(
            |mode| mode.packed && mode.event_idx,
            |rig| {
                for token in 0..3 * u64::from(rig.size()) {
                    let Queue::Packed(queue) = rig.device.queue() else {
                        return Outcome::Harmless;
                    };
                    let (place, wrap) = queue.next_avail();
                    rig.poke16(device_word(rig, 0), place | u16::from(!wrap) << 15);
                    rig.poke16(device_word(rig, 2), 2);
                    assert!(!kick(rig, token), "an event a lap away");
                    settle(rig);
                }
                Outcome::Kept
            },
        ),
    },
    Row {
        id: "S005",
        section: "Virtio 1.3 §2.7.7",
        lie: "the device writes used_event and flags of the available ring",
        verdict: Verdict::Ignored,
        run: Run::Ring(split, |rig| {
            for value in [0, 1, 0xffff] {
                let Queue::Split(queue) = rig.device.queue() else {
                    return Outcome::Harmless;
                };
                let event = queue.used_event_address();
                let flags = queue.setup().driver;
                rig.driver.disarm();
                let before = [rig.peek16(flags), rig.peek16(event)];
                rig.poke16(event, value);
                rig.poke16(flags, value);
                // Never read back: the next wish is the driver's own. The word that it does not use is the device's loss.
                assert_eq!(rig.driver.arm(), Armed::Idle);
                let wish = if rig.mode.event_idx { event } else { flags };
                let expected = if rig.mode.event_idx {
                    queue_position(rig)
                } else {
                    0
                };
                assert_eq!(rig.peek16(wish), expected);
                rig.poke16(
                    if rig.mode.event_idx { flags } else { event },
                    before[usize::from(!rig.mode.event_idx)],
                );
            }
            works(rig, Vec::new())
        }),
    },
];

/// The used index up to which an idle driver has come.
fn queue_position(rig: &Rig) -> u16 {
    match rig.device.queue() {
        Queue::Split(queue) => queue.next_used(),
        Queue::Packed(_) => 0,
    }
}
