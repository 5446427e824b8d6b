//! The cabinet, the programs and the icon.

use std::io::Cursor;

use anyhow::Result;
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::PeFile64;

use super::{Msi, number, text};
use crate::rows::{hash, is_image};

pub fn check(msi: &mut Msi, problems: &mut Vec<String>) -> Result<()> {
    let machine = match msi.package.summary_info().arch() {
        Some("Arm64") => pe::IMAGE_FILE_MACHINE_ARM64,
        _ => pe::IMAGE_FILE_MACHINE_AMD64,
    };
    cabinet(msi, problems)?;
    files(msi, machine, problems)?;
    for row in msi.rows("Binary").to_vec() {
        let name = text(&row, "Name").to_owned();
        let bytes = msi.stream(&format!("Binary.{name}"))?;
        image(&format!("Binary {name}"), &bytes, machine, problems);
    }
    for row in msi.rows("Icon").to_vec() {
        let name = text(&row, "Name").to_owned();
        // ICONDIR: reserved 0, type 1.
        if !msi
            .stream(&format!("Icon.{name}"))?
            .starts_with(&[0, 0, 1, 0])
        {
            problems.push(format!("Icon {name} is no icon (ICE36)"));
        }
    }
    Ok(())
}

/// ICE04: the cabinet holds the File table's files in the order of their numbers, 1 to n.
fn cabinet(msi: &mut Msi, problems: &mut Vec<String>) -> Result<()> {
    let mut wanted: Vec<(i32, String)> = msi
        .rows("File")
        .iter()
        .map(|row| {
            (
                number(row, "Sequence").unwrap_or(0),
                text(row, "File").to_owned(),
            )
        })
        .collect();
    wanted.sort();
    if wanted
        .iter()
        .zip(1..)
        .any(|((number, _), wanted)| *number != wanted)
    {
        problems.push("File.Sequence does not run from 1 without gaps".to_owned());
    }
    let last = msi
        .rows("Media")
        .first()
        .and_then(|row| number(row, "LastSequence"));
    if last.and_then(|last| usize::try_from(last).ok()) != Some(wanted.len()) {
        problems.push(format!(
            "Media.LastSequence is {last:?} with {} files (ICE04)",
            wanted.len()
        ));
    }
    let stream = msi.cabinet_stream()?;
    let cabinet = cab::Cabinet::new(Cursor::new(msi.stream(&stream)?))?;
    let held: Vec<String> = cabinet
        .folder_entries()
        .flat_map(|folder| folder.file_entries().map(|file| file.name().to_owned()))
        .collect();
    let wanted: Vec<String> = wanted.into_iter().map(|(_, name)| name).collect();
    if held != wanted {
        problems.push(format!(
            "the cabinet holds {held:?}, the File table {wanted:?}"
        ));
    }
    Ok(())
}

/// ICE60 and that sizes, hashes and versions are those of the files.
fn files(msi: &mut Msi, machine: u16, problems: &mut Vec<String>) -> Result<()> {
    for row in msi.rows("File").to_vec() {
        let key = text(&row, "File").to_owned();
        let bytes = match msi.file(&key) {
            Ok(bytes) => bytes,
            Err(error) => {
                problems.push(format!("{key}: {error:#}"));
                continue;
            }
        };
        if number(&row, "FileSize").and_then(|size| usize::try_from(size).ok()) != Some(bytes.len())
        {
            problems.push(format!("{key}: size is not {}", bytes.len()));
        }
        let stored = msi
            .rows("MsiFileHash")
            .iter()
            .find(|hash| text(hash, "File_") == key)
            .map(|row| {
                ["HashPart1", "HashPart2", "HashPart3", "HashPart4"]
                    .map(|part| number(row, part).unwrap_or(0))
            });
        let version = text(&row, "Version");
        if is_image(&bytes) {
            image(&key, &bytes, machine, problems);
            if stored.is_some() || version.is_empty() || text(&row, "Language").is_empty() {
                problems.push(format!(
                    "{key}: a program has a version and a language, no hash (ICE60)"
                ));
            }
            if !carries_version(&bytes, version) {
                problems.push(format!("{key}: its VERSIONINFO is not {version}"));
            }
        } else if stored != Some(hash(&bytes)) || !version.is_empty() {
            problems.push(format!("{key}: the hash is not that of the file (ICE60)"));
        }
    }
    Ok(())
}

/// A 64-bit image for the MSI's processor.
fn image(name: &str, bytes: &[u8], machine: u16, problems: &mut Vec<String>) {
    match PeFile64::parse(bytes) {
        Ok(file) => {
            let found = file.nt_headers().file_header.machine.get(LE);
            if found != machine {
                problems.push(format!(
                    "{name} is for machine {found:#06x}, not {machine:#06x}"
                ));
            }
        }
        Err(error) => problems.push(format!("{name} is no 64-bit program: {error}")),
    }
}

/// True if the file's fixed version information (VS_FIXEDFILEINFO, verrsrc.h) has this file version.
fn carries_version(bytes: &[u8], version: &str) -> bool {
    const SIGNATURE: [u8; 4] = 0xFEEF_04BD_u32.to_le_bytes();
    let parts: Vec<u32> = version
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    let [a, b, c, d] = parts[..] else {
        return false;
    };
    bytes.windows(16).any(|window| {
        window.starts_with(&SIGNATURE)
            && window[8..12] == (a << 16 | b).to_le_bytes()
            && window[12..16] == (c << 16 | d).to_le_bytes()
    })
}
