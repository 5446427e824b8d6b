//! The test plays driver and device: it writes both rings by hand behind a device that never works.

use super::*;
use crate::image::Image;
use crate::inproc::{Config, InProcess};

const SIZE: u16 = 8;
const TABLE: u64 = 4 << 20;
const AVAIL: u64 = TABLE + 0x1000;
const USED: u64 = TABLE + 0x2000;
const DATA: u64 = TABLE + 0x3000;

struct Rig {
    observed: Observed<InProcess>,
    memory: GuestMemory,
    avail: u16,
    used: u16,
    _image: Image,
}

impl Rig {
    fn new() -> Self {
        let ram = Ram::new(16 << 20, 1).unwrap();
        let image = Image::new(1 << 20).unwrap();
        let device = InProcess::new(&Config::new(image.path()), &ram).unwrap();
        let mut observed = Observed::new(device, &ram);
        observed
            .enable_interrupts(InterruptMode::Messages(2))
            .unwrap();
        let common = observed.regions.unwrap().common;
        let mut set =
            |offset, width, value| observed.write(common.bar, common.offset + offset, width, value);
        set(common::QUEUE_SELECT, 2, 0);
        set(common::QUEUE_SIZE, 2, SIZE.into());
        for (offset, address) in [
            (common::QUEUE_DESC, TABLE),
            (common::QUEUE_DRIVER, AVAIL),
            (common::QUEUE_DEVICE, USED),
        ] {
            set(offset, 4, address);
            set(offset + 4, 4, 0);
        }
        set(common::QUEUE_ENABLE, 2, 1);
        let memory = GuestMemory::new(&ram);
        for head in 0..SIZE {
            let mut descriptor = [0; 16];
            descriptor[..8].copy_from_slice(&(DATA + 512 * u64::from(head)).to_le_bytes());
            descriptor[8..12].copy_from_slice(&512u32.to_le_bytes());
            assert!(memory.write(TABLE + 16 * u64::from(head), &descriptor));
        }
        assert!(observed.follows());
        observed.take_violations();
        Self {
            observed,
            memory,
            avail: 0,
            used: 0,
            _image: image,
        }
    }

    fn publish(&mut self, head: u16) {
        let entry = AVAIL + 4 + 2 * u64::from(self.avail % SIZE);
        assert!(self.memory.write(entry, &head.to_le_bytes()));
        self.avail = self.avail.wrapping_add(1);
        assert!(self.memory.store_u16(AVAIL + 2, self.avail));
    }

    fn give_back(&mut self, head: u16) {
        let entry = USED + 4 + 8 * u64::from(self.used % SIZE);
        assert!(self.memory.write(entry, &u32::from(head).to_le_bytes()));
        self.used = self.used.wrapping_add(1);
        assert!(self.memory.store_u16(USED + 2, self.used));
    }

    /// Moves used.idx without writing entries.
    fn show_used(&mut self, index: u16) {
        self.used = index;
        assert!(self.memory.store_u16(USED + 2, index));
    }

    /// The heads that the device has, ascending, after a look.
    fn heads(&mut self) -> Vec<u16> {
        self.observed.refresh();
        assert_eq!(self.observed.take_violations(), []);
        let mut heads: Vec<_> = self
            .observed
            .outstanding()
            .iter()
            .map(|chain| chain.head)
            .collect();
        heads.sort_unstable();
        heads
    }
}

#[test]
fn chains_come_and_go() {
    let mut rig = Rig::new();
    rig.publish(3);
    rig.publish(5);
    assert_eq!(rig.heads(), [3, 5]);
    assert_eq!(
        rig.observed.outstanding()[0].parts[0].address,
        DATA + 3 * 512
    );
    rig.give_back(5);
    assert_eq!(rig.heads(), [3]);
}

#[test]
fn a_head_used_twice_between_two_looks_is_one_chain() {
    let mut rig = Rig::new();
    rig.publish(3);
    assert_eq!(rig.heads(), [3]);
    rig.give_back(3);
    rig.publish(3);
    assert_eq!(rig.heads(), [3]);
    assert_eq!(rig.observed.outstanding()[0].number, 1);
}

#[test]
fn overwritten_used_entries_leave_no_stale_chain() {
    let mut rig = Rig::new();
    (0..SIZE).for_each(|head| rig.publish(head));
    assert_eq!(rig.heads(), [0, 1, 2, 3, 4, 5, 6, 7]);
    // All come back, all go out again, and three come back again: eleven entries in a ring of eight.
    (0..SIZE).for_each(|head| rig.give_back(head));
    (0..SIZE).for_each(|head| rig.publish(head));
    for head in [6, 7, 2] {
        rig.give_back(head);
    }
    assert!(rig.heads().is_empty());
    for head in [0, 1, 3] {
        rig.give_back(head);
    }
    assert!(rig.heads().is_empty());
    // From here on each chain is seen, so that all is certain again.
    rig.publish(0);
    rig.publish(1);
    assert_eq!(rig.heads(), [0, 1]);
    rig.give_back(0);
    assert_eq!(rig.heads(), [1]);
}

#[test]
fn what_cannot_be_known_is_not_claimed() {
    let mut rig = Rig::new();
    (0..SIZE).for_each(|head| rig.publish(head));
    rig.heads();
    // Head 7 stays with the device throughout, while head 0 goes round ten times unseen.
    for round in 0..10 {
        if round > 0 {
            rig.publish(0);
        }
        rig.give_back(0);
    }
    assert!(rig.heads().is_empty());
    // What comes back later is no surprise, and then everything is certain again.
    (1..SIZE).for_each(|head| rig.give_back(head));
    assert!(rig.heads().is_empty());
    rig.publish(7);
    assert_eq!(rig.heads(), [7]);
}

#[test]
fn an_index_beyond_the_ring_is_a_violation() {
    let mut rig = Rig::new();
    assert!(rig.memory.store_u16(AVAIL + 2, SIZE + 1));
    rig.observed.refresh();
    let violations = rig.observed.take_violations();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].section, "Virtio 1.3 §2.7.6.1");
}

#[test]
fn giving_back_what_was_not_had_is_noticed() {
    let mut rig = Rig::new();
    rig.publish(1);
    rig.give_back(2);
    rig.observed.refresh();
    assert_eq!(
        rig.observed.take_violations()[0].section,
        "Virtio 1.3 §2.7.8"
    );
}

#[test]
fn an_id_given_back_before_its_buffer_was_made_available_is_believed_once() {
    let mut rig = Rig::new();
    rig.publish(1);
    rig.give_back(2);
    rig.observed.refresh();
    assert_eq!(rig.observed.take_violations().len(), 1);
    // The driver may take the entry for the answer to this, and make it available again.
    rig.publish(2);
    assert_eq!(rig.heads(), [1]);
    rig.publish(2);
    assert_eq!(rig.heads(), [1, 2]);
    // No other id is in doubt.
    rig.publish(3);
    assert_eq!(rig.heads(), [1, 2, 3]);
}

#[test]
fn an_entry_too_many_is_passed_on_from_buffer_to_buffer() {
    let mut rig = Rig::new();
    rig.publish(4);
    rig.publish(1);
    rig.give_back(1);
    rig.give_back(1);
    rig.observed.refresh();
    assert_eq!(rig.observed.take_violations().len(), 1);
    for _ in 0..3 {
        // The second entry is taken for the answer to this one.
        rig.publish(1);
        assert_eq!(rig.heads(), [4]);
        // And its own for the answer to the next one.
        rig.give_back(1);
        assert_eq!(rig.heads(), [4]);
    }
    // The same if the next one is there when the device comes to answer.
    rig.publish(1);
    rig.publish(1);
    assert_eq!(rig.heads(), [1, 4]);
    rig.give_back(1);
    assert_eq!(rig.heads(), [4]);
    rig.give_back(1);
    rig.publish(1);
    assert_eq!(rig.heads(), [4]);
    // One more buffer than entries: that one is certain.
    rig.publish(1);
    assert_eq!(rig.heads(), [1, 4]);
}

#[test]
fn an_index_beyond_the_entries_shows_an_old_one_which_is_about_one_buffer() {
    let mut rig = Rig::new();
    rig.publish(3);
    rig.publish(5);
    // Nobody has written the second entry: it names descriptor 0.
    rig.give_back(3);
    rig.show_used(2);
    rig.observed.refresh();
    assert_eq!(rig.observed.take_violations().len(), 1);
    rig.publish(0);
    rig.publish(6);
    assert_eq!(rig.heads(), [5, 6]);
}

#[test]
fn an_index_ahead_of_what_is_available_hides_no_entry() {
    let mut rig = Rig::new();
    rig.publish(3);
    assert_eq!(rig.heads(), [3]);
    rig.give_back(3);
    rig.show_used(2);
    rig.observed.refresh();
    let violations = rig.observed.take_violations();
    assert!(
        violations
            .iter()
            .all(|found| found.section == "Virtio 1.3 §2.7.8")
    );
    assert!(rig.heads().is_empty());
    rig.publish(5);
    assert_eq!(rig.heads(), [5]);
}

#[test]
fn no_buffer_is_given_back_by_an_index_beyond_the_ring() {
    let mut rig = Rig::new();
    rig.publish(3);
    assert_eq!(rig.heads(), [3]);
    rig.show_used(SIZE + 1);
    rig.observed.refresh();
    assert_eq!(
        rig.observed.take_violations()[0].section,
        "Virtio 1.3 §2.7.8"
    );
    assert_eq!(rig.heads(), [3]);
}

#[test]
fn an_index_that_goes_back_gives_back_again_what_is_written_anew() {
    let mut rig = Rig::new();
    (1..6).for_each(|head| rig.publish(head));
    rig.give_back(1);
    rig.give_back(2);
    assert_eq!(rig.heads(), [3, 4, 5]);
    rig.show_used(1);
    assert_eq!(rig.heads(), [3, 4, 5]);
    rig.give_back(4);
    assert_eq!(rig.heads(), [3, 5]);
    // As many in flight as the driver may have that came as far as the index has ever been.
    for head in [0, 6, 7, 1, 2] {
        rig.publish(head);
    }
    assert_eq!(rig.heads(), [0, 1, 2, 3, 5, 6, 7]);
}

#[test]
fn an_entry_over_another_is_found_by_a_driver_that_had_yet_to_come_to_that() {
    let mut rig = Rig::new();
    (0..SIZE).for_each(|head| rig.publish(head));
    rig.give_back(1);
    rig.give_back(2);
    assert_eq!(rig.heads(), [0, 3, 4, 5, 6, 7]);
    // Entries too many, until the ring is full.
    (2..SIZE).for_each(|_| rig.give_back(2));
    rig.observed.refresh();
    rig.observed.take_violations();
    // Over that of buffer 1, and no index ever shows it.
    rig.give_back(5);
    rig.show_used(SIZE - 1);
    assert_eq!(rig.heads(), [0, 3, 4, 6, 7]);
}
