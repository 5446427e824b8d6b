//! Base address registers as PCI devices have them.

use super::port::{PORT, Port};
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

/// Runs `body` as HwFindAdapter does, in these surroundings.
fn find<R>(
    surroundings: Port,
    ranges: &mut [ACCESS_RANGE],
    body: impl FnOnce(&mut FindAdapter<'_>) -> R,
) -> R {
    PORT.set(surroundings);
    // SAFETY: integers, nullable pointers and optional functions.
    let mut config: PORT_CONFIGURATION_INFORMATION = unsafe { core::mem::zeroed() };
    config.AccessRanges = ranges.as_mut_ptr();
    config.NumberOfAccessRanges = ranges.len() as u32;
    let mut extension = [0_u64; 1];
    // SAFETY: both live until the end of this function.
    let mut find = unsafe {
        FindAdapter::from_raw(
            extension.as_mut_ptr().cast(),
            core::ptr::null(),
            &raw mut config,
        )
    }
    .unwrap();
    let result = body(&mut find);
    PORT.with_borrow(|port| assert!(port.buffer.is_none(), "the registry buffer was not freed"));
    result
}

fn registry(values: &[(bool, &[u8])]) -> Port {
    let registry = values
        .iter()
        .map(|(all, data)| (*all, "Depth".into(), data.to_vec()))
        .collect();
    Port {
        registry,
        ..Port::default()
    }
}

#[test]
fn a_value_of_this_adapter_comes_before_one_of_all() {
    let read = |values: &[(bool, &[u8])]| {
        find(registry(values), &mut [], |find| {
            find.registry(c"Depth", 1..=64, 9)
        })
    };
    assert_eq!(read(&[(true, &[7, 0, 0, 0]), (false, &[3, 0, 0, 0])]), 3);
    assert_eq!(read(&[(true, &[7, 0, 0, 0])]), 7);
    assert_eq!(read(&[]), 9);
}

#[test]
fn values_out_of_range_or_of_another_size_do_no_harm() {
    let read = |data: &[u8]| {
        find(registry(&[(false, data)]), &mut [], |find| {
            find.registry(c"Depth", 1..=64, 9)
        })
    };
    assert_eq!(read(&[0, 0, 0, 0]), 1);
    assert_eq!(read(&[0xFF; 4]), 64);
    assert_eq!(read(&[5, 0]), 9, "too short for a DWORD");
    assert_eq!(read(&[5, 0, 0, 0, 0, 0, 0, 0]), 9, "too long");
}

#[test]
fn configuration_space_is_read_only_where_there_is_a_device() {
    let port = |config_space| Port {
        config_space,
        ..Port::default()
    };
    let mut buffer = [0; 64];
    assert_eq!(
        find(port(None), &mut [], |find| find.pci_config(&mut buffer)),
        0
    );
    assert_eq!(
        find(port(Some(std::vec![0x1A; 256])), &mut [], |find| find
            .pci_config(&mut buffer)),
        64
    );
    assert_eq!(buffer, [0x1A; 64]);
    assert_eq!(
        find(port(Some(std::vec![0x1A; 256])), &mut [], |find| find
            .pci_config(&mut [])),
        0
    );
}

#[test]
fn a_register_names_the_range_that_windows_assigned() {
    let range = |start, length, in_memory| ACCESS_RANGE {
        RangeStart: nt_sys::types::LARGE_INTEGER { QuadPart: start },
        RangeLength: length,
        RangeInMemory: in_memory,
    };
    let mut ranges = [
        range(0xC040, 0x40, 0),
        range(0xFEBD_1000, 0x1000, 1),
        range(0, 0, 0),
    ];
    let pci = header([0xC041, 0xFEBD_1000, 0xFEBD_2000, 0, 0, 0]);
    find(Port::default(), &mut ranges, |find| {
        assert_eq!(find.bar(&pci, 0), Some(range(0xC040, 0x40, 0)));
        assert_eq!(find.bar(&pci, 2), None, "not assigned");
        let memory = find.bar(&pci, 1).unwrap();
        let mapped = find.map(&memory).unwrap();
        assert_eq!((mapped.len, mapped.io_space), (0x1000, false));
        find.map(&range(0xC040, 0x40, 0)).unwrap();
    });
    PORT.with_borrow(|port| assert_eq!(port.mapped, [(0xFEBD_1000, 0x1000, 0), (0xC040, 0x40, 1)]));
}

#[test]
fn an_uncached_extension_must_be_contiguous_for_the_device() {
    let port = |contiguous| Port {
        contiguous,
        ..Port::default()
    };
    let carved = find(port(8192), &mut [], |find| {
        find.uncached(8192).unwrap().take(4096, 4096).unwrap()
    });
    assert_eq!((carved.address(), carved.len()), (0x7_0000_1000, 4096));
    assert!(find(port(4096), &mut [], |find| find.uncached(8192)).is_none());
}
