//! What a miniport tells StorPort about itself (DriverEntry) and about its adapter (HwFindAdapter).
//!
//! source: storport.h; since: Windows Server 2003

use super::callback::*;
use super::{STOR_PHYSICAL_ADDRESS, STOR_SYNCHRONIZATION_MODEL};
use crate::types::{BOOLEAN, PVOID};
use core::mem::{offset_of, size_of};

/// source: wdm.h
pub type INTERFACE_TYPE = i32;
pub const InterfaceTypeUndefined: INTERFACE_TYPE = -1;
pub const Internal: INTERFACE_TYPE = 0;
pub const PCIBus: INTERFACE_TYPE = 5;

/// source: wdm.h
pub type BUS_DATA_TYPE = i32;
pub const PCIConfiguration: BUS_DATA_TYPE = 4;

/// source: wdm.h
pub type KINTERRUPT_MODE = i32;
pub const LevelSensitive: KINTERRUPT_MODE = 0;
pub const Latched: KINTERRUPT_MODE = 1;

/// source: wdm.h
pub type DMA_WIDTH = i32;
pub const Width8Bits: DMA_WIDTH = 0;
pub const Width16Bits: DMA_WIDTH = 1;
pub const Width32Bits: DMA_WIDTH = 2;
pub const Width64Bits: DMA_WIDTH = 3;

/// source: wdm.h
pub type DMA_SPEED = i32;
pub const Compatible: DMA_SPEED = 0;

/// since: Windows Vista
pub type INTERRUPT_SYNCHRONIZATION_MODE = i32;
pub const InterruptSupportNone: INTERRUPT_SYNCHRONIZATION_MODE = 0;
pub const InterruptSynchronizeAll: INTERRUPT_SYNCHRONIZATION_MODE = 1;
pub const InterruptSynchronizePerMessage: INTERRUPT_SYNCHRONIZATION_MODE = 2;

pub const STOR_MAP_NON_READ_WRITE_BUFFERS: u8 = 2;
/// since: Windows 8
pub const STOR_MAP_ALL_BUFFERS_INCLUDING_READ_WRITE: u8 = 3;

pub const SCSI_DMA64_SYSTEM_SUPPORTED: u8 = 0x80;
pub const SCSI_DMA64_MINIPORT_SUPPORTED: u8 = 0x01;
/// since: Windows Server 2003 SP1
pub const SCSI_DMA64_MINIPORT_FULL64BIT_SUPPORTED: u8 = 0x02;

pub const SP_RETURN_NOT_FOUND: u32 = 0;
pub const SP_RETURN_FOUND: u32 = 1;
pub const SP_RETURN_ERROR: u32 = 2;
pub const SP_RETURN_BAD_CONFIG: u32 = 3;

pub const SP_UNTAGGED: u8 = 0xFF;

/// since: Windows 8
pub const SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK: u32 = 0x1;
/// since: Windows 8
pub const SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK: u32 = 0x2;
/// since: Windows 8
pub const ADDRESS_TYPE_FLAG_BTL8: u32 = 0x1;

/// One bus-relative address range of the adapter.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ACCESS_RANGE {
    pub RangeStart: STOR_PHYSICAL_ADDRESS,
    pub RangeLength: u32,
    pub RangeInMemory: BOOLEAN,
}

/// Memory that StorPort reserves for a dump. since: Windows Vista
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MEMORY_REGION {
    pub VirtualBase: *mut usize,
    pub PhysicalBase: STOR_PHYSICAL_ADDRESS,
    pub Length: u32,
}

/// Given to StorPortInitialize; the members from HwFreeAdapterResources on exist since Windows 8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HW_INITIALIZATION_DATA {
    pub HwInitializationDataSize: u32,
    pub AdapterInterfaceType: INTERFACE_TYPE,
    pub HwInitialize: Option<HW_INITIALIZE>,
    pub HwStartIo: Option<HW_STARTIO>,
    pub HwInterrupt: Option<HW_INTERRUPT>,
    pub HwFindAdapter: Option<HW_FIND_ADAPTER>,
    pub HwResetBus: Option<HW_RESET_BUS>,
    pub HwDmaStarted: Option<HW_DMA_STARTED>,
    pub HwAdapterState: Option<HW_ADAPTER_STATE>,
    pub DeviceExtensionSize: u32,
    pub SpecificLuExtensionSize: u32,
    pub SrbExtensionSize: u32,
    pub NumberOfAccessRanges: u32,
    pub Reserved: PVOID,
    pub MapBuffers: u8,
    pub NeedPhysicalAddresses: BOOLEAN,
    pub TaggedQueuing: BOOLEAN,
    pub AutoRequestSense: BOOLEAN,
    pub MultipleRequestPerLu: BOOLEAN,
    pub ReceiveEvent: BOOLEAN,
    pub VendorIdLength: u16,
    pub VendorId: PVOID,
    pub PortVersionFlags: u16,
    pub DeviceIdLength: u16,
    pub DeviceId: PVOID,
    pub HwAdapterControl: Option<HW_ADAPTER_CONTROL>,
    pub HwBuildIo: Option<HW_BUILDIO>,
    pub HwFreeAdapterResources: Option<HW_FREE_ADAPTER_RESOURCES>,
    pub HwProcessServiceRequest: Option<HW_PROCESS_SERVICE_REQUEST>,
    pub HwCompleteServiceIrp: Option<HW_COMPLETE_SERVICE_IRP>,
    pub HwInitializeTracing: Option<HW_INITIALIZE_TRACING>,
    pub HwCleanupTracing: Option<HW_CLEANUP_TRACING>,
    pub HwTracingEnabled: Option<HW_TRACING_ENABLED>,
    pub FeatureSupport: u32,
    pub SrbTypeFlags: u32,
    pub AddressTypeFlags: u32,
    pub Reserved1: u32,
    pub HwUnitControl: Option<HW_UNIT_CONTROL>,
}

/// The newest size of HW_INITIALIZATION_DATA (Windows 8 to 11 22H2).
pub const HW_INIT_DATA_SIZE: u32 = size_of::<HW_INITIALIZATION_DATA>() as u32;
/// The size of a physical miniport's HW_INITIALIZATION_DATA before Windows 8.
pub const HW_INIT_DATA_SIZE_PHYSICAL: u32 =
    offset_of!(HW_INITIALIZATION_DATA, HwFreeAdapterResources) as u32;

/// What StorPort knows of the adapter and what the miniport answers, in HwFindAdapter.
#[repr(C)]
pub struct PORT_CONFIGURATION_INFORMATION {
    pub Length: u32,
    pub SystemIoBusNumber: u32,
    pub AdapterInterfaceType: INTERFACE_TYPE,
    pub BusInterruptLevel: u32,
    pub BusInterruptVector: u32,
    pub InterruptMode: KINTERRUPT_MODE,
    pub MaximumTransferLength: u32,
    pub NumberOfPhysicalBreaks: u32,
    pub DmaChannel: u32,
    pub DmaPort: u32,
    pub DmaWidth: DMA_WIDTH,
    pub DmaSpeed: DMA_SPEED,
    pub AlignmentMask: u32,
    pub NumberOfAccessRanges: u32,
    /// An array of NumberOfAccessRanges elements.
    pub AccessRanges: *mut ACCESS_RANGE,
    pub MiniportDumpData: PVOID,
    pub NumberOfBuses: u8,
    pub InitiatorBusId: [i8; 8],
    pub ScatterGather: BOOLEAN,
    pub Master: BOOLEAN,
    pub CachesData: BOOLEAN,
    pub AdapterScansDown: BOOLEAN,
    pub AtdiskPrimaryClaimed: BOOLEAN,
    pub AtdiskSecondaryClaimed: BOOLEAN,
    pub Dma32BitAddresses: BOOLEAN,
    pub DemandMode: BOOLEAN,
    pub MapBuffers: u8,
    pub NeedPhysicalAddresses: BOOLEAN,
    pub TaggedQueuing: BOOLEAN,
    pub AutoRequestSense: BOOLEAN,
    pub MultipleRequestPerLu: BOOLEAN,
    pub ReceiveEvent: BOOLEAN,
    pub RealModeInitialized: BOOLEAN,
    pub BufferAccessScsiPortControlled: BOOLEAN,
    pub MaximumNumberOfTargets: u8,
    /// since: Windows 8
    pub SrbType: u8,
    /// since: Windows 8
    pub AddressType: u8,
    pub SlotNumber: u32,
    pub BusInterruptLevel2: u32,
    pub BusInterruptVector2: u32,
    pub InterruptMode2: KINTERRUPT_MODE,
    pub DmaChannel2: u32,
    pub DmaPort2: u32,
    pub DmaWidth2: DMA_WIDTH,
    pub DmaSpeed2: DMA_SPEED,
    pub DeviceExtensionSize: u32,
    pub SpecificLuExtensionSize: u32,
    pub SrbExtensionSize: u32,
    pub Dma64BitAddresses: u8,
    pub ResetTargetSupported: BOOLEAN,
    pub MaximumNumberOfLogicalUnits: u8,
    pub WmiDataProvider: BOOLEAN,
    pub SynchronizationModel: STOR_SYNCHRONIZATION_MODEL,
    /// since: Windows Vista
    pub HwMSInterruptRoutine: Option<HW_MESSAGE_SIGNALED_INTERRUPT_ROUTINE>,
    /// since: Windows Vista
    pub InterruptSynchronizationMode: INTERRUPT_SYNCHRONIZATION_MODE,
    pub DumpRegion: MEMORY_REGION,
    pub RequestedDumpBufferSize: u32,
    pub VirtualDevice: BOOLEAN,
    /// since: Windows 8
    pub DumpMode: u8,
    /// since: Windows 10 2004; in the older layout this byte is padding
    pub DmaAddressWidth: u8,
    pub ExtendedFlags1: u32,
    pub MaxNumberOfIO: u32,
    /// since: Windows 8
    pub MaxIOsPerLun: u32,
    /// since: Windows 8
    pub InitialLunQueueDepth: u32,
    /// In microseconds. since: Windows 8
    pub BusResetHoldTime: u32,
    /// since: Windows 8
    pub FeatureSupport: u32,
}
