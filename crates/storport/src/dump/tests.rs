//! How a miniport learns that it belongs to a dump stack, and what it answers beforehand.

use super::*;
use std::vec::Vec;

/// What HwFindAdapter with this mode, in a structure of this length, belongs to.
fn dump(mode: u8, length: usize) -> Option<Dump> {
    // SAFETY: integers, nullable pointers and optional functions.
    let mut config: PORT_CONFIGURATION_INFORMATION = unsafe { core::mem::zeroed() };
    config.Length = length as u32;
    config.DumpMode = mode;
    let mut extension = [0_u64; 1];
    // SAFETY: both live until the end of this function.
    let mut find =
        unsafe { FindAdapter::from_raw(extension.as_mut_ptr().cast(), &raw mut config) }.unwrap();
    find.dump()
}

#[test]
fn the_mode_says_what_is_wanted() {
    const WHOLE: usize = size_of::<PORT_CONFIGURATION_INFORMATION>();
    assert_eq!(dump(0, WHOLE), None);
    // Crash, hibernation, resume.
    for mode in [1, 2, 4] {
        assert_eq!(dump(mode, WHOLE), Some(Dump::Transfer));
    }
    assert_eq!(dump(3, WHOLE), Some(Dump::MarkMemory));
    let before = offset_of!(PORT_CONFIGURATION_INFORMATION, DumpMode);
    assert_eq!(dump(1, before), None, "an older Windows has no such member");
}

#[test]
fn dump_pointers_go_only_where_they_fit() {
    let end = offset_of!(MINIPORT_DUMP_POINTERS, MaximumTransferLength) + 4;
    for len in [0, 4, end - 1, end, size_of::<MINIPORT_DUMP_POINTERS>()] {
        let mut data: Vec<u8> = std::vec![0xee; len];
        // SAFETY: integers and nullable pointers.
        let mut block: SCSI_REQUEST_BLOCK = unsafe { core::mem::zeroed() };
        block.Function = SRB_FUNCTION_DUMP_POINTERS;
        block.DataBuffer = data.as_mut_ptr().cast();
        block.DataTransferLength = len as u32;
        // SAFETY: the block lives as long as the request.
        let mut srb = unsafe { Srb::from_raw(&raw mut block) }.unwrap();
        assert_eq!(srb.function(), crate::Function::DumpPointers);
        assert_eq!(srb.set_dump_pointers(0x3d000), len >= end, "{len}");
        if len < end {
            assert!(data.iter().all(|byte| *byte == 0xee));
            continue;
        }
        let size = size_of::<MINIPORT_DUMP_POINTERS>() as u16;
        assert_eq!(data[..2], 0x0100_u16.to_le_bytes());
        assert_eq!(data[2..4], size.to_le_bytes());
        assert_eq!(data[end - 4..end], 0x3d000_u32.to_le_bytes());
        assert!(data[4..end - 4].iter().all(|byte| *byte == 0xee));
    }
}
