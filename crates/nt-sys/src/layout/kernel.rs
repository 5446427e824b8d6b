//! Structures of the kernel itself.

use super::layout;
use crate::ntoskrnl::*;
use crate::types::*;

layout! {
    LARGE_INTEGER: 8 / 8, 8 / 8 {
        QuadPart: 0 + 8, 0 + 8;
    }
    within {
        LowPart: QuadPart;
        u: QuadPart;
        HighPart: QuadPart;
    }
}

layout! {
    SINGLE_LIST_ENTRY: 8 / 8, 4 / 4 {
        Next: 0 + 8, 0 + 4;
    }
}

layout! {
    GROUP_AFFINITY: 16 / 8, 12 / 4 {
        Mask: 0 + 8, 0 + 4;
        Group: 8 + 2, 4 + 2;
        Reserved: 10 + 6, 6 + 6;
    }
}

layout! {
    PROCESSOR_NUMBER: 4 / 2, 4 / 2 {
        Group: 0 + 2, 0 + 2;
        Number: 2 + 1, 2 + 1;
        Reserved: 3 + 1, 3 + 1;
    }
}

layout! {
    KDPC: 64 / 8, 32 / 4 {
        TargetInfoAsUlong: 0 + 4, 0 + 4;
        DpcListEntry: 8 + 8, 4 + 4;
        ProcessorHistory: 16 + 8, 8 + 4;
        DeferredRoutine: 24 + 8, 12 + 4;
        DeferredContext: 32 + 8, 16 + 4;
        SystemArgument1: 40 + 8, 20 + 4;
        SystemArgument2: 48 + 8, 24 + 4;
        DpcData: 56 + 8, 28 + 4;
    }
    within {
        Type: TargetInfoAsUlong;
        Importance: TargetInfoAsUlong;
        Number: TargetInfoAsUlong;
    }
}

layout! {
    KSPIN_LOCK_QUEUE: 16 / 8, 8 / 4 {
        Next: 0 + 8, 0 + 4;
        Lock: 8 + 8, 4 + 4;
    }
}

layout! {
    KLOCK_QUEUE_HANDLE: 24 / 8, 12 / 4 {
        LockQueue: 0 + 16, 0 + 8;
        OldIrql: 16 + 1, 8 + 1;
    }
}
