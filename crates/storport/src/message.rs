//! Interrupt messages, and the switch to passive initialisation.

use crate::adapter::Adapter;
use crate::status::StorStatus;
use core::mem::MaybeUninit;
use nt_sys::storport::*;

impl Adapter {
    /// The interrupt message with this number. Any IRQL.
    ///
    /// # Errors
    /// [`StorStatus::InvalidDeviceRequest`] if the adapter has no messages, [`StorStatus::InvalidParameter`] if it has
    /// fewer.
    pub fn message(self, message: u32) -> Result<MESSAGE_INTERRUPT_INFORMATION, StorStatus> {
        let mut info = MaybeUninit::<MESSAGE_INTERRUPT_INFORMATION>::zeroed();
        // SAFETY: `info` outlives the call.
        let status = unsafe {
            StorPortExtendedFunction(
                ExtFunctionGetMessageInterruptInformation,
                self.as_raw(),
                message,
                info.as_mut_ptr(),
            )
        };
        StorStatus::check(status)?;
        // SAFETY: integers only, and all of them were zeroed at least.
        Ok(unsafe { info.assume_init() })
    }

    /// How many messages the adapter got, at most `limit`; 0 with a line interrupt. Any IRQL.
    ///
    /// # Errors
    /// StorPort does not say which of the two it is. MS: nf-storport-storportgetmsiinfo
    pub fn message_count(self, limit: u32) -> Result<u32, StorStatus> {
        for message in 0..limit {
            match self.message(message) {
                Ok(_) => {}
                Err(StorStatus::InvalidDeviceRequest | StorStatus::InvalidParameter) => {
                    return Ok(message);
                }
                // Fewer messages than there are will do.
                Err(_) if message > 0 => return Ok(message),
                Err(status) => return Err(status),
            }
        }
        Ok(limit)
    }

    /// Has StorPort call `routine` at PASSIVE_LEVEL before the first request. From HwInitialize only. False if this
    /// Windows refuses.
    #[must_use]
    pub fn enable_passive_initialization(self, routine: HW_PASSIVE_INITIALIZE_ROUTINE) -> bool {
        let mut enabled = 0_i32;
        // MS: storport.h, EnablePassiveInitialization takes the routine and where to put a LONG answer.
        // SAFETY: `enabled` outlives the call.
        unsafe {
            StorPortNotification(
                EnablePassiveInitialization,
                self.as_raw(),
                routine,
                &raw mut enabled,
            )
        };
        enabled != 0
    }
}
