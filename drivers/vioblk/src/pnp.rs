//! What plug and play says of the adapter and of its disk, by request (SRB_FUNCTION_PNP) or by HwUnitControl.
//!
//! StorPort starts, stops and restarts the device by HwInitialize and HwAdapterControl, so that most of it only has to be taken note of.
#![forbid(unsafe_code)]

use crate::disk::{Disk, work};
use crate::ffi::data;
use crate::ffi::extension::RequestBox;
use crate::start::addressee;
use core::mem::offset_of;
use storport::sys::*;
use storport::{Srb, SrbStatus};

/// Where the flags of [`STOR_DEVICE_CAPABILITIES`] lie.
const FLAGS: usize = offset_of!(STOR_DEVICE_CAPABILITIES, Flags);

impl Disk {
    /// SRB_FUNCTION_PNP. IRQL <= DISPATCH_LEVEL. MS: ns-storport-_scsi_pnp_request_block
    #[cold]
    #[inline(never)] // as few requests come here
    pub fn plug_and_play(&self, request: RequestBox) {
        if let Some(mut srb) = request.finish() {
            let status = self.take_note(&mut srb);
            self.adapter.complete(srb, status);
        }
    }

    #[expect(non_upper_case_globals, reason = "the constants are Microsoft's")]
    fn take_note(&self, srb: &mut Srb) -> SrbStatus {
        let Some(pnp) = srb.pnp() else {
            return SrbStatus::InvalidRequest;
        };
        match addressee(srb) {
            Err(status) if !pnp.adapter => return status,
            _ => {}
        }
        match pnp.action {
            // Of a StorPort that does not know ScsiAdapterSurpriseRemoval this is the only word.
            StorSurpriseRemoval if pnp.adapter => self.removed(),
            StorSurpriseRemoval => self.unit_removed(),
            StorStartDevice | StorStopDevice | StorRemoveDevice => {}
            // "On return, only the Removable field is used" without STOR_FEATURE_FULL_PNP_DEVICE_CAPABILITIES, and the disk is one
            // object with its adapter. MS: ns-storport-_stor_device_capabilities
            StorQueryCapabilities if !pnp.adapter && data::write_at(srb, FLAGS, &[0; 4]) == 4 => {}
            // The adapter's are as StorPort found them, which storahci leaves them too.
            StorQueryCapabilities if pnp.adapter => {}
            _ => return SrbStatus::InvalidRequest,
        }
        SrbStatus::Success
    }

    /// Windows counts the disk as gone, and all that it had is to end. Any IRQL.
    ///
    /// If the device is gone, the reset finds that out. If not, a later scan of the bus may find the disk again.
    pub fn unit_removed(&self) {
        self.want(work::RESET);
    }
}
