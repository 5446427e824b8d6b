//! Sense data in fixed format (SPC-4 §4.5.3): why a command failed.

/// Sense keys of SPC-4 table 48 that a virtual disk reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SenseKey {
    /// Nothing to report.
    NoSense = 0x0,
    /// Not able to take the command now.
    NotReady = 0x2,
    /// The medium lost the data.
    MediumError = 0x3,
    /// The device failed.
    HardwareError = 0x4,
    /// The command or a field of it is wrong.
    IllegalRequest = 0x5,
    /// Something changed since the last command.
    UnitAttention = 0x6,
    /// The medium is write protected.
    DataProtect = 0x7,
    /// The device gave the command up; the initiator may try again.
    AbortedCommand = 0xB,
}

/// Bytes of fixed-format sense data without additional bytes.
pub const FIXED_LEN: usize = 18;

/// Bytes of descriptor-format sense data without descriptors.
pub const DESCRIPTOR_LEN: usize = 8;

/// Sense data, ready to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    key: SenseKey,
    asc: u8,
    ascq: u8,
    information: Option<u32>,
    field: Option<[u8; 3]>,
}

impl Sense {
    /// NO SENSE.
    pub const NONE: Self = Self::new(SenseKey::NoSense, 0x00, 0x00);
    /// INVALID COMMAND OPERATION CODE.
    pub const INVALID_OPCODE: Self = Self::new(SenseKey::IllegalRequest, 0x20, 0x00);
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    pub const LBA_OUT_OF_RANGE: Self = Self::new(SenseKey::IllegalRequest, 0x21, 0x00);
    /// INVALID FIELD IN CDB.
    pub const INVALID_FIELD: Self = Self::new(SenseKey::IllegalRequest, 0x24, 0x00);
    /// LOGICAL UNIT NOT SUPPORTED.
    pub const LUN_NOT_SUPPORTED: Self = Self::new(SenseKey::IllegalRequest, 0x25, 0x00);
    /// INVALID FIELD IN PARAMETER LIST.
    pub const INVALID_PARAMETER: Self = Self::new(SenseKey::IllegalRequest, 0x26, 0x00);
    /// WRITE PROTECTED.
    pub const WRITE_PROTECTED: Self = Self::new(SenseKey::DataProtect, 0x27, 0x00);
    /// UNRECOVERED READ ERROR.
    pub const READ_ERROR: Self = Self::new(SenseKey::MediumError, 0x11, 0x00);
    /// WRITE ERROR.
    pub const WRITE_ERROR: Self = Self::new(SenseKey::MediumError, 0x0C, 0x00);
    /// INTERNAL TARGET FAILURE.
    pub const TARGET_FAILURE: Self = Self::new(SenseKey::HardwareError, 0x44, 0x00);
    /// PARAMETER LIST LENGTH ERROR.
    pub const PARAMETER_LIST_LENGTH: Self = Self::new(SenseKey::IllegalRequest, 0x1A, 0x00);
    /// MODE PARAMETERS CHANGED.
    pub const MODE_PARAMETERS_CHANGED: Self = Self::new(SenseKey::UnitAttention, 0x2A, 0x01);
    /// CAPACITY DATA HAS CHANGED.
    pub const CAPACITY_CHANGED: Self = Self::new(SenseKey::UnitAttention, 0x2A, 0x09);
    /// LOGICAL UNIT NOT READY, cause not reportable.
    pub const NOT_READY: Self = Self::new(SenseKey::NotReady, 0x04, 0x00);
    /// LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED: stopped by START STOP UNIT.
    pub const STOPPED: Self = Self::new(SenseKey::NotReady, 0x04, 0x02);
    /// SAVING PARAMETERS NOT SUPPORTED.
    pub const SAVING_NOT_SUPPORTED: Self = Self::new(SenseKey::IllegalRequest, 0x39, 0x00);
    /// MEDIUM NOT PRESENT.
    pub const NO_MEDIUM: Self = Self::new(SenseKey::NotReady, 0x3A, 0x00);

    /// A key with its additional sense code and qualifier.
    #[must_use]
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Self {
        Self {
            key,
            asc,
            ascq,
            information: None,
            field: None,
        }
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> SenseKey {
        self.key
    }

    /// Names the block that failed. The field has 32 bits: a higher address is left out, as SPC-4 §4.5.3 wants.
    #[must_use]
    pub fn at_block(mut self, lba: u64) -> Self {
        self.information = u32::try_from(lba).ok();
        self
    }

    /// Names the byte of the CDB that is wrong (SPC-4 §4.5.2.4.2).
    #[must_use]
    pub const fn in_cdb(self, byte: u16) -> Self {
        self.field_pointer(0xC0, byte)
    }

    /// Names the byte of the parameter list that is wrong (SPC-4 §4.5.2.4.2).
    #[must_use]
    pub const fn in_parameters(self, byte: u16) -> Self {
        self.field_pointer(0x80, byte)
    }

    const fn field_pointer(mut self, flags: u8, byte: u16) -> Self {
        let [high, low] = byte.to_be_bytes();
        self.field = Some([flags, high, low]);
        self
    }

    /// The 18 bytes of current errors (response code 70h).
    #[must_use]
    pub const fn encode(&self) -> [u8; FIXED_LEN] {
        let (valid, information) = match self.information {
            Some(value) => (0x80, value.to_be_bytes()),
            None => (0, [0; 4]),
        };
        let [i0, i1, i2, i3] = information;
        let [f0, f1, f2] = match self.field {
            Some(bytes) => bytes,
            None => [0; 3],
        };
        let additional = 10; // bytes after byte 7
        [
            valid | 0x70,
            0,
            self.key as u8,
            i0,
            i1,
            i2,
            i3,
            additional, //
            0,
            0,
            0,
            0,
            self.asc,
            self.ascq,
            0,
            f0,
            f1,
            f2,
        ]
    }

    /// The 8-byte head of the same in descriptor format, without descriptors (response code 72h, SPC-4 §4.5.2.1): for
    /// REQUEST SENSE with DESC = 1.
    #[must_use]
    pub const fn encode_descriptor(&self) -> [u8; DESCRIPTOR_LEN] {
        [0x72, self.key as u8, self.asc, self.ascq, 0, 0, 0, 0]
    }
}

#[cfg(test)]
mod tests;
