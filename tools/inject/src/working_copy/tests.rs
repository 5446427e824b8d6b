//! The image is replaced as a whole or not at all.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::Original;
use crate::refusal::Refusal;

fn image(dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(32 << 20).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"middle", 9 << 20).unwrap();
    path
}

fn refusal(error: anyhow::Error) -> Refusal {
    error.downcast::<Refusal>().unwrap()
}

#[test]
fn the_copy_is_equal_as_sparse_and_as_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let original = Original::open(&path).unwrap();
    let copy = original.copy().unwrap();
    assert_eq!(fs::read(copy.path()).unwrap(), fs::read(&path).unwrap());
    let metadata = fs::metadata(copy.path()).unwrap();
    assert!(
        metadata.blocks() * 512 < 16 << 20,
        "{} blocks",
        metadata.blocks()
    );
    assert_eq!(metadata.mode() & 0o777, 0o600);
}

#[test]
fn a_finished_copy_takes_the_place_and_a_dropped_one_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    let before = fs::read(&path).unwrap();
    let original = Original::open(&path).unwrap();
    let copy = original.copy().unwrap();
    fs::write(copy.path(), "new").unwrap();
    drop(copy);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let copy = original.copy().unwrap();
    fs::write(copy.path(), "new").unwrap();
    copy.replace().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_run_left_is_used_again_and_a_running_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    let original = Original::open(&path).unwrap();
    fs::write(dir.path().join(".disk.raw.winpv-inject"), vec![7; 40 << 20]).unwrap();
    let copy = original.copy().unwrap();
    assert_eq!(fs::read(copy.path()).unwrap(), fs::read(&path).unwrap());
    let error = refusal(Original::open(&path).err().unwrap());
    assert!(matches!(error, Refusal::Busy(_)), "{error}");
    drop(copy);
    drop(original);
    assert!(Original::open(&path).is_ok());
}

#[test]
fn an_image_that_changed_meanwhile_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    let original = Original::open(&path).unwrap();
    let copy = original.copy().unwrap();
    fs::write(&path, "somebody else").unwrap();
    let error = copy.replace().unwrap_err().to_string();
    assert!(error.contains("changed"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"somebody else");
}

#[test]
fn what_cannot_be_replaced_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    let error = refusal(Original::open(dir.path()).err().unwrap());
    assert!(matches!(error, Refusal::NotAFile(_)), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = refusal(Original::open(&path).err().unwrap());
    assert!(matches!(error, Refusal::ReadOnly(_)), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::hard_link(&path, dir.path().join("second")).unwrap();
    let error = refusal(Original::open(&path).err().unwrap());
    assert!(matches!(error, Refusal::HardLinks(_, 2)), "{error}");
}

#[test]
fn a_symbolic_link_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let original = Original::open(&link).unwrap();
    let copy = original.copy().unwrap();
    fs::write(copy.path(), "new").unwrap();
    copy.replace().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn a_copy_that_does_not_fit_is_refused_before_it_is_made() {
    // A file system of 1 MiB would need a mount; the numbers are compared instead.
    let error = super::fits(100 << 20, 60 << 20, std::path::Path::new("/srv")).unwrap_err();
    assert!(
        matches!(
            error,
            Refusal::NoSpace {
                needed: 164,
                free: 60,
                ..
            }
        ),
        "{error}"
    );
    assert!(super::fits(100 << 20, 165 << 20, std::path::Path::new("/srv")).is_ok());
}
