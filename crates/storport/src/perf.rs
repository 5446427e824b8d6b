//! Performance options: what this Windows offers and what the miniport takes of it.

use crate::adapter::Adapter;
use crate::srb::Srb;
use crate::status::StorStatus;
use bitflags::bitflags;
use core::mem::{MaybeUninit, size_of};
use core::ptr::null_mut;
use nt_sys::storport::*;
use nt_sys::types::{FALSE, TRUE};

bitflags! {
    /// STOR_PERF_* options.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Options: u32 {
        /// DPCs run where the request came from.
        const DPC_REDIRECTION = STOR_PERF_DPC_REDIRECTION;
        /// HwStartIo runs on several processors at once, without the StartIo lock.
        const CONCURRENT_CHANNELS = STOR_PERF_CONCURRENT_CHANNELS;
        /// The messages of [`Request::messages`] are for requests.
        const INTERRUPT_MESSAGE_RANGES = STOR_PERF_INTERRUPT_MESSAGE_RANGES;
        /// Options that no driver of ours takes.
        const _ = !0;
    }
}

impl Options {
    /// Without the option that needs one that is missing (MS: ns-storport-_perf_configuration_data).
    fn consistent(mut self) -> Self {
        if !self.contains(Self::DPC_REDIRECTION) {
            self.remove(Self::INTERRUPT_MESSAGE_RANGES);
        }
        self
    }
}

/// What the miniport wants.
#[derive(Debug)]
pub struct Request {
    /// Options, if StorPort has them.
    pub options: Options,
    /// Parallel HwStartIo calls.
    pub channels: u32,
    /// First and last interrupt message that requests use.
    pub messages: (u32, u32),
}

impl Adapter {
    /// Agrees on performance options: asks what there is, then takes what is wanted of that. From HwInitialize or the
    /// passive-initialisation routine.
    ///
    /// # Errors
    /// What StorPort refused with; no option is in force then.
    pub fn negotiate_performance(self, request: &Request) -> Result<Options, StorStatus> {
        let mut data = PERF_CONFIGURATION_DATA {
            Version: 0,
            Size: size_of::<PERF_CONFIGURATION_DATA>() as u32,
            Flags: 0,
            ConcurrentChannels: 0,
            FirstRedirectionMessageNumber: 0,
            LastRedirectionMessageNumber: 0,
            DeviceNode: 0,
            Reserved: 0,
            MessageTargets: null_mut(),
        };
        // Newest first: an older StorPort refuses a version that it does not know.
        let mut answer = Err(StorStatus::NotImplemented);
        for version in [
            STOR_PERF_VERSION_5,
            STOR_PERF_VERSION_4,
            STOR_PERF_VERSION_3,
            STOR_PERF_VERSION_2,
        ] {
            data.Version = version;
            data.Flags = 0;
            answer = self.performance(TRUE, &mut data);
            if answer.is_ok() {
                break;
            }
        }
        answer?;
        let granted = request
            .options
            .intersection(Options::from_bits_retain(data.Flags))
            .consistent();
        data.Flags = granted.bits();
        data.ConcurrentChannels = request.channels;
        (
            data.FirstRedirectionMessageNumber,
            data.LastRedirectionMessageNumber,
        ) = request.messages;
        self.performance(FALSE, &mut data)?;
        Ok(granted)
    }

    fn performance(self, query: u8, data: &mut PERF_CONFIGURATION_DATA) -> Result<(), StorStatus> {
        // MS: storport.h, StorPortInitializePerfOpts passes a BOOLEAN, promoted to int.
        // SAFETY: `data` outlives the call, and MessageTargets is NULL.
        StorStatus::check(unsafe {
            StorPortExtendedFunction(
                ExtFunctionInitializePerformanceOptimizations,
                self.as_raw(),
                i32::from(query),
                core::ptr::from_mut(data),
            )
        })
    }

    /// Which interrupt message StorPort chose for a request. From HwStartIo.
    ///
    /// # Errors
    /// What StorPort refused with: no options were negotiated, say.
    pub fn start_io_message(self, srb: &Srb) -> Result<u32, StorStatus> {
        let mut parameters = MaybeUninit::<STARTIO_PERFORMANCE_PARAMETERS>::uninit();
        let at = parameters.as_mut_ptr();
        // SAFETY: a member of the structure.
        let size = unsafe { &raw mut (*at).Size };
        // SAFETY: as above. "The miniport driver needs to set only the size" (MS: nf-storport-storportgetstartioperfparams).
        unsafe { size.write(size_of::<STARTIO_PERFORMANCE_PARAMETERS>() as u32) };
        // SAFETY: the request is with the miniport and `parameters` outlives the call.
        StorStatus::check(unsafe {
            StorPortExtendedFunction(
                ExtFunctionGetStartIoPerformanceParameters,
                self.as_raw(),
                srb.as_raw(),
                at,
            )
        })?;
        // SAFETY: a member of the structure.
        let message = unsafe { &raw const (*at).MessageNumber };
        // SAFETY: StorPort "will set the other members" (as above), and says that it did; all are integers.
        Ok(unsafe { message.read() })
    }
}

#[cfg(test)]
mod tests;
