//! What a file is besides its content: owner, group, permissions, extended attributes.

use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::{Context, Result};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

use crate::refusal::Refusal;

/// Longest list of names and longest value that Linux allows (`linux/limits.h`, XATTR_LIST_MAX and XATTR_SIZE_MAX).
const LONGEST: usize = 65536;
/// Digests of the content, which the kernel makes anew (`linux/xattr.h`, XATTR_IMA_SUFFIX and XATTR_EVM_SUFFIX).
const OF_CONTENT: [&[u8]; 2] = [b"security.ima", b"security.evm"];

/// Refuses an image of another user, to whom only root can give the new one.
///
/// # Errors
///
/// A [`Refusal`].
pub fn check(image: &Metadata, name: &str) -> Result<(), Refusal> {
    if may_give(rustix::process::geteuid().as_raw(), image.uid()) {
        return Ok(());
    }
    Err(Refusal::NotYours(name.to_owned(), image.uid()))
}

/// True if a process of user `own` can make files of user `owner`.
fn may_give(own: u32, owner: u32) -> bool {
    own == 0 || own == owner
}

/// Gives `new` what `old` is.
///
/// # Errors
///
/// Something cannot be kept.
pub fn keep(old: &File, new: &File) -> Result<()> {
    let metadata = old.metadata()?;
    let is = new.metadata()?;
    if (is.uid(), is.gid()) != (metadata.uid(), metadata.gid()) {
        std::os::unix::fs::fchown(new, Some(metadata.uid()), Some(metadata.gid()))
            .with_context(|| format!("its group {} is not yours", metadata.gid()))?;
    }
    // After the owner: changing that takes some bits away.
    new.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    let mut names = vec![0; LONGEST];
    let length = match flistxattr(old, names.as_mut_slice()) {
        Ok(length) => length,
        // A file system without them.
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error).context("its extended attributes cannot be listed"),
    };
    for name in names[..length].split(|byte| *byte == 0) {
        if !name.is_empty() && !OF_CONTENT.contains(&name) {
            keep_attribute(old, new, &CString::new(name)?)?;
        }
    }
    Ok(())
}

fn keep_attribute(old: &File, new: &File, name: &CString) -> Result<()> {
    let what = || format!("its extended attribute {}", name.to_string_lossy());
    let (mut value, mut other) = (vec![0; LONGEST], vec![0; LONGEST]);
    let length = fgetxattr(old, name, value.as_mut_slice()).with_context(what)?;
    let value = &value[..length];
    // A label that the new file has by itself may be one that we may not set.
    let same = fgetxattr(new, name, other.as_mut_slice())
        .is_ok_and(|length| other.get(..length) == Some(value));
    if !same {
        fsetxattr(new, name, value, XattrFlags::empty()).with_context(what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::may_give;

    #[test]
    fn only_root_gives_files_to_others() {
        assert!(may_give(0, 1000) && may_give(1000, 1000));
        assert!(!may_give(1000, 0) && !may_give(1000, 1001));
    }
}
