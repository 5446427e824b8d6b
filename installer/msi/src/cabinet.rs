//! The cabinet with the files to install.

use std::io::{Cursor, Write};

use anyhow::{Context, Result};
use time::{OffsetDateTime, PrimitiveDateTime};

/// One file of the File table.
#[derive(Debug)]
pub struct File<'a> {
    /// Its key, which is its name in the cabinet (MS: "File table").
    pub key: String,
    /// The component that installs it.
    pub component: String,
    /// Its name on disk.
    pub name: &'a str,
    /// Content.
    pub bytes: &'a [u8],
}

/// Packs the files in the order of the File table's Sequence column.
pub fn write(files: &[File<'_>], epoch: u64) -> Result<Vec<u8>> {
    let members: Vec<_> = files
        .iter()
        .map(|file| (file.key.as_str(), file.bytes))
        .collect();
    pack(&members, epoch)
}

/// Packs members, name and content, in their order. The same input gives the same bytes.
///
/// # Errors
///
/// A name or a content that a cabinet cannot hold, or a date (seconds since 1970) that it cannot express.
pub fn pack(members: &[(&str, &[u8])], epoch: u64) -> Result<Vec<u8>> {
    let date = OffsetDateTime::from_unix_timestamp(i64::try_from(epoch)?)
        .context("the pack's date is out of range")?;
    let mut builder = cab::CabinetBuilder::new();
    let folder = builder.add_folder(cab::CompressionType::MsZip);
    for (name, _) in members {
        folder
            .add_file(*name)
            .set_datetime(PrimitiveDateTime::new(date.date(), date.time()));
    }
    let mut writer = builder.build(Cursor::new(Vec::new()))?;
    let mut rest = members.iter();
    while let Some(mut slot) = writer.next_file()? {
        let (_, bytes) = rest.next().context("more slots than files")?;
        slot.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}
