//! The dump stack: a second instance of the miniport writes crash dumps and the hibernation file after the system has stopped.
//!
//! MS: "Restrictions on Miniport Drivers that Manage the Boot Drive". All routines of that instance run on one processor, at
//! HIGH_LEVEL, one request at a time; HwInterrupt is polled. There are no DPCs, locks, pool, registry or event log, and little
//! memory: 32 KiB for the device extension and the uncached one.

use crate::find::FindAdapter;
use crate::srb::Srb;
use core::ffi::c_void;
use core::mem::offset_of;
use nt_sys::storport::*;

/// What the dump stack wants of this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// Only to be told which memory it needs: the device belongs to another instance.
    MarkMemory,
    /// To read and write, in a crash, for hibernation or after it.
    Transfer,
}

/// What ArgumentString begins with in the dump stack.
const ARGUMENT: &[u8] = b"dump=1";

impl FindAdapter<'_> {
    /// What a dump stack wants. From Windows 8 on the configuration says it (MS: ns-storport-_port_configuration_information,
    /// DumpMode), in any the argument string (MS: "Restrictions on Miniport Drivers that Manage the Boot Drive"). DriverEntry tells as
    /// well whether there is one ([`crate::driver_entry`]).
    #[must_use]
    pub fn dump(&mut self) -> Option<Dump> {
        let config = self.config();
        let known = config.Length as usize > offset_of!(PORT_CONFIGURATION_INFORMATION, DumpMode);
        match config.DumpMode {
            DUMP_MODE_MARK_MEMORY if known => Some(Dump::MarkMemory),
            1.. if known => Some(Dump::Transfer),
            _ => self.says_dump().then_some(Dump::Transfer),
        }
    }

    /// Whether the argument string is "dump=1", perhaps with more arguments behind it. No more of it is read.
    fn says_dump(&self) -> bool {
        let mut bytes = self.arguments();
        let same = ARGUMENT.iter().all(|byte| bytes.next() == Some(*byte));
        same && !bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
    }

    /// Says that memory has to outlive hibernation. From HwFindAdapter only. A StorPort from before Windows 8 takes no notice.
    /// MS: nf-storport-storportmarkdumpmemory
    pub fn mark_dump_memory(&self, start: *const c_void, bytes: usize) {
        const NO_FLAGS: u32 = 0;
        // The only failure is a flag that is not known.
        // SAFETY: StorPort only notes the range.
        let _status = unsafe {
            StorPortExtendedFunction(
                ExtFunctionMarkDumpMemory,
                self.adapter().as_raw(),
                start.cast_mut(),
                bytes,
                NO_FLAGS,
            )
        };
    }
}

impl Srb {
    /// Answers [`crate::Function::DumpPointers`]: the instance in the dump stack takes so many bytes at once, and needs nothing
    /// of this one. False if the request has no room for the answer.
    #[must_use]
    pub fn set_dump_pointers(&mut self, max_transfer: u32) -> bool {
        let (data, len) = self.data();
        let end = offset_of!(MINIPORT_DUMP_POINTERS, MaximumTransferLength)
            .saturating_add(size_of::<u32>());
        if data.is_null() || (len as usize) < end {
            return false;
        }
        let answer = data.cast::<MINIPORT_DUMP_POINTERS>();
        let size = size_of::<MINIPORT_DUMP_POINTERS>() as u16;
        // A physical miniport sets these three (MS: ns-storport-_miniport_dump_pointers).
        // SAFETY: the buffer is StorPort's structure and reaches to `end` at least, so the members' addresses are inside it.
        let version = unsafe { &raw mut (*answer).Version };
        // SAFETY: as above.
        let bytes = unsafe { &raw mut (*answer).Size };
        // SAFETY: as above.
        let most = unsafe { &raw mut (*answer).MaximumTransferLength };
        // SAFETY: as above.
        unsafe { version.write_unaligned(DUMP_MINIPORT_VERSION_1) };
        // SAFETY: as above.
        unsafe { bytes.write_unaligned(size) };
        // SAFETY: as above.
        unsafe { most.write_unaligned(max_transfer) };
        true
    }
}

#[cfg(test)]
mod tests;
