//! ORDER_PLATFORM: where the barriers for a hardware device stand, by what lies in memory when each is reached.
//!
//! Which instructions they are on ARM64, the static checks of vioblk.sys show.

use std::boxed::Box;
use std::rc::Rc;
use std::vec::Vec;
use std::{cell::RefCell, vec};

use crate::mem::DeviceAddress;
use crate::mem::instruction::{Barrier, HOOK};
use crate::ring::{Armed, Part, Queue, QueueMemory, Slot};
use crate::spec::features::Features;
use crate::testing::Memory;

const BASE: u64 = 0x8000;
const SIZE: u16 = 4;

/// The words that carry order, as offsets in the ring. // Virtio 1.3 §2.7.2, §2.8.13
struct Words {
    /// What shows a buffer: the available index, or the flags of the first descriptor.
    shown: u64,
    /// What the driver wishes: `used_event`, or the driver event suppression.
    wish: u64,
    /// Id of the first used entry.
    used_id: u64,
}

impl Words {
    const fn of(packed: bool) -> Self {
        let descriptors = 16 * SIZE as u64;
        if packed {
            Self {
                shown: BASE + 14,
                wish: BASE + descriptors,
                used_id: BASE + 12,
            }
        } else {
            Self {
                shown: BASE + descriptors + 2,
                wish: BASE + descriptors + 4 + 2 * SIZE as u64,
                // The used ring is aligned to 4.
                used_id: BASE + (descriptors + 6 + 2 * SIZE as u64).next_multiple_of(4) + 4,
            }
        }
    }
}

/// Each barrier, with what the words `shown` and `wish` held when it was reached.
type Seen = Rc<RefCell<Vec<(Barrier, u16, u16)>>>;

fn word(memory: &Memory, address: u64) -> u16 {
    let bytes = memory.bytes(address, 2);
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn run(packed: bool, order: Features) -> Vec<(Barrier, u16, u16)> {
    let mut features = Features::VERSION_1 | Features::EVENT_IDX | order;
    features.set(Features::RING_PACKED, packed);
    let memory = Rc::new(Memory::new(BASE, 4096));
    let words = Words::of(packed);
    let (shown, wish, used_id) = (words.shown, words.wish, words.used_id);
    let layout = Queue::<u64>::layout(SIZE, features).unwrap();
    let slots: Vec<_> = (0..SIZE).map(|_| Slot::EMPTY).collect();
    let slots = Box::leak(slots.into_boxed_slice());
    let ring = memory.region(BASE, layout.len());
    let mut queue = Queue::new(SIZE, features, QueueMemory { ring, slots }).unwrap();
    let device = queue.addresses().device.get();
    let seen = Seen::default();
    let (note, looked) = (Rc::clone(&seen), Rc::clone(&memory));
    HOOK.set(Some(Box::new(move |barrier| {
        let words = (word(&looked, shown), word(&looked, wish));
        note.borrow_mut().push((barrier, words.0, words.1));
        if barrier == Barrier::Loads {
            // The device has not written the rest before: only what is read behind the barrier is true.
            looked.poke(used_id, &0_u16.to_le_bytes());
        }
    })));
    let part = Part::new(DeviceAddress(0x10_0000), 16);
    queue.disarm();
    queue.add_direct(7, [part], []).unwrap();
    let _ = queue.publish();
    assert_eq!(queue.arm(), Armed::Idle);
    memory.poke(used_id, &99_u16.to_le_bytes());
    if packed {
        // AVAIL and USED of the first lap. // Virtio 1.3 §2.8.1
        memory.poke(shown, &0x8080_u16.to_le_bytes());
    } else {
        memory.poke(device + 2, &1_u16.to_le_bytes());
    }
    if !order.is_empty() {
        assert_eq!(queue.completed().unwrap().unwrap().token, 7);
    }
    HOOK.set(None);
    seen.take()
}

#[test]
fn barriers_stand_around_the_words_that_carry_order() {
    use Barrier::{All, Loads};
    // Before a buffer is shown and behind; behind the wish; behind the look at what was used.
    let split = vec![
        (All, 0, 0xffff),
        (All, 1, 0xffff),
        (All, 1, 0),
        (Loads, 1, 0),
    ];
    assert_eq!(run(false, Features::ORDER_PLATFORM), split);
    // Position 0 of the first lap as wish.
    let packed = vec![
        (All, 0, 0),
        (All, 0x80, 0),
        (All, 0x80, 0x8000),
        (Loads, 0x8080, 0x8000),
    ];
    assert_eq!(run(true, Features::ORDER_PLATFORM), packed);
}

#[test]
fn without_the_feature_there_are_none() {
    for packed in [false, true] {
        assert_eq!(run(packed, Features::empty()), []);
    }
}
