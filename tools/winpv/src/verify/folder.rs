//! A folder with driver packages: a pack of WinPV, another vendor's, or what was in an archive.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::anchors::Anchors;
use super::find::{self, Place};
use super::package::{self, Package};
use super::report::{Report, Strictness};
use super::{Session, Trusted, archive};
use crate::pack::{MANIFEST, NAME, SUMS, hex};

/// Archives in archives in archives are not looked into.
const DEPTH: usize = 3;

/// Programs that a package's catalog must vouch for.
const PROGRAMS: [&str; 4] = ["sys", "dll", "exe", "cat"];

/// What tells two packages of one INF and processor apart: the digest of each file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    label: String,
    /// The INF's name and the processor.
    name: (String, String),
    files: BTreeMap<String, [u8; 32]>,
}

/// Checks a folder that the user named.
///
/// # Errors
///
/// There is nothing to check in it.
pub fn named(session: &Session<'_>, report: &mut Report, folder: &Place) -> Result<()> {
    let before = report.counts;
    check(session, report, None, folder, session.strictness(), 0)?;
    if report.counts == before {
        bail!(
            "there is no driver package in {}: name the folder of a pack or of driver packages",
            folder.label
        );
    }
    Ok(())
}

/// Checks everything in a folder and returns the packages that lie in it, those in archives not among them.
pub fn check(
    session: &Session<'_>,
    report: &mut Report,
    trusted: Trusted<'_>,
    folder: &Place,
    strictness: Strictness,
    depth: usize,
) -> Result<Vec<Identity>> {
    let own = match (&session.given, trusted) {
        (None, None) => Anchors::of_pack(folder, session.scratch)?,
        _ => None,
    };
    if let Some(own) = &own {
        report.trusted.extend(own.from.iter().cloned());
    }
    let trusted = session.given.as_ref().or(trusted).or(own.as_ref());
    let files = find::files(folder)?;
    let manifest = manifest(folder);
    let strictness = match &manifest {
        Some(manifest) if manifest["name"] == NAME => Strictness::Ours,
        _ => strictness,
    };
    sums(report, folder, &files, strictness)?;
    if let Some(manifest) = manifest.filter(|manifest| manifest["name"] == NAME) {
        described(report, folder, &files, &manifest)?;
    }
    let mut packages = Vec::new();
    for file in files.iter().filter(|file| file.has_ending("inf")) {
        packages.extend(package::read(session, report, file, strictness)?);
    }
    package::check(session, report, trusted, &packages)?;
    unlisted(report, &files, &packages, strictness);
    let own = identities(&packages)?;
    for file in files.iter().filter(|file| archive::is_one(file)) {
        if depth == DEPTH {
            report.add(
                "archive-unreadable",
                strictness,
                &file.label,
                "it lies in too many archives",
                "check it alone",
            );
            continue;
        }
        let inside = archive::check(session, report, trusted, file, strictness, depth + 1)?;
        if strictness == Strictness::Ours {
            differing(report, &own, &inside);
        }
    }
    Ok(own)
}

fn manifest(folder: &Place) -> Option<Value> {
    serde_json::from_slice(&folder.join(MANIFEST).read().ok()?).ok()
}

/// The path below a folder.
fn below<'a>(folder: &Place, file: &'a Place) -> &'a str {
    let label = file.label.strip_prefix(folder.label.trim_end_matches('/'));
    label.unwrap_or(&file.label).trim_start_matches('/')
}

/// SHA256SUMS, as sha256sum(1) writes it, if there is one.
fn sums(
    report: &mut Report,
    folder: &Place,
    files: &[Place],
    strictness: Strictness,
) -> Result<()> {
    let list = folder.join(SUMS);
    if !list.path.is_file() {
        return Ok(());
    }
    let text = list.read()?;
    let text = String::from_utf8_lossy(&text);
    let mut listed = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let Some((sum, path)) = line.split_once(' ') else {
            report.add(
                "sum-wrong",
                strictness,
                &list.label,
                format!("{line:?} is no digest and path"),
                "make the list again with sha256sum",
            );
            continue;
        };
        let path = path.trim_start_matches([' ', '*']);
        listed.insert(path.to_owned());
        let Some(file) = files.iter().find(|file| below(folder, file) == path) else {
            report.add(
                "sum-gone",
                strictness,
                &list.label,
                format!("it names {path}, which is not there"),
                "get the whole pack again",
            );
            continue;
        };
        if !hex(&Sha256::digest(file.read()?)).eq_ignore_ascii_case(sum) {
            report.add(
                "sum-wrong",
                strictness,
                &file.label,
                format!("its digest is not the one in {SUMS}"),
                "get the file again",
            );
        }
    }
    for file in files {
        let path = below(folder, file);
        if path != SUMS && !listed.contains(path) {
            report.add(
                "sum-unlisted",
                strictness,
                &file.label,
                format!("{SUMS} does not name it"),
                "remove it, or make the list again",
            );
        }
    }
    Ok(())
}

/// The manifest of one of our packs: every file but itself, the sums and the ISO, with size and digest. It lies on the ISO as
/// well, where it says which file of the pack each file there is.
fn described(report: &mut Report, folder: &Place, files: &[Place], manifest: &Value) -> Result<()> {
    let label = folder.join(MANIFEST).label;
    let mut wrong = |label: &str, message: String| {
        report.add(
            "manifest-wrong",
            Strictness::Ours,
            label,
            message,
            "get the whole pack again",
        );
    };
    let own: BTreeMap<&str, &Value> = manifest["files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry["path"].as_str()?, entry)))
        .collect();
    // The sums are in the pack's folder only.
    let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
    if files.iter().any(|file| below(folder, file) == SUMS) {
        wanted.extend(own.keys().map(|path| (*path, *path)));
    } else {
        wanted.extend(on_iso(manifest));
    }
    let iso = manifest["iso"]["path"].as_str().unwrap_or_default();
    for (path, from) in &wanted {
        let Some(file) = files.iter().find(|file| below(folder, file) == *path) else {
            wrong(&label, format!("it names {path:?}, which is not there"));
            continue;
        };
        let Some(entry) = own.get(from) else {
            if *from != MANIFEST {
                wrong(&label, format!("it does not describe {from:?}"));
            }
            continue;
        };
        let bytes = file.read()?;
        let size = u64::try_from(bytes.len()).context("size")?;
        if entry["size"].as_u64() != Some(size) {
            wrong(&label, format!("{path} has another size than it says"));
        } else if entry["sha256"].as_str() != Some(&hex(&Sha256::digest(&bytes))) {
            wrong(&label, format!("{path} has another digest than it says"));
        }
    }
    for file in files {
        let path = below(folder, file);
        if ![SUMS, MANIFEST, iso].contains(&path) && !wanted.contains_key(path) {
            wrong(&label, format!("it does not name {path}"));
        }
    }
    Ok(())
}

/// What lies on the ISO, and which file of the pack it is.
fn on_iso(manifest: &Value) -> impl Iterator<Item = (&str, &str)> {
    let entries = manifest["iso"]["files"].as_array().into_iter().flatten();
    entries.filter_map(|entry| Some((entry["path"].as_str()?, entry["from"].as_str()?)))
}

/// Programs and catalogs that lie beside an INF and belong to no package.
fn unlisted(report: &mut Report, files: &[Place], packages: &[Package], strictness: Strictness) {
    let mut known = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for package in packages {
        known.extend(package.files.iter().map(|(_, file)| file.path.clone()));
        known.extend(package.catalog.iter().map(|catalog| catalog.path.clone()));
        folders.insert(package.inf.parent().path);
    }
    for file in files {
        let is_program = PROGRAMS.iter().any(|ending| file.has_ending(ending));
        if is_program && folders.contains(&file.parent().path) && !known.contains(&file.path) {
            report.add(
                "file-unlisted",
                strictness,
                &file.label,
                "no INF beside it copies it or names it",
                "remove it, or list it in the INF",
            );
        }
    }
}

fn identities(packages: &[Package]) -> Result<Vec<Identity>> {
    let mut all = Vec::new();
    for package in packages {
        let mut files = BTreeMap::new();
        let catalog = package
            .catalog
            .iter()
            .filter(|catalog| catalog.path.is_file());
        for file in package.files.iter().map(|(_, file)| file).chain(catalog) {
            files.insert(
                file.name().to_lowercase(),
                Sha256::digest(file.read()?).into(),
            );
        }
        all.push(Identity {
            label: package.inf.label.clone(),
            name: (package.inf.name().to_lowercase(), package.arch.clone()),
            files,
        });
    }
    Ok(all)
}

/// A package in an archive that the folder has as well must be the same.
fn differing(report: &mut Report, own: &[Identity], inside: &[Identity]) {
    for package in inside {
        let mut same = own.iter().filter(|own| own.name == package.name).peekable();
        if same.peek().is_some() && same.all(|own| own.files != package.files) {
            report.add(
                "pack-differs",
                Strictness::Ours,
                &package.label,
                "it is not the package of that name and processor in the folder of the pack",
                "build the pack again",
            );
        }
    }
}
