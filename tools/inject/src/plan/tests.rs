//! Plans for a Windows in a folder: what they hold, what they leave alone, what they refuse.

use std::fs;

use fake_windows::{Windows, pe};

use super::{Consent, Plan};
use crate::package::Pack;
use crate::refusal::Refusal;
use crate::registry::{Edit, Value};
use crate::testing::{Folder, pack, package};
use crate::trust::Trust;
use crate::windows::Machine;

const NOTHING: Consent = Consent {
    enable_testsigning: false,
    accept_test_signed: false,
};

/// A folder with a Windows, and plans for it.
struct Case {
    dir: tempfile::TempDir,
    tree: Folder,
    runs: u32,
}

impl Case {
    fn new(windows: &Windows, stores: Option<&[Option<bool>]>) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let tree = Folder::new(&dir.path().join("volume"), windows, stores);
        Case { dir, tree, runs: 0 }
    }

    fn plan(&mut self, pack: &Pack, consent: Consent) -> anyhow::Result<Plan> {
        self.runs += 1;
        let scratch = self.dir.path().join(format!("scratch-{}", self.runs));
        fs::create_dir(&scratch).unwrap();
        Plan::make(&mut self.tree, pack, consent, &scratch)
    }

    fn refusal(&mut self, pack: &Pack, consent: Consent) -> Refusal {
        let error = self.plan(pack, consent).err().expect("a refusal");
        error.downcast().unwrap()
    }

    /// Carries a plan out in the folder.
    fn apply(&self, plan: &Plan) {
        plan.edit_hives().unwrap();
        for file in &plan.files {
            let to = self.tree.root.join(&file.path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file.local, to).unwrap();
        }
        for hive in &plan.hives {
            fs::copy(hive.hive.file(), self.tree.root.join(&hive.path)).unwrap();
        }
    }
}

fn edits<'a>(plan: &'a Plan, hive: &str) -> &'a [Edit] {
    let hive = plan.hives.iter().find(|edits| edits.name == hive);
    hive.map_or(&[], |hive| &hive.edits)
}

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
    let hive = crate::hive::Hive::open(
        case.tree.root.join("Windows/System32/config/SYSTEM"),
        "SYSTEM",
    )
    .unwrap();
    hive.merge(&[
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

#[test]
fn unsigned_boot_drivers_are_refused_and_other_drivers_are_not() {
    let mut case = Case::new(&Windows::default(), Some(&[Some(true)]));
    let refusal = case.refusal(&pack(Trust::Unsigned), NOTHING);
    assert!(
        matches!(refusal, Refusal::Signature { ref file, .. } if file == "toyblk.sys"),
        "{refusal}"
    );
    let mut other = package(Machine::AMD64, Trust::Unsigned);
    other.service.start = 3;
    let pack = Pack {
        packages: vec![other],
        certificates: Vec::new(),
    };
    let plan = case.plan(&pack, NOTHING).unwrap();
    assert!(edits(&plan, r"HKLM\SYSTEM").is_empty());
    assert!(
        plan.files
            .iter()
            .any(|file| file.path.ends_with("toyblk.inf"))
    );
}

#[test]
fn test_signed_drivers_need_testsigning_on() {
    let pack = pack(Trust::Test);
    let consent = Consent {
        enable_testsigning: true,
        ..NOTHING
    };
    // Which of several stores a start uses cannot be known: all count.
    for stores in [&[None][..], &[Some(false)], &[Some(true), None]] {
        let mut case = Case::new(&Windows::default(), Some(stores));
        let refusal = case.refusal(&pack, NOTHING);
        assert!(matches!(refusal, Refusal::TestSigningOff(_)), "{refusal}");
        assert!(refusal.to_string().contains("0xC0000428"));
        let plan = case.plan(&pack, consent).unwrap();
        assert!(plan.notes.iter().any(|note| note.contains("Secure Boot")));
        case.apply(&plan);
        assert!(case.plan(&pack, NOTHING).unwrap().is_done());
    }
    let mut case = Case::new(&Windows::default(), Some(&[]));
    assert_eq!(case.refusal(&pack, consent), Refusal::NoBcd);
    // Drivers that Microsoft signed do not touch the store.
    let mut case = Case::new(&Windows::default(), Some(&[Some(false)]));
    let plan = case.plan(&self::pack(Trust::Attestation), consent).unwrap();
    assert!(!plan.hives.iter().any(|hive| hive.path.contains("BCD")));
}

#[test]
fn test_signed_drivers_in_a_wim_need_a_word() {
    let pack = pack(Trust::Test);
    let mut case = Case::new(&Windows::default(), None);
    assert_eq!(case.refusal(&pack, NOTHING), Refusal::WimTestSigned);
    let consent = Consent {
        accept_test_signed: true,
        ..NOTHING
    };
    let plan = case.plan(&pack, consent).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("testsigning")));
    // The certificates go along, and the script puts them where they belong.
    case.apply(&plan);
    let script = case.tree.root.join("Windows/Drivers/WinPV/first-boot.cmd");
    let script = fs::read_to_string(script).unwrap();
    assert!(
        script.contains(r#"certutil -addstore Root "%~dp0root.cer""#),
        "{script}"
    );
    assert!(script.lines().count() > 3 && script.contains("\r\n"));
    let certificate = case.tree.root.join("Windows/Drivers/WinPV/root.cer");
    assert_eq!(fs::read(certificate).unwrap(), b"certificate");
}
