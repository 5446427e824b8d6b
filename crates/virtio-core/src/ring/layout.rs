//! How much memory a ring takes, and where its three parts lie in it.
#![forbid(unsafe_code)]

use super::SetupError;
use crate::spec::ring::MAX_QUEUE_SIZE;

/// Sizes and offsets of a ring, in bytes. The parts share no cache line, but for the legacy interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u16,
    align: usize,
    len: usize,
    driver: usize,
    device: usize,
}

impl Layout {
    /// Alignment in bytes of the memory of a ring, but for the legacy interface: see [`Layout::align`].
    ///
    /// More than the 16 that the specification asks for, so that no part shares a cache line with another.
    pub const ALIGN: usize = 64;

    /// Alignment in bytes of a ring that a device finds by page number. // Virtio 1.3 §2.7.2
    const LEGACY_ALIGN: usize = 4096;

    /// The layout of a split ring. // Virtio 1.3 §2.7: 16×size, 6+2×size and 6+8×size bytes
    ///
    /// # Errors
    ///
    /// [`SetupError::Size`] for a size that is not a power of two from 1 to 32768.
    pub const fn split(size: u16) -> Result<Self, SetupError> {
        if !size.is_power_of_two() {
            return Err(SetupError::Size { size });
        }
        // No sum can wrap: the whole is under 1 MiB.
        let driver = align_up(table(size), Self::ALIGN);
        let device = align_up(driver.wrapping_add(available(size)), Self::ALIGN);
        let len = align_up(device.wrapping_add(used(size)), Self::ALIGN);
        Self::new(size, Self::ALIGN, [driver, device, len])
    }

    /// The layout of a split ring for the legacy interface, which has one address for all of it.
    ///
    /// // Virtio 1.3 §2.7.2
    ///
    /// # Errors
    ///
    /// [`SetupError::Size`] for a size that is not a power of two from 1 to 32768.
    pub const fn legacy(size: u16) -> Result<Self, SetupError> {
        if !size.is_power_of_two() {
            return Err(SetupError::Size { size });
        }
        // No sum can wrap, as above.
        let driver = table(size);
        let device = align_up(driver.wrapping_add(available(size)), Self::LEGACY_ALIGN);
        let len = align_up(device.wrapping_add(used(size)), Self::LEGACY_ALIGN);
        Self::new(size, Self::LEGACY_ALIGN, [driver, device, len])
    }

    /// The layout of a packed ring. // Virtio 1.3 §2.8.10.1: 16×size, 4 and 4 bytes
    ///
    /// # Errors
    ///
    /// [`SetupError::Size`] for a size that is not from 1 to 32768.
    pub const fn packed(size: u16) -> Result<Self, SetupError> {
        let driver = align_up(table(size), Self::ALIGN);
        let device = driver.wrapping_add(Self::ALIGN);
        Self::new(
            size,
            Self::ALIGN,
            [driver, device, device.wrapping_add(Self::ALIGN)],
        )
    }

    const fn new(
        size: u16,
        align: usize,
        [driver, device, len]: [usize; 3],
    ) -> Result<Self, SetupError> {
        if size == 0 || size > MAX_QUEUE_SIZE {
            return Err(SetupError::Size { size });
        }
        Ok(Self {
            size,
            align,
            len,
            driver,
            device,
        })
    }

    /// Bytes of ring memory.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Alignment of the ring memory in bytes, for the processor and for the device.
    #[must_use]
    pub const fn align(&self) -> usize {
        self.align
    }

    /// Number of descriptors.
    pub(crate) const fn size(&self) -> u16 {
        self.size
    }

    /// Byte offset of the driver area.
    pub(crate) const fn driver(&self) -> usize {
        self.driver
    }

    /// Byte offset of the device area.
    pub(crate) const fn device(&self) -> usize {
        self.device
    }

    /// Never: a ring has at least one descriptor.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// Bytes of the descriptors.
const fn table(size: u16) -> usize {
    (size as usize).wrapping_mul(16)
}

/// Bytes of the available ring.
const fn available(size: u16) -> usize {
    (size as usize).wrapping_mul(2).wrapping_add(6)
}

/// Bytes of the used ring.
const fn used(size: u16) -> usize {
    (size as usize).wrapping_mul(8).wrapping_add(6)
}

/// The next multiple of a power of two.
const fn align_up(bytes: usize, align: usize) -> usize {
    let mask = align.wrapping_sub(1);
    bytes.wrapping_add(mask) & !mask
}
