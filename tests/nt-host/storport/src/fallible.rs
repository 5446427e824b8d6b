//! Which calls of a miniport can fail, from the pages of the routines.
//!
//! Not here is what has no way to say so (StorPortNotification, but for the two below; register access; locks) or must not be made to
//! fail: a page says of StorPortIssueDpc only that FALSE means "not inserted", which is so when the DPC is queued already; a
//! routine that frees something would leave it to nobody.

use host_ntos::inject::{Fallible, null};

/// StorPortEnablePassiveInitialization returns FALSE. MS: nf-storport-storportenablepassiveinitialization
pub const ENABLE_PASSIVE_INITIALIZATION: &str = "StorPortEnablePassiveInitialization";

/// StorPortStateChangeDetected returns STOR_STATUS_UNSUCCESSFUL: "a prior notification is in process".
/// MS: nf-storport-storportstatechangedetected
pub const STATE_CHANGE_DETECTED: &str = "StorPortStateChangeDetected";

/// Functions that are imported under their own names.
pub const FUNCTIONS: &[Fallible] = &[
    Fallible {
        call: "StorPortInitialize",
        // STATUS_NO_MEMORY
        result: 0xc000_0017,
        source: "nf-storport-storportinitialize",
    },
    null(
        "StorPortGetBusData",
        "nf-storport-storportgetbusdata: 0, the bus does not exist",
    ),
    null(
        "StorPortSetBusDataByOffset",
        "nf-storport-storportsetbusdatabyoffset",
    ),
    null(
        "StorPortGetDeviceBase",
        "nf-storport-storportgetdevicebase, IoAddress: the error status is NULL",
    ),
    null(
        "StorPortGetUncachedExtension",
        "nf-storport-storportgetuncachedextension",
    ),
    null(
        "StorPortGetPhysicalAddress",
        "nf-storport-storportgetphysicaladdress",
    ),
    null(
        "StorPortGetScatterGatherList",
        "no failure documented; NULL is what a request without data gets",
    ),
    null(
        "StorPortGetLogicalUnit",
        "nf-storport-storportgetlogicalunit",
    ),
    null(
        "StorPortAllocateRegistryBuffer",
        "nf-storport-storportallocateregistrybuffer",
    ),
    null("StorPortRegistryRead", "nf-storport-storportregistryread"),
    null("StorPortRegistryWrite", "nf-storport-storportregistrywrite"),
    null("StorPortBusy", "nf-storport-storportbusy"),
    null("StorPortDeviceBusy", "nf-storport-storportdevicebusy"),
    null("StorPortPause", "nf-storport-storportpause"),
    null(
        "StorPortSetDeviceQueueDepth",
        "nf-storport-storportsetdevicequeuedepth",
    ),
];

/// Whether a function of StorPortExtendedFunction can fail: all can with STOR_STATUS_NOT_IMPLEMENTED, as each page says, but what
/// frees or releases something is not made to, nor the timer that is cancelled by asking for it again.
#[must_use]
pub fn extended(name: &str) -> bool {
    !name.starts_with("Free") && !name.starts_with("Release")
}
