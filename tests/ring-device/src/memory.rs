//! Memory as a device reaches it: by device address.

use thiserror::Error;

/// The driver named memory that the device cannot reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no memory for the device at {address:#x}")]
pub struct Unreachable {
    /// Device address.
    pub address: u64,
}

/// Guest memory by device address. The driver may change any of it at any time.
pub trait Memory {
    /// Copies memory at `address` into `to`.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if not all of it is memory.
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unreachable>;

    /// Copies `from` into memory at `address`.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if not all of it is memory.
    fn write(&self, address: u64, from: &[u8]) -> Result<(), Unreachable>;

    /// Loads a 16-bit little-endian word at an even address, with acquire ordering.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if it is not memory, or not aligned.
    fn load_u16(&self, address: u64) -> Result<u16, Unreachable>;

    /// Stores a 16-bit little-endian word at an even address, with release ordering.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if it is not memory, or not aligned.
    fn store_u16(&self, address: u64, value: u16) -> Result<(), Unreachable>;

    /// Reads a 16-bit little-endian value, in no particular order.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if it is not memory.
    fn read_u16(&self, address: u64) -> Result<u16, Unreachable> {
        let mut bytes = [0; 2];
        self.read(address, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Reads a descriptor's 16 bytes.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if it is not memory.
    fn read_descriptor(&self, address: u64) -> Result<[u8; 16], Unreachable> {
        let mut bytes = [0; 16];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }
}

impl<M: Memory> Memory for &M {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Unreachable> {
        (**self).read(address, to)
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), Unreachable> {
        (**self).write(address, from)
    }

    fn load_u16(&self, address: u64) -> Result<u16, Unreachable> {
        (**self).load_u16(address)
    }

    fn store_u16(&self, address: u64, value: u16) -> Result<(), Unreachable> {
        (**self).store_u16(address, value)
    }
}
