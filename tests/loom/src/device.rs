//! An honest device, written from the specification, with the fences that the specification asks of it.

mod packed;
mod split;

use std::ptr::NonNull;

use crate::mem::DeviceAddress;
use crate::mem::access;
use crate::rig::Case;
use crate::ring::RingAddresses;
use crate::sync::Ordering;

/// A buffer that the device has taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Split: index of the head; packed: buffer id.
    id: u16,
    /// Descriptors of the chain.
    count: u16,
    /// Where the device may write: the last part that is writable.
    writable: Option<DeviceAddress>,
}

/// The device's side of one queue.
#[derive(Debug)]
pub enum Device {
    /// Split ring.
    Split(split::Device),
    /// Packed ring.
    Packed(packed::Device),
}

/// Shared memory as the device reaches it.
#[derive(Clone, Copy, Debug)]
pub struct Bus {
    /// Where device address [`Bus::START`] lies.
    pub base: NonNull<u8>,
    /// Length in bytes.
    pub len: usize,
}

// SAFETY: the memory outlives the device's thread (`Rig`), and every access to it goes through `access`.
unsafe impl Send for Bus {}

impl Bus {
    /// The device address of the first byte: not the processor's.
    pub const START: u64 = 0x4000;

    fn at<T>(&self, address: DeviceAddress, offset: usize) -> NonNull<T> {
        let offset = (address.0 - Self::START) as usize + offset;
        assert!(offset + size_of::<T>() <= self.len && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: just checked; the memory is one allocation.
        unsafe { self.base.add(offset) }.cast()
    }

    fn read<T: Copy>(&self, address: DeviceAddress, offset: usize) -> T {
        // SAFETY: `at` checked bounds and alignment; the callers read integers.
        unsafe { access::read(self.at(address, offset)) }
    }

    fn write<T: Copy>(&self, address: DeviceAddress, offset: usize, value: T) {
        // SAFETY: `at` checked bounds and alignment.
        unsafe { access::write(self.at(address, offset), value) }
    }

    fn load16(&self, address: DeviceAddress, offset: usize, order: Ordering) -> u16 {
        // SAFETY: `at` checked bounds and alignment.
        unsafe { access::load16(self.at(address, offset), order) }
    }

    fn store16(&self, address: DeviceAddress, offset: usize, value: u16, order: Ordering) {
        // SAFETY: `at` checked bounds and alignment.
        unsafe { access::store16(self.at(address, offset), value, order) }
    }

    fn load32(&self, address: DeviceAddress, offset: usize, order: Ordering) -> u32 {
        // SAFETY: `at` checked bounds and alignment.
        unsafe { access::load32(self.at(address, offset), order) }
    }

    fn store32(&self, address: DeviceAddress, offset: usize, value: u32, order: Ordering) {
        // SAFETY: `at` checked bounds and alignment.
        unsafe { access::store32(self.at(address, offset), value, order) }
    }
}

impl Device {
    /// A device that has just been told of a queue; it listens until it is told otherwise.
    #[must_use]
    pub fn new(bus: Bus, case: Case, size: u16, at: RingAddresses) -> Self {
        if case.packed {
            Self::Packed(packed::Device::new(bus, case, size, at))
        } else {
            Self::Split(split::Device::new(bus, case, size, at))
        }
    }

    /// Takes the next buffer that the driver has made available, and reads all of it.
    pub fn pop(&mut self) -> Option<Taken> {
        match self {
            Self::Split(device) => device.pop(),
            Self::Packed(device) => device.pop(),
        }
    }

    /// Writes to a buffer and gives it back; [`Device::interrupts`] comes after one or several.
    pub fn finish(&mut self, taken: Taken) {
        self.finish_batch(&[taken]);
    }

    /// Gives buffers back that were taken in this order: in one used entry if the case is in-order.
    pub fn finish_batch(&mut self, batch: &[Taken]) {
        match self {
            Self::Split(device) => device.finish(batch),
            Self::Packed(device) => device.finish(batch),
        }
    }

    /// Whether the driver wants an interrupt for what was finished since the last call.
    #[must_use]
    pub fn interrupts(&mut self) -> bool {
        match self {
            Self::Split(device) => device.interrupts(),
            Self::Packed(device) => device.interrupts(),
        }
    }

    /// Says that notifications are not wanted.
    pub fn disable_notifications(&mut self) {
        match self {
            Self::Split(device) => device.disable_notifications(),
            Self::Packed(device) => device.disable_notifications(),
        }
    }

    /// Asks for a notification at the next buffer; whether there is one already.
    #[must_use]
    pub fn enable_notifications(&mut self) -> bool {
        match self {
            Self::Split(device) => device.enable_notifications(),
            Self::Packed(device) => device.enable_notifications(),
        }
    }
}

/// What a device does with a buffer: it reads every part that it may read, and writes the others.
fn use_part(bus: &Bus, address: DeviceAddress, writable: bool) {
    if writable {
        bus.write(address, 0, crate::rig::ANSWER);
    } else {
        let asked: u32 = bus.read(address, 0);
        assert_eq!(
            asked,
            crate::rig::QUESTION,
            "request read before it was written"
        );
    }
}
