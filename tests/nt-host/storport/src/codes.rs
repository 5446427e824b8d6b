//! Numbers of storport.h, srb.h and scsi.h that are macros there, and so in no table of measured enumerations.

/// `SRB_FUNCTION_*`.
pub mod function {
    pub const EXECUTE_SCSI: u8 = 0x00;
    pub const IO_CONTROL: u8 = 0x02;
    pub const SHUTDOWN: u8 = 0x07;
    pub const FLUSH: u8 = 0x08;
    pub const RESET_DEVICE: u8 = 0x13;
    pub const RESET_LOGICAL_UNIT: u8 = 0x20;
    pub const POWER: u8 = 0x24;
    pub const PNP: u8 = 0x25;
    pub const STORAGE_REQUEST_BLOCK: u8 = 0x28;
    pub const WMI: u8 = 0x17;
}

/// `SRB_STATUS_*`.
pub mod status {
    pub const PENDING: u8 = 0x00;
    pub const SUCCESS: u8 = 0x01;
    pub const BUSY: u8 = 0x05;
    pub const INVALID_REQUEST: u8 = 0x06;
    pub const NO_DEVICE: u8 = 0x08;
    pub const SELECTION_TIMEOUT: u8 = 0x0a;
    pub const INVALID_PATH_ID: u8 = 0x07;
    pub const INVALID_LUN: u8 = 0x20;
    pub const INVALID_TARGET_ID: u8 = 0x21;
    pub const INTERNAL_ERROR: u8 = 0x30;
    pub const QUEUE_FROZEN: u8 = 0x40;
    pub const AUTOSENSE_VALID: u8 = 0x80;
    /// `SRB_STATUS(Status)`: without the two flag bits.
    pub const MASK: u8 = 0x3f;
}

/// `SRB_FLAGS_*`.
pub mod flags {
    pub const QUEUE_ACTION_ENABLE: u32 = 0x0000_0002;
    pub const DATA_IN: u32 = 0x0000_0040;
    pub const DATA_OUT: u32 = 0x0000_0080;
    pub const NO_QUEUE_FREEZE: u32 = 0x0000_0100;
}

/// `SRB_SIMPLE_TAG_REQUEST`.
pub const SIMPLE_TAG: u8 = 0x20;
/// `SRB_SIGNATURE`.
pub const SRB_SIGNATURE: u32 = 0x5352_4258;
/// `STORAGE_REQUEST_BLOCK_VERSION_1`.
pub const SRB_VERSION: u32 = 1;
/// `STOR_ADDRESS_TYPE_BTL8`.
pub const ADDRESS_BTL8: u16 = 1;
/// `STOR_ADDR_BTL8_ADDRESS_LENGTH`.
pub const ADDRESS_BTL8_LENGTH: u32 = 4;
/// `SP_UNINITIALIZED_VALUE`.
pub const UNINITIALIZED: u32 = u32::MAX;
/// `SP_UNTAGGED`: all of them.
pub const UNTAGGED: u8 = 0xff;

/// `SP_RETURN_*`, what HwFindAdapter returns.
pub mod find {
    pub const FOUND: u32 = 1;
}

/// `STOR_STATUS_*`.
pub mod stor_status {
    pub const SUCCESS: u32 = 0;
    pub const UNSUCCESSFUL: u32 = 0xC100_0001;
    pub const NOT_IMPLEMENTED: u32 = 0xC100_0002;
    pub const INSUFFICIENT_RESOURCES: u32 = 0xC100_0003;
    pub const INVALID_PARAMETER: u32 = 0xC100_0006;
    pub const INVALID_DEVICE_REQUEST: u32 = 0xC100_0007;
    pub const INVALID_IRQL: u32 = 0xC100_0008;
    pub const INVALID_DEVICE_STATE: u32 = 0xC100_0009;
    pub const INVALID_BUFFER_SIZE: u32 = 0xC100_000A;
    pub const UNSUPPORTED_VERSION: u32 = 0xC100_000B;
    pub const BUSY: u32 = 0xC100_000C;
}

/// `STOR_PERF_*` flags and versions.
pub mod perf {
    pub const DPC_REDIRECTION: u32 = 0x01;
    pub const CONCURRENT_CHANNELS: u32 = 0x02;
    pub const INTERRUPT_MESSAGE_RANGES: u32 = 0x04;
    pub const ADV_CONFIG_LOCALITY: u32 = 0x08;
    pub const COMPLETION_DURING_STARTIO: u32 = 0x10;
    pub const DPC_REDIRECTION_CURRENT_CPU: u32 = 0x20;
    pub const NO_SGL: u32 = 0x40;
}

/// `STOR_MAP_*`.
pub mod map {
    pub const NO_BUFFERS: u8 = 0;
    pub const ALL_INCLUDING_READ_WRITE: u8 = 3;
}

/// `SCSI_DMA64_*`.
pub mod dma64 {
    pub const SYSTEM_SUPPORTED: u8 = 0x80;
}

/// SCSI operation codes (SBC-3, SPC-4) that the port driver itself sends or tells apart.
pub mod scsi {
    pub const READ_6: u8 = 0x08;
    pub const WRITE_6: u8 = 0x0a;
    pub const INQUIRY: u8 = 0x12;
    pub const MODE_SENSE_6: u8 = 0x1a;
    pub const READ_CAPACITY_10: u8 = 0x25;
    pub const READ_10: u8 = 0x28;
    pub const WRITE_10: u8 = 0x2a;
    pub const READ_16: u8 = 0x88;
    pub const WRITE_16: u8 = 0x8a;
    pub const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub const REPORT_LUNS: u8 = 0xa0;
    pub const READ_12: u8 = 0xa8;
    pub const WRITE_12: u8 = 0xaa;
}

/// Whether a CDB is one of those whose buffer `STOR_MAP_NON_READ_WRITE_BUFFERS` leaves unmapped.
pub fn is_read_write(cdb: &[u8]) -> bool {
    use scsi::{READ_6, READ_10, READ_12, READ_16, WRITE_6, WRITE_10, WRITE_12, WRITE_16};
    matches!(
        cdb.first(),
        Some(&(READ_6 | READ_10 | READ_12 | READ_16 | WRITE_6 | WRITE_10 | WRITE_12 | WRITE_16))
    )
}

/// NTSTATUS values that StorPortInitialize returns (MS: nf-storport-storportinitialize).
pub mod nt {
    pub const SUCCESS: u32 = 0;
    pub const INVALID_PARAMETER: u32 = 0xC000_000D;
    pub const NOT_SUPPORTED: u32 = 0xC000_00BB;
    pub const REVISION_MISMATCH: u32 = 0xC000_0059;
}
