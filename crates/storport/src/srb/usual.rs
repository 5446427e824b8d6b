//! The block as nearly all are, read in one go: extended, with a short command first. Others say nothing here.

use super::{Srb, packed_part};
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::NonNull;
use nt_sys::storport::*;

/// What a transfer has to know of a block, each read where it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Usual<'a> {
    block: *mut STORAGE_REQUEST_BLOCK,
    /// All of it lies inside of the block, as it is read, at any alignment.
    data: *mut SRBEX_DATA_SCSI_CDB16,
    /// As above.
    address: *mut STOR_ADDR_BTL8,
    _srb: PhantomData<&'a Srb>,
}

/// The SCSI status byte of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ScsiStatus(NonNull<u8>);

/// Path, Target and Lun in the word that begins with Path and ends with Reserved.
const UNIT: u32 = u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
const _: () = assert!(
    offset_of!(STOR_ADDR_BTL8, Target) == offset_of!(STOR_ADDR_BTL8, Path).wrapping_add(1)
        && offset_of!(STOR_ADDR_BTL8, Lun) == offset_of!(STOR_ADDR_BTL8, Path).wrapping_add(2)
        && offset_of!(STOR_ADDR_BTL8, Reserved) == offset_of!(STOR_ADDR_BTL8, Path).wrapping_add(3)
);

/// Reads a member of a part of the block, as `get!`, at any alignment: to look for it costs each request more than to do without.
macro_rules! get_packed {
    ($part:expr, $field:ident) => {{
        let member = {
            let part = $part;
            // SAFETY: the part lies inside of the block, and so does the member.
            unsafe { &raw const (*part).$field }
        };
        // SAFETY: as above; the miniport owns the block, so nobody writes it meanwhile.
        unsafe { member.read_unaligned() }
    }};
}

impl Srb {
    /// The block, if it is as nearly all are.
    #[inline(always)] // part of HwStartIo
    #[must_use]
    pub fn usual(&self) -> Option<Usual<'_>> {
        let block = self.extended()?;
        let is_scsi = get!(block, SrbFunction) == u32::from(SRB_FUNCTION_EXECUTE_SCSI);
        if !is_scsi || get!(block, NumSrbExData) == 0 {
            return None;
        }
        let [offset, ..] = get!(block, SrbExDataOffset);
        let data: *mut SRBEX_DATA_SCSI_CDB16 = packed_part(block, offset)?;
        if get_packed!(data, Type) != SrbExDataTypeScsiCdb16 {
            return None;
        }
        let address: *mut STOR_ADDR_BTL8 = packed_part(block, get!(block, AddressOffset))?;
        (get_packed!(address, Type) == STOR_ADDRESS_TYPE_BTL8).then_some(Usual {
            block,
            data,
            address,
            _srb: PhantomData,
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

impl<'a> Usual<'a> {
    /// Whether it is for unit 0 of target 0 on bus 0.
    #[inline(always)] // part of HwStartIo, as are the others
    #[must_use]
    pub fn is_for_first_unit(&self) -> bool {
        let path = self
            .address
            .cast::<u8>()
            .wrapping_add(offset_of!(STOR_ADDR_BTL8, Path));
        // SAFETY: four bytes of the address, in the block, which the miniport owns.
        let unit = unsafe { path.cast::<u32>().read_unaligned() };
        unit & UNIT == 0
    }

    /// The room for the command.
    #[inline(always)]
    #[must_use]
    pub fn cdb(&self) -> &'a [u8; 16] {
        let cdb = self
            .data
            .cast::<u8>()
            .wrapping_add(offset_of!(SRBEX_DATA_SCSI_CDB16, Cdb))
            .cast::<[u8; 16]>();
        // SAFETY: inside of the block, which the miniport owns for as long as its `Srb` is borrowed.
        unsafe { &*cdb }
    }

    /// Bytes of the command, as the block has it: may be more than there is room for.
    #[inline(always)]
    #[must_use]
    pub fn cdb_len(&self) -> u8 {
        get_packed!(self.data, CdbLength)
    }

    /// Bytes of the data buffer.
    #[inline(always)]
    #[must_use]
    pub fn data_len(&self) -> u32 {
        get!(self.block, DataTransferLength)
    }

    /// As [`Srb::extension`].
    #[inline(always)]
    #[must_use]
    pub fn extension(&self) -> *mut u8 {
        get!(self.block, MiniportContext).cast()
    }

    /// Where success is written to.
    #[inline(always)]
    #[must_use]
    pub fn status(&self) -> ScsiStatus {
        let status = self
            .data
            .cast::<u8>()
            .wrapping_add(offset_of!(SRBEX_DATA_SCSI_CDB16, ScsiStatus));
        // SAFETY: inside of the block, so it is no NULL.
        ScsiStatus(unsafe { NonNull::new_unchecked(status) })
    }
}
