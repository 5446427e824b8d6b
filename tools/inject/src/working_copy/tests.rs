//! The image is replaced as a whole or not at all.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use winpv_process::Run;

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
fn the_copy_is_equal_as_sparse_and_for_us_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
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
    let first = copy.path().to_owned();
    drop(copy);
    assert_ne!(original.copy().unwrap().path(), first);
}

#[test]
fn owner_permissions_and_attributes_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let file = File::open(&path).unwrap();
    let flags = rustix::fs::XattrFlags::CREATE;
    let label = b"a\0b".as_slice();
    // A file system without attributes has none to keep.
    let has_attributes = rustix::fs::fsetxattr(&file, "user.label", label, flags).is_ok();
    let before = fs::metadata(&path).unwrap();
    let original = Original::open(&path).unwrap();
    let copy = original.copy().unwrap();
    // As programs do that write a new file and rename it.
    fs::remove_file(copy.path()).unwrap();
    fs::write(copy.path(), "new").unwrap();
    copy.replace().unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.mode() & 0o7777, 0o640);
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    if has_attributes {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(&path, "user.label", value.as_mut_slice()).unwrap();
        assert_eq!(&value[..length], label);
    }
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

/// The files in a folder without that one.
fn others(dir: &tempfile::TempDir, path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|other| other != path).collect()
}

#[test]
fn what_a_killed_run_left_goes_and_a_running_one_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    let original = Original::open(&path).unwrap();
    // As a killed process does it, which drops nothing.
    let left = original.copy().unwrap();
    let left_path = left.path().to_owned();
    std::mem::forget(left);
    let copy = original.copy().unwrap();
    assert!(!left_path.exists());
    assert_eq!(others(&dir, &path), [copy.path()]);
    let error = refusal(Original::open(&path).err().unwrap());
    assert!(matches!(error, Refusal::Busy(_)), "{error}");
    assert!(copy.path().exists());
    drop(copy);
    drop(original);
    assert!(Original::open(&path).is_ok());
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    let target = tempfile::NamedTempFile::new().unwrap();
    fs::write(target.path(), "precious").unwrap();
    let original = Original::open(&path).unwrap();
    // The names that earlier versions and killed runs used.
    for name in [".disk.raw.winpv-inject", ".disk.raw.winpv-inject-0"] {
        std::os::unix::fs::symlink(target.path(), dir.path().join(name)).unwrap();
    }
    let copy = original.copy().unwrap();
    let metadata = fs::symlink_metadata(copy.path()).unwrap();
    assert!(metadata.is_file());
    fs::write(copy.path(), "new").unwrap();
    copy.replace().unwrap();
    assert_eq!(fs::read(target.path()).unwrap(), b"precious");
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn an_image_that_changed_meanwhile_is_kept() {
    // After it was copied, and between the look at it and the copy.
    for early in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = image(&dir);
        let original = Original::open(&path).unwrap();
        let change = || fs::write(&path, "somebody else").unwrap();
        if early {
            change();
        }
        let copy = original.copy().unwrap();
        if !early {
            change();
        }
        let error = copy.replace().unwrap_err().to_string();
        assert!(error.contains("changed"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"somebody else");
        assert_eq!(others(&dir, &path), [""; 0].map(PathBuf::from));
    }
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

/// The image for the second run of the test below.
const FOREIGN: &str = "WINPV_TEST_FOREIGN_IMAGE";

/// Root runs this test a second time as a user who owns nothing; anybody else tries a file of root's.
#[test]
fn an_image_of_another_user_is_refused() {
    let refused = |image: &Path| {
        let error = refusal(Original::open(image).err().unwrap());
        assert!(matches!(error, Refusal::NotYours(_, 0)), "{error}");
        assert!(error.to_string().contains("belongs to user 0"), "{error}");
    };
    if let Some(image) = env::var_os(FOREIGN) {
        return refused(Path::new(&image));
    }
    if !rustix::process::geteuid().is_root() {
        return refused(Path::new("/etc/passwd"));
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = image(&dir);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    // The user may not get into the folder that this program lies in.
    let program = dir.path().join("tests");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let run = Run::new("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let name = "working_copy::tests::an_image_of_another_user_is_refused";
    let output = run.arg(&program).args(["--exact", name]);
    let output = output.env(FOREIGN, &path).ok().unwrap();
    assert!(output.stdout.contains("1 passed"), "{}", output.text());
}

#[test]
fn a_file_that_cannot_be_locked_is_not_called_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(&dir);
    // Open for nothing at all: flock(2) fails with EBADF, as it does on NFS for a file that is open to be read.
    let flags = rustix::fs::OFlags::PATH;
    let file = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
    let refusal = super::lock_for_us(&file.into(), "disk.raw").unwrap_err();
    assert!(matches!(refusal, Refusal::NoLock(_, _)), "{refusal}");
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
    let error = super::fits(100 << 20, 60 << 20, Path::new("/srv")).unwrap_err();
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
    assert!(super::fits(100 << 20, 165 << 20, Path::new("/srv")).is_ok());
}
