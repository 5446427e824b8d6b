//! The codes of StorPort's two catch-all entry points, their answers, and the control types.
//!
//! source: storport.h; since: Windows Server 2003

/// First argument of StorPortNotification.
pub type SCSI_NOTIFICATION_TYPE = i32;
pub const RequestComplete: SCSI_NOTIFICATION_TYPE = 0;
pub const RequestTimerCall: SCSI_NOTIFICATION_TYPE = 6;
pub const BusChangeDetected: SCSI_NOTIFICATION_TYPE = 7;
pub const EnablePassiveInitialization: SCSI_NOTIFICATION_TYPE = 0x1000;
pub const InitializeDpc: SCSI_NOTIFICATION_TYPE = 0x1001;
pub const IssueDpc: SCSI_NOTIFICATION_TYPE = 0x1002;
pub const AcquireSpinLock: SCSI_NOTIFICATION_TYPE = 0x1003;
pub const ReleaseSpinLock: SCSI_NOTIFICATION_TYPE = 0x1004;
/// since: Windows 8
pub const StateChangeDetectedCall: SCSI_NOTIFICATION_TYPE = 0x1005;
/// What StateChangeDetectedCall says has changed. since: Windows 8
pub const STATE_CHANGE_LUN: u32 = 1;

/// First argument of StorPortExtendedFunction. An older StorPort answers STOR_STATUS_NOT_IMPLEMENTED to a newer code.
pub type STORPORT_FUNCTION_CODE = i32;
/// since: Windows Vista
pub const ExtFunctionGetMessageInterruptInformation: STORPORT_FUNCTION_CODE = 13;
/// since: Windows 7
pub const ExtFunctionInitializePerformanceOptimizations: STORPORT_FUNCTION_CODE = 14;
/// since: Windows 7
pub const ExtFunctionGetStartIoPerformanceParameters: STORPORT_FUNCTION_CODE = 15;
/// since: Windows 7
pub const ExtFunctionLogSystemEvent: STORPORT_FUNCTION_CODE = 16;
/// since: Windows 8.1
pub const ExtFunctionMiniportEtwEvent2: STORPORT_FUNCTION_CODE = 58;

/// Arguments of ExtFunctionMiniportEtwEvent2. since: Windows 8.1
pub const STORPORT_ETW_EVENT_KEYWORD_NON_IO: u64 = 0x40;
pub const StorportEtwLevelWarning: i32 = 3;
pub const StorportEtwLevelInformational: i32 = 4;
pub const StorportEtwEventOpcodeInfo: i32 = 0;

pub const STOR_STATUS_SUCCESS: u32 = 0;
pub const STOR_STATUS_UNSUCCESSFUL: u32 = 0xC100_0001;
pub const STOR_STATUS_NOT_IMPLEMENTED: u32 = 0xC100_0002;
pub const STOR_STATUS_INSUFFICIENT_RESOURCES: u32 = 0xC100_0003;
pub const STOR_STATUS_BUFFER_TOO_SMALL: u32 = 0xC100_0004;
pub const STOR_STATUS_ACCESS_DENIED: u32 = 0xC100_0005;
pub const STOR_STATUS_INVALID_PARAMETER: u32 = 0xC100_0006;
pub const STOR_STATUS_INVALID_DEVICE_REQUEST: u32 = 0xC100_0007;
pub const STOR_STATUS_INVALID_IRQL: u32 = 0xC100_0008;
pub const STOR_STATUS_INVALID_DEVICE_STATE: u32 = 0xC100_0009;
pub const STOR_STATUS_INVALID_BUFFER_SIZE: u32 = 0xC100_000A;
pub const STOR_STATUS_UNSUPPORTED_VERSION: u32 = 0xC100_000B;
pub const STOR_STATUS_BUSY: u32 = 0xC100_000C;

pub type SCSI_ADAPTER_CONTROL_TYPE = i32;
pub const ScsiQuerySupportedControlTypes: SCSI_ADAPTER_CONTROL_TYPE = 0;
pub const ScsiStopAdapter: SCSI_ADAPTER_CONTROL_TYPE = 1;
pub const ScsiRestartAdapter: SCSI_ADAPTER_CONTROL_TYPE = 2;
pub const ScsiSetBootConfig: SCSI_ADAPTER_CONTROL_TYPE = 3;
pub const ScsiSetRunningConfig: SCSI_ADAPTER_CONTROL_TYPE = 4;
/// since: Windows 8
pub const ScsiPowerSettingNotification: SCSI_ADAPTER_CONTROL_TYPE = 5;
/// since: Windows 8
pub const ScsiAdapterPower: SCSI_ADAPTER_CONTROL_TYPE = 6;
/// since: not documented; an older StorPort never sends it
pub const ScsiAdapterSurpriseRemoval: SCSI_ADAPTER_CONTROL_TYPE = 16;

pub type SCSI_ADAPTER_CONTROL_STATUS = i32;
pub const ScsiAdapterControlSuccess: SCSI_ADAPTER_CONTROL_STATUS = 0;
pub const ScsiAdapterControlUnsuccessful: SCSI_ADAPTER_CONTROL_STATUS = 1;

/// since: Windows 8
pub type SCSI_UNIT_CONTROL_TYPE = i32;
/// since: Windows 8
pub const ScsiQuerySupportedUnitControlTypes: SCSI_UNIT_CONTROL_TYPE = 0;
/// since: Windows 8
pub const ScsiUnitUsage: SCSI_UNIT_CONTROL_TYPE = 1;
/// since: Windows 8
pub const ScsiUnitStart: SCSI_UNIT_CONTROL_TYPE = 2;
/// since: Windows 8
pub const ScsiUnitPower: SCSI_UNIT_CONTROL_TYPE = 3;
/// since: not documented; an older StorPort never sends it
pub const ScsiUnitRemove: SCSI_UNIT_CONTROL_TYPE = 9;
/// since: not documented; an older StorPort never sends it
pub const ScsiUnitSurpriseRemoval: SCSI_UNIT_CONTROL_TYPE = 10;

/// since: Windows 8
pub type SCSI_UNIT_CONTROL_STATUS = i32;
/// since: Windows 8
pub const ScsiUnitControlSuccess: SCSI_UNIT_CONTROL_STATUS = 0;
/// since: Windows 8
pub const ScsiUnitControlUnsuccessful: SCSI_UNIT_CONTROL_STATUS = 1;

/// Type of a registry value, as StorPortRegistryRead takes it.
pub const MINIPORT_REG_SZ: u32 = 1;
pub const MINIPORT_REG_DWORD: u32 = 4;
