//! How a device reaches memory: the one place where the addresses of what is lent to it come from.
#![expect(
    unsafe_code,
    reason = "a wrong device address lets the device write to memory that was not lent"
)]

use core::ptr::NonNull;

use super::{DeviceAddress, DmaRegion};

/// The platform's DMA interface for one device.
///
/// # Safety
///
/// Whoever implements it vouches for [`Dma::locate`]: until the platform takes the mapping back, which it does only for
/// memory that is no longer lent, the device finds exactly those bytes at the address given, in their order.
pub unsafe trait Dma {
    /// Whether the platform translates the device's addresses, so that they are not physical ones.
    ///
    /// Only a device that takes translated addresses (ACCESS_PLATFORM) can then be driven, and no other device is offered
    /// them. // Virtio 1.3 §6.1
    fn translates(&self) -> bool;

    /// Whether the addresses are those of the platform's DMA interface, so that they are right behind an IOMMU too, be it that it translates
    /// or that it does not.
    ///
    /// Only then is ACCESS_PLATFORM accepted. // Virtio 1.3 §6.1
    fn is_platforms(&self) -> bool {
        self.translates()
    }

    /// An address that the platform's DMA interface gave out in another way, as one of a request's scatter list.
    ///
    /// # Safety
    ///
    /// It did so for this device, which may use the bytes that a queue is told of there until their buffer comes back or the
    /// device is stopped.
    #[must_use]
    #[inline(always)]
    unsafe fn given(address: u64) -> DeviceAddress
    where
        Self: Sized,
    {
        DeviceAddress(address)
    }

    /// Where the device finds the `len` bytes at `base`, if they are contiguous for it and were made visible to it.
    fn locate(&self, base: NonNull<u8>, len: usize) -> Option<DeviceAddress>;

    /// Lends `len` bytes at `base` to driver and device, or nothing if they do not lie in one piece for the device.
    ///
    /// # Safety
    ///
    /// For as long as the region or a part split from it is used, `base` is valid for reads and writes of `len` bytes,
    /// `base + len` does not wrap, no reference to these bytes exists, and no other code of this processor accesses them.
    /// What a device was shown is used until the device or its queue is known to be stopped, even if all is dropped here.
    unsafe fn lend(&self, base: NonNull<u8>, len: usize) -> Option<DmaRegion> {
        let address = self.locate(base, len)?;
        // SAFETY: by the caller's promise for `base` and `len`, and the implementor's for the address.
        Some(unsafe { DmaRegion::new(base, address, len) })
    }
}
