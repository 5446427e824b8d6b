//! What the loader refuses, and in which words.

use host_machine::image::{self, LoadError};

use crate::{build, host};

fn refusal(bytes: &[u8]) -> LoadError {
    image::load(bytes, "x.sys", &mut host::resolve)
        .err()
        .expect("it is refused")
}

#[test]
fn an_image_knows_itself() {
    let image = host::load();
    assert!(image.relocations > 3);
    assert!(
        image
            .imports
            .contains(&("host.sys".into(), "HostPrint".into()))
    );
    assert!(image.contains(image.entry) && !image.contains(image.base + image.size));
    assert_eq!(image.describe(image.base + 0x1234), "testdrv.sys+0x1234");
    assert_eq!(image::describe(image.base + 1), "testdrv.sys+0x1");
    let init = image
        .sections
        .iter()
        .find(|section| section.name == "INIT")
        .expect("section");
    assert!(init.discardable && init.executable && !init.writable);
}

#[test]
fn what_is_no_driver_is_named() {
    let good = build::driver();
    let header = u32::from_le_bytes(good[0x3c..0x40].try_into().expect("four bytes")) as usize;
    let changed = |at: usize, bytes: &[u8]| {
        let mut image = good.to_vec();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        refusal(&image).to_string()
    };
    assert_eq!(
        refusal(b"").to_string(),
        "x.sys is not a Windows executable (PE) file"
    );
    assert_eq!(
        refusal(b"\x7fELF").to_string(),
        "x.sys is not a Windows executable (PE) file"
    );
    assert_eq!(
        refusal(&good[..header + 3]).to_string(),
        "x.sys is cut short: its PE header lies beyond its end"
    );
    assert!(
        refusal(&good[..good.len() / 2])
            .to_string()
            .contains("cut short: section")
    );
    let (machine, expected) = if cfg!(target_arch = "x86_64") {
        (
            0xaa64_u16,
            "x.sys is an ARM64 driver: run with --arch aarch64 (this host runs x64 drivers)",
        )
    } else {
        (
            0x8664_u16,
            "x.sys is an x64 driver: run with --arch x86_64 (this host runs ARM64 drivers)",
        )
    };
    let foreign = changed(header + 4, &machine.to_le_bytes());
    assert_eq!(foreign, expected);
    assert!(changed(header + 4, &[0x4c, 0x01]).contains("machine 0x014c"));
    assert_eq!(
        changed(header + 24 + 68, &[3, 0]),
        "x.sys is no kernel driver: its subsystem is 3, a driver's is 1 (native)"
    );
    assert!(
        changed(header + 24 + 32, &0x200_u32.to_le_bytes()).contains("link it with 4096 or more")
    );
    assert!(changed(header + 24 + 56, &[0xff; 4]).contains("more than 268435456 is refused"));
    assert!(changed(header + 22, &[0x23, 0]).contains("no relocations"));
    assert!(changed(header + 24 + 16, &[0, 0, 0, 0]).contains("entry point"));
}

#[test]
fn damaged_files_are_refused_or_load() {
    let good = build::driver();
    host::load();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % limit
    };
    let mut loaded = 0;
    for round in 0..if cfg!(target_arch = "x86_64") {
        3000
    } else {
        100
    } {
        let mut image = good.to_vec();
        for _ in 0..=next(4) {
            // Mostly the headers, which hold nearly all that the loader believes.
            let at = if round % 3 == 0 {
                next(good.len())
            } else {
                next(0x400)
            };
            image[at] = if next(2) == 0 {
                next(256) as u8
            } else {
                [0, 0xff, 0x80, 0x7f][next(4)]
            };
        }
        if round % 7 == 0 {
            image.truncate(next(good.len()));
        }
        let resolve = &mut |_: &str, _: &str| image::Binding::Function(0);
        loaded += usize::from(image::load(&image, "x.sys", resolve).is_ok());
    }
    assert!(loaded > 10, "{loaded}");
}
