//! The same view over both block formats, and extended blocks that contradict themselves.

use super::*;
use nt_sys::types::PVOID;
use std::boxed::Box;
use std::vec::Vec;

const SENSE_ROOM: usize = 32;

/// A request in either format, with everything that it points to.
struct Request {
    block: Box<Block>,
    sense: Box<[u8; SENSE_ROOM]>,
    data: Vec<u8>,
}

/// As the port driver lays an extended request out: fixed part, address, one data block.
#[repr(C, align(8))]
struct Block {
    fixed: Fixed,
    address: STOR_ADDR_BTL8,
    extra: [u8; 128],
}

#[repr(C)]
union Fixed {
    legacy: core::mem::ManuallyDrop<SCSI_REQUEST_BLOCK>,
    extended: core::mem::ManuallyDrop<STORAGE_REQUEST_BLOCK>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Legacy,
    Cdb16,
    Cdb32,
    CdbVar,
}
const FORMATS: [Format; 4] = [Format::Legacy, Format::Cdb16, Format::Cdb32, Format::CdbVar];

impl Request {
    fn empty() -> Self {
        // SAFETY: integers, pointers and functions that may be zero.
        let block = unsafe { Box::<Block>::new_zeroed().assume_init() };
        Self {
            block,
            sense: Box::new([0; SENSE_ROOM]),
            data: std::vec![0; 512],
        }
    }

    fn legacy(&mut self) -> &mut SCSI_REQUEST_BLOCK {
        // SAFETY: zeroed at least.
        unsafe { &mut self.block.fixed.legacy }
    }

    fn extended(&mut self) -> &mut STORAGE_REQUEST_BLOCK {
        // SAFETY: zeroed at least.
        unsafe { &mut self.block.fixed.extended }
    }

    /// An extended request for a unit, with one data block of a type yet to be set.
    fn new_extended(function: u8) -> Self {
        let mut request = Self::empty();
        let data = request.data.as_mut_ptr().cast();
        *request.extended() = STORAGE_REQUEST_BLOCK {
            Function: SRB_FUNCTION_STORAGE_REQUEST_BLOCK,
            Signature: SRB_SIGNATURE,
            Version: STORAGE_REQUEST_BLOCK_VERSION_1,
            SrbLength: size_of::<Block>() as u32,
            SrbFunction: u32::from(function),
            SrbFlags: SRB_FLAGS_DATA_IN,
            TimeOutValue: 10,
            AddressOffset: offset_of!(Block, address) as u32,
            NumSrbExData: 1,
            DataTransferLength: 512,
            DataBuffer: data,
            MiniportContext: 0x7000 as PVOID,
            SrbExDataOffset: [offset_of!(Block, extra) as u32],
            // SAFETY: as in `empty`.
            ..unsafe { core::mem::zeroed() }
        };
        request.block.address = STOR_ADDR_BTL8 {
            Type: STOR_ADDRESS_TYPE_BTL8,
            Port: 0,
            AddressLength: STOR_ADDR_BTL8_ADDRESS_LENGTH,
            Path: 1,
            Target: 2,
            Lun: 3,
            Reserved: 0,
        };
        request
    }

    /// READ(10) of one block in the given format.
    fn scsi(format: Format) -> Self {
        let mut cdb = [0_u8; 16];
        cdb[..10].copy_from_slice(&[0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0]);
        if format == Format::Legacy {
            let mut request = Self::empty();
            let (sense, data) = (
                request.sense.as_mut_ptr().cast(),
                request.data.as_mut_ptr().cast(),
            );
            *request.legacy() = SCSI_REQUEST_BLOCK {
                Length: size_of::<SCSI_REQUEST_BLOCK>() as u16,
                Function: SRB_FUNCTION_EXECUTE_SCSI,
                PathId: 1,
                TargetId: 2,
                Lun: 3,
                CdbLength: 10,
                SenseInfoBufferLength: SENSE_ROOM as u8,
                SrbFlags: SRB_FLAGS_DATA_IN,
                DataTransferLength: 512,
                TimeOutValue: 10,
                DataBuffer: data,
                SenseInfoBuffer: sense,
                SrbExtension: 0x7000 as PVOID,
                Cdb: cdb,
                // SAFETY: as in `empty`.
                ..unsafe { core::mem::zeroed() }
            };
            return request;
        }
        let mut request = Self::new_extended(SRB_FUNCTION_EXECUTE_SCSI);
        let sense = request.sense.as_mut_ptr() as usize;
        // Offsets as layouts.json has them for x86_64.
        let (kind, sense_at, cdb_at): (i32, usize, usize) = match format {
            Format::Cdb16 | Format::Legacy => (SrbExDataTypeScsiCdb16, 16, 24),
            Format::Cdb32 => (SrbExDataTypeScsiCdb32, 16, 24),
            Format::CdbVar => (SrbExDataTypeScsiCdbVar, 24, 32),
        };
        let mut put = |at: usize, bytes: &[u8]| {
            request.block.extra[at..][..bytes.len()].copy_from_slice(bytes)
        };
        put(0, &kind.to_le_bytes());
        put(8, &[0xFF, SENSE_ROOM as u8]);
        put(sense_at, &sense.to_le_bytes());
        put(cdb_at, &cdb[..10]);
        if format == Format::CdbVar {
            put(4, &(24_u32 + 10).to_le_bytes());
            put(12, &10_u32.to_le_bytes());
        } else {
            put(4, &48_u32.to_le_bytes());
            put(10, &[10]);
        }
        request
    }

    fn srb(&mut self) -> Srb {
        // SAFETY: the block lives as long as the test uses the request.
        unsafe { Srb::from_raw((&raw mut *self.block).cast()) }.expect("not null")
    }

    /// SCSI status and sense length, read without the code under test.
    fn scsi_result(&self, format: Format) -> (u8, u8) {
        if format == Format::Legacy {
            // SAFETY: the block was made in this format.
            let block = unsafe { &self.block.fixed.legacy };
            return (block.ScsiStatus, block.SenseInfoBufferLength);
        }
        (self.block.extra[8], self.block.extra[9])
    }

    fn srb_status(&mut self) -> u8 {
        self.legacy().SrbStatus
    }
}

#[test]
fn both_formats_show_the_same_request() {
    for format in FORMATS {
        let mut request = Request::scsi(format);
        let (data, srb) = (request.data.as_mut_ptr(), request.srb());
        assert_eq!(srb.function(), Function::ExecuteScsi, "{format:?}");
        assert_eq!(srb.cdb(), [0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0], "{format:?}");
        assert_eq!(srb.data(), (data, 512));
        assert_eq!(
            srb.address(),
            Some(Address {
                path: 1,
                target: 2,
                lun: 3
            })
        );
        assert_eq!(
            (srb.flags(), srb.timeout(), srb.extension() as usize),
            (SRB_FLAGS_DATA_IN, 10, 0x7000)
        );
        assert!(srb.pnp().is_none() && srb.power().is_none());
    }
}

#[test]
fn the_usual_block_is_read_in_one_go_and_no_other() {
    const FIRST: Address = Address {
        path: 0,
        target: 0,
        lun: 0,
    };
    for format in FORMATS {
        let mut request = Request::scsi(format);
        let srb = request.srb();
        let Some(usual) = srb.usual() else {
            assert_ne!(format, Format::Cdb16);
            continue;
        };
        assert_eq!(format, Format::Cdb16);
        assert_eq!(usual.cdb()[..usize::from(usual.cdb_len())], *srb.cdb());
        assert_eq!(usual.is_for_first_unit(), srb.address() == Some(FIRST));
        assert_eq!(
            (usual.data_len(), usual.extension()),
            (srb.data().1, srb.extension())
        );
        let status = usual.status();
        let mut srb = request.srb();
        // SAFETY: of this block.
        unsafe { srb.succeed(status) };
        assert_eq!(request.srb_status(), SRB_STATUS_SUCCESS);
        assert_eq!(request.scsi_result(format).0, SCSISTAT_GOOD);
    }
    for function in [SRB_FUNCTION_FLUSH, SRB_FUNCTION_RESET_DEVICE] {
        let mut request = Request::scsi(Format::Cdb16);
        request.extended().SrbFunction = u32::from(function);
        assert!(request.srb().usual().is_none());
    }
    let mut request = Request::scsi(Format::Cdb16);
    for (path, target, lun) in [(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 4), (255, 255, 255)] {
        let address = &mut request.block.address;
        (address.Path, address.Target, address.Lun) = (path, target, lun);
        let usual = request.srb().usual().map(|usual| usual.is_for_first_unit());
        assert_eq!(usual, Some((path, target, lun) == (0, 0, 0)));
    }
    request.block.address.Type = 0;
    assert!(request.srb().usual().is_none(), "another kind of address");
}

#[test]
fn success_says_good_and_shortens_the_transfer() {
    for format in FORMATS {
        let mut request = Request::scsi(format);
        let mut srb = request.srb();
        srb.set_transferred(36);
        srb.set_status(SrbStatus::Success);
        assert_eq!(srb.data().1, 36);
        assert_eq!(request.srb_status(), SRB_STATUS_SUCCESS);
        assert_eq!(request.scsi_result(format).0, SCSISTAT_GOOD, "{format:?}");
    }
}

#[test]
fn sense_goes_to_the_requests_buffer() {
    for format in FORMATS {
        let mut request = Request::scsi(format);
        request.srb().set_sense(&Sense::WRITE_PROTECTED);
        assert_eq!(
            request.srb_status(),
            SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID,
            "{format:?}"
        );
        assert_eq!(
            request.scsi_result(format),
            (SCSISTAT_CHECK_CONDITION, FIXED_LEN as u8),
            "{format:?}"
        );
        assert_eq!(request.sense[..FIXED_LEN], Sense::WRITE_PROTECTED.encode());
        assert_eq!(request.sense[FIXED_LEN..], [0; SENSE_ROOM - FIXED_LEN]);
    }
}

#[test]
fn a_small_sense_buffer_gets_what_fits() {
    let mut request = Request::scsi(Format::Legacy);
    request.legacy().SenseInfoBufferLength = 8;
    request.srb().set_sense(&Sense::INVALID_OPCODE);
    assert_eq!(
        request.scsi_result(Format::Legacy),
        (SCSISTAT_CHECK_CONDITION, 8)
    );
    assert_eq!(request.sense[..8], Sense::INVALID_OPCODE.encode()[..8]);
    assert_eq!(request.sense[8..], [0; SENSE_ROOM - 8]);
}

#[test]
fn without_autosense_the_command_fails_without_sense() {
    let no_room: fn(&mut SCSI_REQUEST_BLOCK) = |block| block.SenseInfoBufferLength = 0;
    let no_buffer: fn(&mut SCSI_REQUEST_BLOCK) =
        |block| block.SenseInfoBuffer = core::ptr::null_mut();
    let off: fn(&mut SCSI_REQUEST_BLOCK) = |block| block.SrbFlags |= SRB_FLAGS_DISABLE_AUTOSENSE;
    for change in [no_room, no_buffer, off] {
        let mut request = Request::scsi(Format::Legacy);
        change(request.legacy());
        request.srb().set_sense(&Sense::INVALID_OPCODE);
        assert_eq!(request.srb_status(), SRB_STATUS_ERROR);
        assert_eq!(
            request.scsi_result(Format::Legacy).0,
            SCSISTAT_CHECK_CONDITION
        );
        assert_eq!(*request.sense, [0; SENSE_ROOM]);
    }
}

#[test]
fn plug_and_play_and_power_are_read_from_both_formats() {
    let mut legacy = Request::empty();
    legacy.legacy().Function = SRB_FUNCTION_PNP;
    // PnPAction at 8 and SrbPnPFlags at 64 (layouts.json, x86_64) lie over these two.
    legacy.legacy().QueueTag = StorSurpriseRemoval as u8;
    legacy.legacy().QueueSortKey = 1;
    assert_eq!(
        legacy.srb().pnp(),
        Some(Pnp {
            action: StorSurpriseRemoval,
            adapter: true
        })
    );
    assert_eq!(legacy.srb().power(), None);

    let mut extended = Request::new_extended(SRB_FUNCTION_POWER);
    let extra = &mut extended.block.extra;
    extra[0] = SrbExDataTypePower as u8;
    extra[4] = 12;
    extra[8] = SRB_POWER_FLAGS_ADAPTER_REQUEST;
    extra[12] = StorPowerDeviceD3 as u8;
    extra[16] = StorPowerActionShutdown as u8;
    let power = Power {
        state: StorPowerDeviceD3,
        action: StorPowerActionShutdown,
        adapter: true,
    };
    assert_eq!(extended.srb().power(), Some(power));
    assert_eq!(
        (extended.srb().pnp(), extended.srb().cdb()),
        (None, &[][..])
    );
}

#[test]
fn an_unknown_function_keeps_its_code() {
    let mut request = Request::new_extended(0x77);
    assert_eq!(request.srb().function(), Function::Other(0x77));
    request.extended().SrbFunction = 0x1_0000; // the low byte alone would be EXECUTE SCSI
    assert_eq!(request.srb().function(), Function::Other(0x1_0000));
}

#[test]
fn a_block_that_points_outside_itself_shows_nothing() {
    let outside = [
        0,
        8,
        127,
        size_of::<Block>() as u32 - 8,
        size_of::<Block>() as u32,
        u32::MAX,
    ];
    for offset in outside {
        let mut request = Request::scsi(Format::Cdb16);
        request.extended().SrbExDataOffset = [offset];
        assert_eq!(request.srb().cdb(), [] as [u8; 0], "offset {offset}");
        assert!(request.srb().usual().is_none(), "offset {offset}");
        request.srb().set_sense(&Sense::NONE);
        assert_eq!(request.srb_status(), SRB_STATUS_ERROR);
        request.extended().AddressOffset = offset;
        assert_eq!(request.srb().address(), None, "offset {offset}");
        request.extended().SrbExDataOffset = [offset_of!(Block, extra) as u32];
        assert!(request.srb().usual().is_none(), "address at {offset}");
    }
    let mut request = Request::scsi(Format::Cdb16);
    request.extended().NumSrbExData = u32::MAX;
    request.extended().SrbExDataOffset = [0];
    assert_eq!(
        request.srb().cdb(),
        [] as [u8; 0],
        "the search ends at the block's length"
    );
}

#[test]
fn lengths_never_exceed_the_room() {
    let mut request = Request::scsi(Format::Legacy);
    request.legacy().CdbLength = 255;
    assert_eq!(request.srb().cdb().len(), 16);
    let mut request = Request::scsi(Format::CdbVar);
    request.block.extra[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        request.srb().cdb().len(),
        10,
        "the data block's own length bounds it"
    );
}
