//! The device's first queue, as far as a case needs it: set up, given a descriptor chain that nobody announces, reset.
//!
//! Offsets from Virtio 1.3 §4.1.4 (capabilities), §4.1.4.3 (common configuration) and §2.7 (split queue).

use core::ffi::c_void;

use nt_sys::storport::{
    PCIConfiguration, PORT_CONFIGURATION_INFORMATION, StorPortGetBusData, StorPortGetDeviceBase,
    StorPortGetPhysicalAddress,
};
use nt_sys::types::LARGE_INTEGER;

/// Entries of the queue.
const SIZE: u16 = 8;
/// Where its parts lie in the uncached extension.
const AVAIL: usize = 0x100;
const USED: usize = 0x200;
/// A request header and a status byte there.
pub const HEADER: usize = 0x400;
/// See [`HEADER`].
pub const STATUS: usize = 0x410;

/// One descriptor's content.
pub struct Part {
    /// Device address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    /// For the device to write.
    pub writes: bool,
}

/// The queue.
pub struct Queue {
    common: *mut u8,
    memory: *mut u8,
    /// Device address of the uncached extension.
    pub device: u64,
    published: u16,
}

impl Queue {
    /// Finds and maps the common configuration.
    ///
    /// # Safety
    /// Called in HwFindAdapter with its arguments.
    pub unsafe fn find(&mut self, extension: *mut c_void, config: &PORT_CONFIGURATION_INFORMATION) {
        let mut pci = [0_u8; 256];
        let kind = PCIConfiguration as u32;
        // SAFETY: a buffer of the length that is named.
        unsafe {
            StorPortGetBusData(
                extension,
                kind,
                config.SystemIoBusNumber,
                config.SlotNumber,
                pci.as_mut_ptr().cast(),
                256,
            );
        }
        let byte = |at: usize| pci.get(at).copied().unwrap_or(0);
        let dword =
            |at: usize| u32::from_le_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)]);
        let mut at = usize::from(byte(0x34));
        for _ in 0..48 {
            // A vendor capability (9) of the type common configuration (1).
            if at == 0 || (byte(at) == 9 && byte(at + 3) == 1) {
                break;
            }
            at = usize::from(byte(at + 1));
        }
        let bar = 0x10 + 4 * usize::from(byte(at + 4));
        let high = if dword(bar) & 6 == 4 {
            u64::from(dword(bar + 4)) << 32
        } else {
            0
        };
        let base = high | u64::from(dword(bar) & !0xf);
        let address = LARGE_INTEGER {
            QuadPart: (base + u64::from(dword(at + 8))) as i64,
        };
        // SAFETY: the address lies in a range that StorPort assigned; 64 bytes hold the common configuration.
        let mapped = unsafe {
            StorPortGetDeviceBase(
                extension,
                config.AdapterInterfaceType,
                config.SystemIoBusNumber,
                address,
                64,
                0,
            )
        };
        self.common = mapped.cast();
    }

    fn write<T>(&self, offset: usize, value: T) {
        // SAFETY: inside the mapped common configuration, at an offset of the value's alignment.
        unsafe { self.common.add(offset).cast::<T>().write_volatile(value) }
    }

    fn read<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: as in `write`.
        unsafe { self.common.add(offset).cast::<T>().read_volatile() }
    }

    /// Resets the device and waits until it says so.
    pub fn stop(&mut self) {
        self.write(0x14, 0_u8);
        for _ in 0..1000 {
            if self.read::<u8>(0x14) == 0 {
                break;
            }
        }
    }

    /// Resets the device, takes no feature but VERSION_1 and enables the queue.
    pub fn start(&mut self, extension: *mut c_void, uncached: *mut u8) {
        self.stop();
        self.write(0x14, 1_u8);
        self.write(0x14, 3_u8);
        for (select, features) in [(0_u32, 0_u32), (1, 1)] {
            self.write(0x08, select);
            self.write(0x0c, features);
        }
        self.write(0x14, 11_u8);
        let mut length = 0;
        // SAFETY: an address of the uncached extension.
        self.device = unsafe {
            StorPortGetPhysicalAddress(
                extension,
                core::ptr::null_mut(),
                uncached.cast(),
                &mut length,
            )
        }
        .QuadPart as u64;
        // SAFETY: the queue's parts and the header lie within the uncached extension.
        unsafe { core::ptr::write_bytes(uncached, 0, 0x500) };
        self.memory = uncached;
        self.published = 0;
        self.write(0x16, 0_u16);
        self.write(0x18, SIZE);
        for (offset, part) in [(0x20, 0), (0x28, AVAIL), (0x30, USED)] {
            let address = self.device + part as u64;
            self.write(offset, address as u32);
            self.write(offset + 4, (address >> 32) as u32);
        }
        self.write(0x1c, 1_u16);
        self.write(0x14, 15_u8);
    }

    fn put<T>(&mut self, offset: usize, value: T) {
        // SAFETY: inside the uncached extension, aligned as the queue demands.
        unsafe { self.memory.add(offset).cast::<T>().write_volatile(value) }
    }

    /// Makes a read request with one data part available: header, data, status. The device is not told.
    pub fn publish(&mut self, data: Part) {
        let parts = [
            Part {
                address: self.device + HEADER as u64,
                len: 16,
                writes: false,
            },
            data,
            Part {
                address: self.device + STATUS as u64,
                len: 1,
                writes: true,
            },
        ];
        for (index, part) in parts.into_iter().enumerate() {
            let at = 16 * index;
            self.put(at, part.address);
            self.put(at + 8, part.len);
            // VIRTQ_DESC_F_NEXT 1, VIRTQ_DESC_F_WRITE 2.
            self.put(at + 12, u16::from(index < 2) | u16::from(part.writes) << 1);
            self.put(at + 14, index as u16 + 1);
        }
        self.make_available(0);
    }

    /// Puts the head of a chain on the available ring.
    pub fn make_available(&mut self, head: u16) {
        self.put(AVAIL + 4 + 2 * usize::from(self.published % SIZE), head);
        self.published = self.published.wrapping_add(1);
        self.put(AVAIL + 2, self.published);
    }
}
