//! How a miniport learns that it belongs to a dump stack, and what it answers beforehand.

use super::*;
use core::ffi::CStr;
use std::vec::Vec;

/// What HwFindAdapter with this mode, in a structure of this length, belongs to.
fn dump(mode: u8, length: usize) -> Option<Dump> {
    dump_by(c"", mode, length)
}

/// The same with an argument string.
fn dump_by(arguments: &CStr, mode: u8, length: usize) -> Option<Dump> {
    // SAFETY: integers, nullable pointers and optional functions.
    let mut config: PORT_CONFIGURATION_INFORMATION = unsafe { core::mem::zeroed() };
    config.Length = length as u32;
    config.DumpMode = mode;
    let mut extension = [0_u64; 1];
    let extension = extension.as_mut_ptr().cast();
    // SAFETY: all live until the end of this function.
    let find = unsafe { FindAdapter::from_raw(extension, arguments.as_ptr(), &raw mut config) };
    find.unwrap().dump()
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
fn the_argument_string_says_it_too() {
    const WHOLE: usize = size_of::<PORT_CONFIGURATION_INFORMATION>();
    let before = offset_of!(PORT_CONFIGURATION_INFORMATION, DumpMode);
    for length in [before, WHOLE] {
        for dumps in [c"dump=1", c"dump=1;", c"dump=1 queues=2"] {
            assert_eq!(dump_by(dumps, 0, length), Some(Dump::Transfer), "{dumps:?}");
        }
        for others in [
            c"",
            c"d",
            c"dump",
            c"dump=",
            c"dump=0",
            c"dump=10",
            c"dump=1x",
            c"nodump=1",
        ] {
            assert_eq!(dump_by(others, 0, length), None, "{others:?}");
        }
    }
    // The mode says more.
    assert_eq!(dump_by(c"dump=1", 3, WHOLE), Some(Dump::MarkMemory));
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
