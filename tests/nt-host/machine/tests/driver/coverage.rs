//! Breakpoints that record what is executed.

use std::fs::File;
use std::os::unix::fs::FileExt;

use host_machine::coverage::{self, AWAITED, EXECUTED};
use host_machine::image::{self, Image, LoadError};
use iced_x86::{Decoder, DecoderOptions, Mnemonic};

use crate::build;
use crate::host::{self, call};

fn offset(image: &Image, export: &str) -> usize {
    image.export(export).expect("export") - image.base
}

/// A byte of the image as it is in memory.
fn byte(image: &Image, offset: usize) -> u8 {
    // SAFETY: the offset of an instruction, in a section that can be read.
    unsafe { ((image.base + offset) as *const u8).read() }
}

/// Offsets of a function's instructions, up to its first return.
fn instructions(image: &Image, export: &str) -> Vec<usize> {
    const LONGEST_FUNCTION: usize = 1024;
    let start = offset(image, export);
    let code: Vec<u8> = (start..start + LONGEST_FUNCTION)
        .map(|at| byte(image, at))
        .collect();
    let mut at = Vec::new();
    for instruction in Decoder::with_ip(64, &code, start as u64, DecoderOptions::NONE) {
        at.push(instruction.ip() as usize);
        if instruction.mnemonic() == Mnemonic::Ret {
            return at;
        }
    }
    panic!("{export} has no end");
}

fn marks(map: &File, at: &[usize]) -> Vec<u8> {
    let mark = |at: &usize| {
        let mut mark = [0];
        map.read_exact_at(&mut mark, *at as u64).expect("a map");
        mark[0]
    };
    at.iter().map(mark).collect()
}

#[test]
fn what_is_executed_is_marked_and_nothing_else() {
    let plain = host::load();
    let functions = ["twelve", "ten", "print"].map(|export| instructions(&plain, export));
    let map = tempfile::tempfile().expect("a file");
    map.set_len(plain.size as u64).expect("room");
    for at in functions.iter().flatten() {
        map.write_all_at(&[AWAITED], *at as u64).expect("a map");
    }
    let args: Vec<u64> = (1..=12).collect();
    let expected = call(&plain, "twelve", &args);
    assert!(
        marks(&map, &functions[0])
            .iter()
            .all(|mark| *mark == AWAITED)
    );

    coverage::record(map.try_clone().expect("a file"));
    let image = host::load();
    assert_eq!(call(&image, "twelve", &args), expected);
    assert_eq!(call(&image, "twelve", &args), expected);
    // Through an import and back.
    assert_eq!(call(&image, "ten", &[]), 0x0123_4567_89ab_cdef);
    for function in &functions[..2] {
        let marks = marks(&map, function);
        assert_eq!((marks[0], marks.last()), (EXECUTED, Some(&EXECUTED)));
    }
    assert!(
        marks(&map, &functions[2])
            .iter()
            .all(|mark| *mark == AWAITED)
    );

    // What is known already costs the next image nothing.
    let again = host::load();
    assert_eq!(byte(&again, functions[0][0]), byte(&plain, functions[0][0]));
    assert_eq!(byte(&again, functions[2][0]), 0xcc);
    drop(image);
    assert_eq!(call(&again, "print", &[1]), 7);
    assert_eq!(marks(&map, &functions[2])[0], EXECUTED);
}

#[test]
fn the_map_of_another_driver_is_refused() {
    coverage::record(tempfile::tempfile().expect("a file"));
    let loaded = image::load(build::driver(), "testdrv.sys", &mut host::resolve);
    assert!(matches!(loaded, Err(LoadError::Coverage { .. })));
}

#[test]
fn a_breakpoint_of_the_driver_stays_a_fault() {
    let map = tempfile::tempfile().expect("a file");
    let plain = host::load();
    map.set_len(plain.size as u64).expect("room");
    for at in instructions(&plain, "breakpoint") {
        map.write_all_at(&[AWAITED], at as u64).expect("a map");
    }
    coverage::record(map);
    let image = host::load();
    let fault = host::faulting_call(&image, "breakpoint", &[]);
    assert_eq!(fault.kind, host_machine::fault::FaultKind::Breakpoint);
}
