//! The scatter list as StorPort lays it out.

use super::*;
use core::mem::size_of;
use std::vec::Vec;

#[test]
fn the_runs_come_in_order_and_end() {
    // NumberOfElements at 0, List at 16, elements of 24 bytes: address 0, length 8 (layouts.json, x86_64).
    let mut words = std::vec![0_u64; 2 + 3 * 3];
    words[0] = 3;
    for index in 0..3 {
        words[2 + index * 3] = 0x1_0000_0000 * index as u64 + 0x1000;
        words[3 + index * 3] = 0xFFFF_FFFF_0000_0000 | (index as u64 + 1); // garbage in the padding
    }
    assert_eq!(size_of::<STOR_SCATTER_GATHER_LIST>(), 16);
    let list = NonNull::new(words.as_mut_ptr()).expect("not null").cast();
    // SAFETY: laid out above, and outlives the iterator.
    let runs = unsafe { ScatterGather::new(list) };
    assert_eq!(runs.len(), 3);
    let runs: Vec<Segment> = runs.collect();
    let expected = [(0x1000, 1), (0x1_0000_1000, 2), (0x2_0000_1000, 3)];
    assert_eq!(
        runs,
        expected.map(|(address, len)| Segment { address, len })
    );
}
