//! The carver over a real buffer whose device address is made up.

use super::*;
use std::vec::Vec;

fn carver(memory: &mut [u8], address: u64) -> Carver {
    let va = NonNull::new(memory.as_mut_ptr()).expect("a slice has an address");
    // SAFETY: the tests use the memory only through the carver while it lives.
    unsafe {
        Carver::new(Dma {
            va,
            address,
            len: memory.len(),
        })
    }
}

#[test]
fn parts_are_aligned_by_device_address_and_do_not_overlap() {
    let mut memory = [0_u8; 4096];
    let start = memory.as_ptr() as usize;
    let mut carver = carver(&mut memory, 0x1_0000_0010);
    let parts: Vec<Dma> = [(1, 1), (16, 64), (100, 4), (0, 8), (256, 256)]
        .map(|(len, align)| carver.take(len, align).unwrap())
        .into();
    let mut end = 0x1_0000_0010;
    for (part, align) in parts.iter().zip([1, 64, 4, 8, 256]) {
        assert_eq!(part.address % align, 0);
        assert!(part.address >= end, "{part:x?} begins before {end:x}");
        assert_eq!(
            part.va.as_ptr() as usize - start,
            (part.address - 0x1_0000_0010) as usize
        );
        end = part.address + part.len as u64;
    }
    assert_eq!(carver.left() as u64, 0x1_0000_0010 + 4096 - end);
}

#[test]
fn too_much_is_refused_and_nothing_is_lost() {
    let mut memory = [0_u8; 64];
    let mut carver = carver(&mut memory, 0x20);
    assert_eq!(
        carver.take(65, 1),
        Err(OutOfMemory {
            wanted: 65,
            left: 64
        })
    );
    assert_eq!(
        carver.take(64, 64),
        Err(OutOfMemory {
            wanted: 64,
            left: 64
        }),
        "32 bytes go to alignment"
    );
    assert_eq!(carver.take(64, 1).map(|part| part.address), Ok(0x20));
    assert_eq!(carver.take(1, 1), Err(OutOfMemory { wanted: 1, left: 0 }));
    assert!(carver.take(0, 1).is_ok());
}

#[test]
fn nonsense_sizes_are_refused_without_overflow() {
    let mut memory = [0_u8; 64];
    let mut carver = carver(&mut memory, u64::MAX - 63);
    assert!(carver.take(usize::MAX, 1).is_err());
    assert!(carver.take(1, 0).is_err(), "no multiple of zero exists");
    assert!(
        carver.take(1, 1 << 62).is_err(),
        "the next multiple is past the end of the address space"
    );
}
