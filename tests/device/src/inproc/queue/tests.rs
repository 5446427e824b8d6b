//! Ids that a lie gives back: which it may be, and what the device does not blame the driver for afterwards.

use host_machine::ram::Ram;

use super::*;
use crate::inproc::RingLie;

const TABLE: u64 = 4 << 20;
const AVAIL: u64 = TABLE + 0x1000;

struct Rig {
    memory: GuestMemory,
    queue: Queue,
    avail: u16,
}

impl Rig {
    fn new() -> Self {
        let memory = GuestMemory::new(&Ram::new(16 << 20, 1).unwrap());
        let mut queue = Queue::new(4);
        (queue.layout.descriptors, queue.layout.driver) = (TABLE, AVAIL);
        queue.layout.device = TABLE + 0x2000;
        queue.enable(0, &memory, 0).unwrap();
        for head in 0..4u64 {
            let mut descriptor = [0; 16];
            descriptor[..8].copy_from_slice(&(TABLE + 0x3000).to_le_bytes());
            descriptor[8..12].copy_from_slice(&512u32.to_le_bytes());
            assert!(memory.write(TABLE + 16 * head, &descriptor));
        }
        Self {
            memory,
            queue,
            avail: 0,
        }
    }

    fn publish(&mut self, head: u16) {
        let entry = self.queue.layout.avail_entry(self.avail);
        assert!(self.memory.write(entry, &head.to_le_bytes()));
        self.avail += 1;
        assert!(self.memory.store_u16(AVAIL + 2, self.avail));
    }

    fn take(&mut self) -> Result<bool, Option<Violation>> {
        self.queue.take(&self.memory, 0)
    }
}

#[test]
fn an_id_that_is_not_outstanding_is_not_that_of_a_buffer_which_waits_either() {
    let mut rig = Rig::new();
    rig.publish(0);
    rig.publish(1);
    assert!(rig.take().unwrap());
    assert_eq!(rig.queue.idle_descriptor(&rig.memory), Some(2));
    rig.publish(2);
    rig.publish(3);
    assert_eq!(rig.queue.idle_descriptor(&rig.memory), None);
}

#[test]
fn a_driver_may_use_again_what_a_lie_gave_back_and_nothing_else() {
    let mut rig = Rig::new();
    rig.queue.show(2);
    rig.publish(1);
    rig.publish(2);
    rig.publish(2);
    for _ in 0..3 {
        rig.take().unwrap();
    }
    rig.publish(1);
    let violation = rig.take().unwrap_err().unwrap();
    assert_eq!(violation.section, "Virtio 1.3 §2.7.13.1");
    assert!(violation.what.starts_with("descriptor 1 "));
}

#[test]
fn a_lie_about_what_the_device_has_lets_the_driver_use_it_again_once() {
    let mut rig = Rig::new();
    rig.publish(1);
    assert!(rig.take().unwrap());
    rig.queue.show(1);
    rig.publish(1);
    assert!(rig.take().unwrap());
    rig.publish(1);
    assert!(rig.take().unwrap_err().is_some());
}

#[test]
fn what_was_given_back_early_and_is_given_back_then_is_about_the_next_buffer() {
    let mut rig = Rig::new();
    rig.publish(1);
    assert!(rig.take().unwrap());
    rig.queue.show(1);
    assert!(rig.queue.is_believed_over(&rig.queue.taken[0]));
    rig.publish(1);
    assert!(rig.take().unwrap());
    assert!(!rig.queue.is_believed_over(&rig.queue.taken[1]));
    let first = rig.queue.taken.remove(0);
    rig.queue.give_back(&rig.memory, &first, 0);
    assert!(rig.queue.is_believed_over(&rig.queue.taken[0]));
    rig.publish(1);
    assert!(rig.take().unwrap());
    rig.publish(1);
    assert!(rig.take().unwrap_err().is_some());
}

#[test]
fn a_driver_may_have_as_much_more_available_as_lies_gave_back() {
    let mut rig = Rig::new();
    rig.queue.show(0);
    (0..4).for_each(|head| rig.publish(head));
    rig.publish(0);
    assert!(rig.take().unwrap_err().is_none());
    rig.publish(1);
    assert_eq!(
        rig.take().unwrap_err().unwrap().section,
        "Virtio 1.3 §2.7.6.1"
    );
}

#[test]
fn an_entry_changes_once_the_driver_has_passed_it() {
    let mut rig = Rig::new();
    rig.publish(1);
    rig.publish(2);
    assert!(rig.take().unwrap() && rig.take().unwrap());
    let place = rig.queue.entry_place();
    let entry = |rig: &Rig| rig.memory.read_u32(place);
    let taken = rig.queue.taken.remove(0);
    rig.queue.give_back(&rig.memory, &taken, 9);
    rig.queue.change_later(&rig.memory, &taken, place);
    assert_eq!(rig.queue.change_passed(&rig.memory), 0);
    assert_eq!(entry(&rig), Some(1));
    // By its name the driver shows that it has it back.
    rig.publish(1);
    assert!(rig.take().unwrap());
    assert_eq!(rig.queue.change_passed(&rig.memory), 1);
    assert_eq!(entry(&rig), Some(u32::MAX));
    assert_eq!(rig.queue.change_passed(&rig.memory), 0);
}

#[test]
fn what_is_true_in_this_ring_is_no_lie() {
    let mut rig = Rig::new();
    rig.publish(3);
    rig.publish(1);
    assert!(rig.take().unwrap());
    let last = rig.queue.taken.remove(0);
    let told = |rig: &Rig, lie| rig.queue.can_tell(lie, &last);
    for lie in [
        RingLie::OtherId,
        RingLie::AllAsOne,
        RingLie::IdAgain,
        RingLie::IdInside,
        RingLie::IdLast,
        RingLie::TableLonger,
        RingLie::StrayFlags,
        RingLie::SkipMore,
    ] {
        assert!(!told(&rig, lie), "{lie:?}");
    }
    assert!(told(&rig, RingLie::IdOutOfRange));
    rig.queue.gave_back(2);
    assert!(rig.take().unwrap());
    assert!(told(&rig, RingLie::OtherId) && told(&rig, RingLie::IdAgain));
}
