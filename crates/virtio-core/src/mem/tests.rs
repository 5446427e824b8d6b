//! Tests of shared memory: nothing is reached outside the region, and what is written lies where the device looks.

mod order;

use std::vec::Vec;

use proptest::prelude::*;
use zerocopy::little_endian::{U16, U32, U64};

use super::{DeviceAddress, DeviceWord, DriverWord, Order, OutOfRegion, PackedMemory, SplitMemory};
use crate::ring::{Layout, Position};
use crate::spec::ring::Descriptor;
use crate::sync::Ordering;
use crate::testing::Memory;

const BASE: u64 = 0x8000;

fn memory() -> Memory {
    Memory::new(BASE, 0x4000)
}

#[test]
fn values_are_little_endian_at_any_offset() {
    let memory = memory();
    let mut region = memory.region(BASE + 3, 16);
    region.write(1, U32::new(0x0403_0201)).unwrap();
    assert_eq!(memory.bytes(BASE + 3, 6), [0xcc, 1, 2, 3, 4, 0xcc]);
    assert_eq!(region.read::<U16>(2).unwrap().get(), 0x0302);
    assert_eq!(region.read::<[u8; 3]>(3).unwrap(), [3, 4, 0xcc]);
}

#[test]
fn nothing_is_reached_past_the_end() {
    let memory = memory();
    let mut region = memory.region(BASE + 0x100, 8);
    for offset in [1, 7, 8, 9, usize::MAX - 7, usize::MAX] {
        assert_eq!(region.read::<U64>(offset).err(), Some(OutOfRegion));
        assert_eq!(region.write(offset, U64::new(u64::MAX)), Err(OutOfRegion));
        let pair = [U64::new(u64::MAX); 2];
        assert_eq!(region.write_descriptor(offset, pair), Err(OutOfRegion));
    }
    assert_eq!(region.write_descriptor(0, [U64::ZERO; 2]), Err(OutOfRegion));
    assert_eq!(memory.bytes(BASE + 0x100, 16), [0xcc; 16]);
    region.write(0, U64::ZERO).unwrap();
    assert_eq!(memory.bytes(BASE + 0xf8, 8), [0xcc; 8]);
    assert_eq!(
        memory.bytes(BASE + 0x100, 9),
        [0, 0, 0, 0, 0, 0, 0, 0, 0xcc]
    );
}

#[test]
fn parts_lie_inside() {
    let memory = memory();
    let region = memory.region(BASE + 8, 16);
    let part = region.part(12, 4).unwrap();
    assert_eq!((part.address, part.len), (DeviceAddress(BASE + 20), 4));
    assert_eq!(region.part(0, 16).unwrap().address, DeviceAddress(BASE + 8));
    for (offset, len) in [(12, 5), (0, 17), (16, 1), (17, 0), (usize::MAX, 1)] {
        assert_eq!(region.part(offset, len), Err(OutOfRegion));
    }
}

#[test]
fn region_is_cut_without_gap() {
    let memory = memory();
    for at in [0, 1, 5, 16] {
        let (head, mut tail) = memory.region(BASE, 16).split_at(at).unwrap();
        assert_eq!((head.len(), tail.len()), (at, 16 - at));
        assert_eq!(head.is_empty(), at == 0);
        assert_eq!(head.address(), DeviceAddress(BASE));
        assert_eq!(tail.address(), DeviceAddress(BASE + at as u64));
        tail.zero();
        let want: Vec<_> = (0..17)
            .map(|n| if n < at || n == 16 { 0xcc } else { 0 })
            .collect();
        assert_eq!(memory.bytes(BASE, 17), want);
        memory.poke(BASE, &[0xcc; 16]);
    }
    let whole = memory.region(BASE, 16).split_at(17).unwrap_err();
    assert_eq!(whole.len(), 16);
}

#[test]
fn alignment_counts_for_processor_and_device() {
    let memory = memory();
    assert!(memory.region(BASE, 1).is_aligned_to(4096));
    assert!(memory.region(BASE + 8, 1).is_aligned_to(8));
    assert!(!memory.region(BASE + 8, 1).is_aligned_to(16));
    assert!(!memory.region(BASE, 1).is_aligned_to(0));
    assert!(!memory.region(BASE, 1).is_aligned_to(3));
    // The memory starts on a page; here the device sees it elsewhere in the page.
    let shifted = Memory::new(BASE + 8, 0x1000);
    let region = shifted.region(BASE + 8, 8);
    assert!(!region.is_aligned_to(16));
    assert!(region.is_aligned_to(8));
}

#[test]
fn misaligned_descriptor_is_refused() {
    let memory = memory();
    let mut region = memory.region(BASE, 64);
    for offset in 1..8 {
        let pair = [U64::ZERO; 2];
        assert_eq!(region.write_descriptor(offset, pair), Err(OutOfRegion));
    }
    region
        .write_descriptor(8, [U64::new(1), U64::new(2)])
        .unwrap();
    assert_eq!(region.read::<U64>(16).unwrap().get(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 300 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Offsets are those of Virtio 1.3 §2.7.5, §2.7.6 and §2.7.8; nothing else changes, whatever the index.
    #[test]
    fn ring_memory_is_where_the_device_looks(log in 0..8_u32, index in any::<u16>(), value in any::<u16>()) {
        let size = 1_u16 << log;
        let layout = Layout::split(size).unwrap();
        let memory = memory();
        let ring = memory.region(BASE + 0x40, layout.len());
        let mut split = SplitMemory::new(ring, &layout).unwrap();
        let at = split.addresses();
        let mut want = memory.bytes(BASE, 0x4000);
        let mut put = |address: u64, bytes: &[u8]| {
            let offset = (address - BASE) as usize;
            want[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        let entry = u64::from(index % size);
        let word = u64::from(value);
        split.descriptors().write(index.into(), Descriptor {
            addr: U64::new(!word),
            len: U32::new(!u32::from(value)),
            flags: U16::new(value),
            next: U16::new(value ^ 4),
        });
        put(at.descriptor.0 + 16 * entry, &(!word).to_le_bytes());
        put(at.descriptor.0 + 16 * entry + 8, &(!u32::from(value)).to_le_bytes());
        put(at.descriptor.0 + 16 * entry + 12, &value.to_le_bytes());
        put(at.descriptor.0 + 16 * entry + 14, &(value ^ 4).to_le_bytes());
        split.write_available(index, value);
        put(at.driver.0 + 4 + 2 * entry, &value.to_le_bytes());
        split.store(DriverWord::Flags, value ^ 1, Ordering::Relaxed);
        put(at.driver.0, &(value ^ 1).to_le_bytes());
        split.store(DriverWord::Idx, value ^ 2, Ordering::Release);
        put(at.driver.0 + 2, &(value ^ 2).to_le_bytes());
        split.store(DriverWord::UsedEvent, value ^ 3, Ordering::Relaxed);
        put(at.driver.0 + 4 + 2 * u64::from(size), &(value ^ 3).to_le_bytes());
        prop_assert!(memory.bytes(BASE, 0x4000) == want, "something else changed");

        let poke = |address: u64, bytes: &[u8]| memory.poke(address, bytes);
        poke(at.device.0, &7_u16.to_le_bytes());
        poke(at.device.0 + 2, &8_u16.to_le_bytes());
        poke(at.device.0 + 4 + 8 * entry, &0x0403_0201_u32.to_le_bytes());
        poke(at.device.0 + 8 + 8 * entry, &0x0807_0605_u32.to_le_bytes());
        poke(at.device.0 + 4 + 8 * u64::from(size), &9_u16.to_le_bytes());
        prop_assert_eq!(split.load(DeviceWord::Flags, Ordering::Relaxed), 7);
        prop_assert_eq!(split.load(DeviceWord::Idx, Ordering::Acquire), 8);
        prop_assert_eq!(split.load(DeviceWord::AvailEvent, Ordering::Relaxed), 9);
        prop_assert_eq!(split.read_used(index).map(U32::get), [0x0403_0201, 0x0807_0605]);
        let back = split.into_region();
        prop_assert_eq!((back.len(), back.address().0), (layout.len(), BASE + 0x40));
    }

    /// Offsets are those of Virtio 1.3 §2.8.13 and §2.8.14; nothing else changes, whatever the index.
    #[test]
    fn packed_memory_is_where_the_device_looks(size in 1..300_u16, index in any::<u16>(), value in any::<u16>()) {
        let layout = Layout::packed(size).unwrap();
        let memory = memory();
        let ring = memory.region(BASE + 0x40, layout.len());
        let mut packed = PackedMemory::new(ring, &layout).unwrap();
        let at = packed.addresses();
        prop_assert!(at.driver.0 >= at.descriptor.0 + 16 * u64::from(size));
        prop_assert!(at.device.0 + 4 <= at.descriptor.0 + layout.len() as u64);
        let mut want = memory.bytes(BASE, 0x4000);
        let mut put = |address: u64, bytes: &[u8]| {
            let offset = (address - BASE) as usize;
            want[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        let place = index % size;
        for before in 0..place {
            let mut writer = packed.writer(before);
            writer.write(DeviceAddress(u64::from(before)), 7, 2);
            writer.finish();
            let descriptor = at.descriptor.0 + 16 * u64::from(before);
            put(descriptor, &u64::from(before).to_le_bytes());
            put(descriptor + 8, &7_u32.to_le_bytes());
            put(descriptor + 12, &before.to_le_bytes());
            put(descriptor + 14, &0x82_u16.to_le_bytes());
        }
        let descriptor = at.descriptor.0 + 16 * u64::from(place);
        let mut writer = packed.writer(value);
        writer.write_unseen(DeviceAddress(!u64::from(value)), !u32::from(value), 1);
        writer.finish();
        put(descriptor, &(!u64::from(value)).to_le_bytes());
        put(descriptor + 8, &(!u32::from(value)).to_le_bytes());
        put(descriptor + 12, &value.to_le_bytes());
        prop_assert_eq!(memory.bytes(descriptor + 14, 2), [0, 0], "flags come last");
        prop_assert_eq!(packed.pending(), (1, place + 1 < size));
        packed.show(Ordering::Release);
        put(descriptor + 14, &0x81_u16.to_le_bytes());
        packed.store_event(0x1234_0000 | u32::from(value), Ordering::Relaxed);
        put(at.driver.0, &value.to_le_bytes());
        put(at.driver.0 + 2, &[0x34, 0x12]);
        prop_assert!(memory.bytes(BASE, 0x4000) == want, "something else changed");

        let poke = |address: u64, bytes: &[u8]| memory.poke(address, bytes);
        poke(descriptor + 8, &0x0403_0201_u32.to_le_bytes());
        poke(descriptor + 12, &0x0605_u16.to_le_bytes());
        poke(descriptor + 14, &0x8780_u16.to_le_bytes());
        poke(at.device.0, &0x0a09_0b0c_u32.to_le_bytes());
        let _ = packed.took(place);
        prop_assert!(packed.is_used(packed.used_place()));
        prop_assert_eq!(packed.used(Order::Platform), Some((0x0605, 0x0403_0201, 0x8780)));
        poke(descriptor + 14, &0x0700_u16.to_le_bytes());
        prop_assert_eq!(packed.used(Order::Processors), None, "used in the lap before");
        prop_assert!(!packed.is_used(packed.used_place()));
        prop_assert_eq!(packed.load_event(Ordering::Relaxed), 0x0a09_0b0c);
        let back = packed.into_region();
        prop_assert_eq!((back.len(), back.address().0), (layout.len(), BASE + 0x40));
    }
}

#[test]
fn abandoned_buffer_leaves_stale_descriptors_across_the_end() {
    const SIZE: u16 = 3;
    let layout = Layout::packed(SIZE).unwrap();
    let memory = memory();
    let ring = memory.region(BASE + 0x40, layout.len());
    let mut packed = PackedMemory::new(ring, &layout).unwrap();
    let mut place = Position::START;
    for _ in 0..3 * SIZE {
        for written in 1..SIZE {
            let mut writer = packed.writer(7);
            for _ in 0..written {
                writer.write(DeviceAddress(0), 1, 0);
            }
            drop(writer);
            assert_eq!(packed.next_avail_bits(), place.bits());
            let mut at = place;
            for _ in 0..written {
                let flags = BASE + 0x40 + 16 * u64::from(at.index()) + 14;
                let stale = at.stale().to_le_bytes();
                assert_eq!(memory.bytes(flags, 2), stale, "{written} from {place:?}");
                at = at.advance(1, SIZE);
            }
        }
        let mut writer = packed.writer(7);
        writer.write(DeviceAddress(0), 1, 0);
        writer.finish();
        place = place.advance(1, SIZE);
    }
}

#[test]
fn a_buffer_that_is_written_alone_lies_where_others_would() {
    for size in [1, 2, 3, 5] {
        let layout = Layout::packed(size).unwrap();
        let memory = memory();
        let ring = memory.region(BASE + 0x40, layout.len());
        let mut packed = PackedMemory::new(ring, &layout).unwrap();
        let mut place = Position::START;
        for id in 0..5 * size {
            let at = BASE + 0x40 + 16 * u64::from(place.index());
            let before = memory.bytes(at + 14, 2);
            let mut want = (u64::from(id) << 40).to_le_bytes().to_vec();
            want.extend(48_u32.to_le_bytes());
            want.extend(id.to_le_bytes());
            let descriptor = (DeviceAddress(u64::from(id) << 40), 48, 4);
            let alone = packed.put_alone(id, descriptor, Ordering::Release, || {
                assert_eq!(memory.bytes(at, 14), want, "size {size}");
                assert_eq!(memory.bytes(at + 14, 2), before, "flags come last");
            });
            assert_eq!(alone.bits(), place.bits(), "size {size}");
            let flags = (place.available() | 4).to_le_bytes();
            assert_eq!(memory.bytes(at + 14, 2), flags, "size {size}");
            place = place.advance(1, size);
            assert_eq!(alone.behind(), place.bits(), "size {size}");
            assert_eq!(packed.next_avail_bits(), place.bits(), "size {size}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "arithmetic; takes minutes there")]
fn packed_places_go_as_positions_do() {
    for size in [1, 2, 3, 5, 8, 13, 150] {
        let layout = Layout::packed(size).unwrap();
        let memory = memory();
        let ring = memory.region(BASE + 0x40, layout.len());
        let mut packed = PackedMemory::new(ring, &layout).unwrap();
        let (mut avail, mut used) = (Position::START, Position::START);
        for step in 0..3 * u32::from(size) * u32::from(size) {
            let count = (step % u32::from(size)) as u16 + 1;
            let mut writer = packed.writer(0);
            for _ in 0..count {
                writer.write(DeviceAddress(0), 1, 0);
            }
            if step % 3 == 0 {
                drop(writer);
                assert_eq!(packed.next_avail_bits(), avail.bits(), "size {size}");
                continue;
            }
            writer.finish();
            let took = packed.took(count);
            (avail, used) = (avail.advance(count, size), used.advance(count, size));
            assert_eq!(packed.next_avail_bits(), avail.bits(), "size {size}");
            assert_eq!(packed.used_place().position(), used, "size {size}");
            assert_eq!(took.bits as u16, used.bits(), "size {size}");
            assert_eq!(packed.used_place().position(), used, "size {size}");
        }
        // More than a ring can hold leaves the place inside.
        let _ = packed.took(u16::MAX);
        assert!(packed.used_place().position().index() < size);
    }
}
