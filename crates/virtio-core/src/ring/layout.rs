//! How much memory a ring takes, and where its three parts lie in it.
#![forbid(unsafe_code)]

use super::SetupError;
use crate::spec::ring::MAX_QUEUE_SIZE;

/// Sizes and offsets of a ring, in bytes. The parts share no cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u16,
    len: usize,
    driver: usize,
    device: usize,
}

impl Layout {
    /// Alignment of the ring memory in bytes, for the processor and for the device.
    ///
    /// More than the 16 that the specification asks for, so that no part shares a cache line with another.
    pub const ALIGN: usize = 64;

    /// The layout of a split ring. // Virtio 1.3 §2.7: 16×size, 6+2×size and 6+8×size bytes
    ///
    /// # Errors
    ///
    /// [`SetupError::Size`] for a size that is not a power of two from 1 to 32768.
    pub const fn split(size: u16) -> Result<Self, SetupError> {
        if !size.is_power_of_two() || size > MAX_QUEUE_SIZE {
            return Err(SetupError::Size { size });
        }
        // No sum can wrap: the whole is under 1 MiB.
        let entries = size as usize;
        let driver = align_up(entries.wrapping_mul(16));
        let device = align_up(driver.wrapping_add(entries.wrapping_mul(2)).wrapping_add(6));
        let len = align_up(device.wrapping_add(entries.wrapping_mul(8)).wrapping_add(6));
        Ok(Self {
            size,
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

    /// Number of descriptors: a power of two.
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

/// The next multiple of [`Layout::ALIGN`].
const fn align_up(bytes: usize) -> usize {
    let mask = Layout::ALIGN.wrapping_sub(1);
    bytes.wrapping_add(mask) & !mask
}
