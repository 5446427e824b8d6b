//! Device configuration as a consistent snapshot. // Virtio 1.3 §2.5
#![forbid(unsafe_code)]

use super::ConfigError;
use crate::mmio::Registers;

/// How often a configuration snapshot is tried before the device is taken for broken.
pub(super) const CONFIG_TRIES: u32 = 16;

/// Device configuration during one try to read it; offsets are in bytes, as in the device type's `Config`.
///
/// Each method makes the accesses that the field's width asks for. // Virtio 1.3 §4.1.3.1
#[derive(Debug)]
pub struct ConfigView<'a, R> {
    registers: Option<&'a R>,
    /// Where the configuration begins in the registers, in bytes.
    start: usize,
}

impl<'a, R: Registers> ConfigView<'a, R> {
    pub(super) const fn new(registers: Option<&'a R>, start: usize) -> Self {
        Self { registers, start }
    }

    /// Length of the device configuration in bytes; 0 if there is none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.registers
            .map_or(0, |registers| registers.len().saturating_sub(self.start))
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
        let (registers, at) = self.field(offset, 1)?;
        Ok(registers.read8(at))
    }

    /// Reads a 16-bit field.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn u16(&self, offset: usize) -> Result<u16, ConfigError> {
        let (registers, at) = self.field(offset, 2)?;
        Ok(registers.read16(at))
    }

    /// Reads a 32-bit field.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn u32(&self, offset: usize) -> Result<u32, ConfigError> {
        let (registers, at) = self.field(offset, 4)?;
        Ok(registers.read32(at))
    }

    /// Reads a 64-bit field, as two dwords.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`].
    pub fn u64(&self, offset: usize) -> Result<u64, ConfigError> {
        let (registers, at) = self.field(offset, 8)?;
        let low = u64::from(registers.read32(at));
        let high = u64::from(registers.read32(at.wrapping_add(4)));
        Ok(high << 32 | low)
    }

    /// Writes an 8-bit field.
    pub(super) fn write_u8(&self, offset: usize, value: u8) -> Result<(), ConfigError> {
        let (registers, at) = self.field(offset, 1)?;
        registers.write8(at, value);
        Ok(())
    }

    /// Writes a 16-bit field.
    pub(super) fn write_u16(&self, offset: usize, value: u16) -> Result<(), ConfigError> {
        let (registers, at) = self.field(offset, 2)?;
        registers.write16(at, value);
        Ok(())
    }

    /// Writes a 32-bit field.
    pub(super) fn write_u32(&self, offset: usize, value: u32) -> Result<(), ConfigError> {
        let (registers, at) = self.field(offset, 4)?;
        registers.write32(at, value);
        Ok(())
    }

    /// The registers and the offset in them, if they hold a field of `width` bytes at `offset` of the configuration.
    fn field(&self, offset: usize, width: usize) -> Result<(&'a R, usize), ConfigError> {
        let len = self.len();
        match (self.registers, offset.checked_add(width)) {
            // No sum wraps: the configuration ends where the registers do.
            (Some(registers), Some(end)) if end <= len => {
                Ok((registers, self.start.wrapping_add(offset)))
            }
            _ => Err(ConfigError::TooShort { offset, width, len }),
        }
    }
}
