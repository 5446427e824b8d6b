//! Sense data: what a command that failed tells the class driver.

/// Sense key, additional sense code and its qualifier. SPC-5 §4.4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// Sense key.
    pub key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
}

/// Bytes of fixed-format sense data. SPC-5 §4.4.3
pub const FIXED_LEN: usize = 18;

/// Bytes of descriptor-format sense data without descriptors. SPC-5 §4.4.2
pub const DESCRIPTOR_LEN: usize = 8;

impl Sense {
    const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq }
    }

    /// Nothing to report.
    pub const NONE: Self = Self::new(0x00, 0x00, 0x00);
    /// The disk was stopped by a command and must be started by one.
    pub const STOPPED: Self = Self::new(0x02, 0x04, 0x02);
    /// The disk is empty.
    pub const NO_MEDIUM: Self = Self::new(0x02, 0x3a, 0x00);
    /// The device could not write or flush.
    pub const WRITE_ERROR: Self = Self::new(0x03, 0x0c, 0x00);
    /// The device could not read.
    pub const READ_ERROR: Self = Self::new(0x03, 0x11, 0x00);
    /// The device answered with something that the specification does not know.
    pub const INTERNAL_TARGET_FAILURE: Self = Self::new(0x04, 0x44, 0x00);
    /// This driver does not execute the command.
    pub const INVALID_COMMAND: Self = Self::new(0x05, 0x20, 0x00);
    /// The blocks lie beyond the end of the disk.
    pub const OUT_OF_RANGE: Self = Self::new(0x05, 0x21, 0x00);
    /// A field of the command has a value that is not supported.
    pub const INVALID_FIELD: Self = Self::new(0x05, 0x24, 0x00);
    /// Mode pages cannot be saved.
    pub const SAVING_NOT_SUPPORTED: Self = Self::new(0x05, 0x39, 0x00);
    /// The capacity changed under a running system.
    pub const CAPACITY_CHANGED: Self = Self::new(0x06, 0x2a, 0x09);
    /// The disk is read-only.
    pub const WRITE_PROTECTED: Self = Self::new(0x07, 0x27, 0x00);

    /// Fixed format. SPC-5 §4.4.3
    pub const fn fixed(self) -> [u8; FIXED_LEN] {
        // Byte 7: additional length, the bytes after it.
        [
            0x70, 0, self.key, 0, 0, 0, 0, 10, 0, 0, 0, 0, self.asc, self.ascq, 0, 0, 0, 0,
        ]
    }

    /// Descriptor format. SPC-5 §4.4.2
    pub const fn descriptor(self) -> [u8; DESCRIPTOR_LEN] {
        [0x72, self.key, self.asc, self.ascq, 0, 0, 0, 0]
    }
}
