//! The bill of materials of this workspace.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Binary, write};
use crate::drivers::Arch;
use crate::toolchain::Toolchain;
use crate::version::{Epoch, Version};

fn bill() -> Value {
    let binaries = Arch::ALL.map(|arch| Binary {
        package: "vioblk-image",
        arch,
        path: format!("drivers/vioblk/{arch}/vioblk.sys"),
        sha256: "00".to_owned(),
        kind: "device-driver",
    });
    let toolchain = Toolchain::find().unwrap();
    let text = write(
        &toolchain,
        &crate::root(),
        Version([1, 2, 3, 0]),
        Epoch(1_700_000_000),
        &binaries,
    )
    .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn names(bill: &Value) -> BTreeSet<&str> {
    let components = bill["components"].as_array().unwrap();
    components
        .iter()
        .map(|component| component["name"].as_str().unwrap())
        .collect()
}

#[test]
fn what_is_linked_is_listed_and_nothing_else() {
    let bill = bill();
    let names = names(&bill);
    for name in [
        "vioblk",
        "virtio-core",
        "nt-sys",
        "nt",
        "storport",
        "zerocopy",
        "bitflags",
        "thiserror",
        "core, alloc and compiler_builtins",
        "drivers/vioblk/amd64/vioblk.sys",
        "drivers/vioblk/arm64/vioblk.sys",
    ] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    // Macros, tools and tests.
    for name in [
        "zerocopy-derive",
        "thiserror-impl",
        "syn",
        "clap",
        "proptest",
        "xtask",
    ] {
        assert!(!names.contains(name), "{name} ends up in no driver");
    }
}

#[test]
fn every_reference_leads_to_a_component() {
    let bill = bill();
    let components = bill["components"].as_array().unwrap();
    let references: BTreeSet<&str> = components
        .iter()
        .map(|component| component["bom-ref"].as_str().unwrap())
        .collect();
    assert_eq!(
        references.len(),
        components.len(),
        "a reference is there twice"
    );
    for dependency in bill["dependencies"].as_array().unwrap() {
        assert!(references.contains(dependency["ref"].as_str().unwrap()));
        for on in dependency["dependsOn"].as_array().unwrap() {
            assert!(references.contains(on.as_str().unwrap()), "{on}");
        }
    }
}

#[test]
fn outside_code_carries_licence_and_checksum() {
    for component in bill()["components"].as_array().unwrap() {
        let name = component["name"].as_str().unwrap();
        if name == "zerocopy" || name == "bitflags" {
            assert!(component["licenses"][0]["expression"].is_string(), "{name}");
            assert_eq!(
                component["hashes"][0]["content"].as_str().unwrap().len(),
                64
            );
        }
    }
}

#[test]
fn same_input_gives_the_same_text() {
    assert_eq!(bill(), bill());
    let serial = bill()["serialNumber"].as_str().unwrap().to_owned();
    assert_eq!(serial.len(), "urn:uuid:".len() + 36);
    assert_eq!(serial.as_bytes()["urn:uuid:".len() + 14], b'8');
}
