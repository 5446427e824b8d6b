//! The block as nearly all are, read in one go: extended, with a short command first. Others say nothing here.

use super::{Srb, part};
use core::mem::offset_of;
use core::ptr::NonNull;
use nt_sys::storport::*;

/// What a transfer has to know of a block.
#[derive(Clone, Copy, Debug)]
pub struct Usual<'a> {
    /// It is for unit 0 of target 0 on bus 0.
    pub first_unit: bool,
    /// The room for the command.
    pub cdb: &'a [u8; 16],
    /// Bytes of the command, as the block has it: may be more than there is room for.
    pub cdb_len: u8,
    /// Bytes of the data buffer.
    pub data_len: u32,
    /// As [`Srb::extension`].
    pub extension: *mut u8,
    /// Where success is written to.
    pub status: ScsiStatus,
}

/// The SCSI status byte of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ScsiStatus(NonNull<u8>);

impl Srb {
    /// The block, if it is as nearly all are.
    #[inline(always)] // part of HwBuildIo
    #[must_use]
    pub fn usual(&self) -> Option<Usual<'_>> {
        let data = self.cdb16()?;
        let block = self.extended()?;
        let address: *mut STOR_ADDR_BTL8 = part(block, get!(block, AddressOffset))?;
        if get!(address, Type) != STOR_ADDRESS_TYPE_BTL8 {
            return None;
        }
        let cdb = data
            .cast::<u8>()
            .wrapping_add(offset_of!(SRBEX_DATA_SCSI_CDB16, Cdb))
            .cast::<[u8; 16]>();
        let status = data
            .cast::<u8>()
            .wrapping_add(offset_of!(SRBEX_DATA_SCSI_CDB16, ScsiStatus));
        Some(Usual {
            first_unit: get!(address, Path) | get!(address, Target) | get!(address, Lun) == 0,
            // SAFETY: `cdb16` found all of the data inside of the block, which the miniport owns.
            cdb: unsafe { &*cdb },
            cdb_len: get!(data, CdbLength),
            data_len: get!(block, DataTransferLength),
            extension: get!(block, MiniportContext).cast(),
            // SAFETY: as above, so it is no NULL.
            status: ScsiStatus(unsafe { NonNull::new_unchecked(status) }),
        })
    }

    /// As `set_status(Success)`, without another look for the status byte.
    ///
    /// # Safety
    /// `status` came from [`Srb::usual`] of this block, since StorPort gave it to the miniport.
    #[inline(always)] // part of a DPC
    pub unsafe fn succeed(&mut self, status: ScsiStatus) {
        // SAFETY: the byte lies in this block, which the miniport owns.
        unsafe { status.0.write(SCSISTAT_GOOD) };
        set!(self.as_raw(), SrbStatus, SRB_STATUS_SUCCESS);
    }
}
