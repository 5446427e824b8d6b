//! Device configuration as a consistent snapshot. // Virtio 1.3 §2.5
#![forbid(unsafe_code)]

use super::ConfigError;
use crate::mmio::Registers;

/// Device configuration during one try to read it; offsets are in bytes, as in the device type's `Config`.
///
/// Each method makes the accesses that the field's width asks for. // Virtio 1.3 §4.1.3.1
#[derive(Debug)]
pub struct ConfigView<'a, R> {
    registers: Option<&'a R>,
}

impl<'a, R: Registers> ConfigView<'a, R> {
    pub(super) const fn new(registers: Option<&'a R>) -> Self {
        Self { registers }
    }

    /// Length of the device configuration in bytes; 0 if there is none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registers.map_or(0, Registers::len)
    }

    /// Whether the device has no configuration.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads an 8-bit field.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn u8(&self, offset: usize) -> Result<u8, ConfigError> {
        Ok(self.field(offset, 1)?.read8(offset))
    }

    /// Reads a 16-bit field.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn u16(&self, offset: usize) -> Result<u16, ConfigError> {
        Ok(self.field(offset, 2)?.read16(offset))
    }

    /// Reads a 32-bit field.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn u32(&self, offset: usize) -> Result<u32, ConfigError> {
        Ok(self.field(offset, 4)?.read32(offset))
    }

    /// Reads a 64-bit field, as two dwords.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn u64(&self, offset: usize) -> Result<u64, ConfigError> {
        let registers = self.field(offset, 8)?;
        let low = u64::from(registers.read32(offset));
        let high = u64::from(registers.read32(offset.wrapping_add(4)));
        Ok(high << 32 | low)
    }

    /// Writes an 8-bit field.
    pub(super) fn write_u8(&self, offset: usize, value: u8) -> Result<(), ConfigError> {
        self.field(offset, 1)?.write8(offset, value);
        Ok(())
    }

    /// The registers, if they hold a field of `width` bytes at `offset`.
    fn field(&self, offset: usize, width: usize) -> Result<&'a R, ConfigError> {
        let len = self.len();
        match (self.registers, offset.checked_add(width)) {
            (Some(registers), Some(end)) if end <= len => Ok(registers),
            _ => Err(ConfigError::TooShort { offset, width, len }),
        }
    }
}
