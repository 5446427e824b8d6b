//! What a caller of the port driver hands in and gets back: requests, outcomes, limits.

use std::time::Duration;

/// A bus address of 8 bits a part, the only kind StorPort has (`STOR_ADDR_BTL8`, storport.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address {
    /// `PathId`: the bus.
    pub path: u8,
    /// `TargetId`.
    pub target: u8,
    /// `Lun`.
    pub lun: u8,
}

impl Address {
    /// The logical unit `lun` of `target` on bus 0.
    #[must_use]
    pub const fn new(target: u8, lun: u8) -> Self {
        Self {
            path: 0,
            target,
            lun,
        }
    }
}

/// What an SRB asks for: `SRB_FUNCTION_*` in storport.h.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Function {
    /// `SRB_FUNCTION_EXECUTE_SCSI` with this CDB.
    ExecuteScsi(Vec<u8>),
    /// `SRB_FUNCTION_IO_CONTROL`; the data is an `SRB_IO_CONTROL`.
    IoControl,
    /// `SRB_FUNCTION_FLUSH`.
    Flush,
    /// `SRB_FUNCTION_SHUTDOWN`.
    Shutdown,
    /// `SRB_FUNCTION_RESET_LOGICAL_UNIT`.
    ResetLogicalUnit,
    /// `SRB_FUNCTION_RESET_DEVICE`.
    ResetDevice,
    /// `SRB_FUNCTION_PNP` with this `STOR_PNP_ACTION`; `adapter` sets `SRB_PNP_FLAGS_ADAPTER_REQUEST`.
    Pnp {
        /// `STOR_PNP_ACTION`.
        action: u32,
        /// Whether it is for the adapter and not for a unit.
        adapter: bool,
    },
    /// `SRB_FUNCTION_POWER` to this `STOR_DEVICE_POWER_STATE` with this `STOR_POWER_ACTION`.
    Power {
        /// `STOR_DEVICE_POWER_STATE`.
        state: u32,
        /// `STOR_POWER_ACTION`.
        action: u32,
        /// Whether it is for the adapter and not for a unit.
        adapter: bool,
    },
    /// Any other function code, sent as it is.
    Other(u8),
}

/// The data phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Data {
    /// No data.
    #[default]
    None,
    /// From the device, up to this many bytes (`SRB_FLAGS_DATA_IN`).
    In(usize),
    /// To the device (`SRB_FLAGS_DATA_OUT`).
    Out(Vec<u8>),
    /// Both flags set over one buffer: what an I/O control or a PnP query uses (`SRB_FLAGS_UNSPECIFIED_DIRECTION`).
    Both(Vec<u8>),
}

impl Data {
    /// Bytes to transfer.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::In(len) => *len,
            Self::Out(bytes) | Self::Both(bytes) => bytes.len(),
        }
    }
    /// Whether there is no data phase or an empty one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How the pages of a data buffer lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Runs of one to a few pages, chosen by the seed.
    #[default]
    Random,
    /// No two pages adjacent: the longest scatter/gather list.
    Scattered,
    /// One run.
    Contiguous,
}

/// One request to a unit (or to the adapter).
pub struct Request {
    /// Where to.
    pub address: Address,
    /// What.
    pub function: Function,
    /// The data phase.
    pub data: Data,
    /// Where in its first page the buffer starts. `None`: chosen by the seed within the promised alignment and the
    /// promised number of physical breaks.
    pub page_offset: Option<usize>,
    /// How its pages lie in memory.
    pub layout: Layout,
    /// `SRB_FLAGS_*` besides the direction, the tag and the auto-sense flags, which the port driver sets.
    pub flags: u32,
    /// Time after which the port driver starts to reset things. Rounded up to seconds, as `TimeOutValue` counts those.
    pub timeout: Duration,
    /// The virtual CPU that issues it; `None`: the next in turn.
    pub cpu: Option<u32>,
    /// Runs at DISPATCH_LEVEL on a virtual CPU when the request is over. It may submit.
    pub on_complete: Box<dyn FnOnce(Outcome)>,
}

impl Request {
    /// A SCSI command with the defaults: seeded buffer layout, 10 s, next CPU, nothing done at completion.
    #[must_use]
    pub fn scsi(address: Address, cdb: &[u8], data: Data) -> Self {
        Self::new(address, Function::ExecuteScsi(cdb.to_vec()), data)
    }
    /// Any function with the defaults of [`Request::scsi`].
    #[must_use]
    pub fn new(address: Address, function: Function, data: Data) -> Self {
        Self {
            address,
            function,
            data,
            page_offset: None,
            layout: Layout::default(),
            flags: 0,
            timeout: Duration::from_secs(10),
            cpu: None,
            on_complete: Box::new(|_| {}),
        }
    }
    /// Sets what runs when the request is over.
    #[must_use]
    pub fn on_complete(mut self, run: impl FnOnce(Outcome) + 'static) -> Self {
        self.on_complete = Box::new(run);
        self
    }
}

/// What became of a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `SrbStatus` as the miniport left it, flags included (`SRB_STATUS_AUTOSENSE_VALID` is 0x80).
    pub raw_status: u8,
    /// `ScsiStatus`.
    pub scsi_status: u8,
    /// The sense data, if the miniport says that it is valid.
    pub sense: Option<Vec<u8>>,
    /// `DataTransferLength` at completion, bytes.
    pub transferred: u32,
    /// What the device wrote (`Data::In`, `Data::Both`): the whole buffer, whatever `transferred` says.
    pub data: Vec<u8>,
    /// Virtual time from submission to completion.
    pub latency: Duration,
}

impl Outcome {
    /// The status without its flag bits (`SRB_STATUS(Status)`, storport.h).
    #[must_use]
    pub const fn srb_status(&self) -> u8 {
        self.raw_status & 0x3f
    }
    /// Whether the status is `SRB_STATUS_SUCCESS`.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.srb_status() == 0x01
    }
    /// Sense key, additional sense code and its qualifier, from fixed (70h/71h) or descriptor (72h/73h) sense data (SPC-4 §4.5).
    #[must_use]
    pub fn sense_code(&self) -> Option<(u8, u8, u8)> {
        let sense = self.sense.as_deref()?;
        match sense.first()? & 0x7f {
            0x70 | 0x71 => Some((sense.get(2)? & 0x0f, *sense.get(12)?, *sense.get(13)?)),
            0x72 | 0x73 => Some((sense.get(1)? & 0x0f, *sense.get(2)?, *sense.get(3)?)),
            _ => None,
        }
    }
}

/// What the miniport promised in HwFindAdapter, and what follows for who issues requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `MaximumTransferLength`, bytes; `u32::MAX` if the miniport left it unlimited.
    pub maximum_transfer_length: u32,
    /// `NumberOfPhysicalBreaks`.
    pub physical_breaks: u32,
    /// The longest request that Windows' disk class driver sends: it allows for a buffer that does not start on a page, so
    /// min(`MaximumTransferLength`, (`NumberOfPhysicalBreaks` - 1) pages), and never less than a page.
    pub max_request: usize,
    /// `AlignmentMask`.
    pub alignment_mask: u32,
    /// `MaxNumberOfIO`.
    pub max_number_of_io: u32,
    /// `MaxIOsPerLun`.
    pub max_ios_per_lun: u32,
    /// `InitialLunQueueDepth`.
    pub initial_lun_queue_depth: u32,
    /// `SrbExtensionSize`, bytes.
    pub srb_extension_size: u32,
    /// `DeviceExtensionSize`, bytes.
    pub device_extension_size: u32,
    /// Uncached extension, bytes; 0 if none was asked for.
    pub uncached_extension_size: usize,
    /// Concurrent channels negotiated; 0 if StartIo calls are serialised.
    pub channels: u32,
    /// Interrupt messages connected; 0 if the line is used.
    pub messages: u16,
}
