//! Volumes made by mkntfs and marked by ntfsfix: what others call dirty is what we call dirty.

use std::fs::{self, File};

use winpv_process::Run;

use super::{DIRTY, VolumeRecord, is_bitlocker, is_hibernated, volume_flags};

fn flags(volume: &std::path::Path) -> Option<u16> {
    let bytes = fs::read(volume).unwrap();
    let at = VolumeRecord::find(&bytes[..512]).unwrap();
    let start = usize::try_from(at.offset).unwrap();
    let length = usize::try_from(at.length).unwrap();
    volume_flags(&bytes[start..start + length])
}

#[test]
fn the_dirty_flag_is_seen_for_every_cluster_size() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("volume");
    for cluster in ["512", "4096", "65536", "2097152"] {
        File::create(&volume).unwrap().set_len(64 << 20).unwrap();
        // Not on the PATH of users other than root.
        Run::new("/usr/sbin/mkntfs")
            .args(["--force", "--quick", "--quiet", "--cluster-size", cluster])
            .arg(&volume)
            .ok()
            .unwrap();
        assert_eq!(flags(&volume), Some(0), "{cluster}");
        Run::new("ntfsfix").arg(&volume).ok().unwrap();
        assert_eq!(flags(&volume), Some(DIRTY), "{cluster}");
        Run::new("ntfsfix")
            .arg("--clear-dirty")
            .arg(&volume)
            .ok()
            .unwrap();
        assert_eq!(flags(&volume), Some(0), "{cluster}");
    }
}

#[test]
fn what_is_not_ntfs_has_no_record() {
    assert_eq!(VolumeRecord::find(&[]), None);
    let mut sector = [0u8; 512];
    sector[3..11].copy_from_slice(b"MSDOS5.0");
    assert_eq!(VolumeRecord::find(&sector), None);
    // The name alone, with numbers that would overflow.
    for fill in [0, 0x7f, 0x80, 0xf4, 0xff] {
        let mut sector = [fill; 512];
        sector[3..11].copy_from_slice(b"NTFS    ");
        if let Some(at) = VolumeRecord::find(&sector) {
            assert!(at.length <= 65536);
        }
    }
}

#[test]
fn damaged_records_have_no_flags() {
    assert_eq!(volume_flags(&[]), None);
    let mut record = vec![0u8; 1024];
    record[..4].copy_from_slice(b"FILE");
    record[20] = 56;
    // Attributes of length 0 would go on for ever.
    assert_eq!(volume_flags(&record), None);
    record[56..60].fill(0xff);
    assert_eq!(volume_flags(&record), None);
    // An attribute that claims to go on behind the end.
    record[56..64].copy_from_slice(&[0x10, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(volume_flags(&record), None);
}

#[test]
fn marks_are_told_apart() {
    for (head, expected) in [
        (b"hibr".as_slice(), true),
        (b"HIBR....", true),
        (b"RSTR", true),
        (b"wake", false),
        (b"\0\0\0\0", false),
        (b"hib", false),
    ] {
        assert_eq!(is_hibernated(head), expected, "{head:?}");
    }
    assert!(is_bitlocker(b"\xeb\x58\x90-FVE-FS-"));
    assert!(!is_bitlocker(b"\xeb\x52\x90NTFS    "));
}
