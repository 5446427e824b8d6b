use super::*;
use crate::request::{List, Operation, Outcome};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;
use storport::sys::SCSI_REQUEST_BLOCK;

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
        assert!(store(&srb, Request::new(Operation::Read, sector, 512)));
        // SAFETY: stored above.
        unsafe { RequestBox::take(srb) }.unwrap()
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
fn a_block_without_extension_is_given_back() {
    let mut block = Block::new(0);
    block.srb.SrbExtension = core::ptr::null_mut();
    let srb = block.srb();
    assert!(!store(&srb, Request::new(Operation::None, 0, 0)));
    // SAFETY: nothing was stored, and nothing is taken.
    assert!(unsafe { RequestBox::take(srb) }.is_err());
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
    let mut list = List::EMPTY;
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
    let mut ended = List::EMPTY;
    ended.append_as(&mut list, Outcome::Reset);
    assert!(list.is_empty() && list.pop_front().is_none());
    while let Some(request) = ended.pop_front() {
        assert_eq!(request.outcome, Outcome::Reset);
        out.push(request.sector);
    }
    assert_eq!(out, (0..90).collect::<Vec<_>>());
}
