//! Performance options: which interrupts redirect to which processor, and which channel a request belongs to.
//!
//! source: storport.h; since: Windows 7
//!
//! Neither headers nor documentation date the options past version 2: a miniport asks with the newest version that it
//! knows and steps down.

use crate::types::GROUP_AFFINITY;

pub const STOR_PERF_DPC_REDIRECTION: u32 = 0x0000_0001;
pub const STOR_PERF_CONCURRENT_CHANNELS: u32 = 0x0000_0002;
pub const STOR_PERF_INTERRUPT_MESSAGE_RANGES: u32 = 0x0000_0004;

pub const STOR_PERF_VERSION_2: u32 = 2;
/// since: not documented (version 3)
pub const STOR_PERF_VERSION_3: u32 = 3;
/// since: not documented (version 4)
pub const STOR_PERF_VERSION_4: u32 = 4;
/// since: not documented (version 5)
pub const STOR_PERF_VERSION_5: u32 = 5;

/// Asked with Query = TRUE for what StorPort can do, then given back with what the miniport wants.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PERF_CONFIGURATION_DATA {
    pub Version: u32,
    pub Size: u32,
    pub Flags: u32,
    pub ConcurrentChannels: u32,
    pub FirstRedirectionMessageNumber: u32,
    pub LastRedirectionMessageNumber: u32,
    pub DeviceNode: u32,
    pub Reserved: u32,
    pub MessageTargets: *mut GROUP_AFFINITY,
}

/// Which interrupt message and channel StorPort chose for a request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct STARTIO_PERFORMANCE_PARAMETERS {
    pub Version: u32,
    pub Size: u32,
    pub MessageNumber: u32,
    pub ChannelNumber: u32,
}
