//! Device registers: a small trait, and memory-mapped registers behind it.
#![expect(unsafe_code, reason = "volatile access to device registers")]

#[cfg(test)]
mod tests;

use core::ptr::NonNull;

/// A window of device registers, little-endian, reached by byte offset.
///
/// Memory BARs implement it here ([`MmioWindow`]); a platform that has port I/O implements it for an I/O BAR. An access
/// that does not lie wholly inside the window, or is not aligned to its width, does not reach the device: it reads all
/// ones, as from a device that has been removed, and writes nothing.
pub trait Registers {
    /// Length of the window in bytes.
    fn len(&self) -> usize;
    /// Whether the window has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads a byte.
    fn read8(&self, offset: usize) -> u8;
    /// Reads 16 bits.
    fn read16(&self, offset: usize) -> u16;
    /// Reads 32 bits.
    fn read32(&self, offset: usize) -> u32;
    /// Writes a byte.
    fn write8(&self, offset: usize, value: u8);
    /// Writes 16 bits.
    fn write16(&self, offset: usize, value: u16);
    /// Writes 32 bits.
    fn write32(&self, offset: usize, value: u32);
}

/// Registers mapped into memory.
#[derive(Clone, Copy, Debug)]
pub struct MmioWindow {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: register accesses are volatile and reach a device, not memory of the language: no data race can arise.
unsafe impl Send for MmioWindow {}
// SAFETY: as above; ordering between processors is the caller's protocol, not a matter of memory safety.
unsafe impl Sync for MmioWindow {}

impl MmioWindow {
    /// Describes `len` bytes of registers mapped at `base`.
    ///
    /// # Safety
    ///
    /// While any copy of the window is used, `base` is mapped for reads and writes of `len` bytes as uncached device
    /// memory, no reference to these bytes exists, and `base + len` does not wrap. A device that has been removed
    /// answers reads with all ones; the mapping itself must outlive the window even then.
    #[must_use]
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }

    /// A pointer to the register at `offset`, if all of it lies inside and it is aligned.
    #[inline]
    fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.len {
            return None;
        }
        // SAFETY: `offset <= end <= len`, so the sum stays within the mapping (contract of `new`).
        let at = unsafe { self.base.add(offset) }.cast::<T>();
        at.is_aligned().then_some(at)
    }
}

/// Implements one width of `Registers` for `MmioWindow`.
macro_rules! width {
    ($read:ident, $write:ident, $type:ty) => {
        #[inline]
        fn $read(&self, offset: usize) -> $type {
            match self.at::<$type>(offset) {
                // SAFETY: `at` checked bounds and alignment; the registers are mapped (contract of `new`).
                Some(at) => <$type>::from_le(unsafe { access::$read(at) }),
                None => <$type>::MAX,
            }
        }

        #[inline]
        fn $write(&self, offset: usize, value: $type) {
            if let Some(at) = self.at::<$type>(offset) {
                // SAFETY: `at` checked bounds and alignment; the registers are mapped (contract of `new`).
                unsafe { access::$write(at, value.to_le()) };
            }
        }
    };
}

impl Registers for MmioWindow {
    fn len(&self) -> usize {
        self.len
    }
    width!(read8, write8, u8);
    width!(read16, write16, u16);
    width!(read32, write32, u32);
}

/// One register access, as one instruction.
#[cfg(not(target_arch = "aarch64"))]
mod access {
    use core::ptr::NonNull;

    macro_rules! width {
        ($read:ident, $write:ident, $type:ty) => {
            /// # Safety
            ///
            /// `at` is mapped and aligned.
            #[inline]
            pub(super) unsafe fn $read(at: NonNull<$type>) -> $type {
                // SAFETY: by the caller's promise.
                unsafe { at.read_volatile() }
            }

            /// # Safety
            ///
            /// `at` is mapped and aligned.
            #[inline]
            pub(super) unsafe fn $write(at: NonNull<$type>, value: $type) {
                // SAFETY: by the caller's promise.
                unsafe { at.write_volatile(value) };
            }
        };
    }
    width!(read8, write8, u8);
    width!(read16, write16, u16);
    width!(read32, write32, u32);
}

/// One register access, as one instruction that a hypervisor can emulate.
///
/// A volatile access may be compiled to an instruction with write-back or to a pair, for which the processor gives the
/// hypervisor no syndrome (ESR_EL2.ISS.ISV reads 0), so that the guest dies of an ordinary register read.
#[cfg(target_arch = "aarch64")]
mod access {
    use core::arch::asm;
    use core::ptr::NonNull;

    macro_rules! width {
        ($read:ident, $write:ident, $type:ty, $load:literal, $store:literal) => {
            /// # Safety
            ///
            /// `at` is mapped and aligned.
            #[inline]
            pub(super) unsafe fn $read(at: NonNull<$type>) -> $type {
                let value: u32;
                // Orders this read before later accesses to memory; pairs with the device, which finishes its writes to
                // memory before the register says so; a plain load may be overtaken by later loads from memory.
                // SAFETY: by the caller's promise; the block touches nothing but the register.
                unsafe {
                    asm!(
                        concat!($load, " {value:w}, [{at}]"),
                        "dmb oshld",
                        value = out(reg) value,
                        at = in(reg) at.as_ptr(),
                        options(nostack, preserves_flags),
                    );
                }
                value as $type
            }

            /// # Safety
            ///
            /// `at` is mapped and aligned.
            #[inline]
            pub(super) unsafe fn $write(at: NonNull<$type>, value: $type) {
                // Orders earlier writes to memory before this one; pairs with the device, which reads that memory when
                // the register is written; a plain store to device memory may overtake stores to normal memory.
                // SAFETY: by the caller's promise; the block touches nothing but the register.
                unsafe {
                    asm!(
                        "dmb oshst",
                        concat!($store, " {value:w}, [{at}]"),
                        value = in(reg) u32::from(value),
                        at = in(reg) at.as_ptr(),
                        options(nostack, preserves_flags),
                    );
                }
            }
        };
    }
    width!(read8, write8, u8, "ldrb", "strb");
    width!(read16, write16, u16, "ldrh", "strh");
    width!(read32, write32, u32, "ldr", "str");
}
