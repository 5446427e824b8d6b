//! The memory of a split ring, reached by index and never by address. // Virtio 1.3 §2.7
//!
//! Ring positions count modulo the queue size, a power of two. Taking every index modulo the size makes each access land
//! inside its array, without a check that could fail.
#![expect(
    unsafe_code,
    reason = "raw access to memory that the device shares; every index is taken modulo the array's length"
)]

use core::marker::PhantomData;
use core::ptr::NonNull;

use zerocopy::little_endian::U32;

use super::{DeviceAddress, DmaRegion, access, write_fields};
use crate::ring::{Layout, RingAddresses};
use crate::spec::ring::Descriptor;
use crate::sync::Ordering;

/// A word of the available ring beside its entries, as an index into it. // Virtio 1.3 §2.7.6
#[derive(Clone, Copy, Debug)]
pub(crate) enum DriverWord {
    Flags,
    Idx,
    UsedEvent,
}

/// A word of the used ring beside its entries. // Virtio 1.3 §2.7.8
#[derive(Clone, Copy, Debug)]
pub(crate) enum DeviceWord {
    Flags,
    Idx,
    AvailEvent,
}

/// Words before the first entry, in either ring: flags and idx.
const HEAD: usize = 2;

/// A split ring's memory. The driver writes descriptors and available ring, and only reads the used ring.
#[derive(Debug)]
pub(crate) struct SplitMemory {
    region: DmaRegion,
    /// Start of the descriptor table, of `mask + 1` entries, aligned as the ring is.
    descriptors: NonNull<Descriptor>,
    /// Start of the available ring: two words, `mask + 1` entries of one word, one word.
    driver: NonNull<u16>,
    /// Start of the used ring: two 16-bit words, `mask + 1` entries of four such words, one word.
    device: NonNull<u16>,
    /// Queue size less one.
    mask: usize,
}

// SAFETY: the pointers lead into the region only, which is the only processor-side way to its memory and bound to no thread.
unsafe impl Send for SplitMemory {}

impl SplitMemory {
    /// Lays a ring into a region and zeroes it, or gives the region back if it is too small or misaligned.
    pub(crate) fn new(mut region: DmaRegion, layout: &Layout) -> Result<Self, DmaRegion> {
        if region.len() < layout.len() || !region.is_aligned_to(layout.align()) {
            return Err(region);
        }
        // Descriptors, indices and flags all start at 0. // Virtio 1.3 §2.7.10.1, §4.1.5.1.3
        region.zero();
        let base = region.base;
        // SAFETY: the layout's parts follow each other within its length, which the region has.
        let driver = unsafe { base.add(layout.driver()) };
        // SAFETY: as above.
        let device = unsafe { base.add(layout.device()) };
        Ok(Self {
            region,
            descriptors: base.cast(),
            driver: driver.cast(),
            device: device.cast(),
            mask: usize::from(layout.size()).wrapping_sub(1),
        })
    }

    /// The region again, with whatever lies in it.
    pub(crate) fn into_region(self) -> DmaRegion {
        self.region
    }

    /// Where the device sees the three parts.
    pub(crate) fn addresses(&self) -> RingAddresses {
        let start = self.descriptors.addr().get();
        // All parts lie in the region, so that no difference and no sum wraps.
        let at = |part: NonNull<u16>| {
            let offset = part.addr().get().wrapping_sub(start);
            DeviceAddress(self.region.address().0.wrapping_add(offset as u64))
        };
        RingAddresses {
            descriptor: self.region.address(),
            driver: at(self.driver),
            device: at(self.device),
        }
    }

    /// The descriptors, to be written.
    #[inline(always)]
    pub(crate) fn descriptors(&mut self) -> SplitDescriptors<'_> {
        SplitDescriptors {
            start: self.descriptors,
            mask: self.mask,
            _memory: PhantomData,
        }
    }

    /// Writes the available ring's entry for `position`.
    #[inline(always)]
    pub(crate) fn write_available(&mut self, position: u16, head: u16) {
        let entry = HEAD.wrapping_add(usize::from(position) & self.mask);
        // SAFETY: entry `position & mask` lies in the available ring (invariant of `driver`).
        let at = unsafe { self.driver.add(entry) };
        // SAFETY: as above; the region is aligned, writable and has no other processor-side user (contract of its `new`).
        unsafe { access::write(at, head.to_le()) };
    }

    /// Reads the used ring's entry for `position`, each word once.
    #[inline(always)]
    pub(crate) fn read_used(&self, position: u16) -> [U32; 2] {
        let entry = (usize::from(position) & self.mask).wrapping_mul(4);
        // SAFETY: entry `position & mask` lies in the used ring (invariant of `device`).
        let at = unsafe { self.device.add(HEAD.wrapping_add(entry)) };
        let at = at.cast::<u32>();
        // SAFETY: as above; the entry lies 4 bytes past an aligned start; the region is readable (contract of its `new`).
        let first = unsafe { access::read(at) };
        // SAFETY: the entry has two words.
        let at = unsafe { at.add(1) };
        // SAFETY: as for the first word.
        let second = unsafe { access::read(at) };
        [first, second].map(|word| U32::from_bytes(word.to_ne_bytes()))
    }

    /// Stores a word of the available ring.
    #[inline(always)]
    pub(crate) fn store(&mut self, word: DriverWord, value: u16, order: Ordering) {
        let index = match word {
            DriverWord::Flags => 0,
            DriverWord::Idx => 1,
            DriverWord::UsedEvent => self.mask.wrapping_add(1).wrapping_add(HEAD),
        };
        // SAFETY: all three words lie in the available ring (invariant of `driver`).
        let at = unsafe { self.driver.add(index) };
        // SAFETY: as above; aligned; the processor's side uses these words by atomics only.
        unsafe { access::store16(at, value.to_le(), order) };
    }

    /// Loads a word of the used ring.
    #[inline(always)]
    pub(crate) fn load(&self, word: DeviceWord, order: Ordering) -> u16 {
        let index = match word {
            DeviceWord::Flags => 0,
            DeviceWord::Idx => 1,
            DeviceWord::AvailEvent => self.mask.wrapping_add(1).wrapping_mul(4).wrapping_add(HEAD),
        };
        // SAFETY: all three words lie in the used ring (invariant of `device`).
        let at = unsafe { self.device.add(index) };
        // SAFETY: as above; aligned; the processor's side uses these words by atomics only.
        u16::from_le(unsafe { access::load16(at, order) })
    }
}

/// The descriptors of a split ring. A copy of where they lie, so that it need not be looked up again for each of them.
#[derive(Debug)]
pub(crate) struct SplitDescriptors<'a> {
    start: NonNull<Descriptor>,
    mask: usize,
    _memory: PhantomData<&'a mut SplitMemory>,
}

impl SplitDescriptors<'_> {
    /// Writes a descriptor, field by field: a volatile access to a structure would be compiled through the stack.
    #[inline(always)]
    pub(crate) fn write(&mut self, index: u32, descriptor: Descriptor) {
        let entry = index as usize & self.mask;
        // SAFETY: entry `index & mask` lies in the table (invariant of `SplitMemory::descriptors`).
        let at = unsafe { self.start.add(entry) };
        write_fields!(
            at,
            descriptor,
            Descriptor {
                addr: u64,
                len: u32,
                flags: u16,
                next: u16
            }
        );
    }
}
