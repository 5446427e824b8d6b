//! Ring memory that the device writes over, at every step.

use ring_rig::{GuestMemory, Rig, part};
use virtio_core::ring::Part;

use super::lie::{any, areas, bytes, closes, device_word, fill, split, used, works};
use crate::{Outcome, Row, Run, Verdict};

/// One request after the other, with a lie between any two steps; the queue may close, or never notice.
fn at_every_step(rig: &mut Rig, mut lie: impl FnMut(&Rig, u64)) -> Outcome {
    let steps = 6;
    let (mut token, mut closed) = (0, 0);
    // The lie comes before step 0, before step 1, …, each time in a fresh queue, in both laps.
    for before in 0..2 * steps {
        for step in 0..3 * steps {
            if step == before {
                lie(rig, before);
            }
            match step % steps {
                0 => {
                    let parts = [part(token, 16), part(token, 32)];
                    let added = rig.add(token, &parts[..1], &parts[1..]);
                    token += u64::from(added.is_ok());
                }
                1 => {
                    let _ = rig.driver.publish();
                }
                2 => {
                    let _ = rig.driver.arm();
                }
                // The device goes on with whatever it finds.
                3 => {
                    if let Ok(Some(buffer)) = rig.device.pop() {
                        let _ = rig.device.push(buffer.id, 32);
                    }
                }
                4 => {
                    let _ = rig.driver.arm_delayed();
                }
                _ => {
                    // More looks than there are chains: a queue must not yield for ever.
                    for _ in 0..2 * rig.size() {
                        match rig.completed() {
                            Ok(None) => break,
                            Ok(Some(_)) => {}
                            Err(_) => closed += 1,
                        }
                    }
                    assert_eq!(rig.completed(), Ok(None), "it yields for ever");
                    rig.driver.disarm();
                }
            }
            assert!(rig.driver.free() <= rig.size());
        }
        assert!(closed <= 1, "a lie was reported twice");
        closed = 0;
        rig.rebuild(rig.mode, rig.size());
    }
    Outcome::Harmless
}

/// Fills all three areas with one byte.
fn fill_all(rig: &Rig, byte: u8) {
    for (address, len) in areas(rig) {
        fill(rig, address, len, byte);
    }
}

/// The device writes what is not its own.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "R030",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "the whole ring becomes zeros between any two steps",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| at_every_step(rig, |rig, _| fill_all(rig, 0))),
    },
    Row {
        id: "R031",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "the whole ring becomes ones between any two steps",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| at_every_step(rig, |rig, _| fill_all(rig, 0xff))),
    },
    Row {
        id: "R032",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "the whole ring becomes a pattern of bits between any two steps",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            for byte in [0x55, 0xaa, 0x80, 0x01] {
                at_every_step(rig, |rig, _| fill_all(rig, byte));
            }
            Outcome::Harmless
        }),
    },
    Row {
        id: "R033",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "the whole ring becomes random bytes between any two steps",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            // Xorshift: the same bytes on every run.
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            at_every_step(rig, |rig, _| {
                for (address, len) in areas(rig) {
                    for offset in 0..len {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        fill(rig, address + offset, 1, state as u8);
                    }
                }
            })
        }),
    },
    Row {
        id: "R034",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "one bit of the ring is inverted, each in turn",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            let bits: u64 = areas(rig).iter().map(|(_, len)| 8 * len).sum();
            // Of a larger ring every seventh, so that each bit of a descriptor has its turn somewhere.
            let step = if rig.size() == 8 { 1 } else { 7 };
            for bit in (0..bits).step_by(step) {
                let mut rest = bit / 8;
                for (address, len) in areas(rig) {
                    if rest < len {
                        let byte = bytes(rig, address + rest, 1)[0];
                        let _ = rig.add(bit, &[], &[part(bit, 8)]);
                        let _ = rig.driver.publish();
                        fill(rig, address + rest, 1, byte ^ 1 << (bit % 8));
                        break;
                    }
                    rest -= len;
                }
                // The device goes on with what it finds.
                if let Ok(Some(buffer)) = rig.device.pop() {
                    let _ = rig.device.push(buffer.id, 8);
                }
                for _ in 0..2 * rig.size() {
                    if !matches!(rig.completed(), Ok(Some(_))) {
                        break;
                    }
                }
                rig.rebuild(rig.mode, rig.size());
            }
            Outcome::Harmless
        }),
    },
    Row {
        id: "R035",
        section: "Virtio 1.3 §2.7.5.1, §2.8.7",
        lie: "an indirect table is written over while its chain is in flight",
        verdict: Verdict::Ignored,
        run: Run::Ring(
            |mode| mode.indirect,
            |rig| {
                for token in 0..20 {
                    rig.add(token, &[part(0, 16)], &[part(1, 8)]).expect("room");
                    let _ = rig.publish();
                    let buffer = rig.pop().expect("a chain");
                    let (table, len) = buffer.table.expect("a table");
                    let before = bytes(rig, table, u64::from(len));
                    for byte in [0xff, 0] {
                        fill(rig, table, u64::from(len), byte);
                        assert_eq!(rig.completed(), Ok(None));
                    }
                    rig.poke(table, &before);
                    rig.finish(buffer.id, 8);
                    fill(rig, table, u64::from(len), 0xee);
                    // What counts is what the driver remembers: 8 bytes, not what the table says now.
                    assert_eq!(rig.completed(), Ok(Some((token, 8))));
                }
                works(rig, Vec::new())
            },
        ),
    },
    Row {
        id: "R036",
        section: "Virtio 1.3 §2.7.8, §2.8.4",
        lie: "an indirect table is written over with longer parts, and a length that fits them is used",
        verdict: Verdict::Closed("WrittenTooLong"),
        run: Run::Ring(
            |mode| mode.indirect,
            |rig| {
                rig.add(0, &[part(0, 16)], &[part(1, 8)]).expect("room");
                let _ = rig.publish();
                let buffer = rig.pop().expect("a chain");
                let (table, _) = buffer.table.expect("a table");
                rig.poke(table + 16 + 8, &0x1000_u32.to_le_bytes());
                used(rig, buffer.id, 0x1000);
                closes(rig)
            },
        ),
    },
    Row {
        id: "R037",
        section: "Virtio 1.3 §2.7.6, §2.8.10",
        lie: "the driver area, which the device may only read, is written over",
        verdict: Verdict::Ignored,
        run: Run::Ring(
            |mode| mode.packed,
            |rig| {
                for byte in [0xff, 0, 0x5a] {
                    let [_, (driver, len), _] = areas(rig);
                    fill(rig, driver, len, byte);
                    // The next wish is written whole.
                    works(rig, Vec::new());
                    rig.driver.disarm();
                }
                Outcome::Ignored
            },
        ),
    },
    Row {
        id: "R038",
        section: "Virtio 1.3 §2.7.5.1",
        lie: "descriptor table and entries of the available ring are written over while chains are in flight",
        verdict: Verdict::Ignored,
        run: Run::Ring(split, |rig| {
            for round in 0..4 {
                rig.add(0, &[part(round, 16), part(1, 16)], &[part(2, 8)])
                    .expect("room");
                let _ = rig.publish();
                let buffer = rig.pop().expect("a chain");
                let [(table, len), (driver, _), _] = areas(rig);
                fill(rig, table, len, 0xee);
                fill(rig, driver + 4, 2 * u64::from(rig.size()), 0xee);
                // Free list and chain length are not in there: all three descriptors come back.
                used(rig, buffer.id, 8);
                assert_eq!(rig.completed(), Ok(Some((0, 8))));
                assert_eq!(rig.driver.free(), rig.size());
                rig.rebuild(rig.mode, rig.size());
            }
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "R039",
        section: "Virtio 1.3 §2.7.5.1, §2.8.16",
        lie: "descriptors of free places are written over before the driver takes them again",
        verdict: Verdict::Ignored,
        run: Run::Ring(any, |rig| {
            for token in 0..3 * u64::from(rig.size()) {
                let [(table, _), _, _] = areas(rig);
                // The driver writes address, length and id anew each time; in a packed ring the flags decide who owns a
                // place, so they stay.
                for place in 0..u64::from(rig.size()) {
                    fill(rig, table + 16 * place, 12, 0xee);
                }
                rig.submit(token);
                let buffer = rig.pop().expect("a chain");
                assert_eq!(buffer.parts[0].address, part(token, 1).address.get());
                rig.finish(buffer.id, 1);
                assert_eq!(rig.completed(), Ok(Some((token, 1))));
            }
            works(rig, Vec::new())
        }),
    },
    Row {
        id: "R040",
        section: "Virtio 1.3 §2.7.10, §2.8.10",
        lie: "the device area is written over while nothing is in flight",
        verdict: Verdict::Harmless,
        run: Run::Ring(any, |rig| {
            // In a packed ring these are wishes only; in a split ring the index is spared, which has rows of its own.
            for byte in [0xff, 0x01, 0x80] {
                let [_, _, (device, len)] = areas(rig);
                if rig.mode.packed {
                    fill(rig, device, len, byte);
                } else {
                    fill(rig, device, 2, byte);
                    fill(rig, device + 4, len - 4, byte);
                }
                assert_eq!(rig.completed(), Ok(None));
                let huge = Part::new(GuestMemory::address(u64::MAX - 8), 8);
                rig.add(9, &[huge], &[]).expect("room");
                let _ = rig.driver.publish();
                assert_eq!(rig.completed(), Ok(None));
                rig.rebuild(rig.mode, rig.size());
                assert_eq!(bytes(rig, device_word(rig, 0), 4), [0; 4]);
            }
            Outcome::Harmless
        }),
    },
    Row {
        id: "R041",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "the device reads all shared memory in search of tokens and of the processor's addresses",
        verdict: Verdict::Kept,
        run: Run::Ring(any, |rig| {
            const TOKEN: u64 = 0xfeed_face_0000_0000;
            for token in 0..3 * u64::from(rig.size()) {
                let (reads, writes) = ([part(token, 16)], [part(token, 32)]);
                rig.add(TOKEN + token, &reads, &writes).expect("room");
                let _ = rig.publish();
                let held = rig.pop_all();
                if token % 3 != 0 || rig.mode.in_order || rig.driver.free() < 3 {
                    for id in rig.device.queue().held() {
                        rig.finish(id, 1);
                    }
                }
                let tables = held.iter().filter_map(|buffer| buffer.table);
                let tables = tables.map(|(address, len)| (address, u64::from(len)));
                for (address, len) in areas(rig).into_iter().chain(tables) {
                    search(rig, &bytes(rig, address, len));
                }
                let _ = rig.complete_all();
            }
            Outcome::Kept
        }),
    },
];

/// Fails if some eight bytes are a token, or an address near the rig, the stack or the heap.
fn search(rig: &Rig, memory: &[u8]) {
    let (stack, heap) = (0_u8, Box::new(0_u8));
    let own = [
        std::ptr::from_ref(rig).addr() as u64,
        std::ptr::from_ref(&stack).addr() as u64,
        std::ptr::from_ref(&*heap).addr() as u64,
        rig.memory.base().addr().get() as u64,
    ];
    for eight in memory.windows(8) {
        let mut value = [0; 8];
        value.copy_from_slice(eight);
        let value = u64::from_le_bytes(value);
        assert_ne!(value >> 32, 0xfeed_face, "a token lies in shared memory");
        // The same 16 MiB; device addresses of the rig have no bits up there.
        let near = |address: &u64| value >> 24 == address >> 24;
        assert!(
            !own.iter().any(near),
            "{value:#x} is an address of the processor"
        );
    }
}
