//! The shipped templates, and mutations of them that must be refused.

use driver_inf::walk::{Home, Package, Role};

use super::{Inf, lint, oldest_form, render};
use crate::drivers::{Arch, DRIVERS, Driver, packages};
use crate::version::{Epoch, Version};

const VERSION: Version = Version([1, 2, 3, 4]);
const EPOCH: Epoch = Epoch(1_700_000_000);
const FILES: [&str; 2] = ["vioblk.sys", "vioblk.cat"];

fn template(driver: &Driver) -> String {
    std::fs::read_to_string(super::template(&crate::root(), driver)).unwrap()
}

fn rendered(driver: &Driver, arch: Arch) -> String {
    render(&template(driver), driver, arch, VERSION, EPOCH).unwrap()
}

#[test]
fn the_shipped_infs_are_clean() {
    for driver in packages() {
        for arch in Arch::ALL {
            let text = rendered(&driver, arch);
            let files = [
                format!("{}.sys", driver.name),
                format!("{}.cat", driver.name),
            ];
            let files = files.each_ref().map(String::as_str);
            assert_eq!(lint(&text, &driver, arch, &files), [""; 0], "{text}");
            assert!(text.contains("DriverVer   = 11/14/2023,1.2.3.4\r\n"));
            assert!(!text.contains('@') && !text.contains(";;"));
        }
    }
}

#[test]
fn the_table_says_when_the_service_starts() {
    let late = Driver {
        boot_start: false,
        ..DRIVERS[0]
    };
    let text = rendered(&late, Arch::Amd64);
    assert_eq!(text.matches("= 3 ; SERVICE_DEMAND_START\r\n").count(), 2);
    assert_eq!(lint(&text, &late, Arch::Amd64, &FILES), [""; 0], "{text}");
}

#[test]
fn arm64_has_no_models_for_windows_that_never_was() {
    let text = rendered(&DRIVERS[0], Arch::Arm64);
    assert!(
        !text.contains("1607") && !text.contains("14393") && !text.contains("amd64"),
        "{text}"
    );
    let text = rendered(&DRIVERS[0], Arch::Amd64);
    assert!(
        text.contains("1607") && text.contains("14393") && !text.contains("arm64"),
        "{text}"
    );
}

#[test]
fn what_the_table_does_not_say_is_refused() {
    let driver = &DRIVERS[0];
    let text = rendered(driver, Arch::Amd64);
    for (from, to, expected) in [
        ("= SCSIAdapter", "= System", "Class"),
        ("\"WinPV\"", "\"Others\"", "Provider"),
        (
            "CatalogFile = vioblk.cat",
            "CatalogFile = other.cat",
            "CatalogFile",
        ),
        (
            "PCI\\VEN_1AF4&DEV_1042\r\n",
            "PCI\\VEN_1AF4&DEV_1043\r\n",
            "hardware ids",
        ),
        ("NTamd64.10.0...14393", "NTamd64.10.0...15063", "builds"),
        (
            "StartType      = 0 ; SERVICE_BOOT_START",
            "StartType      = 3",
            "another time",
        ),
        (
            "MSISupported,0x00010001,1",
            "MSISupported,0x00010001,0",
            "MSI-X",
        ),
        (
            "MessageNumberLimit,0x00010001,65",
            "MessageNumberLimit,0x00010001,1",
            "two messages",
        ),
        (";%13%\\vioblk.sys\"", "\"", "messages"),
        ("DmaRemappingCompatible", "Other", "DMA remapping"),
        (
            "AddService = vioblk, 0x00000002, Service, EventLog",
            "AddService = other, 0x00000002, Service, EventLog",
            "service",
        ),
        // Microsoft's rules, and warnings too: one of each.
        ("PnpLockdown = 1", "PnpLockdown = 0", "INF111"),
        ("[Files]\r\n", "[Files]\n", "INF004"),
    ] {
        let mutated = text.replace(from, to);
        assert_ne!(mutated, text, "{from:?} is not in the INF");
        let problems = lint(&mutated, driver, Arch::Amd64, &FILES);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{from:?} -> {to:?}: {problems:?}"
        );
    }
    assert!(
        !lint(&text, driver, Arch::Arm64, &FILES).is_empty(),
        "the other processor's"
    );
    assert!(
        !lint(&text, driver, Arch::Amd64, &FILES[1..]).is_empty(),
        "no .sys"
    );
    assert!(
        !lint(&text, driver, Arch::Amd64, &FILES[..1]).is_empty(),
        "no .cat"
    );
}

#[test]
fn bad_templates_are_errors() {
    for (template, expected) in [
        ("Class = @KIND@", "line 1: unknown field at column 9"),
        ("@ONLY:mips@", "no processor \"mips\""),
        ("a\n@ONLY:amd64@\nb", "without @END@"),
        ("@END@", "without @ONLY@"),
    ] {
        let refused = render(template, &DRIVERS[0], Arch::Amd64, VERSION, EPOCH);
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(expected), "{template:?}: {message}");
    }
}

/// MS: enabling-dma-remapping-for-device-drivers. Both forms say: only where Driver Verifier or an external port asks for it.
#[test]
fn the_inf_opts_in_to_dma_remapping_where_every_disk_can_take_it() {
    let wanted = [
        (Home::Service, "Parameters", "DmaRemappingCompatible", 2),
        (Home::Hardware, "DMA Management", "RemappingSupported", 1),
        (Home::Hardware, "DMA Management", "RemappingFlags", 1),
    ];
    for arch in Arch::ALL {
        let inf = Inf::parse(rendered(&DRIVERS[0], arch).as_bytes());
        let package = Package::new(&inf);
        for install in 0..package.installs.len() {
            for (home, key, name, value) in wanted {
                let mut lines = package
                    .of(install, Role::Registry(home))
                    .flat_map(|part| &part.section.entries)
                    .filter(|entry| entry.values[2].is(name));
                let line = lines.next().unwrap();
                assert!(line.values[1].is(key));
                assert_eq!(inf.number(&line.values[3]), Some(0x0001_0001));
                assert_eq!(inf.number(&line.values[4]), Some(value));
                assert!(lines.next().is_none());
            }
        }
    }
}

#[test]
fn the_oldest_form_has_one_set_of_models_and_no_build_numbers() {
    let text = oldest_form(&rendered(&DRIVERS[0], Arch::Amd64)).unwrap();
    let inf = Inf::parse(text.as_bytes());
    let package = Package::new(&inf);
    assert_eq!(package.models.len(), 1, "{text}");
    assert_eq!(package.models[0].name, "Models.NTamd64");
    assert_eq!(
        package.models[0].devices().count(),
        DRIVERS[0].hardware_ids.len()
    );
    assert_eq!(package.installs[0].name, "Install_1607.NT");
    let refused = oldest_form("[Version]\r\n").unwrap_err();
    assert!(refused.to_string().contains("Manufacturer"));
}
