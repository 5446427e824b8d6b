//! One request, whichever of the two block formats carries it.
//!
//! StorPort gives a miniport both formats as `SCSI_REQUEST_BLOCK*`; the Function byte tells them apart
//! (MS: storport "Extended SRB"). The block belongs to the miniport until it completes it.

use crate::sense::{FIXED_LEN, Sense};
use crate::status::SrbStatus;
use core::mem::{offset_of, size_of};
use core::ptr::NonNull;
use nt_sys::storport::*;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Do the command in the CDB.
    ExecuteScsi,
    /// A private IOCTL.
    IoControl,
    /// Flush, the system goes down.
    Shutdown,
    /// Flush.
    Flush,
    /// Give up another request.
    AbortCommand,
    /// Reset the bus.
    ResetBus,
    /// Reset the target.
    ResetDevice,
    /// Reset the logical unit.
    ResetLogicalUnit,
    /// Change a power state.
    Power,
    /// A plug-and-play event.
    Pnp,
    /// A WMI request.
    Wmi,
    /// Say what the dump stack has to know.
    DumpPointers,
    /// Give up what was kept for the dump stack.
    FreeDumpPointers,
    /// Anything else, with its code.
    Other(u32),
}

/// Bus, target and logical unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Bus.
    pub path: u8,
    /// Target on the bus.
    pub target: u8,
    /// Logical unit of the target.
    pub lun: u8,
}

/// A plug-and-play request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pnp {
    /// One of the Stor*Device codes.
    pub action: STOR_PNP_ACTION,
    /// Meant for the adapter, not for a unit.
    pub adapter: bool,
}

/// A power request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Power {
    /// The state to go to.
    pub state: STOR_DEVICE_POWER_STATE,
    /// Why.
    pub action: STOR_POWER_ACTION,
    /// Meant for the adapter, not for a unit.
    pub adapter: bool,
}

/// A request that the miniport owns. Not `Clone`: completing it gives it away.
#[derive(Debug)]
#[repr(transparent)]
pub struct Srb(NonNull<SCSI_REQUEST_BLOCK>);

/// Where the parts of a SCSI command lie; the same for both formats.
#[derive(Clone, Copy)]
struct Scsi {
    status: *mut u8,
    sense_len: *mut u8,
    sense: *mut u8,
    cdb: *const u8,
    cdb_len: usize,
}

/// Reads a member of the block through its raw pointer: no reference to the block exists, since StorPort keeps its own.
macro_rules! get {
    ($block:expr, $field:ident) => {{
        let member = {
            let block = $block;
            // SAFETY: the block is valid (from_raw), so the member's address is inside it.
            unsafe { &raw const (*block).$field }
        };
        // SAFETY: as above; the miniport owns the block, so nobody writes it meanwhile.
        unsafe { member.read() }
    }};
}

/// Writes a member of the block through its raw pointer.
macro_rules! set {
    ($block:expr, $field:ident, $value:expr) => {{
        let member = {
            let block = $block;
            // SAFETY: the block is valid (from_raw), so the member's address is inside it.
            unsafe { &raw mut (*block).$field }
        };
        // SAFETY: as above; the miniport owns the block.
        unsafe { member.write($value) }
    }};
}

mod usual;
pub use usual::{ScsiStatus, Usual};

impl Srb {
    /// Takes a request over from StorPort. `None` if there is none.
    ///
    /// # Safety
    /// `raw` is NULL or a request that StorPort gave to this miniport and that is not completed while the `Srb` lives;
    /// no other `Srb` for it is used meanwhile.
    #[must_use]
    pub unsafe fn from_raw(raw: *mut SCSI_REQUEST_BLOCK) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// The same for a routine that StorPort calls with a request only, as HwStartIo.
    ///
    /// # Safety
    /// As of [`Srb::from_raw`], and `raw` is not NULL.
    #[inline(always)] // part of such routines
    #[must_use]
    pub const unsafe fn given(raw: *mut SCSI_REQUEST_BLOCK) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    /// The block, for a call that needs it. The request stays here.
    #[must_use]
    pub fn as_raw(&self) -> *mut SCSI_REQUEST_BLOCK {
        self.0.as_ptr()
    }

    /// The block, to be kept in a table of requests in flight and taken back with [`Srb::from_raw`].
    #[must_use]
    pub fn into_raw(self) -> *mut SCSI_REQUEST_BLOCK {
        self.0.as_ptr()
    }

    /// The block in the extended format, if it has that.
    fn extended(&self) -> Option<*mut STORAGE_REQUEST_BLOCK> {
        (get!(self.as_raw(), Function) == SRB_FUNCTION_STORAGE_REQUEST_BLOCK)
            .then_some(self.as_raw().cast())
    }

    /// What it asks for.
    #[must_use]
    pub fn function(&self) -> Function {
        let code = match self.extended() {
            Some(block) => get!(block, SrbFunction),
            None => u32::from(get!(self.as_raw(), Function)),
        };
        match u8::try_from(code) {
            Ok(SRB_FUNCTION_EXECUTE_SCSI) => Function::ExecuteScsi,
            Ok(SRB_FUNCTION_IO_CONTROL) => Function::IoControl,
            Ok(SRB_FUNCTION_SHUTDOWN) => Function::Shutdown,
            Ok(SRB_FUNCTION_FLUSH) => Function::Flush,
            Ok(SRB_FUNCTION_ABORT_COMMAND) => Function::AbortCommand,
            Ok(SRB_FUNCTION_RESET_BUS) => Function::ResetBus,
            Ok(SRB_FUNCTION_RESET_DEVICE) => Function::ResetDevice,
            Ok(SRB_FUNCTION_RESET_LOGICAL_UNIT) => Function::ResetLogicalUnit,
            Ok(SRB_FUNCTION_POWER) => Function::Power,
            Ok(SRB_FUNCTION_PNP) => Function::Pnp,
            Ok(SRB_FUNCTION_WMI) => Function::Wmi,
            Ok(SRB_FUNCTION_DUMP_POINTERS) => Function::DumpPointers,
            Ok(SRB_FUNCTION_FREE_DUMP_POINTERS) => Function::FreeDumpPointers,
            _ => Function::Other(code),
        }
    }

    /// SRB_FLAGS_* of the request.
    #[must_use]
    pub fn flags(&self) -> u32 {
        match self.extended() {
            Some(block) => get!(block, SrbFlags),
            None => get!(self.as_raw(), SrbFlags),
        }
    }

    /// Seconds that StorPort gives the request.
    #[must_use]
    pub fn timeout(&self) -> u32 {
        match self.extended() {
            Some(block) => get!(block, TimeOutValue),
            None => get!(self.as_raw(), TimeOutValue),
        }
    }

    /// The unit it is for. `None` if an extended block carries no bus-target-unit address.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let Some(block) = self.extended() else {
            let raw = self.as_raw();
            return Some(Address {
                path: get!(raw, PathId),
                target: get!(raw, TargetId),
                lun: get!(raw, Lun),
            });
        };
        let address: *mut STOR_ADDR_BTL8 = part(block, get!(block, AddressOffset))?;
        (get!(address, Type) == STOR_ADDRESS_TYPE_BTL8).then(|| Address {
            path: get!(address, Path),
            target: get!(address, Target),
            lun: get!(address, Lun),
        })
    }

    /// The data buffer and its length in bytes. The address may be user memory that is not mapped (MapBuffers).
    #[must_use]
    pub fn data(&self) -> (*mut u8, u32) {
        match self.extended() {
            Some(block) => (
                get!(block, DataBuffer).cast(),
                get!(block, DataTransferLength),
            ),
            None => (
                get!(self.as_raw(), DataBuffer).cast(),
                get!(self.as_raw(), DataTransferLength),
            ),
        }
    }

    /// The data buffer as bytes that a command's answer may be written to.
    ///
    /// # Safety
    /// The request is one whose buffer StorPort maps (not READ or WRITE under STOR_MAP_NON_READ_WRITE_BUFFERS).
    #[must_use]
    pub unsafe fn mapped_data(&mut self) -> &mut [u8] {
        let (data, len) = self.data();
        if data.is_null() {
            return &mut [];
        }
        // SAFETY: the caller says that the buffer is mapped, and it stays so until the request completes; `self` is
        // borrowed for as long.
        unsafe { core::slice::from_raw_parts_mut(data, len as usize) }
    }

    /// Says how many bytes were moved, when these are fewer than asked.
    pub fn set_transferred(&mut self, len: u32) {
        match self.extended() {
            Some(block) => set!(block, DataTransferLength, len),
            None => set!(self.as_raw(), DataTransferLength, len),
        }
    }

    /// The miniport's private memory for this request: as many bytes as SrbExtensionSize, NULL if that is 0.
    /// Its pages need not be adjacent in device addresses.
    #[must_use]
    pub fn extension(&self) -> *mut u8 {
        match self.extended() {
            Some(block) => get!(block, MiniportContext).cast(),
            None => self.old_extension(),
        }
    }

    /// The same of a block that is not extended, as the dump stack's, and as StorPort's before Windows 8.
    #[cold]
    #[inline(never)] // so that no processor looks for both
    fn old_extension(&self) -> *mut u8 {
        get!(self.as_raw(), SrbExtension).cast()
    }

    /// The command. Empty if the request has none.
    #[must_use]
    pub fn cdb(&self) -> &[u8] {
        let Some(scsi) = self.scsi() else { return &[] };
        // SAFETY: `scsi` points into the block and bounds the length by the room there.
        unsafe { core::slice::from_raw_parts(scsi.cdb, scsi.cdb_len) }
    }

    /// The plug-and-play part of a [`Function::Pnp`].
    #[must_use]
    pub fn pnp(&self) -> Option<Pnp> {
        let (action, flags) = match self.extended() {
            Some(block) => {
                let data: *mut SRBEX_DATA_PNP = data_block(block, SrbExDataTypePnP)?;
                (get!(data, PnPAction), get!(data, SrbPnPFlags))
            }
            None => {
                let raw: *mut SCSI_PNP_REQUEST_BLOCK = self.as_raw().cast();
                (get!(raw, PnPAction), get!(raw, SrbPnPFlags))
            }
        };
        (self.function() == Function::Pnp).then_some(Pnp {
            action,
            adapter: flags & SRB_PNP_FLAGS_ADAPTER_REQUEST != 0,
        })
    }

    /// The power part of a [`Function::Power`].
    #[must_use]
    pub fn power(&self) -> Option<Power> {
        let (state, action, flags) = match self.extended() {
            Some(block) => {
                let data: *mut SRBEX_DATA_POWER = data_block(block, SrbExDataTypePower)?;
                (
                    get!(data, DevicePowerState),
                    get!(data, PowerAction),
                    get!(data, SrbPowerFlags),
                )
            }
            None => {
                let raw: *mut SCSI_POWER_REQUEST_BLOCK = self.as_raw().cast();
                (
                    get!(raw, DevicePowerState),
                    get!(raw, PowerAction),
                    get!(raw, SrbPowerFlags),
                )
            }
        };
        (self.function() == Function::Power).then_some(Power {
            state,
            action,
            adapter: flags & SRB_POWER_FLAGS_ADAPTER_REQUEST != 0,
        })
    }

    /// Sets how it ended, without sense data. Success also sets the SCSI status GOOD.
    pub fn set_status(&mut self, status: SrbStatus) {
        if status == SrbStatus::Success
            && let Some(scsi) = self.scsi()
        {
            // SAFETY: points to the status byte inside the block.
            unsafe { scsi.status.write(SCSISTAT_GOOD) };
        }
        set!(self.as_raw(), SrbStatus, status.to_raw());
    }

    /// Ends it with CHECK CONDITION. The sense data goes to the request's buffer, as much as fits, unless it has none
    /// or autosense is off (SRB_FLAGS_DISABLE_AUTOSENSE).
    pub fn set_sense(&mut self, sense: &Sense) {
        let mut status = SRB_STATUS_ERROR;
        let wanted = self.flags() & SRB_FLAGS_DISABLE_AUTOSENSE == 0;
        if let Some(scsi) = self.scsi() {
            // SAFETY: points to the status byte inside the block.
            unsafe { scsi.status.write(SCSISTAT_CHECK_CONDITION) };
            // SAFETY: points to the length byte inside the block.
            let room = unsafe { scsi.sense_len.read() };
            if wanted && !scsi.sense.is_null() && room != 0 {
                let bytes = sense.encode();
                let len = room.min(FIXED_LEN as u8);
                // SAFETY: the port driver's buffer has `room` bytes, and `bytes` has FIXED_LEN.
                unsafe {
                    core::ptr::copy_nonoverlapping(bytes.as_ptr(), scsi.sense, usize::from(len))
                };
                // SAFETY: points to the length byte inside the block.
                unsafe { scsi.sense_len.write(len) };
                status |= SRB_STATUS_AUTOSENSE_VALID;
            }
        }
        set!(self.as_raw(), SrbStatus, status);
    }

    /// The parts of a SCSI command, or `None` if this is not one.
    fn scsi(&self) -> Option<Scsi> {
        if self.function() != Function::ExecuteScsi {
            return None;
        }
        let Some(block) = self.extended() else {
            let raw = self.as_raw();
            let sense = get!(raw, SenseInfoBuffer).cast();
            let len = usize::from(get!(raw, CdbLength)).min(16);
            return Some(scsi_at(raw.cast(), SCSI_OFFSETS, sense, len));
        };
        if let Some(data) = data_block::<SRBEX_DATA_SCSI_CDB16>(block, SrbExDataTypeScsiCdb16) {
            let len = usize::from(get!(data, CdbLength)).min(16);
            return Some(scsi_at(
                data.cast(),
                CDB16_OFFSETS,
                get!(data, SenseInfoBuffer).cast(),
                len,
            ));
        }
        if let Some(data) = data_block::<SRBEX_DATA_SCSI_CDB32>(block, SrbExDataTypeScsiCdb32) {
            let len = usize::from(get!(data, CdbLength)).min(32);
            return Some(scsi_at(
                data.cast(),
                CDB32_OFFSETS,
                get!(data, SenseInfoBuffer).cast(),
                len,
            ));
        }
        let data = data_block::<SRBEX_DATA_SCSI_CDB_VAR>(block, SrbExDataTypeScsiCdbVar)?;
        // The block says how many bytes follow its 8-byte head; the CDB is the last of them.
        let room = (get!(data, Length) as usize)
            .saturating_add(offset_of!(SRBEX_DATA, Data))
            .saturating_sub(offset_of!(SRBEX_DATA_SCSI_CDB_VAR, Cdb));
        let len = usize::try_from(get!(data, CdbLength))
            .unwrap_or(0)
            .min(room);
        Some(scsi_at(
            data.cast(),
            CDB_VAR_OFFSETS,
            get!(data, SenseInfoBuffer).cast(),
            len,
        ))
    }
}

/// Offsets of ScsiStatus, SenseInfoBufferLength and Cdb.
type Offsets = [usize; 3];

macro_rules! offsets {
    ($block:ty) => {
        [
            offset_of!($block, ScsiStatus),
            offset_of!($block, SenseInfoBufferLength),
            offset_of!($block, Cdb),
        ]
    };
}
const SCSI_OFFSETS: Offsets = offsets!(SCSI_REQUEST_BLOCK);
const CDB16_OFFSETS: Offsets = offsets!(SRBEX_DATA_SCSI_CDB16);
const CDB32_OFFSETS: Offsets = offsets!(SRBEX_DATA_SCSI_CDB32);
const CDB_VAR_OFFSETS: Offsets = offsets!(SRBEX_DATA_SCSI_CDB_VAR);

/// The parts of a command in a block of known layout.
fn scsi_at(
    base: *mut u8,
    [status, sense_len, cdb]: Offsets,
    sense: *mut u8,
    cdb_len: usize,
) -> Scsi {
    Scsi {
        status: base.wrapping_add(status),
        sense_len: base.wrapping_add(sense_len),
        sense,
        cdb: base.wrapping_add(cdb),
        cdb_len,
    }
}

/// The part at `offset` of an extended block, if all of a `T` lies between the fixed part and SrbLength, aligned.
fn part<T>(block: *mut STORAGE_REQUEST_BLOCK, offset: u32) -> Option<*mut T> {
    packed_part::<T>(block, offset).filter(|part| part.is_aligned())
}

/// The same at any alignment.
#[inline(always)] // part of HwStartIo
fn packed_part<T>(block: *mut STORAGE_REQUEST_BLOCK, offset: u32) -> Option<*mut T> {
    let offset = usize::try_from(offset).ok()?;
    let end = offset.checked_add(size_of::<T>())?;
    let fits =
        offset >= size_of::<STORAGE_REQUEST_BLOCK>() && end <= get!(block, SrbLength) as usize;
    fits.then(|| block.cast::<u8>().wrapping_add(offset).cast())
}

/// The first data block of a type.
fn data_block<T>(block: *mut STORAGE_REQUEST_BLOCK, wanted: SRBEXDATATYPE) -> Option<*mut T> {
    let count = get!(block, NumSrbExData) as usize;
    let first = offset_of!(STORAGE_REQUEST_BLOCK, SrbExDataOffset);
    let room = (get!(block, SrbLength) as usize).saturating_sub(first) / 4;
    let offsets = block.cast::<u8>().wrapping_add(first).cast::<u32>();
    (0..count.min(room)).find_map(|index| {
        // SAFETY: `room` bounds the array of offsets by the block's length.
        let offset = unsafe { offsets.wrapping_add(index).read() };
        let head: *mut SRBEX_DATA = part(block, offset)?;
        if get!(head, Type) == wanted {
            part(block, offset)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests;
