//! Chains arrive as they were added, and not before they were published.

use ring_rig::{GuestMemory, Mode, Rig, part};
use virtio_core::mem::DmaRegion;
use virtio_core::ring::{AddError, Flow, Framed, IndirectChain, Part};
use virtio_core::spec::features::Features;

use crate::{each, largest};

/// What the device has to see of parts.
fn seen(readable: &[Part], writable: &[Part]) -> Vec<ring_device::Part> {
    let part = |part: &Part, writable| ring_device::Part {
        address: part.address.get(),
        len: part.len,
        writable,
    };
    let readable = readable.iter().map(|one| part(one, false));
    let writable = writable.iter().map(|one| part(one, true));
    readable.chain(writable).collect()
}

#[test]
fn device_sees_the_parts_in_order_readable_first() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        // More chains than descriptors, so that chains also lie across the end of the ring.
        for round in 0..8 {
            for (readable, writable) in [(1, 1), (1, 0), (0, 1), (2, 0), (0, 2), (1, 3), (3, 1)] {
                if readable + writable > u64::from(size) {
                    continue;
                }
                let reads: Vec<_> = (0..readable).map(|n| part(n, 16 + n as u32)).collect();
                let writes: Vec<_> = (0..writable).map(|n| part(round + n, 512)).collect();
                rig.add(7, &reads, &writes).unwrap();
                assert_eq!(rig.pop(), None, "{mode:?}: shown before it was published");
                let _ = rig.publish();
                let buffer = rig.pop().unwrap();
                assert_eq!(buffer.parts, seen(&reads, &writes), "{mode:?} size {size}");
                assert_eq!(
                    buffer.table.is_some(),
                    mode.indirect && buffer.descriptors > 0
                );
                rig.finish(buffer.id, 0);
                assert_eq!(rig.complete_all(), [(7, 0)]);
                assert_eq!(rig.driver.free(), size);
            }
        }
        let _ = rig.end();
    });
}

#[test]
fn parts_in_an_array_are_the_same_chain() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        let parts = [part(1, 16), part(2, 4096), part(3, 1)];
        for _ in 0..8 {
            for readable in 0..=parts.len() {
                if parts.len() > usize::from(size) {
                    assert!(rig.submit_few(7, parts, readable).is_err());
                    continue;
                }
                let _ = rig.submit_few(7, parts, readable).unwrap();
                let buffer = rig.pop().unwrap();
                let (reads, writes) = parts.split_at(readable);
                assert_eq!(buffer.parts, seen(reads, writes), "{mode:?} size {size}");
                let written = writes.iter().map(|part| part.len).sum();
                rig.finish(buffer.id, written);
                assert_eq!(rig.complete_all(), [(7, written)]);
                assert_eq!(rig.driver.free(), size);
            }
        }
        let _ = rig.end();
    });
}

#[test]
fn a_framed_table_is_what_any_table_of_its_parts_is() {
    const MOST: u32 = 1 << 20;
    let memory = Rig::new(Mode::all()[0], 1).memory;
    let start = GuestMemory::START;
    let split = Features::VERSION_1.union(Features::INDIRECT_DESC);
    for features in [split, split.union(Features::RING_PACKED)] {
        let framed = Framed::<16, 1>::new(features, MOST);
        for flow in [Flow::FromDevice, Flow::ToDevice] {
            assert!(framed.data(flow, 0).is_none());
            assert!(framed.data(flow, MOST + 1).is_none());
            for len in [1, 512, 4096, MOST] {
                let data = Part::new(part(1, 1).address, len);
                let parts = [part(0, 16), data, part(2, 1)];
                let (reads, writes) = parts.split_at(if flow == Flow::ToDevice { 2 } else { 1 });
                let (reads, writes) = (reads.iter().copied(), writes.iter().copied());
                let seen = |region: &DmaRegion| -> [u8; 64] { region.read(0).unwrap() };
                let mut any = memory.lend(start, 64);
                any.zero();
                let written = IndirectChain::write(&mut any, features, reads, writes);
                let before = seen(&any);
                any.zero();
                let mut table = memory.lend_table(start).unwrap();
                let described = framed.data(flow, len).unwrap();
                let bytes = if flow == Flow::ToDevice { 0 } else { len };
                assert_eq!(described.written(), bytes);
                let addresses = parts.map(|part| part.address);
                let chain = framed.write(&mut table, addresses, described);
                assert_eq!(Ok(chain), written, "{features:?} {flow:?} {len}");
                assert_eq!(seen(&any), before, "{features:?} {flow:?} {len}");
            }
        }
        // The lengths of a chain have 32 bits together.
        let any = Framed::<16, 1>::new(features, u32::MAX);
        assert!(any.data(Flow::ToDevice, i32::MAX as u32).is_some());
        assert!(any.data(Flow::ToDevice, i32::MAX as u32 + 1).is_none());
    }
    let none = Framed::<16, 1>::new(Features::VERSION_1, MOST);
    assert!(none.data(Flow::FromDevice, 512).is_none());
    for off in 1..16 {
        assert!(memory.lend_table::<3>(start + off).is_none(), "{off}");
    }
}

#[test]
fn what_is_sent_at_once_takes_what_was_added_before_along() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        if rig.depth(1) < 2 {
            return;
        }
        for round in 0..2 * u64::from(size) {
            rig.add(1, &[part(round, 8)], &[]).unwrap();
            assert_eq!(rig.driver.in_flight(), 0);
            let _ = rig.submit(2);
            assert_eq!(rig.driver.in_flight(), 2, "{mode:?} size {size}");
            for buffer in rig.pop_all() {
                rig.finish(buffer.id, 0);
            }
            assert_eq!(rig.complete_all(), [(1, 0), (2, 0)]);
        }
        // What there is no room for is given back, and nothing is shown.
        let depth = u64::from(rig.depth(1));
        for token in 0..depth {
            rig.add(token, &[part(token, 8)], &[]).unwrap();
        }
        let rejected = rig.submit_few(depth, [part(0, 8)], 0).unwrap_err();
        assert_eq!((rejected.token, rejected.error), (depth, AddError::Full));
        assert_eq!((rig.driver.in_flight(), rig.pop()), (0, None));
        let _ = rig.publish();
        assert_eq!(u64::from(rig.driver.in_flight()), depth);
        let _ = rig.end();
    });
}

#[test]
fn batch_is_shown_whole_by_one_publish() {
    each(|mode, size| {
        let mut rig = Rig::new(mode, size);
        for round in 0..5 {
            assert!(!rig.device.request_notification().unwrap());
            let depth = u64::from(rig.depth(2));
            for token in 0..depth {
                rig.add(token, &[part(token, 8)], &[part(round, 8)])
                    .unwrap();
                assert_eq!(rig.pop(), None, "{mode:?}");
                assert_eq!(
                    rig.driver.in_flight(),
                    0,
                    "nothing is in flight before publish"
                );
            }
            assert_eq!(rig.publish(), depth > 0);
            assert_eq!(u64::from(rig.driver.in_flight()), depth);
            let buffers = rig.pop_all();
            let first: Vec<_> = buffers
                .iter()
                .map(|buffer| buffer.parts[0].address)
                .collect();
            let want: Vec<_> = (0..depth).map(|n| part(n, 8).address.get()).collect();
            assert_eq!(first, want, "{mode:?} size {size}");
            assert!(!rig.publish(), "nothing new to tell");
            for buffer in buffers {
                rig.finish(buffer.id, 8);
            }
            assert_eq!(rig.complete_all().len() as u64, depth);
        }
        let _ = rig.end();
    });
}

#[test]
fn full_queue_refuses_and_recovers() {
    let test = |mode: Mode, size| {
        let mut rig = Rig::new(mode, size);
        let mut token = 0;
        let refused = loop {
            match rig.add(token, &[part(token, 4)], &[]) {
                Ok(()) => token += 1,
                Err(rejected) => break rejected,
            }
        };
        assert_eq!((refused.token, refused.error), (token, AddError::Full));
        assert_eq!((token, rig.driver.free()), (u64::from(size), 0));
        assert!(rig.publish());
        let buffers = rig.pop_all();
        assert_eq!(buffers.len(), usize::from(size));
        assert_eq!(rig.completed(), Ok(None));
        // Room for one, by one at a time.
        for (n, buffer) in buffers.iter().enumerate().take(20) {
            rig.finish(buffer.id, 0);
            assert_eq!(rig.complete_all(), [(n as u64, 0)]);
            assert_eq!(rig.driver.free(), 1);
            rig.submit(token + n as u64);
            assert_eq!(
                rig.add(9999, &[], &[part(0, 1)]).unwrap_err().error,
                AddError::Full
            );
        }
        let _ = rig.end();
    };
    each(test);
    largest(test);
}

#[test]
fn chain_as_long_as_the_queue_fits() {
    for mode in Mode::all() {
        for size in [1_u16, 2, 3, 5, 7, 8] {
            if !mode.sizes().contains(&size) {
                continue;
            }
            let mut rig = Rig::new(mode, size);
            let parts: Vec<_> = (0..u64::from(size)).map(|n| part(n, 4)).collect();
            for readable in 0..=usize::from(size) {
                let (readable, writable) = parts.split_at(readable);
                rig.add(1, readable, writable).unwrap();
                let _ = rig.publish();
                let buffer = rig.pop().unwrap();
                assert_eq!(
                    buffer.parts,
                    seen(readable, writable),
                    "{mode:?} size {size}"
                );
                rig.finish(buffer.id, 4 * writable.len() as u32);
                assert_eq!(rig.complete_all(), [(1, 4 * writable.len() as u32)]);
            }
            let _ = rig.end();
        }
    }
}

#[test]
fn direct_and_indirect_chains_share_a_ring() {
    // Virtio 1.3 §2.8.5: each list of one kind only, both kinds in one ring.
    for mode in Mode::all().into_iter().filter(|mode| mode.indirect) {
        let mut rig = Rig::new(mode, 8);
        for round in 0..40_u64 {
            rig.add(0, &[part(1, 8)], &[part(2, 8)]).unwrap();
            let direct = [part(3, 8), part(4, 8)];
            let added = rig
                .driver
                .add_direct(1, direct, [part(5, 8 + round as u32)]);
            added.unwrap();
            let _ = rig.publish();
            let buffers = rig.pop_all();
            let lengths: Vec<_> = buffers.iter().map(|buffer| buffer.parts.len()).collect();
            assert_eq!(lengths, [2, 3]);
            for buffer in &buffers {
                rig.finish(buffer.id, 8);
            }
            assert_eq!(rig.completed(), Ok(Some((0, 8))));
            let done = rig.driver.completed().unwrap().unwrap();
            assert_eq!((done.token, done.written), (1, 8));
            assert_eq!(rig.driver.free(), 8);
        }
        let _ = rig.end();
    }
}

#[test]
fn table_is_written_before_the_lock_and_used_after_it() {
    for mode in Mode::all().into_iter().filter(|mode| mode.indirect) {
        let mut rig = Rig::new(mode, 4);
        let address = rig.driver.addresses().descriptor.get() + 0x2000;
        let mut table = rig.memory.lend(address, 64);
        let parts = [part(0, 4), part(1, 4), part(2, 4)];
        let chain = IndirectChain::write(&mut table, mode.features(), parts, [part(3, 1)]).unwrap();
        assert_eq!(chain.parts(), 4);
        rig.driver.add_indirect(5, chain).unwrap();
        let _ = rig.publish();
        let buffer = rig.pop().unwrap();
        assert_eq!(buffer.parts, seen(&parts, &[part(3, 1)]));
        rig.finish(buffer.id, 1);
        assert_eq!(
            rig.driver.completed().unwrap().map(|done| done.token),
            Some(5)
        );
    }
}
