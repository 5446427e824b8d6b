//! SRB status and StorPort status, each translated in one place.

use nt_sys::storport::*;

/// How a request ended.
///
/// SRB_STATUS_INTERNAL_ERROR is not for miniports: class drivers then look for an NTSTATUS in the block, which a miniport has not
/// set and which reads as success. MS: ns-storport-_storage_request_block, SystemStatus
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrbStatus {
    /// Still with the miniport.
    Pending,
    /// Done, without error.
    Success,
    /// Taken back by a reset or an abort.
    Aborted,
    /// Failed; sense data or nothing says why.
    Error,
    /// No room now: StorPort asks again later.
    Busy,
    /// The miniport does not do this.
    InvalidRequest,
    /// No such bus.
    InvalidPath,
    /// The device is gone.
    NoDevice,
    /// Took too long.
    Timeout,
    /// Ended by a bus reset.
    BusReset,
    /// The device moved fewer or more bytes than asked.
    DataOverrun,
    /// A request block that contradicts itself.
    BadBlockLength,
    /// Ended because its queue was emptied.
    RequestFlushed,
    /// No such logical unit.
    InvalidLun,
    /// No such target.
    InvalidTarget,
    /// A function code that the miniport does not know.
    BadFunction,
    /// The device is powered down.
    NotPowered,
}

impl SrbStatus {
    /// The byte for SrbStatus: the only place where a status becomes one.
    #[must_use]
    pub const fn to_raw(self) -> u8 {
        match self {
            Self::Pending => SRB_STATUS_PENDING,
            Self::Success => SRB_STATUS_SUCCESS,
            Self::Aborted => SRB_STATUS_ABORTED,
            Self::Error => SRB_STATUS_ERROR,
            Self::Busy => SRB_STATUS_BUSY,
            Self::InvalidRequest => SRB_STATUS_INVALID_REQUEST,
            Self::InvalidPath => SRB_STATUS_INVALID_PATH_ID,
            Self::NoDevice => SRB_STATUS_NO_DEVICE,
            Self::Timeout => SRB_STATUS_TIMEOUT,
            Self::BusReset => SRB_STATUS_BUS_RESET,
            Self::DataOverrun => SRB_STATUS_DATA_OVERRUN,
            Self::BadBlockLength => SRB_STATUS_BAD_SRB_BLOCK_LENGTH,
            Self::RequestFlushed => SRB_STATUS_REQUEST_FLUSHED,
            Self::InvalidLun => SRB_STATUS_INVALID_LUN,
            Self::InvalidTarget => SRB_STATUS_INVALID_TARGET_ID,
            Self::BadFunction => SRB_STATUS_BAD_FUNCTION,
            Self::NotPowered => SRB_STATUS_NOT_POWERED,
        }
    }
}

/// Why StorPort refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorStatus {
    /// This Windows does not have the function.
    NotImplemented,
    /// An argument is wrong.
    InvalidParameter,
    /// Called at an IRQL that the function does not allow.
    InvalidIrql,
    /// No memory.
    InsufficientResources,
    /// The adapter cannot do this (no message-signalled interrupts, say).
    InvalidDeviceRequest,
    /// A structure is larger than StorPort takes.
    InvalidBufferSize,
    /// A structure of a version that this Windows does not have.
    UnsupportedVersion,
    /// Any other STOR_STATUS, as StorPort gave it.
    Other(u32),
}

impl StorStatus {
    /// Reads what StorPortExtendedFunction answered: the only place where a STOR_STATUS is told apart.
    ///
    /// # Errors
    /// Every status but STOR_STATUS_SUCCESS.
    pub const fn check(raw: u32) -> Result<(), Self> {
        match raw {
            STOR_STATUS_SUCCESS => Ok(()),
            STOR_STATUS_NOT_IMPLEMENTED => Err(Self::NotImplemented),
            STOR_STATUS_INVALID_PARAMETER => Err(Self::InvalidParameter),
            STOR_STATUS_INVALID_IRQL => Err(Self::InvalidIrql),
            STOR_STATUS_INSUFFICIENT_RESOURCES => Err(Self::InsufficientResources),
            STOR_STATUS_INVALID_DEVICE_REQUEST => Err(Self::InvalidDeviceRequest),
            STOR_STATUS_INVALID_BUFFER_SIZE => Err(Self::InvalidBufferSize),
            STOR_STATUS_UNSUPPORTED_VERSION => Err(Self::UnsupportedVersion),
            other => Err(Self::Other(other)),
        }
    }
}
