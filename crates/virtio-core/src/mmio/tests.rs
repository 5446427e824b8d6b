//! Tests of memory-mapped registers, over ordinary memory.

use core::ptr::NonNull;
use std::vec::Vec;

use super::{MmioWindow, Registers};

/// Memory for registers; the window shows the first half of it.
#[repr(align(16))]
struct Memory([u8; 32]);

fn with(test: impl FnOnce(MmioWindow)) -> Vec<u8> {
    let mut memory = Memory(core::array::from_fn(|n| n as u8));
    let base = NonNull::from(&mut memory).cast();
    // SAFETY: the memory is valid for all 16 bytes and nothing else touches it before the test is done.
    test(unsafe { MmioWindow::new(base, 16) });
    memory.0.to_vec()
}

#[test]
fn registers_are_little_endian() {
    let after = with(|window| {
        assert_eq!(window.len(), 16);
        assert!(!window.is_empty());
        assert_eq!(window.read8(15), 15);
        assert_eq!(window.read16(14), 0x0f0e);
        assert_eq!(window.read32(12), 0x0f0e_0d0c);
        window.write8(0, 0xa0);
        window.write16(2, 0xb1b0);
        window.write32(4, 0xc3c2_c1c0);
    });
    assert_eq!(after[..8], [0xa0, 1, 0xb0, 0xb1, 0xc0, 0xc1, 0xc2, 0xc3]);
    assert!((8..32).all(|n| after[n] == n as u8));
}

#[test]
fn what_lies_outside_reads_all_ones_and_takes_no_write() {
    let after = with(|window| {
        for offset in [16, 17, 31, 4096, usize::MAX - 3, usize::MAX] {
            assert_eq!(window.read8(offset), 0xff);
            window.write8(offset, 0xee);
        }
        for offset in [15, 16, 30, usize::MAX - 1, usize::MAX] {
            assert_eq!(window.read16(offset), 0xffff);
            window.write16(offset, 0xeeee);
        }
        for offset in [13, 14, 15, 16, 28, usize::MAX - 3, usize::MAX] {
            assert_eq!(window.read32(offset), 0xffff_ffff);
            window.write32(offset, 0xeeee_eeee);
        }
    });
    assert!((0..32).all(|n| after[n] == n as u8));
}

#[test]
fn misaligned_access_does_not_reach_the_device() {
    let after = with(|window| {
        assert_eq!(window.read16(1), 0xffff);
        window.write16(3, 0xeeee);
        for offset in [1, 2, 3, 6] {
            assert_eq!(window.read32(offset), 0xffff_ffff);
            window.write32(offset, 0xeeee_eeee);
        }
    });
    assert!((0..32).all(|n| after[n] == n as u8));
}
