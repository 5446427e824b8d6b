//! The container: an MSI is an OLE compound file.

use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

use anyhow::Result;
use cfb::{CompoundFile, Version};

/// Writes every stream anew, sorted by name, into a version 3 file without time stamps.
///
/// Version 3 because osslsigncode cannot sign the version 4 files that the msi crate writes, and because it is what Windows
/// Installer's own tools write; sorted because the order in which streams came to be must not show.
pub fn rewrite(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut from = CompoundFile::open(Cursor::new(bytes))?;
    let mut to = CompoundFile::create_with_version(Version::V3, Cursor::new(Vec::new()))?;
    to.set_storage_clsid("/", *from.root_entry().clsid())?;
    let mut paths: Vec<PathBuf> = from
        .walk()
        .filter(|entry| entry.is_stream())
        .map(|entry| entry.path().to_path_buf())
        .collect();
    paths.sort();
    for path in paths {
        let mut content = Vec::new();
        from.open_stream(&path)?.read_to_end(&mut content)?;
        to.create_stream(&path)?.write_all(&content)?;
    }
    to.flush()?;
    Ok(to.into_inner().into_inner())
}
