//! The memory of a packed ring, reached by index and never by address. // Virtio 1.3 §2.8
//!
//! A ring has any size, so an index cannot be masked: one past the end is taken for the first descriptor, which makes each
//! access land inside its array without a check that could fail. Callers count within the ring and never see that.
#![expect(
    unsafe_code,
    reason = "raw access to memory that the device shares; every index is held inside the array"
)]

use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::NonNull;

use super::{DeviceAddress, DmaRegion, Order, access, write_fields};
use crate::ring::{Layout, RingAddresses};
use crate::spec::ring::PackedDescriptor;
use crate::sync::Ordering;

/// A packed ring's memory. Both sides write the descriptors; the driver writes its own event suppression structure and
/// reads the device's.
#[derive(Debug)]
pub(crate) struct PackedMemory {
    region: DmaRegion,
    /// Start of the descriptor ring, of `size` entries, aligned as the ring is.
    descriptors: NonNull<PackedDescriptor>,
    /// Driver event suppression.
    driver: NonNull<u32>,
    /// Device event suppression.
    device: NonNull<u32>,
    /// Queue size; not 0.
    size: u16,
}

// SAFETY: the pointers lead into the region only, which is the only processor-side way to its memory and bound to no thread.
unsafe impl Send for PackedMemory {}

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
            size: layout.size(),
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

    /// The descriptors from `index` on, to be written one after the other.
    #[inline(always)]
    pub(crate) fn descriptors(&mut self, index: u16) -> PackedDescriptors<'_> {
        let index = self.inside(index);
        PackedDescriptors {
            start: self.descriptors,
            size: self.size,
            first: index,
            index,
            _memory: PhantomData,
        }
    }

    /// The index, if it is one of the ring, or that of the first descriptor.
    #[inline(always)]
    const fn inside(&self, index: u16) -> u16 {
        if index < self.size { index } else { 0 }
    }

    /// Where the descriptor at `index` begins.
    #[inline(always)]
    fn at(&self, index: u16) -> NonNull<PackedDescriptor> {
        // SAFETY: there are `size` descriptors, and at least one (invariant of `descriptors`).
        unsafe { self.descriptors.add(usize::from(self.inside(index))) }
    }

    /// Id, length and flags of the descriptor at `index`, each read once, if `is_used` says so of its flags.
    #[inline(always)]
    pub(crate) fn used(
        &self,
        index: u16,
        order: Order,
        is_used: impl FnOnce(u16) -> bool,
    ) -> Option<(u16, u32, u16)> {
        let at = self.at(index);
        // Acquire orders the loads of id, length and of the buffer's data after this one; it pairs with the device's
        // release of the flags. Relaxed would let those loads run ahead and see what was there before. Virtio 1.3 §2.8.22
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        let flags = u16::from_le(unsafe { access::load16(flags(at), Ordering::Acquire) });
        order.acquire();
        if !is_used(flags) {
            return None;
        }
        let at = at.cast::<u8>();
        // SAFETY: the field lies in the descriptor.
        let id = unsafe { at.add(offset_of!(PackedDescriptor, id)) };
        // SAFETY: as for the flags.
        let id = unsafe { access::read(id.cast::<u16>()) };
        // SAFETY: the field lies in the descriptor.
        let len = unsafe { at.add(offset_of!(PackedDescriptor, len)) };
        // SAFETY: as for the flags.
        let len = unsafe { access::read(len.cast::<u32>()) };
        Some((u16::from_le(id), u32::from_le(len), flags))
    }

    /// Loads the flags of a descriptor.
    #[inline(always)]
    pub(crate) fn load_flags(&self, index: u16, order: Ordering) -> u16 {
        // SAFETY: inside, aligned and readable (contract of the region's `new`).
        u16::from_le(unsafe { access::load16(flags(self.at(index)), order) })
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

/// A place among the descriptors. A copy of where they lie, so that it need not be looked up again for each of them.
#[derive(Debug)]
pub(crate) struct PackedDescriptors<'a> {
    start: NonNull<PackedDescriptor>,
    /// Queue size.
    size: u16,
    /// Where writing began, below `size`.
    first: u16,
    /// Where it is now, below `size`.
    index: u16,
    _memory: PhantomData<&'a mut PackedMemory>,
}

impl PackedDescriptors<'_> {
    /// Index of the present descriptor.
    #[inline(always)]
    pub(crate) const fn index(&self) -> u16 {
        self.index
    }

    /// Goes on to the next descriptor; whether that is the ring's first.
    #[inline(always)]
    pub(crate) const fn advance(&mut self) -> bool {
        let next = self.index.wrapping_add(1);
        let wraps = next >= self.size;
        self.index = if wraps { 0 } else { next };
        wraps
    }

    /// Where a descriptor begins. `index` is one of the fields.
    #[inline(always)]
    fn at(&self, index: u16) -> NonNull<PackedDescriptor> {
        // SAFETY: the fields are below `size`, and there are as many descriptors (invariant of `PackedMemory`).
        unsafe { self.start.add(usize::from(index)) }
    }

    /// Writes the present descriptor all but its flags, field by field: a volatile access to a structure would be compiled
    /// through the stack.
    #[inline(always)]
    pub(crate) fn write(&mut self, descriptor: PackedDescriptor) {
        let at = self.at(self.index);
        write_fields!(
            at,
            descriptor,
            PackedDescriptor {
                addr: u64,
                len: u32,
                id: u16
            }
        );
    }

    /// Stores the flags of the present descriptor.
    #[inline(always)]
    pub(crate) fn store_flags(&mut self, value: u16, order: Ordering) {
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::store16(flags(self.at(self.index)), value.to_le(), order) };
    }

    /// Stores the flags of the descriptor where writing began.
    #[inline(always)]
    pub(crate) fn store_first_flags(&mut self, value: u16, order: Ordering) {
        // SAFETY: inside, aligned, writable, and no other processor-side user (contract of the region's `new`).
        unsafe { access::store16(flags(self.at(self.first)), value.to_le(), order) };
    }
}

/// The flags of a descriptor, which the device may be looking at.
#[inline(always)]
fn flags(descriptor: NonNull<PackedDescriptor>) -> NonNull<u16> {
    // SAFETY: the field lies in the descriptor, which lies in the ring.
    unsafe { descriptor.byte_add(offset_of!(PackedDescriptor, flags)) }.cast()
}
