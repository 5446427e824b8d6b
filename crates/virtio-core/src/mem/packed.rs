//! The memory of a packed ring, reached by index and never by address. // Virtio 1.3 §2.8
//!
//! A ring has any size, so an index cannot be masked: one past the end is taken for the last descriptor, which makes each
//! access land inside its array without a check that could fail. Callers count within the ring and never see that.
#![expect(
    unsafe_code,
    reason = "raw access to memory that the device shares; every index is held inside the array"
)]

use core::mem::offset_of;
use core::ptr::NonNull;

use zerocopy::little_endian::U64;
use zerocopy::transmute;

use super::{DeviceAddress, DmaRegion, access};
use crate::ring::{Layout, RingAddresses};
use crate::spec::ring::PackedDescriptor;
use crate::sync::Ordering;

/// A packed ring's memory. Both sides write the descriptors; the driver writes its own event suppression structure and
/// reads the device's.
#[derive(Debug)]
pub(crate) struct PackedMemory {
    region: DmaRegion,
    /// Start of the descriptor ring: `last + 1` entries of two 64-bit words.
    descriptors: NonNull<u64>,
    /// Driver event suppression.
    driver: NonNull<u32>,
    /// Device event suppression.
    device: NonNull<u32>,
    /// Queue size less one.
    last: u16,
}

// SAFETY: the pointers lead into the region only, which is the only processor-side way to its memory and bound to no thread.
unsafe impl Send for PackedMemory {}

/// Offsets of a descriptor's fields, in bytes.
const ADDR: usize = offset_of!(PackedDescriptor, addr);
const LEN: usize = offset_of!(PackedDescriptor, len);
const ID: usize = offset_of!(PackedDescriptor, id);
const FLAGS: usize = offset_of!(PackedDescriptor, flags);

impl PackedMemory {
    /// Lays a ring into a region and zeroes it, or gives the region back if it is too small or misaligned.
    pub(crate) fn new(mut region: DmaRegion, layout: &Layout) -> Result<Self, DmaRegion> {
        if region.len() < layout.len() || !region.is_aligned_to(layout.align()) {
            return Err(region);
        }
        // Virtio 1.3 §2.8.13: the descriptor ring is zero-initialized.
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
            last: layout.size().wrapping_sub(1),
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
        let at = |part: NonNull<u32>| {
            let offset = part.addr().get().wrapping_sub(start);
            DeviceAddress(self.region.address().0.wrapping_add(offset as u64))
        };
        RingAddresses {
            descriptor: self.region.address(),
            driver: at(self.driver),
            device: at(self.device),
        }
    }

    /// Queue size.
    #[inline(always)]
    pub(crate) const fn size(&self) -> u16 {
        self.last.wrapping_add(1)
    }

    /// A word of a descriptor, `offset` bytes into it.
    #[inline(always)]
    fn word<W>(&self, index: u16, offset: usize) -> NonNull<W> {
        let entry = usize::from(index.min(self.last)).wrapping_mul(size_of::<PackedDescriptor>());
        // SAFETY: entry `min(index, last)` lies in the ring (invariant of `descriptors`), and the callers name a field of it.
        unsafe { self.descriptors.byte_add(entry.wrapping_add(offset)) }.cast()
    }

    /// Writes a descriptor that the device does not look at yet: two words and not a structure, because a volatile access
    /// to a structure is compiled field by field and through the stack.
    #[inline(always)]
    pub(crate) fn write_descriptor(&mut self, index: u16, descriptor: PackedDescriptor) {
        let words: [U64; 2] = transmute!(descriptor);
        let [low, high] = words.map(|word| u64::from_ne_bytes(word.to_bytes()));
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::write(self.word(index, ADDR), low) };
        // SAFETY: as above.
        unsafe { access::write(self.word(index, LEN), high) };
    }

    /// Writes a descriptor all but its flags, which the device may be looking at.
    #[inline(always)]
    pub(crate) fn write_head(&mut self, index: u16, descriptor: PackedDescriptor) {
        let PackedDescriptor { addr, len, id, .. } = descriptor;
        let addr = u64::from_ne_bytes(addr.to_bytes());
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::write(self.word(index, ADDR), addr) };
        let len = u32::from_ne_bytes(len.to_bytes());
        // SAFETY: as above.
        unsafe { access::write(self.word(index, LEN), len) };
        let id = u16::from_ne_bytes(id.to_bytes());
        // SAFETY: as above.
        unsafe { access::write(self.word(index, ID), id) };
    }

    /// Reads id and length of a descriptor that the device has marked used, each once.
    #[inline(always)]
    pub(crate) fn read_used(&self, index: u16) -> (u16, u32) {
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        let id = unsafe { access::read(self.word::<u16>(index, ID)) };
        // SAFETY: as above.
        let len = unsafe { access::read(self.word::<u32>(index, LEN)) };
        (u16::from_le(id), u32::from_le(len))
    }

    /// Stores the flags of a descriptor.
    #[inline(always)]
    pub(crate) fn store_flags(&mut self, index: u16, flags: u16, order: Ordering) {
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::store16(self.word(index, FLAGS), flags.to_le(), order) };
    }

    /// Loads the flags of a descriptor.
    #[inline(always)]
    pub(crate) fn load_flags(&self, index: u16, order: Ordering) -> u16 {
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        u16::from_le(unsafe { access::load16(self.word(index, FLAGS), order) })
    }

    /// Stores the driver event suppression structure, both words at once.
    #[inline(always)]
    pub(crate) fn store_event(&mut self, event: u32, order: Ordering) {
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::store32(self.driver, event.to_le(), order) };
    }

    /// Loads the device event suppression structure, both words at once.
    #[inline(always)]
    pub(crate) fn load_event(&self, order: Ordering) -> u32 {
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        u32::from_le(unsafe { access::load32(self.device, order) })
    }
}
