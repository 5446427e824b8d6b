//! Entries in the system event log. StorPortLogSystemEvent, which Microsoft documents as the better alternative to
//! StorPortLogError: it carries a status, a code of ours and data.

use crate::adapter::Adapter;
use crate::status::StorStatus;
use core::mem::size_of;
use core::ptr::null_mut;
use nt_sys::storport::*;
use nt_sys::types::{FALSE, TRUE};

/// What the entry is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// SP_INTERNAL_ADAPTER_ERROR.
    InternalAdapterError,
    /// SP_PROTOCOL_ERROR: the device broke its specification.
    ProtocolError,
    /// An NTSTATUS or message of the driver's own message table.
    Message(u32),
}

/// Most strings that one entry carries.
pub const MAX_STRINGS: usize = 4;

impl Adapter {
    /// Writes an entry about the adapter. IRQL <= DISPATCH_LEVEL. `unique` tells the place in the driver, `data` is
    /// shown as bytes, and `strings` replace %2, %3, … of the message.
    ///
    /// # Errors
    /// What StorPort refused with; or, without asking it, [`StorStatus::InvalidParameter`] for more than [`MAX_STRINGS`]
    /// strings or one that does not end with NUL. Nothing was logged then.
    pub fn log(
        self,
        code: Code,
        unique: u32,
        data: &[u8],
        strings: &[&[u16]],
    ) -> Result<(), StorStatus> {
        let (specific, error) = match code {
            Code::InternalAdapterError => (TRUE, SP_INTERNAL_ADAPTER_ERROR),
            Code::ProtocolError => (TRUE, SP_PROTOCOL_ERROR),
            Code::Message(number) => (FALSE, number),
        };
        let mut list = [null_mut::<u16>(); MAX_STRINGS];
        if strings.len() > list.len() {
            return Err(StorStatus::InvalidParameter);
        }
        for (slot, string) in list.iter_mut().zip(strings) {
            if string.last() != Some(&0) {
                return Err(StorStatus::InvalidParameter);
            }
            *slot = string.as_ptr().cast_mut();
        }
        let mut details = STOR_LOG_EVENT_DETAILS {
            InterfaceRevision: STOR_CURRENT_LOG_INTERFACE_REVISION,
            Size: size_of::<STOR_LOG_EVENT_DETAILS>() as u32,
            Flags: 0,
            EventAssociation: StorEventAdapterAssociation,
            PathId: 0,
            TargetId: 0,
            LunId: 0,
            StorportSpecificErrorCode: specific,
            ErrorCode: error,
            UniqueId: unique,
            DumpDataSize: u32::try_from(data.len()).map_err(|_| StorStatus::InvalidBufferSize)?,
            DumpData: data.as_ptr().cast_mut().cast(),
            StringCount: strings.len() as u32,
            StringList: list.as_mut_ptr(),
        };
        let mut maximum = 0_u32;
        // SAFETY: StorPort copies data and strings; everything passed outlives the call.
        StorStatus::check(unsafe {
            StorPortExtendedFunction(
                ExtFunctionLogSystemEvent,
                self.as_raw(),
                &raw mut details,
                &raw mut maximum,
            )
        })
    }
}
