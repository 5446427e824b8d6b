//! What a miniport may do while it looks at its adapter (HwFindAdapter, PASSIVE_LEVEL), and nowhere else.

use crate::adapter::Adapter;
use crate::carve::{Carver, Dma};
use core::ffi::{CStr, c_char, c_void};
use core::mem::size_of;
use core::ptr::NonNull;
use nt_sys::storport::*;
use nt_sys::types::{BOOLEAN, FALSE};

/// The adapter that HwFindAdapter is asked about.
#[derive(Debug)]
pub struct FindAdapter<'a> {
    adapter: Adapter,
    arguments: *const c_char,
    config: NonNull<PORT_CONFIGURATION_INFORMATION>,
    _call: core::marker::PhantomData<&'a mut ()>,
}

/// One of the adapter's address ranges, mapped.
#[derive(Clone, Copy, Debug)]
pub struct Mapped {
    /// Where: memory to be accessed with volatile operations, or a port number.
    pub va: NonNull<u8>,
    /// Bytes.
    pub len: usize,
    /// Ports, not memory.
    pub io_space: bool,
}

impl FindAdapter<'_> {
    /// The arguments of HwFindAdapter. `None` if one is NULL but the argument string.
    ///
    /// # Safety
    /// They are the arguments of the running call, used nowhere else during it; a string ends with 0.
    #[must_use]
    pub unsafe fn from_raw(
        device_extension: *mut c_void,
        arguments: *const c_char,
        config: *mut PORT_CONFIGURATION_INFORMATION,
    ) -> Option<Self> {
        // SAFETY: StorPort's device extension, says the caller.
        let adapter = unsafe { Adapter::from_raw(device_extension) }?;
        Some(Self {
            adapter,
            arguments,
            config: NonNull::new(config)?,
            _call: core::marker::PhantomData,
        })
    }

    /// The adapter.
    #[must_use]
    pub const fn adapter(&self) -> Adapter {
        self.adapter
    }

    /// The bytes of the argument string, without its end. MS: nc-storport-hw_find_adapter, ArgumentString
    pub(crate) fn arguments(&self) -> impl Iterator<Item = u8> {
        let mut at = self.arguments.cast::<u8>();
        core::iter::from_fn(move || {
            if at.is_null() {
                return None;
            }
            // SAFETY: a byte of the string, which is valid for the call, or its end, which is not passed.
            let byte = unsafe { at.read() };
            if byte == 0 {
                return None;
            }
            at = at.wrapping_add(1);
            Some(byte)
        })
    }

    /// What StorPort knows and the miniport answers.
    pub fn config(&mut self) -> &mut PORT_CONFIGURATION_INFORMATION {
        // SAFETY: valid for the call and ours alone; `self` is borrowed for as long.
        unsafe { self.config.as_mut() }
    }

    fn config_ref(&self) -> &PORT_CONFIGURATION_INFORMATION {
        // SAFETY: valid for the call; a shared borrow of `self` excludes `config()`.
        unsafe { self.config.as_ref() }
    }

    /// Reads PCI configuration space from its start. Bytes read: 0 if there is no such device.
    pub fn pci_config(&self, buffer: &mut [u8]) -> usize {
        // With length 0 StorPort would store a pointer instead; an answer of 2 means "no device in this slot", which
        // nobody can tell from a read of two bytes (MS: nf-storport-storportgetbusdata).
        const NO_DEVICE: u32 = 2;
        if buffer.len() <= NO_DEVICE as usize {
            return 0;
        }
        let config = self.config_ref();
        let len = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        // SAFETY: `buffer` has `len` bytes.
        let read = unsafe {
            StorPortGetBusData(
                self.adapter.as_raw(),
                PCIConfiguration.cast_unsigned(),
                config.SystemIoBusNumber,
                config.SlotNumber,
                buffer.as_mut_ptr().cast(),
                len,
            )
        };
        if read == NO_DEVICE {
            0
        } else {
            (read as usize).min(buffer.len())
        }
    }

    /// The address ranges that PnP gave the adapter; unused ones have length 0.
    #[must_use]
    pub fn ranges(&self) -> &[ACCESS_RANGE] {
        let config = self.config_ref();
        if config.AccessRanges.is_null() {
            return &[];
        }
        // SAFETY: StorPort gives NumberOfAccessRanges of them, valid for the call.
        unsafe {
            core::slice::from_raw_parts(config.AccessRanges, config.NumberOfAccessRanges as usize)
        }
    }

    /// The range that a base address register (0 to 5) of the configuration header `pci` names.
    #[must_use]
    pub fn bar(&self, pci: &[u8], index: u8) -> Option<ACCESS_RANGE> {
        let bar = bar(pci, index)?;
        self.ranges().iter().copied().find(|range| {
            range.RangeLength != 0
                && range.RangeStart.QuadPart.cast_unsigned() == bar.address
                && (range.RangeInMemory == FALSE) == bar.io_space
        })
    }

    /// Maps a range, uncached. `None` if StorPort cannot.
    #[must_use]
    pub fn map(&self, range: &ACCESS_RANGE) -> Option<Mapped> {
        let config = self.config_ref();
        let io_space = range.RangeInMemory == FALSE;
        // SAFETY: the range is one of the adapter's; StorPort checks it.
        let va = unsafe {
            StorPortGetDeviceBase(
                self.adapter.as_raw(),
                config.AdapterInterfaceType,
                config.SystemIoBusNumber,
                range.RangeStart,
                range.RangeLength,
                BOOLEAN::from(io_space),
            )
        };
        Some(Mapped {
            va: NonNull::new(va.cast())?,
            len: range.RangeLength as usize,
            io_space,
        })
    }

    /// Allocates the adapter's uncached extension and finds its device address. Once, after the DMA members of
    /// [`FindAdapter::config`] are filled in. `None` if there is no memory or if it is not contiguous for the device.
    #[inline(never)] // called from three places
    pub fn uncached(&mut self, bytes: u32) -> Option<Carver> {
        // SAFETY: the configuration is the one of this call.
        let va = unsafe {
            StorPortGetUncachedExtension(self.adapter.as_raw(), self.config.as_ptr(), bytes)
        };
        let va = NonNull::new(va.cast::<u8>())?;
        let physical = self.adapter.physical_address(None, va.as_ptr().cast())?;
        if physical.len < bytes {
            return None;
        }
        // SAFETY: StorPort gave `bytes` bytes at `va` to this adapter until it is freed, and says that the device sees all of them
        // from `address` on.
        let block = unsafe { Dma::new(va, physical.address, bytes as usize) };
        // SAFETY: as above; to this adapter alone.
        Some(unsafe { Carver::new(block) })
    }

    /// A DWORD of the driver's Parameters\\Device*d* key (d = this adapter's port number), else of its Parameters\\Device
    /// key (all adapters), clamped to `limits`; `default` if it is in neither or is not a DWORD.
    #[must_use]
    pub fn registry(
        &self,
        name: &CStr,
        limits: core::ops::RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        const THIS_ADAPTER: u32 = 0;
        const ALL_ADAPTERS: u32 = 1;
        self.registry_dword(name, THIS_ADAPTER)
            .or_else(|| self.registry_dword(name, ALL_ADAPTERS))
            .unwrap_or(default)
            .clamp(*limits.start(), *limits.end())
    }

    fn registry_dword(&self, name: &CStr, scope: u32) -> Option<u32> {
        let mut len = size_of::<u32>() as u32;
        // SAFETY: `len` outlives the call.
        let buffer = unsafe { StorPortAllocateRegistryBuffer(self.adapter.as_raw(), &raw mut len) };
        let buffer = NonNull::new(buffer)?;
        let mut value = None;
        if len as usize >= size_of::<u32>() {
            let mut read = size_of::<u32>() as u32;
            // SAFETY: the name ends with NUL and is only read; the buffer is StorPort's own and has `read` bytes.
            let found = unsafe {
                StorPortRegistryRead(
                    self.adapter.as_raw(),
                    name.as_ptr().cast_mut().cast(),
                    scope,
                    MINIPORT_REG_DWORD,
                    buffer.as_ptr(),
                    &raw mut read,
                )
            };
            if found != FALSE && read as usize == size_of::<u32>() {
                // SAFETY: four bytes were just filled in; they need not be aligned.
                value = Some(unsafe { buffer.as_ptr().cast::<u32>().read_unaligned() });
            }
        }
        // SAFETY: the buffer comes from StorPortAllocateRegistryBuffer.
        unsafe { StorPortFreeRegistryBuffer(self.adapter.as_raw(), buffer.as_ptr()) };
        value
    }
}

/// A base address register, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bar {
    address: u64,
    io_space: bool,
}

/// PCI Local Bus 3.0 §6.2.5.1: bit 0 tells ports from memory, bits 2:1 = 10b make a memory register 64 bits wide.
fn bar(pci: &[u8], index: u8) -> Option<Bar> {
    let register = |index: u8| {
        let offset = 0x10_usize.checked_add(usize::from(index).checked_mul(4)?)?;
        let bytes = pci.get(offset..offset.checked_add(4)?)?;
        (index < 6)
            .then(|| bytes.try_into().map(u32::from_le_bytes).ok())
            .flatten()
    };
    let low = register(index)?;
    let bar = if low & 1 != 0 {
        Bar {
            address: u64::from(low & !0x3),
            io_space: true,
        }
    } else {
        let high = if low & 0x6 == 0x4 {
            register(index.checked_add(1)?)?
        } else {
            0
        };
        Bar {
            address: u64::from(high) << 32 | u64::from(low & !0xF),
            io_space: false,
        }
    };
    (bar.address != 0).then_some(bar)
}

#[cfg(test)]
mod port;
#[cfg(test)]
mod tests;
