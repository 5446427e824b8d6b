//! Structures of the port driver.

use super::layout;
use crate::storport::*;

layout! {
    STOR_ADDRESS: 16 / 8, 12 / 4 {
        Type: 0 + 2, 0 + 2;
        Port: 2 + 2, 2 + 2;
        AddressLength: 4 + 4, 4 + 4;
        AddressData: 8 + 1, 8 + 1;
    }
}

layout! {
    STOR_ADDR_BTL8: 16 / 8, 12 / 4 {
        Type: 0 + 2, 0 + 2;
        Port: 2 + 2, 2 + 2;
        AddressLength: 4 + 4, 4 + 4;
        Path: 8 + 1, 8 + 1;
        Target: 9 + 1, 9 + 1;
        Lun: 10 + 1, 10 + 1;
        Reserved: 11 + 1, 11 + 1;
    }
}

layout! {
    STOR_SCATTER_GATHER_ELEMENT: 24 / 8, 16 / 8 {
        PhysicalAddress: 0 + 8, 0 + 8;
        Length: 8 + 4, 8 + 4;
        Reserved: 16 + 8, 12 + 4;
    }
}

layout! {
    STOR_SCATTER_GATHER_LIST: 16 / 8, 8 / 8 {
        NumberOfElements: 0 + 4, 0 + 4;
        Reserved: 8 + 8, 4 + 4;
        List: 16 + 0, 8 + 0;
    }
}

layout! {
    ACCESS_RANGE: 16 / 8, 16 / 8 {
        RangeStart: 0 + 8, 0 + 8;
        RangeLength: 8 + 4, 8 + 4;
        RangeInMemory: 12 + 1, 12 + 1;
    }
}

layout! {
    MEMORY_REGION: 24 / 8, 24 / 8 {
        VirtualBase: 0 + 8, 0 + 4;
        PhysicalBase: 8 + 8, 8 + 8;
        Length: 16 + 4, 16 + 4;
    }
}

layout! {
    HW_INITIALIZATION_DATA: 208 / 8, 128 / 4 {
        HwInitializationDataSize: 0 + 4, 0 + 4;
        AdapterInterfaceType: 4 + 4, 4 + 4;
        HwInitialize: 8 + 8, 8 + 4;
        HwStartIo: 16 + 8, 12 + 4;
        HwInterrupt: 24 + 8, 16 + 4;
        HwFindAdapter: 32 + 8, 20 + 4;
        HwResetBus: 40 + 8, 24 + 4;
        HwDmaStarted: 48 + 8, 28 + 4;
        HwAdapterState: 56 + 8, 32 + 4;
        DeviceExtensionSize: 64 + 4, 36 + 4;
        SpecificLuExtensionSize: 68 + 4, 40 + 4;
        SrbExtensionSize: 72 + 4, 44 + 4;
        NumberOfAccessRanges: 76 + 4, 48 + 4;
        Reserved: 80 + 8, 52 + 4;
        MapBuffers: 88 + 1, 56 + 1;
        NeedPhysicalAddresses: 89 + 1, 57 + 1;
        TaggedQueuing: 90 + 1, 58 + 1;
        AutoRequestSense: 91 + 1, 59 + 1;
        MultipleRequestPerLu: 92 + 1, 60 + 1;
        ReceiveEvent: 93 + 1, 61 + 1;
        VendorIdLength: 94 + 2, 62 + 2;
        VendorId: 96 + 8, 64 + 4;
        PortVersionFlags: 104 + 2, 68 + 2;
        DeviceIdLength: 106 + 2, 70 + 2;
        DeviceId: 112 + 8, 72 + 4;
        HwAdapterControl: 120 + 8, 76 + 4;
        HwBuildIo: 128 + 8, 80 + 4;
        HwFreeAdapterResources: 136 + 8, 84 + 4;
        HwProcessServiceRequest: 144 + 8, 88 + 4;
        HwCompleteServiceIrp: 152 + 8, 92 + 4;
        HwInitializeTracing: 160 + 8, 96 + 4;
        HwCleanupTracing: 168 + 8, 100 + 4;
        HwTracingEnabled: 176 + 8, 104 + 4;
        FeatureSupport: 184 + 4, 108 + 4;
        SrbTypeFlags: 188 + 4, 112 + 4;
        AddressTypeFlags: 192 + 4, 116 + 4;
        Reserved1: 196 + 4, 120 + 4;
        HwUnitControl: 200 + 8, 124 + 4;
    }
    within {
        ReservedUshort: PortVersionFlags;
    }
}

layout! {
    PORT_CONFIGURATION_INFORMATION: 224 / 8, 208 / 8 {
        Length: 0 + 4, 0 + 4;
        SystemIoBusNumber: 4 + 4, 4 + 4;
        AdapterInterfaceType: 8 + 4, 8 + 4;
        BusInterruptLevel: 12 + 4, 12 + 4;
        BusInterruptVector: 16 + 4, 16 + 4;
        InterruptMode: 20 + 4, 20 + 4;
        MaximumTransferLength: 24 + 4, 24 + 4;
        NumberOfPhysicalBreaks: 28 + 4, 28 + 4;
        DmaChannel: 32 + 4, 32 + 4;
        DmaPort: 36 + 4, 36 + 4;
        DmaWidth: 40 + 4, 40 + 4;
        DmaSpeed: 44 + 4, 44 + 4;
        AlignmentMask: 48 + 4, 48 + 4;
        NumberOfAccessRanges: 52 + 4, 52 + 4;
        AccessRanges: 56 + 8, 56 + 4;
        MiniportDumpData: 64 + 8, 60 + 4;
        NumberOfBuses: 72 + 1, 64 + 1;
        InitiatorBusId: 73 + 8, 65 + 8;
        ScatterGather: 81 + 1, 73 + 1;
        Master: 82 + 1, 74 + 1;
        CachesData: 83 + 1, 75 + 1;
        AdapterScansDown: 84 + 1, 76 + 1;
        AtdiskPrimaryClaimed: 85 + 1, 77 + 1;
        AtdiskSecondaryClaimed: 86 + 1, 78 + 1;
        Dma32BitAddresses: 87 + 1, 79 + 1;
        DemandMode: 88 + 1, 80 + 1;
        MapBuffers: 89 + 1, 81 + 1;
        NeedPhysicalAddresses: 90 + 1, 82 + 1;
        TaggedQueuing: 91 + 1, 83 + 1;
        AutoRequestSense: 92 + 1, 84 + 1;
        MultipleRequestPerLu: 93 + 1, 85 + 1;
        ReceiveEvent: 94 + 1, 86 + 1;
        RealModeInitialized: 95 + 1, 87 + 1;
        BufferAccessScsiPortControlled: 96 + 1, 88 + 1;
        MaximumNumberOfTargets: 97 + 1, 89 + 1;
        SrbType: 98 + 1, 90 + 1;
        AddressType: 99 + 1, 91 + 1;
        SlotNumber: 100 + 4, 92 + 4;
        BusInterruptLevel2: 104 + 4, 96 + 4;
        BusInterruptVector2: 108 + 4, 100 + 4;
        InterruptMode2: 112 + 4, 104 + 4;
        DmaChannel2: 116 + 4, 108 + 4;
        DmaPort2: 120 + 4, 112 + 4;
        DmaWidth2: 124 + 4, 116 + 4;
        DmaSpeed2: 128 + 4, 120 + 4;
        DeviceExtensionSize: 132 + 4, 124 + 4;
        SpecificLuExtensionSize: 136 + 4, 128 + 4;
        SrbExtensionSize: 140 + 4, 132 + 4;
        Dma64BitAddresses: 144 + 1, 136 + 1;
        ResetTargetSupported: 145 + 1, 137 + 1;
        MaximumNumberOfLogicalUnits: 146 + 1, 138 + 1;
        WmiDataProvider: 147 + 1, 139 + 1;
        SynchronizationModel: 148 + 4, 140 + 4;
        HwMSInterruptRoutine: 152 + 8, 144 + 4;
        InterruptSynchronizationMode: 160 + 4, 148 + 4;
        DumpRegion: 168 + 24, 152 + 24;
        RequestedDumpBufferSize: 192 + 4, 176 + 4;
        VirtualDevice: 196 + 1, 180 + 1;
        DumpMode: 197 + 1, 181 + 1;
        DmaAddressWidth: 198 + 1, 182 + 1;
        ExtendedFlags1: 200 + 4, 184 + 4;
        MaxNumberOfIO: 204 + 4, 188 + 4;
        MaxIOsPerLun: 208 + 4, 192 + 4;
        InitialLunQueueDepth: 212 + 4, 196 + 4;
        BusResetHoldTime: 216 + 4, 200 + 4;
        FeatureSupport: 220 + 4, 204 + 4;
    }
}

layout! {
    PERF_CONFIGURATION_DATA: 40 / 8, 36 / 4 {
        Version: 0 + 4, 0 + 4;
        Size: 4 + 4, 4 + 4;
        Flags: 8 + 4, 8 + 4;
        ConcurrentChannels: 12 + 4, 12 + 4;
        FirstRedirectionMessageNumber: 16 + 4, 16 + 4;
        LastRedirectionMessageNumber: 20 + 4, 20 + 4;
        DeviceNode: 24 + 4, 24 + 4;
        Reserved: 28 + 4, 28 + 4;
        MessageTargets: 32 + 8, 32 + 4;
    }
}

layout! {
    STARTIO_PERFORMANCE_PARAMETERS: 16 / 4, 16 / 4 {
        Version: 0 + 4, 0 + 4;
        Size: 4 + 4, 4 + 4;
        MessageNumber: 8 + 4, 8 + 4;
        ChannelNumber: 12 + 4, 12 + 4;
    }
}

layout! {
    STOR_DPC: 72 / 8, 36 / 4 {
        Dpc: 0 + 64, 0 + 32;
        Lock: 64 + 8, 32 + 4;
    }
}

layout! {
    STOR_LOCK_HANDLE: 32 / 8, 16 / 4 {
        Lock: 0 + 4, 0 + 4;
        Context: 8 + 24, 4 + 12;
    }
}

layout! {
    MESSAGE_INTERRUPT_INFORMATION: 32 / 8, 32 / 8 {
        MessageId: 0 + 4, 0 + 4;
        MessageData: 4 + 4, 4 + 4;
        MessageAddress: 8 + 8, 8 + 8;
        InterruptVector: 16 + 4, 16 + 4;
        InterruptLevel: 20 + 4, 20 + 4;
        InterruptMode: 24 + 4, 24 + 4;
    }
}

layout! {
    SCSI_SUPPORTED_CONTROL_TYPE_LIST: 4 / 4, 4 / 4 {
        MaxControlType: 0 + 4, 0 + 4;
        SupportedTypeList: 4 + 0, 4 + 0;
    }
}

layout! {
    STOR_LOG_EVENT_DETAILS: 72 / 8, 56 / 4 {
        InterfaceRevision: 0 + 4, 0 + 4;
        Size: 4 + 4, 4 + 4;
        Flags: 8 + 4, 8 + 4;
        EventAssociation: 12 + 4, 12 + 4;
        PathId: 16 + 4, 16 + 4;
        TargetId: 20 + 4, 20 + 4;
        LunId: 24 + 4, 24 + 4;
        StorportSpecificErrorCode: 28 + 1, 28 + 1;
        ErrorCode: 32 + 4, 32 + 4;
        UniqueId: 36 + 4, 36 + 4;
        DumpDataSize: 40 + 4, 40 + 4;
        DumpData: 48 + 8, 44 + 4;
        StringCount: 56 + 4, 48 + 4;
        StringList: 64 + 8, 52 + 4;
    }
}

layout! {
    MINIPORT_DUMP_POINTERS: 112 / 8, 84 / 4 {
        Version: 0 + 2, 0 + 2;
        Size: 2 + 2, 2 + 2;
        DriverName: 4 + 30, 4 + 30;
        AdapterObject: 40 + 8, 36 + 4;
        MappedRegisterBase: 48 + 8, 40 + 4;
        CommonBufferSize: 56 + 4, 44 + 4;
        MiniportPrivateDumpData: 64 + 8, 48 + 4;
        SystemIoBusNumber: 72 + 4, 52 + 4;
        AdapterInterfaceType: 76 + 4, 56 + 4;
        MaximumTransferLength: 80 + 4, 60 + 4;
        NumberOfPhysicalBreaks: 84 + 4, 64 + 4;
        AlignmentMask: 88 + 4, 68 + 4;
        NumberOfAccessRanges: 92 + 4, 72 + 4;
        AccessRanges: 96 + 8, 76 + 4;
        NumberOfBuses: 104 + 1, 80 + 1;
        Master: 105 + 1, 81 + 1;
        MapBuffers: 106 + 1, 82 + 1;
        MaximumNumberOfTargets: 107 + 1, 83 + 1;
    }
}
