//! Room for an indirect table of known length, so that writing it needs no check.
#![expect(
    unsafe_code,
    reason = "raw access to memory that the device shares; what is written has the length of the room"
)]

use core::ptr::NonNull;

use super::{DeviceAddress, access};

/// Bytes of a descriptor in words.
const WORDS: usize = 2;

/// Room for `N` descriptors, contiguous both for the processor and for the device.
///
/// As [`super::DmaRegion`], it is not `Clone`: on the processor's side one owner at a time writes it.
#[derive(Debug)]
pub struct TableMemory<const N: usize> {
    base: NonNull<u64>,
    address: DeviceAddress,
}

impl<const N: usize> TableMemory<N> {
    /// The room at `base`, which the device reaches at `address`. `None` if that is no multiple of a descriptor's 16 bytes.
    ///
    /// # Safety
    ///
    /// `base` is a multiple of 8, and for as long as the room is used:
    /// - `base` is valid for writes of `16 * N` bytes;
    /// - no reference to these bytes exists, and no other code of this processor accesses them;
    /// - the bytes are visible to the device, in the same order and without a gap, at `address`.
    #[must_use]
    #[inline(always)]
    pub const unsafe fn new(base: NonNull<u8>, address: DeviceAddress) -> Option<Self> {
        if address.0 & 15 != 0 {
            return None;
        }
        Some(Self {
            base: base.cast(),
            address,
        })
    }

    /// Where the device sees the first descriptor.
    pub(crate) const fn address(&self) -> DeviceAddress {
        self.address
    }

    /// Writes all descriptors, as two words each.
    #[inline(always)]
    pub(crate) fn write(&mut self, descriptors: [[u64; WORDS]; N]) {
        for (index, words) in descriptors.into_iter().enumerate() {
            for (half, word) in words.into_iter().enumerate() {
                let place = index.wrapping_mul(WORDS).wrapping_add(half);
                // SAFETY: as many words as there is room for (contract of `new`), so the sum stays within the allocation.
                let at = unsafe { self.base.add(place) };
                // SAFETY: inside, aligned, writable, and no other processor-side user (contract of `new`).
                unsafe { access::write(at, word) };
            }
        }
    }
}
