//! Reads back what an MSI of ours was made from.

use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};

use crate::check::{Msi, Record, number, text};
use crate::{Content, Driver, Platform};

/// The content of an MSI that [`crate::write`] wrote: writing it again gives the same MSI.
pub fn read(bytes: &[u8]) -> Result<Content> {
    let mut msi = Msi::open(bytes)?;
    let platform = match msi.template() {
        Some("x64") => Platform::X64,
        Some("Arm64") => Platform::Arm64,
        other => bail!("an MSI for {other:?} is not one of ours"),
    };
    let version = msi.property("ProductVersion").context("no version")?;
    let version: Vec<u16> = version
        .split('.')
        .map(|part| part.parse().context("version"))
        .collect::<Result<_>>()?;
    let epoch = msi
        .created()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .context("no date")?
        .as_secs();
    let mut drivers = Vec::new();
    for feature in msi.rows("Feature").to_vec() {
        if !text(&feature, "Feature_Parent").is_empty() {
            drivers.push(driver(&mut msi, &feature)?);
        }
    }
    Ok(Content {
        platform,
        version: version
            .try_into()
            .ok()
            .context("the version has not four numbers")?,
        signature: msi
            .property("WinPVSignature")
            .context("no signature class")?
            .to_owned(),
        drivers,
        setup: msi.stream("Binary.setup")?,
        check: msi.stream("Binary.check")?,
        epoch,
    })
}

fn driver(msi: &mut Msi, feature: &Record) -> Result<Driver> {
    let name = text(feature, "Feature");
    let component = format!("cmp_{name}");
    let mut rows: Vec<Record> = msi
        .rows("File")
        .iter()
        .filter(|row| text(row, "Component_") == component)
        .cloned()
        .collect();
    rows.sort_by_key(|row| number(row, "Sequence"));
    let files = rows
        .iter()
        .map(|row| {
            let long = text(row, "FileName").rsplit('|').next().unwrap_or_default();
            Ok((long.to_owned(), msi.file(text(row, "File"))?))
        })
        .collect::<Result<_>>()?;
    let install = format!("WinPVInstall_{name}");
    let command = msi
        .rows("CustomAction")
        .iter()
        .find(|row| text(row, "Action") == install)
        .map(|row| text(row, "Target").to_owned())
        .with_context(|| format!("no action {install}"))?;
    let mut words = command.split_whitespace();
    let boot_start = words.clone().any(|word| word == "--boot-start");
    let hardware_ids = words
        .find(|word| *word == "--devices")
        .and_then(|_| words.next())
        .map(|ids| ids.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    Ok(Driver {
        name: name.to_owned(),
        description: text(feature, "Title").to_owned(),
        boot_start,
        hardware_ids,
        files,
    })
}
