//! What becomes of devices that run on a driver already, and what the log says of it.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::commands::{OLD, installing, removing};
use super::fake::Fake;
use crate::engine::{commit, install, rollback, uninstall};
use crate::policy::replaces_own;
use crate::system::Device;

fn device(service: &str, inf: &str, provider: &str, version: &str) -> Device {
    Device {
        id: r"PCI\VEN_1AF4&DEV_1042\3&1".to_string(),
        service: service.to_string(),
        inf: inf.to_string(),
        provider: provider.to_string(),
        version: version.to_string(),
    }
}

fn of_virtio_win() -> Device {
    device("viostor", "oem3.inf", "Red Hat, Inc.", "100.94.104.24800")
}

/// Ours under the name that other tools look for.
fn compatible() -> Device {
    device("viostor", "oem3.inf", "WinPV", "0.1.0.0")
}

fn new() -> Device {
    device("vioblk", "oem5.inf", "WinPV", "0.1.0.0")
}

/// Installs where a device runs on `before`, which becomes `after`.
fn installed(before: Device, after: Device, force: bool) -> Fake {
    let mut fake = Fake::new();
    fake.bound = ([before].into(), [after].into());
    let mut request = installing("vioblk", OLD);
    request.force = force;
    install(&mut fake, &request).unwrap();
    fake
}

#[test]
fn another_vendors_driver_that_windows_keeps() {
    let fake = installed(of_virtio_win(), of_virtio_win(), false);
    assert!(!fake.forced);
    let told =
        r"PCI\VEN_1AF4&DEV_1042\3&1 runs on viostor (oem3.inf, Red Hat, Inc. 100.94.104.24800)";
    assert!(fake.logged(told), "{:?}", fake.log);
    assert!(fake.logged("stays on viostor (oem3.inf"));
    assert!(fake.logged("WINPV_FORCE=1"));
}

#[test]
fn another_vendors_driver_that_is_replaced() {
    for force in [false, true] {
        let fake = installed(of_virtio_win(), new(), force);
        assert_eq!(fake.forced, force);
        assert_eq!(fake.logged("as was asked for"), force);
        assert!(fake.logged("runs on viostor (oem3.inf, Red Hat, Inc. 100.94.104.24800)"));
        assert!(fake.logged("runs on vioblk (oem5.inf, WinPV 0.1.0.0) now"));
        assert!(!fake.logged("stays on"));
    }
}

#[test]
fn rollback_gives_a_boot_device_its_other_driver_back() {
    const VIOSTOR: &str = r"D:\viostor.inf";
    // What `winpv inject` notes at a device is the name of no file.
    let injected = device("vioblk", "winpv-vioblk.inf", "WinPV", "0.1.0.0");
    for (before, in_store, stays) in [
        (of_virtio_win(), true, false),
        (of_virtio_win(), false, true),
        (injected, false, true),
        (device("", "", "", ""), false, true),
    ] {
        let mut fake = Fake::new();
        fake.plug("vioblk");
        fake.boot.insert("vioblk".to_string());
        if in_store {
            let inf = before.inf.clone();
            fake.state.store.insert(inf, VIOSTOR.to_string());
        }
        fake.bound = ([before].into(), [new()].into());
        install(&mut fake, &installing("vioblk", OLD)).unwrap();
        rollback(&mut fake, OLD).unwrap();
        let there = fake.published().contains(&"oem5.inf");
        assert_eq!(there, stays, "{:?}", fake.log);
    }
    // It was there when the package was added, and is not any more.
    let mut fake = Fake::new();
    fake.plug("vioblk");
    fake.boot.insert("vioblk".to_string());
    let viostor = of_virtio_win();
    let inf = viostor.inf.clone();
    fake.state.store.insert(inf.clone(), VIOSTOR.to_string());
    fake.bound = ([viostor].into(), [new()].into());
    install(&mut fake, &installing("vioblk", OLD)).unwrap();
    fake.state.store.remove(&inf);
    rollback(&mut fake, OLD).unwrap();
    assert_eq!(fake.published(), ["oem5.inf"], "{:?}", fake.log);
    // Committed, it is ours like any other.
    let mut fake = installed(of_virtio_win(), new(), false);
    commit(&mut fake, OLD).unwrap();
    uninstall(&mut fake, &removing("vioblk", OLD)).unwrap();
    commit(&mut fake, OLD).unwrap();
    assert!(fake.published().is_empty());
}

#[test]
fn our_own_driver_is_replaced_in_place() {
    let fake = installed(compatible(), new(), false);
    assert!(fake.forced);
    assert!(fake.logged("an earlier package of WinPV's"));
    // A repair finds what it installs.
    let fake = installed(new(), new(), false);
    assert!(!fake.forced);
    assert!(!fake.logged(" now"), "{:?}", fake.log);
}

#[test]
fn a_device_without_a_driver() {
    let fake = installed(device("", "", "", ""), new(), false);
    assert!(fake.logged("runs on no driver"));
    assert!(!fake.forced);
    let fake = installed(device("", "", "", ""), device("", "", "", ""), false);
    assert!(fake.logged("stays on no driver"));
}

#[test]
fn only_what_is_not_newer_is_replaced() {
    let replaces = |devices: &[Device]| replaces_own(devices, "oem5.inf", "0.2.0.0");
    let ours = |version: &str| device("vioblk", "oem4.inf", "WinPV", version);
    assert!(!replaces(&[]));
    assert!(!replaces(&[new()]), "runs on the new package already");
    for version in ["0.1.0.0", "0.1.65535.1", "0.2.0.0", "0.2"] {
        assert!(replaces(&[ours(version)]), "{version}");
    }
    for version in ["0.2.0.1", "0.10.0.0", "1", "what"] {
        assert!(!replaces(&[ours(version)]), "{version}");
    }
    // One of another vendor, and nothing is forced.
    let mixed: Vec<Device> = [ours("0.1.0.0"), of_virtio_win()].into();
    assert!(!replaces(&mixed));
    let waiting: Vec<Device> = [ours("0.1.0.0"), device("", "", "", "")].into();
    assert!(replaces(&waiting));
}
