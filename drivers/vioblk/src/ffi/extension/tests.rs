use super::*;
use crate::ffi::list::Counted;
use crate::request::{NO_STATUS, Operation, Outcome, STATUS_OFFSET, Stage};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;
use storport::sys::*;
use virtio_core::spec::blk::RequestStatus;
use zerocopy::IntoBytes;

/// A block with an extension that starts `skew` bytes off a 16-byte boundary.
struct Block {
    srb: Box<SCSI_REQUEST_BLOCK>,
    memory: Vec<u128>,
    skew: usize,
}

impl Block {
    fn new(skew: usize) -> Self {
        // SAFETY: integers and nullable pointers.
        let srb = unsafe { Box::<SCSI_REQUEST_BLOCK>::new_zeroed().assume_init() };
        let memory = vec![0; size(1) as usize / 16 + 2];
        let mut block = Self { srb, memory, skew };
        let start = block.memory.as_mut_ptr().cast::<u8>().wrapping_add(skew);
        block.srb.SrbExtension = start.cast();
        block
    }

    fn srb(&mut self) -> Srb {
        // SAFETY: the block outlives the test's use of it.
        unsafe { Srb::from_raw(&raw mut *self.srb) }.unwrap()
    }

    fn request(&mut self, sector: u64) -> RequestBox {
        let srb = self.srb();
        // SAFETY: as in HwStartIo.
        let block = unsafe { Given::new(&srb) }.unwrap();
        block.put(Request::new(Operation::Read, sector, 512))
    }
}

#[test]
fn a_request_lies_inside_its_extension_at_any_alignment() {
    for skew in 0..16 {
        let mut block = Block::new(skew);
        let start = block.memory.as_ptr().addr() + block.skew;
        let request = block.request(42);
        let at = request.0.as_ptr().addr();
        assert_eq!(at % 16, 0);
        assert!(
            at >= start && at + PRIVATE + HEAD_LEN + 3 * DESCRIPTOR_LEN <= start + size(1) as usize
        );
        assert_eq!(request.sector, 42);
        let raw = &raw const *block.srb;
        assert_eq!(request.finish().unwrap().as_raw().cast_const(), raw);
    }
}

#[test]
fn a_block_without_extension_has_no_place() {
    let mut block = Block::new(0);
    block.srb.SrbExtension = core::ptr::null_mut();
    assert!(Place::of(&block.srb()).is_none());
}

#[test]
fn the_size_is_what_was_promised() {
    for segments in [1, 6, 66, 126, 257] {
        assert!(size(segments) <= 16 * (segments.max(64) + 2) + 256);
    }
}

#[test]
fn lists_keep_the_order_however_they_are_used() {
    let mut blocks: Vec<Block> = (0..100).map(|_| Block::new(0)).collect();
    let mut incoming = blocks
        .iter_mut()
        .enumerate()
        .map(|(n, block)| block.request(n as u64));
    let mut list = Counted::EMPTY;
    let mut out = Vec::new();
    // Three in, two out; the first of every tenth goes back to the front.
    for round in 0..30 {
        for _ in 0..3 {
            list.push_back(incoming.next().unwrap());
        }
        for _ in 0..2 {
            let request = list.pop_front().unwrap();
            if round % 10 == 0 && out.last() != Some(&request.sector) {
                list.push_front(request);
                out.push(list.pop_front().unwrap().sector);
            } else {
                out.push(request.sector);
            }
        }
    }
    assert_eq!(list.len(), 30);
    while let Some(request) = list.pop_front() {
        out.push(request.sector);
    }
    assert!(list.is_empty());
    assert_eq!(out, (0..90).collect::<Vec<_>>());
}

/// An extended block with a READ or WRITE of 4096 bytes, as StorPort gives it.
#[repr(C)]
struct Plain {
    block: STORAGE_REQUEST_BLOCK,
    address: STOR_ADDR_BTL8,
    data: SRBEX_DATA_SCSI_CDB16,
    extension: [u128; size(1) as usize / 16 + 2],
}

impl Plain {
    fn new() -> Box<Self> {
        // SAFETY: integers and nullable pointers.
        let mut plain = unsafe { Box::<Self>::new_zeroed().assume_init() };
        let extension = (&raw mut plain.extension).cast::<u8>().wrapping_add(8);
        let block = &mut plain.block;
        block.Function = SRB_FUNCTION_STORAGE_REQUEST_BLOCK;
        block.SrbFunction = SRB_FUNCTION_EXECUTE_SCSI.into();
        block.SrbLength = core::mem::offset_of!(Self, extension) as u32;
        block.AddressOffset = core::mem::offset_of!(Self, address) as u32;
        block.NumSrbExData = 1;
        block.SrbExDataOffset = [core::mem::offset_of!(Self, data) as u32];
        block.DataTransferLength = 4096;
        block.MiniportContext = extension.cast();
        plain.address.Type = STOR_ADDRESS_TYPE_BTL8;
        plain.data.Type = SrbExDataTypeScsiCdb16;
        plain
    }

    fn srb(&mut self) -> Srb {
        // SAFETY: the block outlives the test's use of it.
        unsafe { Srb::from_raw((&raw mut *self).cast()) }.unwrap()
    }

    /// A transfer of sector 7, whose head lies at 0x1000 for the device.
    fn token(&mut self, flow: Flow) -> Token {
        let enough = if flow == Flow::FromDevice { 4096 } else { 0 };
        let srb = self.srb();
        // SAFETY: as in HwStartIo.
        let block = unsafe { GivenUsual::new(&srb) }.unwrap();
        let (address, len) = (0x1000, SHORT_LEN as u32);
        let described = block.describe(flow, 7, enough);
        described.at(&Physical { address, len }).unwrap().finish()
    }
}

const WRITE: Operation = Operation::Write {
    force_unit_access: false,
};

#[test]
fn a_plain_transfer_has_succeeded_when_it_is_judged_so() {
    for (flow, operation) in [(Flow::FromDevice, Operation::Read), (Flow::ToDevice, WRITE)] {
        let mut block = Plain::new();
        let token = block.token(flow);
        let head = token.0.cast::<u8>().as_ptr().wrapping_add(PRIVATE);
        let whole = Request::new(operation, 7, 4096);
        for status in [NO_STATUS, 0, 1, 2] {
            // SAFETY: inside of the extension.
            unsafe { head.wrapping_add(STATUS_OFFSET).write(status) };
            for written in [0, 1, 4095, 4096, 4097, u32::MAX] {
                let judged = whole.judge(RequestStatus(status), written) == Outcome::Done;
                let what = (operation, status, written);
                assert_eq!(token.has_succeeded(written), judged, "{what:?}");
            }
        }
    }
}

#[test]
fn a_plain_transfer_in_full_is_what_was_asked_for() {
    for (flow, operation) in [(Flow::FromDevice, Operation::Read), (Flow::ToDevice, WRITE)] {
        let mut block = Plain::new();
        let raw = block.srb().as_raw();
        let request = block.token(flow).open();
        assert_eq!((request.operation, request.sector), (operation, 7));
        assert_eq!((request.bytes, request.parts), (4096, 1));
        assert_eq!(
            (request.stage, request.outcome),
            (Stage::Operation, Outcome::Done)
        );
        assert!(request.chain.is_none() && request.slot.is_none() && request.bounce.is_none());
        let memory = request.memory.unwrap();
        assert_eq!((memory.address(), memory.len()), (0x1000, SHORT_LEN));
        assert_eq!(memory.va().addr().get() % ALIGN, 0);
        // What is in the head already is what the request has for it.
        // SAFETY: inside of the extension.
        let head: [u8; 16] = unsafe { memory.va().cast().read() };
        assert_eq!(head, request.header().as_bytes());
        // In full it succeeds in full only, and opening it again does nothing.
        let token = Token::from(request);
        assert!(!token.has_succeeded(u32::MAX));
        let request = token.open();
        assert_eq!((request.operation, request.sector), (operation, 7));
        assert_eq!(request.finish().unwrap().as_raw(), raw);
    }
}

#[test]
fn a_block_that_is_not_usual_is_no_plain_transfer() {
    let mut block = Plain::new();
    block.block.MiniportContext = core::ptr::null_mut();
    let srb = block.srb();
    // SAFETY: as in HwStartIo.
    assert!(unsafe { GivenUsual::new(&srb) }.is_none());
    let mut block = Block::new(0);
    let srb = block.srb();
    // SAFETY: as above.
    assert!(unsafe { GivenUsual::new(&srb) }.is_none());
}
