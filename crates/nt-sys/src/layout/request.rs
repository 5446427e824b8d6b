//! Request blocks.

use super::layout;
use crate::storport::*;

layout! {
    SCSI_REQUEST_BLOCK: 88 / 8, 64 / 4 {
        Length: 0 + 2, 0 + 2;
        Function: 2 + 1, 2 + 1;
        SrbStatus: 3 + 1, 3 + 1;
        ScsiStatus: 4 + 1, 4 + 1;
        PathId: 5 + 1, 5 + 1;
        TargetId: 6 + 1, 6 + 1;
        Lun: 7 + 1, 7 + 1;
        QueueTag: 8 + 1, 8 + 1;
        QueueAction: 9 + 1, 9 + 1;
        CdbLength: 10 + 1, 10 + 1;
        SenseInfoBufferLength: 11 + 1, 11 + 1;
        SrbFlags: 12 + 4, 12 + 4;
        DataTransferLength: 16 + 4, 16 + 4;
        TimeOutValue: 20 + 4, 20 + 4;
        DataBuffer: 24 + 8, 24 + 4;
        SenseInfoBuffer: 32 + 8, 28 + 4;
        NextSrb: 40 + 8, 32 + 4;
        OriginalRequest: 48 + 8, 36 + 4;
        SrbExtension: 56 + 8, 40 + 4;
        QueueSortKey: 64 + 4, 44 + 4;
        Cdb: 72 + 16, 48 + 16;
    }
    only64 {
        Reserved: 68 + 4;
    }
    within {
        InternalStatus: QueueSortKey;
        LinkTimeoutValue: QueueSortKey;
    }
}

layout! {
    SCSI_PNP_REQUEST_BLOCK: 88 / 8, 64 / 4 {
        Length: 0 + 2, 0 + 2;
        Function: 2 + 1, 2 + 1;
        SrbStatus: 3 + 1, 3 + 1;
        PnPSubFunction: 4 + 1, 4 + 1;
        PathId: 5 + 1, 5 + 1;
        TargetId: 6 + 1, 6 + 1;
        Lun: 7 + 1, 7 + 1;
        PnPAction: 8 + 4, 8 + 4;
        SrbFlags: 12 + 4, 12 + 4;
        DataTransferLength: 16 + 4, 16 + 4;
        TimeOutValue: 20 + 4, 20 + 4;
        DataBuffer: 24 + 8, 24 + 4;
        SenseInfoBuffer: 32 + 8, 28 + 4;
        NextSrb: 40 + 8, 32 + 4;
        OriginalRequest: 48 + 8, 36 + 4;
        SrbExtension: 56 + 8, 40 + 4;
        SrbPnPFlags: 64 + 4, 44 + 4;
        Reserved4: 72 + 16, 48 + 16;
    }
    only64 {
        Reserved: 68 + 4;
    }
}

layout! {
    SCSI_POWER_REQUEST_BLOCK: 88 / 8, 64 / 4 {
        Length: 0 + 2, 0 + 2;
        Function: 2 + 1, 2 + 1;
        SrbStatus: 3 + 1, 3 + 1;
        SrbPowerFlags: 4 + 1, 4 + 1;
        PathId: 5 + 1, 5 + 1;
        TargetId: 6 + 1, 6 + 1;
        Lun: 7 + 1, 7 + 1;
        DevicePowerState: 8 + 4, 8 + 4;
        SrbFlags: 12 + 4, 12 + 4;
        DataTransferLength: 16 + 4, 16 + 4;
        TimeOutValue: 20 + 4, 20 + 4;
        DataBuffer: 24 + 8, 24 + 4;
        SenseInfoBuffer: 32 + 8, 28 + 4;
        NextSrb: 40 + 8, 32 + 4;
        OriginalRequest: 48 + 8, 36 + 4;
        SrbExtension: 56 + 8, 40 + 4;
        PowerAction: 64 + 4, 44 + 4;
        Reserved5: 72 + 16, 48 + 16;
    }
    only64 {
        Reserved: 68 + 4;
    }
}

layout! {
    STORAGE_REQUEST_BLOCK_HEADER: 8 / 8, 4 / 2 {
        Length: 0 + 2, 0 + 2;
        Function: 2 + 1, 2 + 1;
        SrbStatus: 3 + 1, 3 + 1;
    }
}

layout! {
    STORAGE_REQUEST_BLOCK: 128 / 8, 96 / 4 {
        Length: 0 + 2, 0 + 2;
        Function: 2 + 1, 2 + 1;
        SrbStatus: 3 + 1, 3 + 1;
        ReservedUlong1: 4 + 4, 4 + 4;
        Signature: 8 + 4, 8 + 4;
        Version: 12 + 4, 12 + 4;
        SrbLength: 16 + 4, 16 + 4;
        SrbFunction: 20 + 4, 20 + 4;
        SrbFlags: 24 + 4, 24 + 4;
        ReservedUlong2: 28 + 4, 28 + 4;
        RequestTag: 32 + 4, 32 + 4;
        RequestPriority: 36 + 2, 36 + 2;
        RequestAttribute: 38 + 2, 38 + 2;
        TimeOutValue: 40 + 4, 40 + 4;
        SystemStatus: 44 + 4, 44 + 4;
        ZeroGuard1: 48 + 4, 48 + 4;
        AddressOffset: 52 + 4, 52 + 4;
        NumSrbExData: 56 + 4, 56 + 4;
        DataTransferLength: 60 + 4, 60 + 4;
        DataBuffer: 64 + 8, 64 + 4;
        ZeroGuard2: 72 + 8, 68 + 4;
        OriginalRequest: 80 + 8, 72 + 4;
        ClassContext: 88 + 8, 76 + 4;
        PortContext: 96 + 8, 80 + 4;
        MiniportContext: 104 + 8, 84 + 4;
        NextSrb: 112 + 8, 88 + 4;
        SrbExDataOffset: 120 + 4, 92 + 4;
    }
}

layout! {
    SRBEX_DATA: 16 / 8, 12 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        Data: 8 + 1, 8 + 1;
    }
}

layout! {
    SRBEX_DATA_BIDIRECTIONAL: 24 / 8, 20 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        DataInTransferLength: 8 + 4, 8 + 4;
        Reserved1: 12 + 4, 12 + 4;
        DataInBuffer: 16 + 8, 16 + 4;
    }
}

layout! {
    SRBEX_DATA_SCSI_CDB16: 40 / 8, 36 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        ScsiStatus: 8 + 1, 8 + 1;
        SenseInfoBufferLength: 9 + 1, 9 + 1;
        CdbLength: 10 + 1, 10 + 1;
        Reserved: 11 + 1, 11 + 1;
        Reserved1: 12 + 4, 12 + 4;
        SenseInfoBuffer: 16 + 8, 16 + 4;
        Cdb: 24 + 16, 20 + 16;
    }
}

layout! {
    SRBEX_DATA_SCSI_CDB32: 56 / 8, 52 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        ScsiStatus: 8 + 1, 8 + 1;
        SenseInfoBufferLength: 9 + 1, 9 + 1;
        CdbLength: 10 + 1, 10 + 1;
        Reserved: 11 + 1, 11 + 1;
        Reserved1: 12 + 4, 12 + 4;
        SenseInfoBuffer: 16 + 8, 16 + 4;
        Cdb: 24 + 32, 20 + 32;
    }
}

layout! {
    SRBEX_DATA_SCSI_CDB_VAR: 40 / 8, 32 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        ScsiStatus: 8 + 1, 8 + 1;
        SenseInfoBufferLength: 9 + 1, 9 + 1;
        Reserved: 10 + 2, 10 + 2;
        CdbLength: 12 + 4, 12 + 4;
        Reserved1: 16 + 8, 16 + 8;
        SenseInfoBuffer: 24 + 8, 24 + 4;
        Cdb: 32 + 1, 28 + 1;
    }
}

layout! {
    SRBEX_DATA_WMI: 24 / 8, 20 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        WMISubFunction: 8 + 1, 8 + 1;
        WMIFlags: 9 + 1, 9 + 1;
        Reserved: 10 + 2, 10 + 2;
        Reserved1: 12 + 4, 12 + 4;
        DataPath: 16 + 8, 16 + 4;
    }
}

layout! {
    SRBEX_DATA_POWER: 24 / 8, 20 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        SrbPowerFlags: 8 + 1, 8 + 1;
        Reserved: 9 + 3, 9 + 3;
        DevicePowerState: 12 + 4, 12 + 4;
        PowerAction: 16 + 4, 16 + 4;
    }
}

layout! {
    SRBEX_DATA_PNP: 24 / 8, 24 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        PnPSubFunction: 8 + 1, 8 + 1;
        Reserved: 9 + 3, 9 + 3;
        PnPAction: 12 + 4, 12 + 4;
        SrbPnPFlags: 16 + 4, 16 + 4;
        Reserved1: 20 + 4, 20 + 4;
    }
}

layout! {
    STOR_DEVICE_CAPABILITIES: 8 / 4, 8 / 4 {
        Version: 0 + 2, 0 + 2;
        Flags: 4 + 4, 4 + 4;
    }
    within {
        DeviceD1: Flags;
        DeviceD2: Flags;
        LockSupported: Flags;
        EjectSupported: Flags;
        Removable: Flags;
        DockDevice: Flags;
        UniqueID: Flags;
        SilentInstall: Flags;
        SurpriseRemovalOK: Flags;
        NoDisplayInUI: Flags;
    }
}

layout! {
    SRBEX_DATA_IO_INFO: 32 / 8, 32 / 4 {
        Type: 0 + 4, 0 + 4;
        Length: 4 + 4, 4 + 4;
        Flags: 8 + 4, 8 + 4;
        Key: 12 + 4, 12 + 4;
        RWLength: 16 + 4, 16 + 4;
        IsWriteRequest: 20 + 1, 20 + 1;
        CachePriority: 21 + 1, 21 + 1;
        Reserved: 22 + 2, 22 + 2;
        Reserved1: 24 + 8, 24 + 8;
    }
}
