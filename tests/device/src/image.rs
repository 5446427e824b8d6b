//! Disk images: sparse files with a known start content.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A disk image file that is deleted when this is dropped.
#[derive(Debug)]
pub struct Image {
    file: tempfile::NamedTempFile,
}

impl Image {
    /// A new sparse image of `len` zero bytes, in memory (/dev/shm) where there is one.
    ///
    /// # Errors
    /// The file cannot be made: no space or no permission.
    pub fn new(len: u64) -> io::Result<Self> {
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() {
            shm.to_owned()
        } else {
            std::env::temp_dir()
        };
        let file = tempfile::Builder::new()
            .prefix("winpv-disk-")
            .suffix(".raw")
            .tempfile_in(folder)?;
        file.as_file().set_len(len)?;
        Ok(Self { file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.as_file()
    }
}

/// Opens an image for a device.
///
/// # Errors
/// The file does not exist or may not be opened that way; the error names it.
pub fn open(path: &Path, read_only: bool) -> anyhow::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(!read_only)
        .open(path)
        .map_err(|error| {
            anyhow::anyhow!(
                "cannot open disk image {}: {error}",
                PathBuf::from(path).display()
            )
        })
}
