//! Deferred procedure calls, locks and interrupt messages.
//!
//! source: storport.h; since: Windows Server 2003

use super::{KINTERRUPT_MODE, STOR_PHYSICAL_ADDRESS};
use crate::ntoskrnl::{KDPC, KLOCK_QUEUE_HANDLE};
use crate::types::KSPIN_LOCK;

pub type STOR_SYNCHRONIZATION_MODEL = i32;
pub const StorSynchronizeHalfDuplex: STOR_SYNCHRONIZATION_MODEL = 0;
pub const StorSynchronizeFullDuplex: STOR_SYNCHRONIZATION_MODEL = 1;

pub type STOR_SPINLOCK = i32;

/// A DPC and the lock that goes with it. Lives in the device extension; never moves after its initialisation.
#[repr(C)]
pub struct STOR_DPC {
    pub Dpc: KDPC,
    pub Lock: KSPIN_LOCK,
}

/// What an owner of a StorPort lock holds. The lock's queue points to it: it must not move while the lock is held.
#[repr(C)]
pub struct STOR_LOCK_HANDLE {
    pub Lock: STOR_SPINLOCK,
    pub Context: KLOCK_QUEUE_HANDLE,
}

/// One message of a message-signalled interrupt. since: Windows Vista
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MESSAGE_INTERRUPT_INFORMATION {
    pub MessageId: u32,
    pub MessageData: u32,
    pub MessageAddress: STOR_PHYSICAL_ADDRESS,
    pub InterruptVector: u32,
    pub InterruptLevel: u32,
    pub InterruptMode: KINTERRUPT_MODE,
}

/// Answer to ScsiQuerySupportedControlTypes and to ScsiQuerySupportedUnitControlTypes: one BOOLEAN per type below
/// MaxControlType.
#[repr(C)]
pub struct SCSI_SUPPORTED_CONTROL_TYPE_LIST {
    pub MaxControlType: u32,
    pub SupportedTypeList: [u8; 0],
}
