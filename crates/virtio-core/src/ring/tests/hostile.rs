//! A device that lies: the queue closes, says why once, and nothing is lost.

use std::vec::Vec;

use super::rig::{Mode, Rig, lend, part, slots};
use crate::ring::{AddError, Armed, Queue, QueueError, QueueMemory};
use crate::testing::stopped;

/// A rig with `0..depth` published and taken by the device, and the heads of the chains.
fn busy(mode: Mode, size: u16, depth: u64) -> (Rig, Vec<u16>) {
    let mut rig = Rig::new(mode, size);
    for token in 0..depth {
        rig.submit(token);
    }
    let heads = core::iter::from_fn(|| rig.pop()).map(|seen| seen.head);
    let heads: Vec<_> = heads.collect();
    (rig, heads)
}

/// Writes a used element at position 0 and an index that shows it.
fn lie(rig: &Rig, id: u32, len: u32, idx: u16) {
    let used = rig.driver.addresses().device;
    rig.poke(used, 4, id);
    rig.poke(used, 8, len);
    rig.poke(used, 2, idx);
}

/// The queue reports `error` once, is dead from then on, and gives every token of `0..depth` back when the device stops.
fn closes(mut rig: Rig, error: QueueError, depth: u64) {
    assert_eq!(rig.driver.completed(), Err(error));
    assert_eq!(rig.driver.closed(), Some(error));
    for _ in 0..3 {
        assert_eq!(rig.driver.completed(), Ok(None), "reported twice");
    }
    let refused = rig.add(99, &[part(0, 4)], &[]).unwrap_err();
    assert_eq!((refused.token, refused.error), (99, AddError::Closed));
    assert!(!rig.driver.publish().needed());
    assert_eq!(rig.driver.arm(), Armed::Idle);
    let proof = stopped();
    let mut rest: Vec<_> = core::iter::from_fn(|| rig.driver.drain(&proof)).collect();
    rest.sort_unstable();
    assert_eq!(rest, (0..depth).collect::<Vec<_>>());
    assert_eq!(rig.driver.closed(), Some(error), "the cause is kept");
    assert!(rig.driver.into_memory(&proof).is_ok());
}

#[test]
fn used_id_out_of_range() {
    for mode in Mode::ALL {
        for id in [8, 9, 0xffff, 0x1_0000, u32::MAX] {
            let (rig, _) = busy(mode, 8, 2);
            lie(&rig, id, 0, 1);
            closes(rig, QueueError::IdOutOfRange { id, size: 8 }, 2);
        }
    }
}

#[test]
fn used_id_out_of_range_of_a_queue_smaller_than_its_memory() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 8);
        let memory = QueueMemory {
            slots: slots(16),
            ..lend(&rig.device.memory, mode, 8)
        };
        rig.driver = Queue::new(8, mode.features(), memory).unwrap();
        rig.submit(0);
        lie(&rig, 12, 0, 1);
        closes(rig, QueueError::IdOutOfRange { id: 12, size: 8 }, 1);
    }
}

#[test]
fn used_id_never_given() {
    for mode in Mode::ALL {
        let (rig, heads) = busy(mode, 8, 2);
        let id = (0..8).rev().find(|id| !heads.contains(id)).unwrap();
        lie(&rig, u32::from(id), 0, 1);
        closes(rig, QueueError::IdNotOutstanding { id }, 2);
    }
}

#[test]
fn used_id_inside_a_chain() {
    let (rig, heads) = busy(Mode::ALL[0], 8, 2);
    // The second descriptor of the first chain.
    let id = rig.peek16(
        rig.driver.addresses().descriptor,
        16 * u64::from(heads[0]) + 14,
    );
    lie(&rig, u32::from(id), 0, 1);
    closes(rig, QueueError::IdNotOutstanding { id }, 2);
}

#[test]
fn used_id_repeated() {
    for mode in Mode::ALL {
        let (mut rig, heads) = busy(mode, 8, 2);
        rig.finish(heads[1], 0);
        rig.finish(heads[1], 0);
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 1);
        closes(rig, QueueError::IdNotOutstanding { id: heads[1] }, 1);
    }
}

#[test]
fn written_more_than_there_was_room_for() {
    for mode in Mode::ALL {
        for written in [513, 1024, u32::MAX] {
            let (rig, heads) = busy(mode, 8, 2);
            lie(&rig, u32::from(heads[0]), written, 1);
            let error = QueueError::WrittenTooLong {
                id: heads[0],
                written,
                writable: 512,
            };
            closes(rig, error, 2);
        }
        // A chain that may only be read has room for nothing.
        let mut rig = Rig::new(mode, 8);
        rig.add(0, &[part(0, 512)], &[]).unwrap();
        let _ = rig.driver.publish();
        let seen = rig.pop().unwrap();
        rig.finish(seen.head, 1);
        let error = QueueError::WrittenTooLong {
            id: seen.head,
            written: 1,
            writable: 0,
        };
        closes(rig, error, 1);
    }
}

#[test]
fn used_index_jumps() {
    for mode in Mode::ALL {
        for used in [4, 5, 8, 0x7fff, 0x8000, 0xffff] {
            let (rig, heads) = busy(mode, 8, 3);
            lie(&rig, u32::from(heads[0]), 0, used);
            let error = QueueError::UsedIndexJump {
                used,
                last_used: 0,
                in_flight: 3,
            };
            closes(rig, error, 3);
        }
    }
}

#[test]
fn used_index_goes_back() {
    for mode in Mode::ALL {
        let (mut rig, heads) = busy(mode, 8, 3);
        rig.finish(heads[0], 0);
        rig.finish(heads[1], 0);
        while rig.driver.completed().unwrap().is_some() {}
        rig.poke(rig.driver.addresses().device, 2, 1_u16);
        let error = QueueError::UsedIndexJump {
            used: 1,
            last_used: 2,
            in_flight: 1,
        };
        assert_eq!(rig.driver.completed(), Err(error));
        let proof = stopped();
        assert_eq!(rig.driver.drain(&proof), Some(2));
        assert_eq!(rig.driver.drain(&proof), None);
    }
}

#[test]
fn used_before_it_was_published() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 8);
        rig.add(0, &[part(0, 4)], &[]).unwrap();
        lie(&rig, 0, 0, 1);
        let error = QueueError::UsedIndexJump {
            used: 1,
            last_used: 0,
            in_flight: 0,
        };
        closes(rig, error, 1);
    }
}

#[test]
fn index_that_changes_after_it_was_read_does_not_matter() {
    for mode in Mode::ALL {
        let (mut rig, heads) = busy(mode, 8, 3);
        rig.finish(heads[0], 0);
        rig.finish(heads[1], 0);
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 0);
        rig.poke(rig.driver.addresses().device, 2, 0x8000_u16);
        // What was seen stays valid; the lie shows at the next look.
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 1);
        assert!(rig.driver.completed().is_err());
    }
}

#[test]
fn rewritten_driver_memory_does_not_reach_the_driver() {
    for mode in Mode::ALL {
        let (mut rig, heads) = busy(mode, 8, 2);
        let at = rig.driver.addresses();
        // Everything that only the driver should write: descriptors with their links, and the available ring.
        for offset in 0..16 * 8 {
            rig.poke(at.descriptor, offset, 0xee_u8);
        }
        for offset in 0..6 + 2 * 8 {
            rig.poke(at.driver, offset, 0xee_u8);
        }
        rig.finish(heads[1], 512);
        rig.finish(heads[0], 512);
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 1);
        assert_eq!(rig.driver.completed().unwrap().unwrap().token, 0);
        assert_eq!(rig.driver.free(), 8);
        // New chains take the same descriptors again, each once.
        for token in 10..14 {
            rig.submit(token);
        }
        let mut parts: Vec<_> = core::iter::from_fn(|| rig.pop())
            .flat_map(|seen| seen.parts)
            .map(|(address, ..)| address)
            .collect();
        parts.dedup();
        let want: Vec<_> = (10..14).map(|n| part(n, 1).address.0).collect();
        assert_eq!(parts, want);
    }
}

#[test]
fn notification_wishes_may_be_anything() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 8);
        let used = rig.driver.addresses().device;
        for wish in [0, 1, 2, 3, 0x7fff, 0x8000, 0xfffe, 0xffff_u16] {
            rig.poke(used, 0, wish);
            rig.poke(used, 4 + 8 * 8, wish);
            let before = rig.peek16(rig.driver.addresses().driver, 2);
            let kick = rig.submit(1);
            let want = if mode.event_idx {
                // Virtio 1.3 §2.7.10.1: the flag is ignored.
                wish == before
            } else {
                // Virtio 1.3 §2.7.10.1: avail_event is ignored; only the lowest bit of flags has a meaning.
                wish & 1 == 0
            };
            assert_eq!(kick, want, "{mode:?} wish {wish:#x}");
            let seen = rig.pop().unwrap();
            rig.finish(seen.head, 0);
            assert!(rig.driver.completed().unwrap().is_some());
        }
    }
}
