//! Plans for a Windows in a folder: what they hold, what they leave alone, what they refuse.

use std::fs;

use fake_windows::{Windows, pe};

use super::Plan;
use crate::hive::Hive;
use crate::refusal::Refusal;
use crate::registry::{Edit, Value};
use crate::testing::{Case, NOTHING, edits, pack};
use crate::trust::Trust;
use crate::windows::Machine;

fn value<'a>(plan: &'a Plan, hive: &str, key: &str, name: &str) -> Option<&'a Value> {
    let mut edits = edits(plan, hive).iter();
    edits
        .find(|edit| edit.key == key && edit.name == name)
        .map(|edit| &edit.value)
}

#[test]
fn a_boot_driver_gets_its_service_its_ids_and_its_files() {
    let mut case = Case::new(
        &Windows {
            control_set: 2,
            ..Windows::default()
        },
        Some(&[None]),
    );
    let plan = case.plan(&pack(Trust::Whcp), NOTHING).unwrap();
    let system = |key: &str, name: &str| value(&plan, r"HKLM\SYSTEM", key, name);
    let service = r"ControlSet002\Services\toyblk";
    let label = "winpv-toyblk.inf_amd64_0000000000000000";
    let mut version = vec![0, 0xff, 9, 0, 0, 0, 0, 0];
    version.extend([7; 16]);
    version.extend([0; 24]);
    // The names and values that libguestfs-common writes, with our names.
    for (key, name, expected) in [
        (service, "Start", Value::Dword(0)),
        (service, "Type", Value::Dword(1)),
        (service, "ErrorControl", Value::Dword(1)),
        (service, "Group", Value::String("SCSI miniport".to_owned())),
        (
            service,
            "ImagePath",
            Value::Expand(r"system32\drivers\toyblk.sys".to_owned()),
        ),
        (
            r"ControlSet002\Services\toyblk\Parameters",
            "BusType",
            Value::Dword(1),
        ),
        (
            r"DriverDatabase\DriverInfFiles\winpv-toyblk.inf",
            "",
            Value::Multi(vec![label.to_owned()]),
        ),
        (
            r"DriverDatabase\DriverInfFiles\winpv-toyblk.inf",
            "Active",
            Value::String(label.to_owned()),
        ),
        (
            r"DriverDatabase\DriverInfFiles\winpv-toyblk.inf",
            "Configurations",
            Value::Multi(vec!["winpv-toyblk".to_owned()]),
        ),
        (
            r"DriverDatabase\DriverPackages\winpv-toyblk.inf_amd64_0000000000000000",
            "Version",
            Value::binary(&version),
        ),
        (
            r"DriverDatabase\DriverPackages\winpv-toyblk.inf_amd64_0000000000000000\Configurations\winpv-toyblk",
            "Service",
            Value::String("toyblk".to_owned()),
        ),
        (
            r"DriverDatabase\DriverPackages\winpv-toyblk.inf_amd64_0000000000000000\Configurations\winpv-toyblk",
            "ConfigFlags",
            Value::Dword(0),
        ),
        (
            r"DriverDatabase\DriverPackages\winpv-toyblk.inf_amd64_0000000000000000\Descriptors\PCI\VEN_1AF4&DEV_1042",
            "Configuration",
            Value::String("winpv-toyblk".to_owned()),
        ),
        (
            r"DriverDatabase\DeviceIds\PCI\VEN_1AF4&DEV_1001",
            "winpv-toyblk.inf",
            Value::binary(&[1, 255, 0, 0]),
        ),
    ] {
        assert_eq!(system(key, name), Some(&expected), "{key} {name}");
    }
    assert!(
        !edits(&plan, r"HKLM\SYSTEM")
            .iter()
            .any(|edit| edit.key.contains("ControlSet001"))
    );
    assert_eq!(
        value(
            &plan,
            r"HKLM\SOFTWARE",
            r"Microsoft\Windows\CurrentVersion",
            "DevicePath"
        ),
        Some(&Value::Expand(
            r"%SystemRoot%\inf;%SystemRoot%\Drivers\WinPV\toyblk".to_owned()
        ))
    );
    let paths: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "Windows/System32/drivers/toyblk.sys",
            "Windows/Drivers/WinPV/toyblk/toyblk.inf",
            "Windows/Drivers/WinPV/toyblk/toyblk.sys",
            "Windows/Drivers/WinPV/toyblk/toyblk.cat",
            "Windows/Drivers/WinPV/first-boot.cmd",
        ]
    );
    // Every one of them is in the printed plan.
    let printed = plan.to_string();
    for path in paths {
        assert!(printed.contains(path), "{printed}");
    }
    for edit in edits(&plan, r"HKLM\SYSTEM") {
        assert!(printed.contains(&edit.key) && printed.contains(&edit.value.to_string()));
    }
}

#[test]
fn a_second_run_has_nothing_to_do_and_a_new_version_only_what_is_new() {
    let mut case = Case::new(&Windows::default(), Some(&[Some(true)]));
    let mut pack = pack(Trust::Test);
    let plan = case.plan(&pack, NOTHING).unwrap();
    assert!(!plan.is_done());
    case.apply(&plan);
    let plan = case.plan(&pack, NOTHING).unwrap();
    assert!(plan.is_done(), "{plan}");
    assert!(plan.to_string().contains("nothing to do"));

    pack.packages[0].files[2].1 = b"a newer catalog".to_vec();
    let plan = case.plan(&pack, NOTHING).unwrap();
    assert_eq!(plan.files.len(), 1);
    assert!(edits(&plan, r"HKLM\SYSTEM").is_empty());
    // Installed once more at the next start: the value is still there, because nobody started this Windows.
    assert!(edits(&plan, r"HKLM\SOFTWARE").is_empty());
}

#[test]
fn a_driver_that_windows_has_installed_keeps_its_service() {
    let mut case = Case::new(&Windows::default(), Some(&[]));
    let plan = case.plan(&pack(Trust::Whcp), NOTHING).unwrap();
    case.apply(&plan);
    // As Windows leaves it: DIRID 13.
    let key = r"ControlSet001\Services\toyblk";
    let store = r"\SystemRoot\System32\DriverStore\FileRepository\toyblk.inf_amd64_1\toyblk.sys";
    system(&case)
        .merge(&[
            Edit::new(key, "ImagePath", Value::Expand(store.to_owned())),
            Edit::new(key, "Start", Value::Dword(3)),
        ])
        .unwrap();
    let plan = case.plan(&pack(Trust::Whcp), NOTHING).unwrap();
    assert_eq!(
        edits(&plan, r"HKLM\SYSTEM"),
        [Edit::new(key, "Start", Value::Dword(0))]
    );
    assert!(plan.files.is_empty() && plan.to_string().contains("already"));
}

#[test]
fn windows_pe_gets_the_driver_and_nothing_that_runs_later() {
    let mut case = Case::new(
        &Windows {
            is_pe: true,
            ..Windows::default()
        },
        None,
    );
    let plan = case.plan(&pack(Trust::Attestation), NOTHING).unwrap();
    assert!(edits(&plan, r"HKLM\SOFTWARE").is_empty());
    assert!(
        !plan
            .files
            .iter()
            .any(|file| file.path.contains("first-boot"))
    );
    assert!(plan.found.contains("Windows PE"));
    assert!(plan.notes.iter().any(|note| note.contains("install.wim")));
    assert!(!edits(&plan, r"HKLM\SYSTEM").is_empty());
}

#[test]
fn images_that_cannot_be_served_are_refused() {
    let of = |windows: Windows| Case::new(&windows, Some(&[Some(true)]));
    let pack = pack(Trust::Whcp);
    let case = of(Windows {
        machine: pe::X86,
        ..Windows::default()
    })
    .refusal(&pack, NOTHING);
    assert_eq!(case, Refusal::Architecture(Machine::X86));
    let unknown = Machine(0x1c4);
    let case = of(Windows {
        machine: unknown.0,
        ..Windows::default()
    })
    .refusal(&pack, NOTHING);
    assert_eq!(case, Refusal::Architecture(unknown));
    for (build, served) in [(10586, false), (14392, false), (14393, true), (26200, true)] {
        let mut case = of(Windows {
            build,
            ..Windows::default()
        });
        match case.plan(&pack, NOTHING) {
            Ok(_) => assert!(served, "{build}"),
            Err(error) => {
                assert_eq!(error.downcast_ref(), Some(&Refusal::TooOld(build)));
                assert!(!served);
            }
        }
    }
    let arm = of(Windows {
        machine: pe::ARM64,
        ..Windows::default()
    })
    .refusal(&pack, NOTHING);
    assert_eq!(
        arm,
        Refusal::WrongArchitecture(Machine::ARM64, "amd64".to_owned())
    );
    for missing in ["ntoskrnl.exe", "config/SYSTEM", "config/SOFTWARE"] {
        let mut case = of(Windows::default());
        let path = case.tree.root.join("Windows/System32").join(missing);
        fs::remove_file(path).unwrap();
        let refusal = case.refusal(&pack, NOTHING);
        assert!(matches!(refusal, Refusal::NoWindows(_)), "{refusal}");
    }
    let mut case = of(Windows {
        control_set: 3,
        ..Windows::default()
    });
    let other = fake_windows::hives::system(&Windows {
        control_set: 1,
        ..Windows::default()
    });
    fs::write(
        case.tree.root.join("Windows/System32/config/SYSTEM"),
        &other,
    )
    .unwrap();
    assert!(case.plan(&pack, NOTHING).is_ok());
    let mut dirty = other;
    dirty[4] ^= 1;
    fs::write(case.tree.root.join("Windows/System32/config/SYSTEM"), dirty).unwrap();
    assert_eq!(
        case.refusal(&pack, NOTHING),
        Refusal::HiveDirty("SYSTEM".to_owned())
    );
}

/// The hive in the folder.
fn system(case: &Case) -> Hive {
    let file = case.tree.root.join("Windows/System32/config/SYSTEM");
    Hive::open(file, "SYSTEM").unwrap()
}

#[test]
fn what_keeps_the_driver_from_starting_at_boot_goes_and_nothing_else() {
    let mut case = Case::new(&Windows::default(), Some(&[Some(true)]));
    let services = r"ControlSet001\Services";
    // As Windows leaves it for each boot-start driver without a device.
    let of = |service: &str| format!(r"{services}\{service}\StartOverride");
    let set: Vec<_> = ["toyblk", "stornvme"]
        .map(|service| Edit::new(of(service), "0", Value::Dword(3)))
        .into();
    system(&case).merge(&set).unwrap();
    let plan = case.plan(&pack(Trust::Whcp), NOTHING).unwrap();
    let removed: Vec<_> = plan.hives.iter().flat_map(|hive| &hive.removed).collect();
    assert_eq!(removed, [&of("toyblk")]);
    let printed = plan.to_string();
    assert!(printed.contains(r"toyblk\StartOverride") && printed.contains("is removed"));
    assert_eq!(
        plan.json()["registry_removed"][0]["key"],
        serde_json::Value::String(of("toyblk"))
    );
    case.apply(&plan);
    let hive = system(&case);
    assert_eq!(hive.values(&of("toyblk")).unwrap(), None);
    assert_eq!(
        hive.value(&of("stornvme"), "0").unwrap(),
        Some(Value::Dword(3))
    );
    assert_eq!(
        hive.value(&format!(r"{services}\toyblk"), "Start").unwrap(),
        Some(Value::Dword(0))
    );
    assert!(case.plan(&pack(Trust::Whcp), NOTHING).unwrap().is_done());
    // It alone is reason enough to write.
    system(&case).merge(&set).unwrap();
    let plan = case.plan(&pack(Trust::Whcp), NOTHING).unwrap();
    assert!(!plan.is_done() && edits(&plan, r"HKLM\SYSTEM").is_empty());
}

#[test]
fn a_windows_that_ran_without_a_pci_bus_is_told_of_it() {
    let mut case = Case::new(&Windows::default(), Some(&[]));
    let key = r"ControlSet001\Services\pci\StartOverride";
    for (value, told) in [(0, false), (3, true)] {
        let edit = Edit::new(key, "0", Value::Dword(value));
        system(&case).merge(&[edit]).unwrap();
        let plan = case.plan(&pack(Trust::Whcp), NOTHING).unwrap();
        let notes = plan.notes.iter().filter(|note| note.contains(key)).count();
        assert_eq!(notes, usize::from(told), "{value}");
        assert!(plan.hives.iter().all(|hive| hive.removed.is_empty()));
    }
}

#[test]
fn every_control_set_that_a_start_can_use_is_served() {
    let mut case = Case::new(
        &Windows {
            control_set: 2,
            ..Windows::default()
        },
        Some(&[]),
    );
    let select = |name, number| Edit::new("Select", name, Value::Dword(number));
    // The last start took number 1, the next takes 2; number 3 does not exist.
    let numbers = [
        select("Current", 1),
        select("LastKnownGood", 3),
        Edit::new(
            r"ControlSet001\Services\toyblk",
            "ImagePath",
            Value::Expand(
                r"\SystemRoot\System32\DriverStore\FileRepository\x\toyblk.sys".to_owned(),
            ),
        ),
    ];
    system(&case).merge(&numbers).unwrap();
    let plan = case.plan(&pack(Trust::Whcp), NOTHING).unwrap();
    let written = |set: &str, name: &str| {
        let key = format!(r"{set}\Services\toyblk");
        value(&plan, r"HKLM\SYSTEM", &key, name).is_some()
    };
    assert!(written("ControlSet002", "Start") && written("ControlSet002", "ImagePath"));
    // Windows installed the driver there.
    assert!(written("ControlSet001", "Start") && !written("ControlSet001", "ImagePath"));
    assert!(!written("ControlSet003", "Start"));
    assert!(
        plan.files
            .iter()
            .any(|file| file.path.ends_with("drivers/toyblk.sys"))
    );
    // Without a control set there is nothing to serve.
    let numbers = ["Default", "Current"].map(|name| select(name, 7));
    system(&case).merge(&numbers).unwrap();
    let refusal = case.refusal(&pack(Trust::Whcp), NOTHING);
    assert!(matches!(refusal, Refusal::Registry(_)), "{refusal}");
}
