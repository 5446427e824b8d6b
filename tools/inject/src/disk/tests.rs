//! What qemu-img says of images that it made itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use winpv_process::Run;

use super::format;
use crate::refusal::Refusal;

fn create(arguments: &[&str], disk: &Path) {
    Run::new("qemu-img")
        .args(["create", "-q"])
        .args(arguments)
        .arg(disk)
        .arg("16M")
        .ok()
        .unwrap();
}

fn refusal(disk: &Path) -> Refusal {
    format(disk, None).unwrap_err().downcast().unwrap()
}

#[test]
fn formats_of_one_file_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    for name in super::FORMATS {
        create(&["-f", name], &disk);
        // A VHD is told by its footer, which only a fixed one has at the start of the file as well.
        assert_eq!(format(&disk, Some(name)).unwrap(), name);
        fs::remove_file(&disk).unwrap();
    }
    create(&["-f", "qcow2"], &disk);
    assert_eq!(format(&disk, None).unwrap(), "qcow2");
}

#[test]
fn a_copy_of_one_file_is_no_copy_of_several() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    create(&["-f", "vmdk", "-o", "subformat=monolithicFlat"], &disk);
    assert!(matches!(refusal(&disk), Refusal::Format(_, what) if what.contains("monolithicFlat")));
    create(&["-f", "vmdk", "-o", "subformat=streamOptimized"], &disk);
    assert!(matches!(refusal(&disk), Refusal::Format(_, what) if what.contains("streamOptimized")));
    let data = format!("data_file={}", dir.path().join("data").display());
    create(&["-f", "qcow2", "-o", &data], &disk);
    assert!(matches!(refusal(&disk), Refusal::Format(_, what) if what.contains("another file")));
    create(
        &[
            "-f",
            "qcow2",
            "--object",
            "secret,id=key,data=secret",
            "-o",
            "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10",
        ],
        &disk,
    );
    assert!(matches!(refusal(&disk), Refusal::Format(_, what) if what == "encrypted"));
}

#[test]
fn what_is_no_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    fs::write(&disk, "QFI\u{fb} and nothing else").unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(refusal(&missing), Refusal::NoImage(_, _)));
    create(&["-f", "qcow2"], &disk);
    let error = format(&disk, Some("vhdx")).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Refusal::NoImage(_, _))));
}

#[test]
fn what_qemu_calls_raw_and_is_no_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    let with = |at: usize, bytes: &[u8]| {
        let mut content = vec![0; 64 << 10];
        content[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(&disk, content).unwrap();
    };
    with(0, b"notes, and nothing that starts");
    assert!(matches!(refusal(&disk), Refusal::NoImage(_, why) if why.contains("boot sector")));
    with(0, b"WLPWM\0\0\0");
    assert!(matches!(refusal(&disk), Refusal::Pipable(_)));
    with(32769, b"CD001");
    assert!(matches!(refusal(&disk), Refusal::Iso(_)));
    with(510, &[0x55, 0xaa]);
    assert_eq!(format(&disk, None).unwrap(), "raw");
    fs::write(&disk, "short").unwrap();
    assert!(matches!(refusal(&disk), Refusal::NoImage(_, _)));
}

#[test]
fn volumes_are_told_apart_by_what_the_probe_says() {
    let of = |code| super::probed("/dev/sda1", code);
    assert_eq!(of("0"), Ok(()));
    assert_eq!(of("14"), Err(Refusal::Hibernated));
    for (code, words) in [("15", "not unmounted"), ("12", "says 12"), ("", "says ")] {
        let refusal = of(code).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::DirtyVolume { why, .. } if why.contains(words)),
            "{refusal}"
        );
    }
}

#[test]
fn a_disk_in_use_is_refused() {
    for kind in ["qcow2", "raw"] {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        create(&["-f", kind], &disk);
        let mut machine = Run::new("qemu-io")
            .args(["-f", kind])
            .arg(&disk)
            .deadline(Duration::from_secs(60))
            .start()
            .unwrap();
        // Its answer shows that the disk is open.
        machine.say("length").unwrap();
        machine.hear().unwrap();
        let error = format(&disk, Some(kind)).unwrap_err();
        let refusal = error.downcast_ref();
        assert!(matches!(refusal, Some(Refusal::InUse(_, _))), "{error:#}");
        drop(machine);
        assert!(format(&disk, Some(kind)).is_ok());
    }
}

#[test]
fn locks_to_write_are_told_from_others() {
    let line = |kind: &str, inode: u64, bytes: &str| {
        super::is_write_lock(
            &format!("3: {kind}  ADVISORY  READ -1 fe:00:{inode} {bytes}"),
            7,
        )
    };
    assert!(line("OFDLCK", 7, "100 101") && line("OFDLCK", 7, "101 101"));
    assert!(line("OFDLCK", 7, "103 103"));
    // To read; what others may not do; another file; somebody else's kind of lock.
    assert!(!line("OFDLCK", 7, "100 100") && !line("OFDLCK", 7, "201 203"));
    assert!(!line("OFDLCK", 77, "101 101") && !line("FLOCK", 7, "0 EOF"));
    assert!(!super::is_write_lock("", 7));
}
