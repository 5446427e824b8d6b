//! What the device writes into a packed ring of four, honestly and with each lie, and what it blames the driver for.

use host_machine::ram::Ram;

use super::super::Queue;
use super::*;

const RING: u64 = 4 << 20;
const DRIVER: u64 = RING + 0x1000;
const DEVICE: u64 = RING + 0x2000;
const DATA: u64 = RING + 0x3000;

/// The flags of the first lap. // Virtio 1.3 §2.8.1
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;
const DONE: u16 = AVAIL | USED;

struct Rig {
    memory: GuestMemory,
    queue: Queue,
    features: u64,
}

impl Rig {
    fn new(features: u64) -> Self {
        let memory = GuestMemory::new(&Ram::new(16 << 20, 1).unwrap());
        let mut queue = Queue::new(4);
        queue.layout = Layout {
            packed: true,
            size: 4,
            descriptors: RING,
            driver: DRIVER,
            device: DEVICE,
        };
        queue.enable(0, &memory, features).unwrap();
        Self {
            memory,
            queue,
            features,
        }
    }

    fn descriptor(&self, place: u64, id: u16, flags: u16) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(DATA + 512 * place).to_le_bytes());
        bytes[8..12].copy_from_slice(&512u32.to_le_bytes());
        bytes[12..14].copy_from_slice(&id.to_le_bytes());
        bytes[14..].copy_from_slice(&flags.to_le_bytes());
        assert!(self.memory.write(RING + 16 * place, &bytes));
    }

    /// Three buffers with the ids 0, 1 and 2, all taken.
    fn with_three(features: u64) -> Self {
        let mut rig = Self::new(features);
        for id in 0..3 {
            rig.descriptor(u64::from(id), id, AVAIL | WRITE);
            assert!(rig.take().unwrap());
        }
        rig
    }

    fn take(&mut self) -> Result<bool, Option<Violation>> {
        self.queue.take(&self.memory, self.features)
    }

    /// Finishes the buffer that was taken `nth`.
    fn finish(&mut self, nth: usize, lie: Option<RingLie>) -> Result<(), Violation> {
        let taken = self.queue.taken.swap_remove(nth);
        let (ring, others) = self.queue.packed().unwrap();
        ring.finish(&self.memory, &taken, 100, lie, others, None)?;
        if let Some(lie) = lie {
            ring.scribble(&self.memory, lie);
        }
        Ok(())
    }

    /// Length, id and flags at a place.
    fn at(&self, place: u64) -> (u32, u16, u16) {
        let mut bytes = [0; 8];
        assert!(self.memory.read(RING + 16 * place + 8, &mut bytes));
        let [a, b, c, d, e, f, g, h] = bytes;
        (
            u32::from_le_bytes([a, b, c, d]),
            u16::from_le_bytes([e, f]),
            u16::from_le_bytes([g, h]),
        )
    }

    fn heads(&self) -> Vec<u16> {
        self.queue.taken.iter().map(Taken::head).collect()
    }
}

#[test]
fn an_honest_device_gives_back_in_the_order_in_which_it_finishes() {
    let mut rig = Rig::with_three(0);
    rig.finish(1, None).unwrap();
    rig.finish(0, None).unwrap();
    assert_eq!(rig.at(0), (100, 1, DONE | WRITE));
    assert_eq!(rig.at(1), (100, 0, DONE | WRITE));
    assert_eq!(rig.at(2), (512, 2, AVAIL | WRITE));
    // The last place of the first lap and the first of the second.
    rig.descriptor(3, 1, AVAIL);
    rig.descriptor(0, 0, USED);
    assert!(rig.take().unwrap() && rig.take().unwrap());
    assert_eq!(rig.heads(), [2, 1, 0]);
    for _ in 0..3 {
        rig.finish(0, None).unwrap();
    }
    assert_eq!(rig.at(0).2, WRITE);
}

#[test]
fn each_lie_is_in_the_ring() {
    let untouched = (512, 1, AVAIL | WRITE);
    let cases = [
        (RingLie::IdOutOfRange, (100, 4, DONE | WRITE), untouched),
        (RingLie::IdAllOnes, (100, u16::MAX, DONE | WRITE), untouched),
        (RingLie::IdNotOutstanding, (100, 3, DONE | WRITE), untouched),
        (RingLie::OtherId, (100, 1, DONE | WRITE), untouched),
        (
            RingLie::IdTwice,
            (100, 0, DONE | WRITE),
            (100, 0, DONE | WRITE),
        ),
        (RingLie::IndexAhead, (100, 0, DONE | WRITE), (512, 1, DONE)),
        (RingLie::IndexFar, (100, 0, WRITE), untouched),
        (
            RingLie::IndexBack,
            (512, 0, AVAIL | WRITE),
            (100, 0, DONE | WRITE),
        ),
        (RingLie::NoWrite, (100, 0, DONE), untouched),
        (RingLie::StrayFlags, (100, 0, u16::MAX), untouched),
        (
            RingLie::UsedOnes,
            (u32::MAX, u16::MAX, u16::MAX),
            (u32::MAX, u16::MAX, u16::MAX),
        ),
        (RingLie::DescriptorOnes, (0, 0, 0), (0, 0, 0)),
        (RingLie::NotDone, (100, 0, DONE | WRITE), untouched),
    ];
    for (lie, first, second) in cases {
        let mut rig = Rig::with_three(0);
        rig.finish(0, Some(lie)).unwrap();
        assert_eq!((rig.at(0), rig.at(1)), (first, second), "{lie:?}");
    }
}

#[test]
fn lies_about_notifications_are_in_the_device_area() {
    let word = |rig: &Rig, at| rig.memory.load_u16(at).unwrap();
    let mut rig = Rig::with_three(common::EVENT_IDX);
    assert!(!rig.take().unwrap());
    // The fourth descriptor of the first lap.
    assert_eq!((word(&rig, DEVICE), word(&rig, DEVICE + 2)), (0x8003, 2));
    rig.finish(0, Some(RingLie::Event)).unwrap();
    assert_eq!((word(&rig, DEVICE), word(&rig, DEVICE + 2)), (3, 2));
    rig.finish(0, Some(RingLie::Flags)).unwrap();
    assert_eq!(word(&rig, DEVICE + 2), 0xffff);
    // Without EVENT_IDX a device at work asks for nothing, and then for everything.
    let mut rig = Rig::with_three(0);
    assert_eq!(word(&rig, DEVICE + 2), 1);
    assert!(!rig.take().unwrap());
    assert_eq!(word(&rig, DEVICE + 2), 0);
}

#[test]
fn a_driver_that_changes_what_the_device_has_is_blamed_unless_a_lie_did_it() {
    let mut rig = Rig::with_three(0);
    rig.descriptor(0, 9, AVAIL);
    let violation = rig.finish(1, None).unwrap_err();
    assert_eq!(violation.section, "Virtio 1.3 §2.8.16");
    let mut rig = Rig::with_three(0);
    rig.finish(0, Some(RingLie::UsedOnes)).unwrap();
    rig.finish(0, None).unwrap();
    assert_eq!(rig.at(1), (100, 2, DONE | WRITE));
}

#[test]
fn a_buffer_of_an_id_that_a_lie_gave_back_is_over_when_it_comes() {
    let mut rig = Rig::with_three(0);
    rig.finish(0, Some(RingLie::IdNotOutstanding)).unwrap();
    // The lie named 3: the buffer of this name is not held, and the next one is.
    rig.descriptor(3, 3, AVAIL);
    rig.descriptor(0, 3, USED);
    assert!(rig.take().unwrap());
    assert_eq!(rig.heads(), [2, 1]);
    assert!(rig.take().unwrap());
    assert_eq!(rig.heads(), [2, 1, 3]);
    // Nobody told of it: twice is once too often.
    rig.finish(0, None).unwrap();
    rig.descriptor(1, 3, USED);
    assert_eq!(
        rig.take().unwrap_err().unwrap().section,
        "Virtio 1.3 §2.8.21.1"
    );
}

#[test]
fn an_id_that_is_not_outstanding_is_not_that_of_a_buffer_which_waits_either() {
    let mut rig = Rig::new(0);
    for id in 0..3 {
        rig.descriptor(u64::from(id), id, AVAIL);
    }
    assert!(rig.take().unwrap());
    let memory = rig.memory.clone();
    assert_eq!(rig.queue.packed().unwrap().0.idle_id(&memory), 3);
    rig.descriptor(3, 3, AVAIL);
    assert_eq!(rig.queue.packed().unwrap().0.idle_id(&memory), 4);
}

#[test]
fn a_wish_for_interrupts_that_cannot_be_is_a_violation() {
    let mut rig = Rig::with_three(0);
    rig.finish(0, None).unwrap();
    assert!(rig.queue.wants_interrupt(&rig.memory, 0));
    assert!(rig.memory.store_u16(DRIVER + 2, 1));
    rig.finish(0, None).unwrap();
    assert!(!rig.queue.wants_interrupt(&rig.memory, 0));
    // A place in the ring, without EVENT_IDX.
    assert!(rig.memory.store_u16(DRIVER + 2, 2));
    rig.finish(0, None).unwrap();
    assert!(rig.queue.wants_interrupt(&rig.memory, 0));
    assert_eq!(
        rig.take().unwrap_err().unwrap().section,
        "Virtio 1.3 §2.8.14"
    );
}

#[test]
fn an_entry_changes_once_the_driver_has_passed_it_and_not_where_a_buffer_lies_by_now() {
    let mut rig = Rig::with_three(0);
    for nth in [0, 0] {
        let (id, place) = (rig.heads()[nth], rig.queue.entry_place());
        let taken = rig.queue.taken.remove(nth);
        let (ring, others) = rig.queue.packed().unwrap();
        let finished = ring.finish(
            &rig.memory,
            &taken,
            100,
            Some(RingLie::EntryChanges),
            others,
            None,
        );
        finished.unwrap();
        rig.queue.change_later(&rig.memory, &taken, place);
        assert_eq!(rig.queue.change_passed(&rig.memory), 0);
        assert_eq!(rig.at(id.into()), (100, id, DONE | WRITE));
    }
    rig.descriptor(3, 1, AVAIL | WRITE);
    assert!(rig.take().unwrap());
    assert_eq!(rig.queue.change_passed(&rig.memory), 1);
    assert_eq!(rig.at(1), (u32::MAX, u16::MAX, DONE | WRITE));
    // The next lap's first buffer is where its own entry was.
    rig.descriptor(0, 0, USED | WRITE);
    assert!(rig.take().unwrap());
    assert_eq!(rig.queue.change_passed(&rig.memory), 0);
    assert_eq!(rig.at(0), (512, 0, USED | WRITE));
}

#[test]
fn marks_of_the_next_lap_leave_what_the_driver_has_yet_to_see() {
    let mut rig = Rig::with_three(0);
    rig.finish(2, Some(RingLie::NextLap)).unwrap();
    for place in 0..3 {
        assert_eq!(rig.at(place).2, DONE | WRITE, "{place}");
    }
    assert_eq!(rig.at(3), (100, 2, DONE | WRITE));
}
