//! A piece of memory that driver and device share, reached by bounds-checked offsets.
#![expect(
    unsafe_code,
    reason = "raw access to memory that the device shares; every offset is checked"
)]

use core::mem::size_of;
use core::ptr::NonNull;

use thiserror::Error;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use super::access;
use crate::ring::Part;

/// An address as the device uses it on its bus.
///
/// With an IOMMU this is not a physical address; only the platform's DMA interface knows it, and so only [`super::Dma`] makes
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct DeviceAddress(pub(crate) u64);

impl DeviceAddress {
    /// The address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on in memory that lies in one piece for the device and goes as far, so that the sum does not wrap.
    #[must_use]
    #[inline(always)]
    pub const fn within(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// The address `bytes` further on, unless that passes the end of the address space. Whether the device may use what lies
    /// there is not checked.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

/// An access reached past the end of its [`DmaRegion`], or was not aligned as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("access outside the DMA region, or misaligned in it")]
pub struct OutOfRegion;

/// A piece of memory that driver and device share: contiguous both for the processor and for the device.
///
/// It comes from the platform's DMA interface ([`super::Dma::lend`]), and from nowhere else. It is not `Clone`: on the
/// processor's side one owner at a time reads and writes it.
#[derive(Debug)]
pub struct DmaRegion {
    pub(super) base: NonNull<u8>,
    address: DeviceAddress,
    len: usize,
}

// SAFETY: the region is the only processor-side way to this memory (contract of `new`), which is bound to no thread.
unsafe impl Send for DmaRegion {}

impl DmaRegion {
    /// Describes `len` bytes at `base`, which the device reaches at `address`.
    ///
    /// # Safety
    ///
    /// For as long as the region or a part split from it is used:
    /// - `base` is valid for reads and writes of `len` bytes, and `base + len` does not wrap;
    /// - no reference to these bytes exists, and no other code of this processor accesses them;
    /// - the bytes are visible to the device, in the same order and without a gap, at `address`.
    #[must_use]
    pub(crate) const unsafe fn new(base: NonNull<u8>, address: DeviceAddress, len: usize) -> Self {
        Self { base, address, len }
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the region has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the device sees the first byte.
    #[must_use]
    pub const fn address(&self) -> DeviceAddress {
        self.address
    }

    /// A part of a chain: the `len` bytes at `offset`, for the device.
    ///
    /// # Errors
    ///
    /// [`OutOfRegion`] when they do not lie wholly inside.
    #[inline]
    pub fn part(&self, offset: usize, len: u32) -> Result<Part, OutOfRegion> {
        let inside = offset
            .checked_add(len as usize)
            .is_some_and(|end| end <= self.len);
        match self.address.checked_add(offset as u64) {
            Some(address) if inside => Ok(Part::new(address, len)),
            _ => Err(OutOfRegion),
        }
    }

    /// Whether the first byte lies on a multiple of `align` (a power of two) for the processor and for the device.
    #[must_use]
    pub fn is_aligned_to(&self, align: usize) -> bool {
        let mask = align.wrapping_sub(1);
        align.is_power_of_two()
            && self.base.addr().get() & mask == 0
            && self.address.0 & (mask as u64) == 0
    }

    /// Cuts the region in two at `offset` bytes.
    ///
    /// # Errors
    ///
    /// Gives the region back when `offset` is past its end.
    pub fn split_at(self, offset: usize) -> Result<(Self, Self), Self> {
        let (Some(len), Some(address)) = (
            self.len.checked_sub(offset),
            self.address.checked_add(offset as u64),
        ) else {
            return Err(self);
        };
        // SAFETY: `offset <= len`, so the sum stays within the allocation or one past its end (contract of `new`).
        let base = unsafe { self.base.add(offset) };
        let tail = Self { base, address, len };
        let head = Self {
            len: offset,
            ..self
        };
        Ok((head, tail))
    }

    /// Copies a value out of the region, reading each byte once.
    ///
    /// # Errors
    ///
    /// [`OutOfRegion`] when the value does not lie wholly inside.
    #[inline]
    pub fn read<T: FromBytes + Unaligned>(&self, offset: usize) -> Result<T, OutOfRegion> {
        let at = self.at::<T>(offset)?;
        // SAFETY: `at` checked that the `T` lies inside the region, which is readable (contract of `new`); `T` needs no
        // alignment (`Unaligned`) and any bytes the device put there are a `T` (`FromBytes`).
        Ok(unsafe { access::read(at) })
    }

    /// Copies a value into the region, writing each byte once.
    ///
    /// # Errors
    ///
    /// [`OutOfRegion`] when the value does not lie wholly inside; nothing is written then.
    #[inline]
    pub fn write<T: IntoBytes + Immutable + Unaligned>(
        &mut self,
        offset: usize,
        value: T,
    ) -> Result<(), OutOfRegion> {
        let at = self.at::<T>(offset)?;
        // SAFETY: `at` checked that the `T` lies inside the region, which is writable and has no other processor-side
        // user (contract of `new`); `T` needs no alignment and has no padding to leak (`IntoBytes`).
        unsafe { access::write(at, value) };
        Ok(())
    }

    /// Writes an indirect descriptor, as two words; `offset` is in bytes and the descriptor aligned to its words.
    #[inline]
    pub(crate) fn write_descriptor(
        &mut self,
        offset: usize,
        entry: [U64; 2],
    ) -> Result<(), OutOfRegion> {
        let at = self.at::<[u64; 2]>(offset)?.cast::<u64>();
        if !at.is_aligned() {
            return Err(OutOfRegion);
        }
        let [first, second] = entry.map(|word| u64::from_ne_bytes(word.to_bytes()));
        // SAFETY: bounds and alignment are checked; the region is writable and has no other processor-side user
        // (contract of `new`).
        unsafe { access::write(at, first) };
        // SAFETY: both words lie inside, so the sum stays within the allocation.
        let at = unsafe { at.add(1) };
        // SAFETY: as for the first word.
        unsafe { access::write(at, second) };
        Ok(())
    }

    /// Sets every byte to zero.
    pub fn zero(&mut self) {
        for offset in 0..self.len {
            // SAFETY: `offset < len`, so the sum stays within the allocation (contract of `new`).
            let at = unsafe { self.base.add(offset) };
            // SAFETY: the byte is writable and has no other processor-side user (contract of `new`).
            unsafe { access::write(at, 0_u8) };
        }
    }

    /// A pointer to the `T` at `offset`, if all of it lies inside.
    #[inline]
    fn at<T>(&self, offset: usize) -> Result<NonNull<T>, OutOfRegion> {
        match offset.checked_add(size_of::<T>()) {
            // SAFETY: `offset <= end <= len`, so the sum stays within the allocation (contract of `new`).
            Some(end) if end <= self.len => Ok(unsafe { self.base.add(offset) }.cast()),
            _ => Err(OutOfRegion),
        }
    }
}
