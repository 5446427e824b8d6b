//! StorPort as the platform's DMA interface: every address that the device is given comes from it.
//!
//! `StorPortGetPhysicalAddress` gives the address for a DMA operation, "physical or bus-relative", of the uncached extension and
//! of SRB extensions (MS: nf-storport-storportgetphysicaladdress, STOR_PHYSICAL_ADDRESS), `StorPortGetScatterGatherList` those
//! of a request's data. Whether Windows translates them on the device's way to memory depends on the machine and on what the INF and the
//! administrator opt in to (MS: enabling-dma-remapping-for-device-drivers); they are right either way.

use core::ptr::NonNull;
use virtio_core::mem::{DeviceAddress, Dma, DmaRegion};

/// StorPort, asked anew.
pub struct StorPort(pub storport::Adapter);

// SAFETY: StorPort answers for memory that it gave this adapter, and only such is lent; the mapping stays until it is freed.
unsafe impl Dma for StorPort {
    /// Nobody says so; [`is_remapped`] finds out once there is memory to ask about, before the device is given any.
    fn translates(&self) -> bool {
        false
    }

    fn is_platforms(&self) -> bool {
        true
    }

    fn locate(&self, base: NonNull<u8>, len: usize) -> Option<DeviceAddress> {
        let found = self.0.physical_address(None, base.as_ptr().cast())?;
        (found.len as usize >= len).then(|| given(found.address))
    }
}

/// Whether Windows translates the device's addresses: that of a part of the uncached extension is not the physical one. Any IRQL.
///
/// virtio-win's drivers for WDF tell it in the same way.
pub fn is_remapped(part: storport::Dma) -> bool {
    // SAFETY: the uncached extension is resident.
    let physical = unsafe { nt::memory::physical_address(part.va()) };
    physical != part.address()
}

/// An address that came from StorPort: of an SRB extension or of an element of a request's scatter list.
#[inline(always)]
pub fn given(address: u64) -> DeviceAddress {
    // SAFETY: the addresses in `storport::Dma` and `storport::Segment` are StorPort's, for this adapter; they hold until the
    // request is completed, which is after its buffer came back or the device was stopped.
    unsafe { StorPort::given(address) }
}

/// Memory that StorPort has located before.
struct Located(storport::Dma);

// SAFETY: StorPort gave memory and address together (`Place::memory`, `Token::open`, the adapter's uncached extension) and says that they
// are contiguous for `len` bytes; the mapping stays until the request is completed or the adapter freed.
unsafe impl Dma for Located {
    /// Nobody asks: [`StorPort`] is what the transport is given.
    fn translates(&self) -> bool {
        false
    }

    #[inline]
    fn locate(&self, base: NonNull<u8>, len: usize) -> Option<DeviceAddress> {
        let offset = base.addr().get().checked_sub(self.0.va().addr().get())?;
        let inside = offset.checked_add(len)? <= self.0.len();
        let start = given(self.0.address());
        inside.then(|| start.checked_add(offset as u64)).flatten()
    }
}

/// The whole of a part of DMA memory. The caller drops it before it asks again for the same part.
pub fn region(part: storport::Dma) -> Option<DmaRegion> {
    // SAFETY: the memory is the driver's until the request is completed or the adapter freed, and only the owner of the request
    // or of the pool, under its queue's lock, touches it.
    unsafe { Located(part).lend(part.va(), part.len()) }
}

/// Memory for calculations only: there is none.
#[cfg(test)]
pub fn made_up(address: u64, len: usize) -> storport::Dma {
    // SAFETY: nobody touches it.
    unsafe { storport::Dma::new(NonNull::dangling(), address, len) }
}
