//! What is no chain is refused, with the token handed back and nothing changed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ring_rig::{GuestMemory, Mode, Rig, part};
use virtio_core::ring::{AddError, IndirectChain, Part};
use virtio_core::spec::features::Features;

#[test]
fn chains_that_are_none_are_refused() {
    for mode in Mode::all() {
        let mut rig = Rig::new(mode, 8);
        let huge = Part::new(GuestMemory::address(0), u32::MAX);
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
            assert!(!rig.publish());
            assert_eq!(rig.pop(), None, "{mode:?}: a refused chain was shown");
        }
        // The longest legal ones pass.
        rig.add(1, &[huge], &[]).unwrap();
        rig.add(2, &[], &[huge]).unwrap();
        assert!(rig.publish());
        assert_eq!(rig.pop_all().len(), 2);
        let _ = rig.end();
    }
}

#[test]
fn chain_is_at_most_as_long_as_the_queue() {
    for mode in Mode::all() {
        for size in [1_u16, 2, 5, 7, 8] {
            if !mode.sizes().contains(&size) {
                continue;
            }
            let mut rig = Rig::new(mode, size);
            let count = usize::from(size);
            let parts: Vec<_> = (0..=u64::from(size)).map(|n| part(n, 4)).collect();
            for readable in 0..=count + 1 {
                let (readable, writable) = parts.split_at(readable);
                let rejected = rig.add(3, readable, writable).unwrap_err();
                let want = AddError::ChainTooLong {
                    parts: count + 1,
                    max: size,
                };
                assert_eq!(rejected.error, want, "{mode:?}");
            }
            rig.add(4, &parts[..1], &parts[1..count]).unwrap();
            let _ = rig.publish();
            assert_eq!(rig.pop().unwrap().parts.len(), count);
            // What fits the queue but not what is left of it can be tried again; an indirect chain has room.
            let again = rig.add(5, &parts[..1], &[]);
            assert_eq!(again.is_ok(), mode.indirect && size > 1);
            if let Err(rejected) = again {
                assert_eq!(rejected.error, AddError::Full);
            }
            let _ = rig.end();
        }
    }
}

#[test]
fn table_has_to_hold_the_chain_and_be_aligned() {
    for mode in Mode::judged().into_iter().filter(|mode| mode.indirect) {
        let rig = Rig::new(mode, 8);
        let at = rig.driver.addresses().descriptor.get() + 0x1000;
        let parts = [part(0, 4), part(1, 4), part(2, 4)];
        for (len, entries) in [(0, 0), (15, 0), (16, 1), (47, 2)] {
            let mut table = rig.memory.lend(at, len);
            let error = IndirectChain::write(&mut table, mode.features(), parts, []).unwrap_err();
            assert_eq!(error, AddError::TableTooSmall { parts: 3, entries });
        }
        let mut table = rig.memory.lend(at + 4, 64);
        let error = IndirectChain::write(&mut table, mode.features(), parts, []).unwrap_err();
        assert_eq!(error, AddError::TableMisaligned);
        let mut table = rig.memory.lend(at, 48);
        let chain = IndirectChain::write(&mut table, mode.features(), parts, []).unwrap();
        assert_eq!(chain.parts(), 3);
    }
}

#[test]
fn indirect_needs_the_feature() {
    // Virtio 1.3 §2.7.5.3.1, §2.8.19
    for mode in Mode::judged().into_iter().filter(|mode| !mode.indirect) {
        let mut rig = Rig::new(mode, 8);
        let at = rig.driver.addresses().descriptor.get() + 0x1000;
        let mut table = rig.memory.lend(at, 64);
        let without = IndirectChain::write(&mut table, mode.features(), [part(0, 4)], []);
        assert_eq!(without, Err(AddError::IndirectNotNegotiated));
        let features = mode.features() | Features::INDIRECT_DESC;
        let with = IndirectChain::write(&mut table, features, [part(0, 4)], []).unwrap();
        let rejected = rig.driver.add_indirect(1, with).unwrap_err();
        assert_eq!(
            (rejected.token, rejected.error),
            (1, AddError::IndirectNotNegotiated)
        );
        assert_eq!(rig.driver.free(), 8);
    }
}

#[test]
fn table_of_the_other_format_is_refused() {
    for mode in Mode::judged().into_iter().filter(|mode| mode.indirect) {
        let mut rig = Rig::new(mode, 8);
        let at = rig.driver.addresses().descriptor.get() + 0x1000;
        let mut table = rig.memory.lend(at, 64);
        let other = mode.features() ^ Features::RING_PACKED;
        let chain = IndirectChain::write(&mut table, other, [part(0, 4)], [part(1, 4)]).unwrap();
        let rejected = rig.driver.add_indirect(1, chain).unwrap_err();
        assert_eq!(
            (rejected.token, rejected.error),
            (1, AddError::TableFormat),
            "{mode:?}"
        );
        assert_eq!(rig.driver.free(), 8);
    }
}

#[test]
fn abandoned_chain_leaves_nothing_behind() {
    // A caller's iterator that panics, caught further up, where the ring begins, in its middle and at its end; also behind a
    // buffer that waits to be published.
    for mode in Mode::judged().into_iter().filter(|mode| !mode.indirect) {
        for (before, pending) in (0..4).flat_map(|before| [(before, false), (before, true)]) {
            let mut rig = Rig::new(mode, 4);
            let round = |rig: &mut Rig, token| {
                let _ = rig.publish();
                let buffer = rig.pop().unwrap();
                assert_eq!(rig.pop(), None, "{mode:?}: one was added");
                rig.finish(buffer.id, 0);
                assert_eq!(rig.complete_all(), [(token, 0)], "{mode:?}");
            };
            for token in 0..before {
                rig.add(token, &[part(0, 4)], &[]).unwrap();
                round(&mut rig, token);
            }
            if pending {
                rig.add(8, &[part(1, 4)], &[]).unwrap();
            }
            let parts = [part(2, 4), part(3, 4), part(4, 4)];
            let parts = parts.into_iter().take(if pending { 2 } else { 3 });
            let broken = parts.chain(std::iter::from_fn(|| panic!("no more parts")));
            let adding = AssertUnwindSafe(|| rig.driver.add_direct(9, broken, []));
            assert!(catch_unwind(adding).is_err());
            if pending {
                round(&mut rig, 8);
            }
            for token in 10..20 {
                rig.add(token, &[part(0, 4)], &[part(1, 4)]).unwrap();
                round(&mut rig, token);
            }
            let _ = rig.end();
        }
    }
}
