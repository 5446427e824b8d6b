//! The device's view of guest memory: reads and writes by device address, refused outside of it.

use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use host_machine::ram::Ram;
use ring_device::{Memory, Unreachable};

/// Guest memory by device address, as a bus master sees it.
///
/// The driver and QEMU write the same memory while it is read here, so it is only ever touched through atomics or
/// by whole copies of raw memory, never through a reference to plain bytes.
#[derive(Clone)]
pub struct GuestMemory {
    ram: Ram,
}

impl GuestMemory {
    /// The view of `ram`.
    #[must_use]
    pub fn new(ram: &Ram) -> Self {
        Self { ram: ram.clone() }
    }

    /// Copies memory at `address` into `to`; false if not all of it is memory.
    #[must_use]
    pub fn read(&self, address: u64, to: &mut [u8]) -> bool {
        let Some(from) = self.ram.device_slice(address, to.len()) else {
            return false;
        };
        // SAFETY: `device_slice` vouches for `to.len()` mapped bytes at `from`, which stay mapped as long as `self.ram`;
        // `to` is exclusive memory of this process, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from.cast_const(), to.as_mut_ptr(), to.len()) };
        true
    }

    /// Copies `from` into memory at `address`; false if not all of it is memory.
    #[must_use]
    pub fn write(&self, address: u64, from: &[u8]) -> bool {
        let Some(to) = self.ram.device_slice(address, from.len()) else {
            return false;
        };
        // SAFETY: as in `read`, with the roles exchanged: `to` is mapped writable for `from.len()` bytes.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        true
    }

    /// Whether `len` bytes at `address` are all memory.
    #[must_use]
    pub fn contains(&self, address: u64, len: u64) -> bool {
        usize::try_from(len).is_ok_and(|len| self.ram.device_slice(address, len).is_some())
    }

    /// A 16-bit little-endian load with acquire ordering; none if it is not aligned memory.
    #[must_use]
    pub fn load_u16(&self, address: u64) -> Option<u16> {
        // Acquire: orders the reads of ring entries after the read of the index that published them. Pairs with the
        // publisher's release store; a relaxed load could see the new index and old entries.
        self.atomic_u16(address)
            .map(|cell| u16::from_le(cell.load(Ordering::Acquire)))
    }

    /// A 16-bit little-endian store with release ordering; false if it is not aligned memory.
    #[must_use]
    pub fn store_u16(&self, address: u64, value: u16) -> bool {
        // Release: the entry written before is visible to whoever reads the index stored here with acquire.
        self.atomic_u16(address)
            .map(|cell| cell.store(value.to_le(), Ordering::Release))
            .is_some()
    }

    /// An address resolved once for [`IndexCell::load`]; none if it is not aligned memory.
    #[must_use]
    pub fn index_cell(&self, address: u64) -> Option<IndexCell> {
        let pointer = self.ram.device_slice(address, 2)?;
        address.is_multiple_of(2).then(|| IndexCell {
            pointer: pointer.cast::<AtomicU16>(),
            _ram: self.ram.clone(),
        })
    }

    /// An 8-bit store; false if the address is not memory.
    #[must_use]
    pub fn store_u8(&self, address: u64, value: u8) -> bool {
        let Some(pointer) = self.ram.device_slice(address, 1) else {
            return false;
        };
        // SAFETY: one mapped byte, alive while `self.ram` is; AtomicU8 has alignment 1 and allows shared mutation.
        let cell = unsafe { &*pointer.cast::<AtomicU8>() };
        cell.store(value, Ordering::Relaxed);
        true
    }

    /// A 32-bit little-endian value, without ordering; none if it is not memory.
    #[must_use]
    pub fn read_u32(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)
            .then(|| u32::from_le_bytes(bytes))
    }

    fn atomic_u16(&self, address: u64) -> Option<&AtomicU16> {
        let pointer = self.ram.device_slice(address, 2)?;
        if !address.is_multiple_of(2) {
            return None;
        }
        // SAFETY: two mapped bytes, aligned because RAM is mapped at a page boundary and `address` is even; alive while
        // `self.ram`, which the returned lifetime is bound to; atomics allow the other side to change it.
        Some(unsafe { &*pointer.cast::<AtomicU16>() })
    }
}

impl Memory for GuestMemory {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unreachable> {
        let done = GuestMemory::read(self, address, to);
        done.then_some(()).ok_or(Unreachable { address })
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Unreachable> {
        let done = GuestMemory::write(self, address, from);
        done.then_some(()).ok_or(Unreachable { address })
    }

    fn load_u16(&self, address: u64) -> Result<u16, Unreachable> {
        GuestMemory::load_u16(self, address).ok_or(Unreachable { address })
    }

    fn store_u16(&self, address: u64, value: u16) -> Result<(), Unreachable> {
        let done = GuestMemory::store_u16(self, address, value);
        done.then_some(()).ok_or(Unreachable { address })
    }
}

/// A ring index in guest memory, resolved once so that looking at it costs one load.
pub struct IndexCell {
    pointer: *const AtomicU16,
    // Keeps the mapping that `pointer` is in.
    _ram: Ram,
}

impl IndexCell {
    /// The index now, with acquire ordering (see [`GuestMemory::load_u16`]).
    #[must_use]
    pub fn load(&self) -> u16 {
        // SAFETY: `index_cell` checked mapping and alignment, and `_ram` keeps the mapping; atomics allow the other side to
        // change it.
        let cell = unsafe { &*self.pointer };
        u16::from_le(cell.load(Ordering::Acquire))
    }
}
