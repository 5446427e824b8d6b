//! What the driver itself may not do is refused, and changes nothing.

use std::vec::Vec;

use super::rig::{Mode, Rig, lend, part, slots};
use crate::mem::DeviceAddress;
use crate::ring::{AddError, IndirectChain, Layout, Part, Queue, QueueMemory, SetupError};
use crate::spec::features::Features;
use crate::testing::region;

#[test]
fn chains_that_are_none_are_refused() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 8);
        let huge = Part::new(DeviceAddress(0), u32::MAX);
        let cases: [(&[Part], &[Part], AddError); 6] = [
            (&[], &[], AddError::EmptyChain),
            (&[part(0, 0)], &[], AddError::EmptyPart),
            (&[part(0, 1)], &[part(1, 0)], AddError::EmptyPart),
            (&[huge], &[part(0, 1)], AddError::TooManyBytes),
            (&[part(0, 1), huge], &[], AddError::TooManyBytes),
            (&[], &[huge, huge], AddError::TooManyBytes),
        ];
        for (readable, writable, error) in cases {
            let rejected = rig.add(5, readable, writable).unwrap_err();
            assert_eq!((rejected.token, rejected.error), (5, error));
            assert_eq!(rig.driver.free(), 8);
            assert!(!rig.driver.publish().needed());
        }
        // The longest legal ones pass.
        rig.add(1, &[huge], &[]).unwrap();
        rig.add(2, &[], &[huge]).unwrap();
        assert!(rig.driver.publish().needed());
        assert_eq!(rig.pop().unwrap().parts.len(), 1);
    }
}

#[test]
fn chain_is_at_most_as_long_as_the_queue() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode, 8);
        let parts: Vec<_> = (0..9).map(|n| part(n, 4)).collect();
        for split in 0..=9 {
            let rejected = rig.add(3, &parts[..split], &parts[split..]).unwrap_err();
            let want = AddError::ChainTooLong { parts: 9, max: 8 };
            assert_eq!(rejected.error, want, "{mode:?}");
        }
        rig.add(4, &parts[..4], &parts[4..8]).unwrap();
        assert!(rig.driver.publish().needed());
        assert_eq!(rig.pop().unwrap().parts.len(), 8);
        // A direct chain that fits the queue but not what is left of it can be tried again; an indirect one has room.
        let again = rig.add(5, &parts[..4], &parts[4..8]);
        assert_eq!(again.is_ok(), mode.indirect);
        if let Err(rejected) = again {
            assert_eq!(rejected.error, AddError::Full);
        }
    }
}

#[test]
fn table_has_to_hold_the_chain() {
    let mode = Mode::ALL[2];
    let rig = Rig::new(mode, 8);
    let parts = [part(0, 4), part(1, 4), part(2, 4)];
    for (len, entries) in [(0, 0), (15, 0), (16, 1), (47, 2)] {
        let mut table = region(&rig.device.memory, super::rig::DATA, len);
        let error = IndirectChain::write(&mut table, mode.features(), parts, []).unwrap_err();
        assert_eq!(error, AddError::TableTooSmall { parts: 3, entries });
    }
    let mut table = region(&rig.device.memory, super::rig::DATA, 48);
    let chain = IndirectChain::write(&mut table, mode.features(), parts, []).unwrap();
    assert_eq!(chain.parts(), 3);
}

#[test]
fn indirect_needs_the_feature() {
    // Virtio 1.3 §2.7.5.3.1
    let mut rig = Rig::new(Mode::ALL[0], 8);
    let mut table = region(&rig.device.memory, super::rig::DATA, 64);
    let without = IndirectChain::write(&mut table, Features::VERSION_1, [part(0, 4)], []);
    assert_eq!(without, Err(AddError::IndirectNotNegotiated));
    let with = IndirectChain::write(&mut table, Features::INDIRECT_DESC, [part(0, 4)], []);
    let rejected = rig.driver.add_indirect(1, with.unwrap()).unwrap_err();
    assert_eq!(rejected.error, AddError::IndirectNotNegotiated);
}

#[test]
fn set_up_checks_what_it_is_given() {
    let mode = Mode::ALL[0];
    let features = mode.features();
    let rig = Rig::new(mode, 8);
    let memory = || lend(&rig.device.memory, mode, 8);
    for size in [0, 3, 7, 9, 32769, 65535] {
        let error = Queue::new(size, features, memory()).unwrap_err();
        assert_eq!(error, SetupError::Size { size });
        assert_eq!(Layout::split(size), Err(error));
    }
    for format in [Features::RING_PACKED, Features::IN_ORDER] {
        let error = Queue::new(8, format, memory()).unwrap_err();
        assert_eq!(error, SetupError::Format);
    }
    let needed = Layout::split(8).unwrap().len();
    let ring = region(&rig.device.memory, super::rig::RING, needed - 1);
    let short = QueueMemory { ring, ..memory() };
    let len = needed - 1;
    let error = Queue::new(8, features, short).unwrap_err();
    assert_eq!(error, SetupError::RingTooSmall { len, needed });
    let ring = region(&rig.device.memory, super::rig::RING + 32, needed);
    let error = Queue::new(8, features, QueueMemory { ring, ..memory() }).unwrap_err();
    assert_eq!(error, SetupError::RingMisaligned { align: 64 });
    let few = QueueMemory {
        slots: slots(7),
        ..memory()
    };
    let error = Queue::new(8, features, few).unwrap_err();
    assert_eq!(error, SetupError::TooFewSlots { len: 7, needed: 8 });
    let used = memory();
    used.slots[3].token = Some(1);
    let error = Queue::new(8, features, used).unwrap_err();
    assert_eq!(error, SetupError::SlotInUse { index: 3 });
}

#[test]
fn slots_are_small() {
    use core::ptr::NonNull;
    assert_eq!(size_of::<crate::ring::Slot<NonNull<u64>>>(), 24);
}
