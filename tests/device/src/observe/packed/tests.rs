//! The test plays driver and device in a packed ring of four, behind a device that never works.

use std::time::Duration;

use host_machine::ram::Ram;

use super::*;
use crate::image::Image;
use crate::inproc::{Config, InProcess};
use crate::memory::GuestMemory;
use crate::{InterruptMode, pci};

const SIZE: u16 = 4;
const RING: u64 = 4 << 20;
const DRIVER: u64 = RING + 0x1000;
const DEVICE: u64 = RING + 0x2000;
const DATA: u64 = RING + 0x3000;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The flags of the first lap. // Virtio 1.3 §2.8.1
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Place, id and flags of each.
type Descriptors = &'static [(u16, u16, u16)];

struct Rig {
    observed: Observed<InProcess>,
    memory: GuestMemory,
    /// Positions of driver and device, in descriptors.
    avail: u16,
    used: u16,
    _image: Image,
}

impl Rig {
    fn new(features: u64) -> Self {
        let ram = Ram::new(16 << 20, 1).unwrap();
        let image = Image::new(1 << 20).unwrap();
        let device = InProcess::new(&Config::new(image.path()), &ram).unwrap();
        let mut observed = Observed::new(device, &ram);
        observed
            .enable_interrupts(InterruptMode::Messages(2))
            .unwrap();
        let mut rig = Self {
            observed,
            memory: GuestMemory::new(&ram),
            avail: 0,
            used: 0,
            _image: image,
        };
        rig.set_up(features);
        rig
    }

    /// Enables the queue, whose memory is all zeros.
    fn set_up(&mut self, features: u64) {
        let common = self.observed.regions.unwrap().common;
        let mut set = |offset, width, value| {
            self.observed
                .write(common.bar, common.offset + offset, width, value);
        };
        let features = features | common::RING_PACKED;
        for half in 0..2 {
            set(common::DRIVER_FEATURE_SELECT, 4, half);
            set(
                common::DRIVER_FEATURE,
                4,
                features >> (32 * half) & 0xffff_ffff,
            );
        }
        set(common::QUEUE_SELECT, 2, 0);
        set(common::QUEUE_SIZE, 2, SIZE.into());
        for (offset, address) in [
            (common::QUEUE_DESC, RING),
            (common::QUEUE_DRIVER, DRIVER),
            (common::QUEUE_DEVICE, DEVICE),
        ] {
            set(offset, 4, address);
            set(offset + 4, 4, 0);
        }
        set(common::QUEUE_ENABLE, 2, 1);
        assert!(self.observed.follows());
        // Of a device that was not initialised.
        self.observed.take_violations();
    }

    /// Resets the device and enables the queue again.
    fn reset(&mut self, features: u64) {
        let common = self.observed.regions.unwrap().common;
        let status = common.offset + common::DEVICE_STATUS;
        self.observed.write(common.bar, status, 1, 0);
        assert_eq!(self.observed.read(common.bar, status, 1), 0);
        for area in [RING, DRIVER, DEVICE] {
            assert!(self.memory.write(area, &[0; 16 * SIZE as usize]));
        }
        (self.avail, self.used) = (0, 0);
        self.set_up(features);
    }

    fn descriptor(&self, place: u16, id: u16, flags: u16) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(DATA + 512 * u64::from(place)).to_le_bytes());
        bytes[8..12].copy_from_slice(&512u32.to_le_bytes());
        bytes[12..14].copy_from_slice(&id.to_le_bytes());
        bytes[14..].copy_from_slice(&flags.to_le_bytes());
        assert!(self.memory.write(RING + 16 * u64::from(place), &bytes));
    }

    fn publish(&mut self, id: u16) {
        let first = (self.avail / SIZE).is_multiple_of(2);
        self.descriptor(self.avail % SIZE, id, if first { AVAIL } else { USED });
        self.avail += 1;
    }

    fn give_back(&mut self, id: u16) {
        let first = (self.used / SIZE).is_multiple_of(2);
        let flags = if first { AVAIL | USED } else { 0 };
        self.descriptor(self.used % SIZE, id, flags);
        self.used += 1;
    }

    /// Sections of the violations after a look.
    fn broken(&mut self) -> Vec<&'static str> {
        self.observed.refresh();
        let found = self.observed.take_violations();
        found.iter().map(|violation| violation.section).collect()
    }

    /// The ids that the device has, ascending, after a look that finds nothing wrong.
    fn ids(&mut self) -> Vec<u16> {
        self.observed.refresh();
        assert_eq!(self.observed.take_violations(), []);
        let held = self.observed.outstanding().iter();
        let mut ids: Vec<_> = held.map(|chain| chain.head).collect();
        ids.sort_unstable();
        ids
    }

    fn notify(&mut self) {
        let regions = pci::virtio_regions(&mut |at, width| self.observed.config_read(at, width));
        let notify = regions.unwrap().notify;
        self.observed.write(notify.bar, notify.offset, 2, 0);
        // The device was not initialised.
        self.observed.take_violations();
    }

    /// What is found wrong when everybody waits for the device.
    fn silence(&mut self) -> Vec<&'static str> {
        self.observed.poll(Duration::from_millis(1)).unwrap();
        let found = self.observed.take_violations();
        found.iter().map(|violation| violation.section).collect()
    }
}

#[test]
fn chains_come_and_go_through_both_laps() {
    let mut rig = Rig::new(0);
    rig.publish(3);
    rig.publish(1);
    assert_eq!(rig.ids(), [1, 3]);
    rig.give_back(1);
    assert_eq!(rig.ids(), [3]);
    rig.give_back(3);
    for round in 0..9 {
        for id in 0..3 {
            rig.publish(id);
        }
        assert_eq!(rig.ids(), [0, 1, 2], "{round}");
        rig.give_back(2);
        rig.give_back(0);
        assert_eq!(rig.ids(), [1], "{round}");
        rig.give_back(1);
        assert!(rig.ids().is_empty(), "{round}");
    }
}

#[test]
fn a_chain_takes_as_many_descriptors_as_it_has_parts() {
    let mut rig = Rig::new(0);
    rig.descriptor(1, 0, AVAIL | NEXT);
    rig.descriptor(2, 7, AVAIL | WRITE);
    rig.descriptor(0, 0, AVAIL | NEXT);
    rig.descriptor(3, 5, AVAIL);
    assert_eq!(rig.ids(), [5, 7]);
    assert_eq!(rig.observed.outstanding()[0].parts.len(), 3);
    rig.give_back(7);
    assert_eq!(rig.ids(), [5]);
    // The next used descriptor lies behind all three.
    rig.used = 3;
    rig.give_back(5);
    assert!(rig.ids().is_empty());
}

#[test]
fn each_broken_rule_is_found_and_nothing_claimed_any_more() {
    let cases: &[(Descriptors, &str)] = &[
        // Longer than the queue.
        (
            &[
                (0, 1, AVAIL | NEXT),
                (1, 1, AVAIL | NEXT),
                (2, 1, AVAIL | NEXT),
                (3, 1, AVAIL | NEXT),
            ],
            "Virtio 1.3 §2.8.17",
        ),
        // The first descriptor is available before the second.
        (&[(0, 1, AVAIL | NEXT)], "Virtio 1.3 §2.8.17"),
        (
            &[(0, 1, AVAIL | NEXT | WRITE), (1, 1, AVAIL)],
            "Virtio 1.3 §2.8.17",
        ),
        (&[(0, 1, AVAIL | INDIRECT)], "Virtio 1.3 §2.8.19"),
        (&[(0, 1, AVAIL | 0x40)], "Virtio 1.3 §2.8.19"),
        // One id twice.
        (&[(0, 1, AVAIL), (1, 1, AVAIL)], "Virtio 1.3 §2.8.21.1"),
        // The wrap counter of the second lap.
        (&[(0, 1, USED)], "Virtio 1.3 §2.8.1"),
    ];
    for (descriptors, section) in cases {
        let mut rig = Rig::new(0);
        for (place, id, flags) in *descriptors {
            rig.descriptor(*place, *id, *flags);
        }
        assert_eq!(rig.broken(), [*section], "{descriptors:x?}");
        assert!(rig.observed.outstanding().is_empty());
        assert!(!rig.observed.follows());
        assert_eq!(
            rig.observed.rings().count(),
            3,
            "the queue is enabled all the same"
        );
        assert_eq!(rig.broken(), [""; 0]);
    }
}

#[test]
fn a_descriptor_that_the_device_has_may_not_be_used_again() {
    let mut rig = Rig::new(0);
    (0..SIZE).for_each(|id| rig.publish(id));
    assert_eq!(rig.ids(), [0, 1, 2, 3]);
    rig.publish(4);
    assert_eq!(rig.broken(), ["Virtio 1.3 §2.8.17"]);
    // With room for one, one may.
    let mut rig = Rig::new(0);
    (0..SIZE).for_each(|id| rig.publish(id));
    assert_eq!(rig.ids(), [0, 1, 2, 3]);
    rig.give_back(2);
    assert_eq!(rig.ids(), [0, 1, 3]);
    rig.publish(2);
    assert_eq!(rig.ids(), [0, 1, 2, 3]);
}

#[test]
fn an_id_that_the_device_did_not_have_is_believed_once() {
    let mut rig = Rig::new(0);
    rig.publish(1);
    assert_eq!(rig.ids(), [1]);
    rig.give_back(2);
    assert_eq!(rig.broken(), ["Virtio 1.3 §2.8.22"]);
    rig.publish(2);
    assert_eq!(rig.ids(), [1]);
    rig.publish(2);
    assert_eq!(rig.ids(), [1, 2]);
}

#[test]
fn what_is_written_over_such_an_id_is_found_by_a_driver_that_had_yet_to_come_there() {
    let mut rig = Rig::new(0);
    (0..3).for_each(|id| rig.publish(id));
    assert_eq!(rig.ids(), [0, 1, 2]);
    rig.give_back(3);
    assert_eq!(rig.broken(), ["Virtio 1.3 §2.8.22"]);
    assert_eq!(rig.ids(), [0, 1, 2]);
    rig.used -= 1;
    rig.give_back(2);
    assert_eq!(rig.ids(), [0, 1]);
    // It may be made available again.
    rig.publish(2);
    assert_eq!(rig.ids(), [0, 1, 2]);
}

#[test]
fn with_chains_an_id_that_the_device_did_not_have_ends_all_certainty() {
    let mut rig = Rig::new(0);
    rig.descriptor(1, 1, AVAIL);
    rig.descriptor(0, 0, AVAIL | NEXT);
    assert_eq!(rig.ids(), [1]);
    rig.give_back(2);
    assert_eq!(rig.broken(), ["Virtio 1.3 §2.8.22"]);
    assert!(rig.observed.outstanding().is_empty());
    assert!(!rig.observed.follows());
}

#[test]
fn who_asked_to_be_notified_must_be() {
    const MISSED: [&str; 1] = ["Virtio 1.3 §2.8.21.2"];
    let wish = |rig: &Rig, word: u16, flags: u16| {
        assert!(rig.memory.write(DEVICE, &word.to_le_bytes()));
        assert!(rig.memory.write(DEVICE + 2, &flags.to_le_bytes()));
    };
    let mut rig = Rig::new(common::EVENT_IDX);
    rig.publish(0);
    assert_eq!(rig.silence(), MISSED);
    rig.publish(1);
    rig.notify();
    assert_eq!(rig.silence(), [""; 0]);
    // It asks for nothing, then for the fourth descriptor of this lap.
    wish(&rig, 0, 1);
    rig.publish(2);
    assert_eq!(rig.silence(), [""; 0]);
    wish(&rig, 1 << 15 | 3, 2);
    rig.publish(3);
    assert_eq!(rig.silence(), MISSED);
    // For the third of the next, and the driver comes to the second.
    wish(&rig, 2, 2);
    rig.give_back(0);
    rig.give_back(1);
    rig.give_back(2);
    rig.observed.refresh();
    rig.publish(0);
    rig.publish(1);
    assert_eq!(rig.silence(), [""; 0]);
    rig.publish(2);
    assert_eq!(rig.silence(), MISSED);
}

#[test]
fn notifications_that_nobody_asked_for_are_counted() {
    let mut rig = Rig::new(common::EVENT_IDX);
    // Of every buffer, as long as the device has not said otherwise.
    rig.publish(0);
    rig.publish(1);
    rig.notify();
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 0);
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 1);
    // Of the third descriptor, however many become available with it.
    assert!(rig.memory.write(DEVICE, &(1u16 << 15 | 2).to_le_bytes()));
    assert!(rig.memory.write(DEVICE + 2, &2u16.to_le_bytes()));
    rig.publish(2);
    rig.publish(3);
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 1);
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 2);
}

#[test]
fn a_notification_may_come_after_a_reset_if_it_was_due_before() {
    let mut rig = Rig::new(0);
    rig.publish(0);
    rig.observed.refresh();
    rig.reset(0);
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 0);
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 1);
    // Not if it has come already, nor when all have waited since.
    rig.publish(0);
    rig.notify();
    rig.reset(0);
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 2);
    rig.publish(0);
    rig.observed.refresh();
    rig.reset(0);
    rig.silence();
    rig.notify();
    assert_eq!(rig.observed.needless_notifications(), 3);
}
