//! What driver packages are delivered in: MSIs, cabinets and ISOs.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use winpv_inject::trust::{self, Trust};
use winpv_msi::check::{Msi, text};

use super::find::Place;
use super::folder::{self, Identity};
use super::report::{Report, Strictness};
use super::signature::Subject;
use super::{Session, Trusted, stamp};
use crate::drivers::PROVIDER;

/// Endings of what can be opened.
const ENDINGS: [&str; 3] = ["msi", "cab", "iso"];

/// Whether a file is an archive, by its name.
pub fn is_one(place: &Place) -> bool {
    ENDINGS.iter().any(|ending| place.has_ending(ending))
}

/// Checks an archive's own signature and the packages in it, which it returns.
///
/// # Errors
///
/// A program that is needed cannot be run, or there is no place for the content.
pub fn check(
    session: &Session<'_>,
    report: &mut Report,
    trusted: Trusted<'_>,
    place: &Place,
    strictness: Strictness,
    depth: usize,
) -> Result<Vec<Identity>> {
    let step = format!("check {}", place.label);
    session.progress.step(&step, || {
        opened(session, report, trusted, place, strictness, depth)
    })
}

fn opened(
    session: &Session<'_>,
    report: &mut Report,
    trusted: Trusted<'_>,
    place: &Place,
    strictness: Strictness,
    depth: usize,
) -> Result<Vec<Identity>> {
    let before = report.counts;
    report.counts.archives += 1;
    let scratch = tempfile::tempdir().context("no folder for temporary files")?;
    let content = Place {
        path: scratch.path().to_owned(),
        label: place.label.clone(),
    };
    let unpacked = if place.has_ending("iso") {
        iso(report, place, &content, strictness).map(|()| strictness)
    } else if place.has_ending("cab") {
        let bytes = place.read()?;
        session.signature(
            report,
            &place.label,
            &bytes,
            Subject::Archive,
            trusted,
            strictness,
        )?;
        cabinet(report, place, bytes, &content, strictness).map(|()| strictness)
    } else {
        msi(session, report, trusted, place, &content, strictness)
    };
    let strictness = match unpacked {
        Ok(strictness) => strictness,
        Err(error) => {
            report.add(
                "archive-unreadable",
                strictness,
                &place.label,
                format!("{error:#}"),
                "get the file again",
            );
            return Ok(Vec::new());
        }
    };
    let packages = folder::check(session, report, trusted, &content, strictness, depth)?;
    if report.counts.packages == before.packages {
        report.add(
            "archive-empty",
            strictness,
            &place.label,
            "there is no driver package in it",
            "look whether it is the right file",
        );
    }
    Ok(packages)
}

fn iso(report: &mut Report, place: &Place, content: &Place, strictness: Strictness) -> Result<()> {
    winpv_inject::package::extract(&place.path, &content.path)?;
    let root = content.path.canonicalize()?;
    remove_links(report, place, &root, &content.path, strictness)
}

/// Removes links that Rock Ridge brought along and that lead out of the ISO: they would be read as if they were in it.
fn remove_links(
    report: &mut Report,
    place: &Place,
    root: &Path,
    folder: &Path,
    strictness: Strictness,
) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            remove_links(report, place, root, &path, strictness)?;
        } else if kind.is_symlink() && !path.canonicalize().is_ok_and(|to| to.starts_with(root)) {
            let name = path.strip_prefix(root).unwrap_or(&path);
            outside(report, place, &name.display().to_string(), strictness);
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn cabinet(
    report: &mut Report,
    place: &Place,
    bytes: Vec<u8>,
    content: &Place,
    strictness: Strictness,
) -> Result<()> {
    let mut cabinet = cab::Cabinet::new(Cursor::new(bytes))?;
    let names: Vec<String> = cabinet
        .folder_entries()
        .flat_map(|folder| folder.file_entries())
        .map(|file| file.name().to_owned())
        .collect();
    for name in names {
        let Some(path) = inside(&content.path, &name) else {
            outside(report, place, &name, strictness);
            continue;
        };
        let mut bytes = Vec::new();
        let mut file = cabinet.read_file(&name).with_context(|| name.clone())?;
        file.read_to_end(&mut bytes).with_context(|| name.clone())?;
        write(&path, &bytes)?;
    }
    Ok(())
}

/// Unpacks the files that an MSI installs, in the folders in which it puts them.
fn msi(
    session: &Session<'_>,
    report: &mut Report,
    trusted: Trusted<'_>,
    place: &Place,
    content: &Place,
    strictness: Strictness,
) -> Result<Strictness> {
    let bytes = place.read()?;
    let mut msi = Msi::open(&bytes)?;
    let strictness = match msi.property("Manufacturer") {
        Some(PROVIDER) => Strictness::Ours,
        _ => strictness,
    };
    session.signature(
        report,
        &place.label,
        &bytes,
        Subject::Archive,
        trusted,
        strictness,
    )?;
    for problem in winpv_msi::check::check(&bytes)? {
        report.add(
            "msi-tables",
            strictness,
            &place.label,
            problem,
            "correct the tables",
        );
    }
    for row in msi.rows("Binary").to_vec() {
        let name = text(&row, "Name");
        let program = msi.stream(&format!("Binary.{name}"))?;
        if program.starts_with(b"MZ") {
            let label = place.join(&format!("Binary.{name}")).label;
            session.signature(
                report,
                &label,
                &program,
                Subject::Image,
                trusted,
                strictness,
            )?;
        }
    }
    let mut weakest = Some(Trust::Whcp);
    for row in msi.rows("File").to_vec() {
        let long = text(&row, "FileName")
            .rsplit('|')
            .next()
            .unwrap_or_default();
        let name = format!("{}/{long}", directory(&msi, text(&row, "Component_"))?);
        match inside(&content.path, &name) {
            Some(path) => {
                let bytes = msi.file(text(&row, "File"))?;
                if name.to_lowercase().ends_with(".sys") {
                    // One whose signature says nothing is told of with the package, and then there is nothing to compare with.
                    weakest = weakest
                        .zip(trust::classify(&bytes).ok())
                        .map(|(a, b)| a.min(b));
                }
                write(&path, &bytes)?;
            }
            None => outside(report, place, &name, strictness),
        }
    }
    if let Some(weakest) = weakest
        && msi.property("Manufacturer") == Some(PROVIDER)
    {
        for problem in stamp::check(&msi, weakest) {
            let mend = "make the MSI again from these packages, with winpv build";
            report.add("msi-class", strictness, &place.label, problem, mend);
        }
    }
    Ok(strictness)
}

/// The folder of a component, below the one that the user chooses. MS: "Directory Table".
fn directory(msi: &Msi, component: &str) -> Result<String> {
    let rows = msi.rows("Component");
    let component = rows.iter().find(|row| text(row, "Component") == component);
    let mut at = text(component.context("a file of no component")?, "Directory_").to_owned();
    let mut path = Vec::new();
    loop {
        let rows = msi.rows("Directory");
        let row = rows.iter().find(|row| text(row, "Directory") == at);
        let row = row.with_context(|| format!("no folder {at}"))?;
        let parent = text(row, "Directory_Parent");
        if parent.is_empty() || parent == at {
            break;
        }
        // `short|long:short|long`: where it is installed, and where it lies in the source.
        let target = text(row, "DefaultDir")
            .split(':')
            .next()
            .unwrap_or_default();
        let long = target.rsplit('|').next().unwrap_or_default();
        if long != "." {
            path.push(long.to_owned());
        }
        at = parent.to_owned();
        if path.len() > rows.len() {
            bail!("its folders go round in a circle");
        }
    }
    path.reverse();
    Ok(path.join("/"))
}

/// Where a member goes; None if its path leads out of the folder.
pub(super) fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for part in name
        .split(['/', '\\'])
        .filter(|part| !part.is_empty() && *part != ".")
    {
        if part == ".." || part.contains(':') {
            return None;
        }
        path.push(part);
    }
    (path != folder).then_some(path)
}

fn outside(report: &mut Report, place: &Place, name: &str, strictness: Strictness) {
    report.add(
        "archive-path",
        strictness,
        &place.label,
        format!("{name:?} leads out of it"),
        "do not use it: who made it meant harm",
    );
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
