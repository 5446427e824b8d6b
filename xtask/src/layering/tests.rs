//! Each rule, broken once.

use std::path::Path;

use super::source::{has_unsafe, header, may_be_unsafe};
use super::{Member, dependencies};

fn member(name: &str, dir: &str, normal: &[&str], dev: &[&str]) -> Member {
    let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
    Member {
        name: name.to_owned(),
        dir: dir.into(),
        normal: names(normal),
        dev: names(dev),
    }
}

fn good() -> Vec<Member> {
    vec![
        member(
            "virtio-core",
            "crates/virtio-core",
            &["bitflags", "zerocopy"],
            &["virtio-queue"],
        ),
        member("nt-sys", "crates/nt-sys", &[], &["serde_json"]),
        member("nt", "crates/nt", &["nt-sys"], &[]),
        member("storport", "crates/storport", &["nt", "nt-sys"], &[]),
        member(
            "vioblk",
            "drivers/vioblk",
            &["storport", "virtio-core"],
            &["proptest"],
        ),
        member(
            "vioblk-image",
            "drivers/vioblk/image",
            &["storport", "vioblk"],
            &[],
        ),
        member("vioscsi", "drivers/vioscsi", &["storport"], &[]),
        member("host-machine", "tests/nt-host/machine", &["libc"], &[]),
        member("nt-host", "tests/nt-host", &["host-machine"], &[]),
        member("xtask", "xtask", &["vioblk"], &[]),
        member("ring-device", "tests/ring-device", &["thiserror"], &[]),
    ]
}

fn named<'a>(members: &'a mut [Member], name: &str) -> &'a mut Member {
    let member = members.iter_mut().find(|member| member.name == name);
    member.unwrap()
}

#[test]
fn the_wanted_layers_pass() {
    assert_eq!(dependencies(&good()), [""; 0]);
}

#[test]
fn a_dependency_that_points_up_or_outside_is_named() {
    for (who, what) in [
        ("virtio-core", "nt"),
        ("nt-sys", "bitflags-extra"),
        ("nt", "storport"),
        ("nt", "virtio-core"),
        ("storport", "vioblk"),
        ("vioblk", "xtask"),
        ("vioblk", "vioblk-image"),
        ("vioblk", "vioscsi"),
        ("vioblk-image", "vioscsi"),
        ("vioblk", "serde"),
    ] {
        let mut members = good();
        named(&mut members, who).normal.insert(what.to_owned());
        assert_eq!(
            dependencies(&members),
            [format!("{who} must not depend on {what}")]
        );
    }
}

#[test]
fn test_hosts_never_reach_shipped_crates() {
    let mut direct = good();
    let host = named(&mut direct, "nt-host");
    host.dev.insert("nt-sys".to_owned());
    assert_eq!(
        dependencies(&direct),
        ["nt-host must never depend on nt-sys"]
    );
    let mut of_rings = good();
    let device = named(&mut of_rings, "ring-device");
    device.dev.insert("virtio-core".to_owned());
    assert_eq!(
        dependencies(&of_rings),
        ["ring-device must never depend on virtio-core"]
    );
    let mut through_another = good();
    let machine = named(&mut through_another, "host-machine");
    machine.normal.insert("virtio-core".to_owned());
    assert_eq!(dependencies(&through_another).len(), 2);
}

#[test]
fn lint_headers() {
    let good = "#![no_std]\n#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, \
        clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unreachable, clippy::todo, clippy::unimplemented))]";
    assert_eq!(header(good), [""; 0]);
    assert_eq!(header(&good.replace("#![no_std]", "")).len(), 1);
    assert_eq!(
        header(&good.replace("clippy::panic, ", "")),
        ["lib.rs does not deny clippy::panic"]
    );
    assert_eq!(header("#![no_std]").len(), 8);
}

#[test]
fn the_keyword_is_told_from_words_and_comments() {
    assert!(has_unsafe("    unsafe { x() }"));
    assert!(has_unsafe("pub unsafe fn f() {}"));
    for fine in [
        "#![forbid(unsafe_code)]",
        "// unsafe here",
        "let unsafety = 1;",
        "#[unsafe(no_mangle)]",
    ] {
        assert!(!has_unsafe(fine), "{fine}");
    }
    assert!(may_be_unsafe(Path::new(
        "crates/virtio-core/src/mem/dma.rs"
    )));
    assert!(may_be_unsafe(Path::new("drivers/vioblk/src/ffi.rs")));
    assert!(!may_be_unsafe(Path::new("drivers/vioblk/src/memory.rs")));
}
