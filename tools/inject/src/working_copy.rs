//! The copy that is worked on, beside the image, and its taking of the image's place at the end.
//!
//! Until the last rename the image itself is only read. If the work fails or the process dies, the copy is all there is to
//! throw away: by this process, or by the next run. The image is locked meanwhile, so a copy that another run finds beside an
//! unlocked image is a left-over.
//!
//! Until it takes the image's place only we may read the copy. Its name cannot be guessed and it is never opened where
//! something is already: who may write in the folder cannot have us write somewhere else.

mod identity;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock, ioctl_ficlone, statvfs};
use rustix::io::Errno;
use tempfile::TempPath;

use crate::refusal::Refusal;

/// Room for hives and logs that grow, and for the packages.
const SLACK: u64 = 64 << 20;
/// How long a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes copied in one go.
const CHUNK: usize = 4 << 20;
/// What stands between the image's name and the random end of the copy's.
const MARK: &str = ".winpv-inject-";

/// An image that may be replaced.
pub struct Original {
    /// The file, no symbolic link.
    path: PathBuf,
    /// What it was before anything in it was looked at.
    state: State,
    /// Held until the image is replaced or the work has failed. wimlib takes the same lock when it writes a WIM.
    _lock: File,
}

impl Original {
    /// Locks the image and checks that it is a file that this process may replace.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], or the file is not there.
    pub fn open(path: &Path) -> Result<Original> {
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot find {}", path.display()))?;
        let name = path.display().to_string();
        let metadata = fs::metadata(&path)?;
        if !metadata.is_file() {
            return Err(Refusal::NotAFile(name).into());
        }
        if metadata.nlink() > 1 {
            return Err(Refusal::HardLinks(name, metadata.nlink()).into());
        }
        identity::check(&metadata, &name)?;
        // By the permission bits: root may write in spite of them, but was told not to.
        if metadata.permissions().readonly() {
            return Err(Refusal::ReadOnly(name).into());
        }
        let lock = File::open(&path).with_context(|| format!("cannot open {name}"))?;
        // A run that just ended may have replaced the file between our opening and our locking it.
        let is_current = |now: fs::Metadata| now.ino() == metadata.ino();
        lock_for_us(&lock, &name)?;
        if !fs::metadata(&path).is_ok_and(is_current) {
            return Err(Refusal::Busy(name).into());
        }
        Ok(Original {
            path,
            state: state(&metadata),
            _lock: lock,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the copy.
    ///
    /// # Errors
    ///
    /// No space or no permission.
    pub fn copy(&self) -> Result<WorkingCopy<'_>> {
        let folder = self.path.parent().context("the image has no folder")?;
        let name = self.path.file_name().context("the image has no name")?;
        let prefix = format!(".{}{MARK}", name.to_string_lossy());
        remove_left_overs(folder, &prefix)?;
        let metadata = fs::metadata(&self.path)?;
        // A new file or an error (O_EXCL), of mode 0600.
        let made = tempfile::Builder::new()
            .prefix(&prefix)
            .rand_bytes(16)
            .tempfile_in(folder);
        let (mut file, path) = match made {
            Ok(made) => made.into_parts(),
            Err(error) => {
                let folder = folder.display();
                return match error.kind() {
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                        Err(Refusal::ReadOnly(folder.to_string()).into())
                    }
                    _ => Err(error).with_context(|| format!("cannot write in {folder}")),
                };
            }
        };
        let copy = WorkingCopy {
            path,
            original: self,
        };
        let mut original = File::open(&self.path)?;
        // A clone shares what it has with the original and needs room only for what is written to it.
        let shared = ioctl_ficlone(&file, &original).is_ok();
        let free = statvfs(folder)?;
        let free = free.f_bavail * free.f_frsize;
        // st_blocks counts 512 bytes whatever the file system's own unit is.
        let needed = if shared { 0 } else { metadata.blocks() * 512 };
        fits(needed, free, folder)?;
        if !shared {
            copy_sparse(&mut original, &mut file, metadata.len())
                .with_context(|| format!("cannot copy {}", self.path.display()))?;
        }
        Ok(copy)
    }
}

/// Removes what killed runs left: the image is locked, so nobody works on them. A name that is a link goes, and not what it
/// points to.
fn remove_left_overs(folder: &Path, prefix: &str) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let path = entry.path();
            fs::remove_file(&path).with_context(|| {
                format!(
                    "cannot remove {}, which an earlier run left",
                    path.display()
                )
            })?;
        }
    }
    Ok(())
}

/// Locks a file, unless somebody else keeps it locked or it cannot be locked at all.
fn lock_for_us(file: &File, name: &str) -> Result<(), Refusal> {
    // A lock that was just given up lives on for a moment in a process that another thread is starting.
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {
                thread::sleep(PATIENCE / 20);
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(Refusal::Busy(name.to_owned())),
            // flock(2): NFS asks for a file that is open for writing, which would look like a running machine to QEMU.
            Err(error) => return Err(Refusal::NoLock(name.to_owned(), error.to_string())),
        }
    }
}

/// Refuses a copy of `bytes` where only `free` bytes are left.
fn fits(bytes: u64, free: u64, folder: &Path) -> Result<(), Refusal> {
    let needed = bytes.saturating_add(SLACK);
    if free < needed {
        return Err(Refusal::NoSpace {
            needed: needed >> 20,
            free: free >> 20,
            folder: folder.display().to_string(),
        });
    }
    Ok(())
}

/// What changes when somebody writes a file: inode, length, seconds and nanoseconds of its last change.
type State = (u64, u64, i64, i64);

fn state(metadata: &fs::Metadata) -> State {
    (
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    )
}

/// Copies without filling holes: what reads as zero is not written.
fn copy_sparse(from: &mut File, to: &mut File, length: u64) -> Result<()> {
    from.rewind()?;
    to.set_len(length)?;
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    loop {
        // SEEK_DATA jumps over holes; a file system without it says that all is data.
        at = match rustix::fs::seek(&*from, rustix::fs::SeekFrom::Data(at)) {
            Ok(at) => at,
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        if buffer[..read].iter().any(|byte| *byte != 0) {
            to.write_all_at(&buffer[..read], at)?;
        }
        at += read as u64;
    }
}

/// The copy; removed when dropped before [`WorkingCopy::replace`].
pub struct WorkingCopy<'a> {
    path: TempPath,
    original: &'a Original,
}

impl WorkingCopy<'_> {
    /// The copy's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the copy in the image's place, with its owner, permissions and extended attributes: on disk first, then under
    /// its name, then the name on disk.
    ///
    /// # Errors
    ///
    /// The copy cannot be written out or renamed; the image is then as it was.
    pub fn replace(self) -> Result<()> {
        let target = &self.original.path;
        ensure!(
            state(&fs::metadata(target)?) == self.original.state,
            "{} was changed by somebody else meanwhile, and is left as it is now",
            target.display()
        );
        // By name: the programs that worked on it may have made a new file of it.
        let file = File::open(&self.path)?;
        identity::keep(&File::open(target)?, &file)
            .with_context(|| format!("cannot make the copy what {} is", target.display()))?;
        file.sync_all()?;
        self.path
            .persist(target)
            .with_context(|| format!("cannot replace {}", target.display()))?;
        if let Some(folder) = target.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
