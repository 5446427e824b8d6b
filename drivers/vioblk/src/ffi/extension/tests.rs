use super::*;
use crate::ffi::list::Counted;
use crate::request::{NO_STATUS, Operation, Outcome, STATUS_OFFSET};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;
use storport::srb::ScsiStatus;
use storport::sys::SCSI_REQUEST_BLOCK;
use virtio_core::spec::blk::RequestStatus;

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
        let place = Place::of(&srb).unwrap();
        // SAFETY: as HwBuildIo does, before there is a box.
        let block = unsafe { Building::assume(&srb) };
        place.put(block, Request::new(Operation::Read, sector, 512));
        // SAFETY: put there above.
        unsafe { RequestBox::take(srb) }
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

#[test]
fn a_plain_transfer_has_succeeded_when_it_is_judged_so() {
    let write = Operation::Write {
        force_unit_access: false,
    };
    for operation in [Operation::Read, write] {
        let mut block = Block::new(8);
        let mut request = block.request(0);
        let head = request.0.cast::<u8>().as_ptr().wrapping_add(PRIVATE);
        // SAFETY: of no block: never written through.
        let place: ScsiStatus = unsafe { core::mem::transmute(request.0) };
        *request = Request::new(operation, 0, 4096);
        request.enough = if operation == write { 0 } else { 4096 };
        for status in [0, 1, 2, NO_STATUS] {
            // SAFETY: inside of the extension.
            unsafe { head.wrapping_add(STATUS_OFFSET).write(status) };
            for written in [0, 1, 4095, 4096, 4097, u32::MAX] {
                request.plain = None;
                assert!(!request.has_succeeded(written), "it is not plain");
                request.plain = Some(place);
                let judged = request.judge(RequestStatus(status), written) == Outcome::Done;
                let what = (operation, status, written);
                assert_eq!(request.has_succeeded(written), judged, "{what:?}");
            }
        }
    }
}
