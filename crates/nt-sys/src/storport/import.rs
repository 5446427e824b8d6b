//! What storport.sys exports.
//!
//! source: storport.h; since: Windows Server 2003

use super::*;
use crate::types::{BOOLEAN, NTSTATUS, PVOID};

#[cfg_attr(
    all(windows, not(target_arch = "x86")),
    link(name = "storport.sys", kind = "raw-dylib", modifiers = "+verbatim")
)]
#[cfg_attr(
    all(windows, target_arch = "x86"),
    link(
        name = "storport.sys",
        kind = "raw-dylib",
        modifiers = "+verbatim",
        import_name_type = "undecorated"
    )
)]
unsafe extern "system" {
    /// PASSIVE_LEVEL, from DriverEntry only; the first two arguments are those of DriverEntry.
    pub fn StorPortInitialize(
        Argument1: PVOID,
        Argument2: PVOID,
        HwInitializationData: *mut HW_INITIALIZATION_DATA,
        HwContext: PVOID,
    ) -> NTSTATUS;
    /// PASSIVE_LEVEL, from HwFindAdapter. Bytes read; 0 if there is no such device.
    pub fn StorPortGetBusData(
        DeviceExtension: PVOID,
        BusDataType: u32,
        SystemIoBusNumber: u32,
        SlotNumber: u32,
        Buffer: PVOID,
        Length: u32,
    ) -> u32;
    /// PASSIVE_LEVEL, from HwFindAdapter. NULL if the range cannot be mapped.
    pub fn StorPortGetDeviceBase(
        HwDeviceExtension: PVOID,
        BusType: INTERFACE_TYPE,
        SystemIoBusNumber: u32,
        IoAddress: STOR_PHYSICAL_ADDRESS,
        NumberOfBytes: u32,
        InIoSpace: BOOLEAN,
    ) -> PVOID;
    /// Any IRQL that a miniport routine runs at, while StorPort keeps the list (HwBuildIo, HwStartIo, until completion).
    pub fn StorPortGetScatterGatherList(
        HwDeviceExtension: PVOID,
        Srb: *mut SCSI_REQUEST_BLOCK,
    ) -> *mut STOR_SCATTER_GATHER_LIST;
    /// Address 0 if `VirtualAddress` cannot be converted; `Length` gets the contiguous bytes from there.
    pub fn StorPortGetPhysicalAddress(
        HwDeviceExtension: PVOID,
        Srb: *mut SCSI_REQUEST_BLOCK,
        VirtualAddress: PVOID,
        Length: *mut u32,
    ) -> STOR_PHYSICAL_ADDRESS;
    /// PASSIVE_LEVEL, from HwFindAdapter. The same block again if it was allocated before; NULL if there is no memory.
    pub fn StorPortGetUncachedExtension(
        HwDeviceExtension: PVOID,
        ConfigInfo: *mut PORT_CONFIGURATION_INFORMATION,
        NumberOfBytes: u32,
    ) -> PVOID;
    /// IRQL <= DISPATCH_LEVEL. FALSE if the logical unit does not exist or the depth is not valid.
    pub fn StorPortSetDeviceQueueDepth(
        HwDeviceExtension: PVOID,
        PathId: u8,
        TargetId: u8,
        Lun: u8,
        Depth: u32,
    ) -> BOOLEAN;
    /// Stops requests to the adapter until `RequestsToComplete` have completed.
    pub fn StorPortBusy(HwDeviceExtension: PVOID, RequestsToComplete: u32) -> BOOLEAN;
    /// Any IRQL. `Delay` in microseconds.
    pub fn StorPortStallExecution(Delay: u32);
    /// PASSIVE_LEVEL. `Length` in and out.
    pub fn StorPortAllocateRegistryBuffer(HwDeviceExtension: PVOID, Length: *mut u32) -> *mut u8;
    /// PASSIVE_LEVEL.
    pub fn StorPortFreeRegistryBuffer(HwDeviceExtension: PVOID, Buffer: *mut u8);
    /// PASSIVE_LEVEL. `Buffer` is one from StorPortAllocateRegistryBuffer.
    pub fn StorPortRegistryRead(
        HwDeviceExtension: PVOID,
        ValueName: *mut u8,
        Global: u32,
        Type: u32,
        Buffer: *mut u8,
        BufferLength: *mut u32,
    ) -> BOOLEAN;
}

// The two variadic entry points; variadic functions are cdecl on x86.
#[cfg_attr(
    all(windows, not(target_arch = "x86")),
    link(name = "storport.sys", kind = "raw-dylib", modifiers = "+verbatim")
)]
#[cfg_attr(
    all(windows, target_arch = "x86"),
    link(
        name = "storport.sys",
        kind = "raw-dylib",
        modifiers = "+verbatim",
        import_name_type = "undecorated"
    )
)]
unsafe extern "C" {
    /// What the further arguments are, and the IRQL, depend on the type.
    pub fn StorPortNotification(
        NotificationType: SCSI_NOTIFICATION_TYPE,
        HwDeviceExtension: PVOID,
        ...
    );
    /// What the further arguments are, and the IRQL, depend on the code. since: Windows Vista
    pub fn StorPortExtendedFunction(
        FunctionCode: STORPORT_FUNCTION_CODE,
        HwDeviceExtension: PVOID,
        ...
    ) -> u32;
}
