//! Requests of the driver's own caller that the specification forbids: they are refused before the device sees anything.

use ring_rig::{GuestMemory, Rig, part, slots};
use virtio_core::ring::{AddError, IndirectChain, Part, Queue, QueueMemory};
use virtio_core::spec::features::Features;

use super::lie::{any, areas, busy, split};
use super::rules::traffic;
use crate::{Outcome, Row, Run, Verdict};

/// The refusal of a chain, of which nothing may be seen.
fn refused(rig: &mut Rig, readable: &[Part], writable: &[Part]) -> Outcome {
    let free = rig.driver.free();
    let Err(rejected) = rig.add(77, readable, writable) else {
        return Outcome::Harmless;
    };
    assert_eq!((rejected.token, rig.driver.free()), (77, free));
    assert!(!rig.publish());
    assert_eq!(rig.pop(), None, "a refused chain is shown");
    traffic(rig, 20);
    Outcome::refused(&rejected.error)
}

/// A queue that cannot be set up.
fn refused_setup(rig: &Rig, size: u16, shift: u64, slot_count: u16) -> Outcome {
    let (start, _) = areas(rig)[0];
    let memory = QueueMemory {
        ring: rig.memory.lend(start + shift, 0x800),
        slots: slots(slot_count),
    };
    match Queue::<u64>::new(size, rig.mode.features(), memory) {
        Ok(_) => Outcome::Harmless,
        Err(error) => Outcome::refused(&error),
    }
}

/// What must not be asked for.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "R101",
        section: "Virtio 1.3 §2.7.1, §2.8.11",
        lie: "ring memory is lent that is not aligned",
        verdict: Verdict::Refused("RingMisaligned"),
        run: Run::Ring(any, |rig| refused_setup(rig, rig.size(), 8, 64)),
    },
    Row {
        id: "R102",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "a queue without descriptors is asked for",
        verdict: Verdict::Refused("Size"),
        run: Run::Ring(any, |rig| refused_setup(rig, 0, 0, 64)),
    },
    Row {
        id: "R103",
        section: "Virtio 1.3 §2.7, §2.8",
        lie: "a queue of more than 32768 descriptors is asked for",
        verdict: Verdict::Refused("Size"),
        run: Run::Ring(any, |rig| refused_setup(rig, 32769, 0, 64)),
    },
    Row {
        id: "R104",
        section: "Virtio 1.3 §2.7.5, §2.8.21.1",
        lie: "fewer slots are lent than the queue has descriptors",
        verdict: Verdict::Refused("TooFewSlots"),
        run: Run::Ring(any, |rig| refused_setup(rig, rig.size(), 0, rig.size() - 1)),
    },
    Row {
        id: "S100",
        section: "Virtio 1.3 §2.7",
        lie: "a split queue is asked for whose size is no power of two",
        verdict: Verdict::Refused("Size"),
        run: Run::Ring(split, |rig| refused_setup(rig, 7, 0, 64)),
    },
    Row {
        id: "R106",
        section: "Virtio 1.3 §2.7.5.3.1, §2.8.17",
        lie: "a chain of more parts than the queue has descriptors is asked for",
        verdict: Verdict::Refused("ChainTooLong"),
        run: Run::Ring(
            |mode| !mode.indirect,
            |rig| {
                let parts: Vec<_> = (0..=u64::from(rig.size())).map(|n| part(n, 4)).collect();
                refused(rig, &parts, &[])
            },
        ),
    },
    Row {
        id: "R107",
        section: "Virtio 1.3 §2.7.5.3.1, §2.8.17",
        lie: "a table of more parts than the queue has descriptors is asked for",
        verdict: Verdict::Refused("ChainTooLong"),
        run: Run::Ring(
            |mode| mode.indirect,
            |rig| {
                let at = areas(rig)[0].0 + 0x1000;
                let mut table = rig.memory.lend(at, 16 * 64);
                let parts = (0..=u64::from(rig.size())).map(|n| part(n, 4));
                let chain = IndirectChain::write(&mut table, rig.mode.features(), parts, []);
                let chain = chain.expect("a table that is large enough");
                let rejected = rig.driver.add_indirect(77, chain);
                let rejected = rejected.expect_err("longer than the queue");
                assert_eq!(rejected.token, 77);
                traffic(rig, 20);
                Outcome::refused(&rejected.error)
            },
        ),
    },
    Row {
        id: "R108",
        section: "Virtio 1.3 §2.7.5.2",
        lie: "a chain of more than 4 GiB is asked for",
        verdict: Verdict::Refused("TooManyBytes"),
        run: Run::Ring(any, |rig| {
            let huge = Part::new(GuestMemory::address(0), u32::MAX);
            refused(rig, &[huge], &[part(1, 2)])
        }),
    },
    Row {
        id: "R109",
        section: "Virtio 1.3 §2.7.13.1, §2.8",
        lie: "a chain without parts is asked for",
        verdict: Verdict::Refused("EmptyChain"),
        run: Run::Ring(any, |rig| refused(rig, &[], &[])),
    },
    Row {
        id: "R110",
        section: "Virtio 1.3 §2.7.13.1, §2.8.4",
        lie: "a part of no bytes is asked for, behind good ones",
        verdict: Verdict::Refused("EmptyPart"),
        run: Run::Ring(any, |rig| {
            refused(rig, &[part(0, 4), part(1, 4)], &[part(2, 4), part(3, 0)])
        }),
    },
    Row {
        id: "R111",
        section: "Virtio 1.3 §2.7.13, §2.8.17",
        lie: "a chain is asked for that does not fit into what is free",
        verdict: Verdict::Refused("Full"),
        run: Run::Ring(
            |mode| !mode.indirect,
            |rig| {
                // All but one descriptor are taken: of two parts not even the first may be shown.
                let held = busy(rig, u64::from(rig.size()) - 1);
                let rejected = rig.add(77, &[part(0, 4)], &[part(1, 4)]);
                let rejected = rejected.expect_err("no room");
                assert_eq!(rig.pop(), None);
                rig.finish(held[0].id, 0);
                assert_eq!(rig.complete_all(), [(0, 0)]);
                rig.add(77, &[part(0, 4)], &[part(1, 4)]).expect("room now");
                let _ = rig.publish();
                assert_eq!(rig.pop().map(|buffer| buffer.parts.len()), Some(2));
                Outcome::refused(&rejected.error)
            },
        ),
    },
    Row {
        id: "R112",
        section: "Virtio 1.3 §2.7.5.3.1, §2.8.19",
        lie: "an indirect table is asked for that was not negotiated",
        verdict: Verdict::Refused("IndirectNotNegotiated"),
        run: Run::Ring(
            |mode| !mode.indirect,
            |rig| {
                let mut table = rig.memory.lend(areas(rig)[0].0 + 0x1000, 64);
                let features = rig.mode.features();
                let own = IndirectChain::write(&mut table, features, [part(0, 4)], []);
                assert_eq!(own, Err(AddError::IndirectNotNegotiated));
                let features = features | Features::INDIRECT_DESC;
                let chain = IndirectChain::write(&mut table, features, [part(0, 4)], []);
                let rejected = rig.driver.add_indirect(77, chain.expect("a table"));
                let rejected = rejected.expect_err("not negotiated");
                traffic(rig, 20);
                Outcome::refused(&rejected.error)
            },
        ),
    },
    Row {
        id: "R113",
        section: "Virtio 1.3 §2.7.5.3, §2.8.7",
        lie: "a table is added that was written for the other ring format",
        verdict: Verdict::Refused("TableFormat"),
        run: Run::Ring(
            |mode| mode.indirect,
            |rig| {
                let mut table = rig.memory.lend(areas(rig)[0].0 + 0x1000, 64);
                let other = rig.mode.features() ^ Features::RING_PACKED;
                let chain = IndirectChain::write(&mut table, other, [part(0, 4)], []);
                let rejected = rig.driver.add_indirect(77, chain.expect("a table"));
                Outcome::refused(&rejected.expect_err("another format").error)
            },
        ),
    },
];
