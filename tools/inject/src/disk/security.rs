//! Security descriptors of new files on NTFS: those that Windows itself would give them.
//!
//! ntfs-3g gives a new file a descriptor by which everyone may write it, unless it is mounted with `inherit`: then the file
//! gets what its folder hands down, as on Windows. It does that only if users are mapped (ntfs-3g(8), "inherit" and "User
//! Mapping"); the mapping is a file on the volume and is taken away again.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::guestfish::Guestfish;

/// Where ntfs-3g looks for the mapping.
const FOLDER: &str = "/.NTFS-3G";
const FILE: &str = "/.NTFS-3G/UserMapping";
/// Any user who is not root: files of root belong to the group Administrators whatever the mapping says.
const MAPPING: &str = "::S-1-5-21-1-2-3-1000\n";
/// Where a self-relative descriptor has the offset of its list of entries, and where that list has its entries (MS:
/// SECURITY_DESCRIPTOR, ACL, ACCESS_ALLOWED_ACE).
const DACL: std::ops::Range<usize> = 16..20;
const FIRST_ENTRY: usize = 8;
/// The only entry of ntfs-3g's own descriptor: allowed, not inherited itself, for files and folders below, 20 bytes, all
/// rights, S-1-1-0 for everyone.
const EVERYONE: [u8; 20] = [
    0, 3, 20, 0, 0xff, 1, 0x1f, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
];

/// Mounts a volume so that new files inherit from their folder.
///
/// # Errors
///
/// libguestfs fails, or somebody's own mapping is on the volume already.
pub fn mount_inheriting(guestfish: &mut Guestfish, device: &str, scratch: &Path) -> Result<()> {
    guestfish.run(&["mount", device, "/"])?;
    let is_there = guestfish.run(&["exists", FOLDER])?;
    ensure!(
        is_there == ["false"],
        "{FOLDER} is on {device} already: ntfs-3g keeps a user mapping there, rename it first"
    );
    guestfish.run(&["mkdir", FOLDER])?;
    let local = scratch.join("mapping");
    fs::write(&local, MAPPING)?;
    guestfish.run(&["upload", &local.display().to_string(), FILE])?;
    guestfish.run(&["umount-all"])?;
    guestfish.run(&["mount-vfs", "inherit", "ntfs-3g", device, "/"])?;
    Ok(())
}

/// Takes the mapping away and unmounts.
///
/// # Errors
///
/// libguestfs fails.
pub fn unmount(guestfish: &mut Guestfish) -> Result<()> {
    guestfish.run(&["rm", FILE])?;
    guestfish.run(&["rmdir", FOLDER])?;
    guestfish.run(&["umount-all"])?;
    Ok(())
}

/// Fails if everyone may write a file because nothing was handed down to it.
///
/// # Errors
///
/// So, or libguestfs fails.
pub fn check(guestfish: &mut Guestfish, path: &str, scratch: &Path) -> Result<()> {
    let local = scratch.join("descriptor");
    guestfish.run_into(&["lgetxattr", path, "system.ntfs_acl"], &local)?;
    let descriptor = fs::read(&local)?;
    ensure!(
        !is_default(&descriptor),
        "{path} has no security descriptor of Windows: ntfs-3g made one by which everyone may write it"
    );
    Ok(())
}

/// True for ntfs-3g's own descriptor.
fn is_default(descriptor: &[u8]) -> bool {
    let at = descriptor.get(DACL).and_then(|at| at.try_into().ok());
    let at = at.map_or(0, u32::from_le_bytes) as usize;
    let entries = at
        .checked_add(FIRST_ENTRY)
        .and_then(|at| descriptor.get(at..));
    entries.is_some_and(|entries| entries.starts_with(&EVERYONE))
}

#[cfg(test)]
mod tests {
    use super::is_default;

    #[test]
    fn the_descriptor_of_ntfs_3g_is_known() {
        // As ntfs-3g 2022.10.3 writes it: owner and group are the administrators.
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
        let mut bytes = vec![
            1, 0, 4, 0x80, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0,
        ];
        bytes.extend(administrators);
        bytes.extend(administrators);
        bytes.extend([2, 0, 28, 0, 1, 0, 0, 0, 0, 3, 20, 0, 0xff, 1, 0x1f, 0]);
        bytes.extend([1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert!(is_default(&bytes));
        // The same entry, handed down by the folder.
        let mut inherited = bytes.clone();
        inherited[61] = 0x10;
        assert!(!is_default(&inherited));
        // The system instead of everyone.
        let mut other = bytes.clone();
        other[75] = 5;
        assert!(!is_default(&other));
        assert!(!is_default(&bytes[..30]) && !is_default(&[]));
    }
}
