//! Injection into WIM files that wimlib made, from the outside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fake_windows::{Windows, wim};
use winpv_process::Run;

use crate::package::Pack;
use crate::refusal::Refusal;
use crate::testing::pack;
use crate::trust::Trust;
use crate::{Consent, Index, Options, Plan, Steps, inject};

struct Silent;

impl Steps for Silent {
    fn step(&self, _: &str, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        work()
    }
}

/// A WIM with Windows PE as image 1 and a full Windows as image 2.
fn two_images() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("install.wim");
    let systems = [
        Windows {
            is_pe: true,
            ..Windows::default()
        },
        Windows::default(),
    ];
    let scratch = tempfile::tempdir().unwrap();
    wim::make(&file, &systems, scratch.path()).unwrap();
    (dir, file)
}

fn into(wim: &Path, index: Index, pack: &Pack) -> Result<Vec<Plan>> {
    let options = Options {
        index: Some(index),
        ..Options::default()
    };
    inject(wim, pack, &options, &Silent)
}

fn refusal(wim: &Path, index: Index, pack: &Pack) -> Refusal {
    let before = fs::read(wim).unwrap();
    let error = into(wim, index, pack).err().expect("a refusal");
    assert_eq!(fs::read(wim).unwrap(), before);
    error.downcast().unwrap()
}

/// Everything in an image, by wimlib.
fn listing(wim: &Path, index: &str) -> String {
    let run = Run::new("wimlib-imagex").arg("dir").arg(wim).arg(index);
    run.ok().unwrap().stdout
}

/// The values of a key in an image's hive, by hivexregedit, which the injection reads nothing with.
fn registry(wim: &Path, index: &str, hive: &str, key: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    Run::new("wimlib-imagex")
        .arg("extract")
        .arg(wim)
        .args([index, &format!("/Windows/System32/config/{hive}")])
        .arg("--dest-dir")
        .arg(dir.path())
        .ok()
        .unwrap();
    let export = Run::new("hivexregedit")
        .args(["--export", "--unsafe-printable-strings"])
        .arg(dir.path().join(hive))
        .arg(key);
    export.ok().unwrap().stdout
}

#[test]
fn every_image_of_a_wim_is_served_once() {
    let (dir, file) = two_images();
    let pack = pack(Trust::Whcp);
    let plans = into(&file, Index::All, &pack).unwrap();
    assert_eq!(plans.len(), 2);
    for index in ["1", "2"] {
        let listing = listing(&file, index);
        for path in [
            "/Windows/System32/drivers/toyblk.sys",
            "/Windows/Drivers/WinPV/toyblk/toyblk.inf",
            "/Windows/System32/cmd.exe",
        ] {
            assert!(listing.contains(path), "{index}: {listing}");
        }
        let service = registry(&file, index, "SYSTEM", r"\ControlSet001\Services\toyblk");
        assert!(service.contains("\"Start\"=dword:00000000"), "{service}");
        assert!(service.contains(r"toyblk.sys"), "{service}");
    }
    let run_once = r"\Microsoft\Windows\CurrentVersion\RunOnce";
    assert!(registry(&file, "2", "SOFTWARE", run_once).contains("!WinPV"));
    assert!(!registry(&file, "1", "SOFTWARE", run_once).contains("!WinPV"));
    // Nothing lies beside it, it is undamaged, and a second run does not touch it.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    Run::new("wimlib-imagex")
        .arg("verify")
        .arg(&file)
        .ok()
        .unwrap();
    let (before, time) = (fs::read(&file).unwrap(), modified(&file));
    assert!(
        into(&file, Index::All, &pack)
            .unwrap()
            .iter()
            .all(Plan::is_done)
    );
    assert_eq!((fs::read(&file).unwrap(), modified(&file)), (before, time));
}

fn modified(file: &Path) -> std::time::SystemTime {
    fs::metadata(file).unwrap().modified().unwrap()
}

#[test]
fn one_image_and_a_dry_run_leave_the_rest_alone() {
    let (_dir, file) = two_images();
    let before = fs::read(&file).unwrap();
    let options = Options {
        index: Some(Index::One(2)),
        dry_run: true,
        ..Options::default()
    };
    let plans = inject(&file, &pack(Trust::Whcp), &options, &Silent).unwrap();
    assert!(plans.len() == 1 && !plans[0].is_done());
    assert_eq!(fs::read(&file).unwrap(), before);
    into(&file, Index::One(2), &pack(Trust::Whcp)).unwrap();
    assert!(!listing(&file, "1").contains("toyblk"));
    assert!(listing(&file, "2").contains("toyblk"));
}

#[test]
fn wims_that_cannot_be_served_stay_as_they_are() {
    let (dir, file) = two_images();
    let good = fs::read(&file).unwrap();
    let whcp = pack(Trust::Whcp);
    assert_eq!(
        refusal(&file, Index::One(3), &whcp),
        Refusal::NoSuchIndex {
            index: 3,
            images: 2
        }
    );
    assert_eq!(
        refusal(&file, Index::All, &pack(Trust::Test)),
        Refusal::WimTestSigned
    );
    // FLAG_HEADER_READONLY
    let mut bytes = good.clone();
    bytes[16] |= 4;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(refusal(&file, Index::All, &whcp), Refusal::WimReadOnly);
    // A byte of a file's data, which begins behind the header.
    let mut bytes = good.clone();
    bytes[300] ^= 0x40;
    fs::write(&file, &bytes).unwrap();
    assert!(matches!(
        refusal(&file, Index::All, &whcp),
        Refusal::WimDamaged(_)
    ));
    fs::write(&file, &good).unwrap();
    let esd = dir.path().join("install.esd");
    Run::new("wimlib-imagex")
        .arg("export")
        .arg(&file)
        .arg("all")
        .arg(&esd)
        .arg("--solid")
        .ok()
        .unwrap();
    assert_eq!(refusal(&esd, Index::All, &whcp), Refusal::Esd);
    let (split, noise) = (dir.path().join("install.swm"), dir.path().join("noise"));
    // A part is never larger than a mebibyte; what cannot be compressed makes two of it.
    let mut state = 1u32;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    fs::write(&noise, random.take(3 << 20).collect::<Vec<u8>>()).unwrap();
    Run::new("wimlib-imagex")
        .arg("update")
        .arg(&file)
        .args(["1", "--command"])
        .arg(format!("add '{}' /noise", noise.display()))
        .ok()
        .unwrap();
    let run = Run::new("wimlib-imagex")
        .arg("split")
        .arg(&file)
        .arg(&split);
    run.arg("1").ok().unwrap();
    let refusal = refusal(&split, Index::All, &whcp);
    assert!(
        matches!(refusal, Refusal::SplitWim { part: 1, .. }),
        "{refusal}"
    );
}

#[test]
fn options_for_the_other_kind_of_image_are_not_passed_over() {
    let (dir, file) = two_images();
    let error = |image: &Path, options: &Options| {
        let result = inject(image, &pack(Trust::Whcp), options, &Silent);
        result.err().unwrap().to_string()
    };
    let for_wim = Options {
        index: Some(Index::All),
        ..Options::default()
    };
    let testsigning = Consent {
        enable_testsigning: true,
        ..Consent::default()
    };
    for (options, name) in [
        (
            Options {
                root: Some("/dev/sda1".to_owned()),
                ..for_wim.clone()
            },
            "--root",
        ),
        (
            Options {
                format: Some("raw".to_owned()),
                ..for_wim.clone()
            },
            "--format",
        ),
        (
            Options {
                consent: testsigning,
                ..for_wim.clone()
            },
            "--enable-testsigning",
        ),
    ] {
        let error = error(&file, &options);
        assert!(
            error.contains(name) && error.contains("for disks"),
            "{error}"
        );
    }
    let disk = dir.path().join("disk");
    fs::write(&disk, [0; 4096]).unwrap();
    let accepted = Options {
        consent: Consent {
            accept_test_signed: true,
            ..Consent::default()
        },
        ..Options::default()
    };
    let error_of = |options| error(&disk, options);
    assert!(error_of(&accepted).contains("--accept-test-signed is for WIM files"));
    assert!(error_of(&for_wim).contains("--index is for WIM files"));
}

#[test]
fn the_index_is_asked_for() {
    let (_dir, file) = two_images();
    let error = inject(&file, &pack(Trust::Whcp), &Options::default(), &Silent);
    assert!(error.err().unwrap().to_string().contains("--index"));
}
