//! Base address registers as PCI devices have them.

use super::*;

fn header(bars: [u32; 6]) -> [u8; 64] {
    let mut pci = [0; 64];
    for (index, bar) in bars.into_iter().enumerate() {
        pci[0x10 + index * 4..][..4].copy_from_slice(&bar.to_le_bytes());
    }
    pci
}

#[test]
fn ports_and_memory_of_both_widths_are_told_apart() {
    let pci = header([0xC041, 0xFEBD_1000, 0, 0, 0xC, 0x8]);
    assert_eq!(
        bar(&pci, 0),
        Some(Bar {
            address: 0xC040,
            io_space: true
        })
    );
    assert_eq!(
        bar(&pci, 1),
        Some(Bar {
            address: 0xFEBD_1000,
            io_space: false
        })
    );
    assert_eq!(bar(&pci, 2), None, "not there");
    assert_eq!(
        bar(&pci, 4),
        Some(Bar {
            address: 0x8_0000_0000,
            io_space: false
        })
    );
}

#[test]
fn registers_that_do_not_exist_are_nothing() {
    let pci = header([0, 0, 0, 0, 0, 0x4]);
    assert_eq!(
        bar(&pci, 5),
        None,
        "a 64-bit register has no room at the last place"
    );
    assert_eq!(bar(&pci, 6), None);
    assert_eq!(bar(&pci, 255), None);
    assert_eq!(bar(&pci[..0x18], 2), None, "a short read");
}
