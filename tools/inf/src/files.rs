//! What an INF copies, and where in its package each file lies. MS: inf-copyfiles-directive, inf-destinationdirs-section,
//! inf-sourcedisksfiles-section.

use std::fs;
use std::path::{Path, PathBuf};

use crate::walk::{Package, Role};
use crate::{Entry, Inf, Pos, Section, number, same};

/// A file that an install copies.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Name at the destination.
    pub name: String,
    /// Name in the package.
    pub source: String,
    /// Where it is written.
    pub at: Pos,
    /// The destination's directory id.
    pub dirid: Option<i64>,
    /// The folder below it.
    pub folder: String,
    /// Index of the install.
    pub install: usize,
}

/// Every file that every install copies.
#[must_use]
pub fn copied(package: &Package<'_>) -> Vec<Copied> {
    let inf = package.inf;
    let mut all = Vec::new();
    for part in &package.parts {
        let Some(install) = part.install else {
            continue;
        };
        if part.role == Role::Files {
            for entry in &part.section.entries {
                let Some(field) = entry.values.first() else {
                    continue;
                };
                let (dirid, folder) = destination(inf, &part.section.name);
                let source = entry
                    .value(1)
                    .map_or_else(|| inf.text(field), |field| inf.text(field));
                all.push(Copied {
                    name: inf.text(field),
                    source,
                    at: field.at,
                    dirid,
                    folder,
                    install,
                });
            }
        }
        for field in part
            .section
            .all("CopyFiles")
            .flat_map(|entry| &entry.values)
        {
            if let Some(name) = inf.text(field).strip_prefix('@') {
                let (dirid, folder) = destination(inf, "DefaultDestDir");
                all.push(Copied {
                    name: name.to_owned(),
                    source: name.to_owned(),
                    at: field.at,
                    dirid,
                    folder,
                    install,
                });
            }
        }
    }
    all
}

/// Where `[DestinationDirs]` sends the files of a list: the directory id and the folder below it.
pub(crate) fn destination(inf: &Inf, list: &str) -> (Option<i64>, String) {
    let section = inf.section("DestinationDirs");
    let entry = section.and_then(|section| {
        section
            .entry(list)
            .or_else(|| section.entry("DefaultDestDir"))
    });
    let Some(entry) = entry else {
        return (None, String::new());
    };
    let dirid = entry
        .value(0)
        .and_then(|field| inf.text(field).trim().parse().ok());
    let folder = entry
        .value(1)
        .map(|field| inf.text(field))
        .unwrap_or_default();
    (dirid, folder)
}

/// A folder's name for comparison.
pub(crate) fn folder(text: &str) -> String {
    text.replace('/', "\\").trim_matches('\\').to_lowercase()
}

/// Where a source file lies in its package: its path in lower case, folders separated by `/`. None if `[SourceDisksFiles]` or
/// `[SourceDisksNames]` does not say.
#[must_use]
pub fn path_in_package(inf: &Inf, name: &str, arch: &str) -> Option<String> {
    let (_, entry) = source(inf, name, arch)?;
    let text = |at| {
        entry
            .value(at)
            .map(|field| inf.text(field))
            .unwrap_or_default()
    };
    let path = disk(inf, &text(0), arch)?;
    let from = below(&path, &text(1));
    Some(folder(&format!("{from}\\{name}")).replace('\\', "/"))
}

/// The catalog of a processor's files. MS: inf-version-section: CatalogFile.NTarch goes before CatalogFile.NT, and that before
/// CatalogFile.
#[must_use]
pub fn catalog(inf: &Inf, arch: &str) -> Option<String> {
    let keys = [
        format!("CatalogFile.NT{arch}"),
        "CatalogFile.NT".to_owned(),
        "CatalogFile".to_owned(),
    ];
    let mut values = keys.iter().filter_map(|key| inf.value("Version", key));
    values.find(|name| !name.is_empty())
}

/// Files that `[SourceDisksFiles]` lists for a processor, whether or not something copies them.
pub fn listed<'a>(inf: &'a Inf, arch: &str) -> impl Iterator<Item = &'a str> {
    [
        format!("SourceDisksFiles.{arch}"),
        "SourceDisksFiles".to_owned(),
    ]
    .into_iter()
    .filter_map(|section| inf.section(&section))
    .flat_map(|section| section.entries.iter().map(Entry::name))
}

/// Finds a file as Windows does, without regard to case; only the folders on its path are read. `path` is in lower case, folders
/// separated by `/`.
#[must_use]
pub fn locate(folder: &Path, path: &str) -> Option<PathBuf> {
    let (first, rest) = match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut same =
        entries.filter(|entry| entry.file_name().to_string_lossy().to_lowercase() == first);
    match rest {
        Some(rest) => same.find_map(|entry| locate(&entry.path(), rest)),
        None => same.map(|entry| entry.path()).find(|path| path.is_file()),
    }
}

/// A disk's path and the folder below it as one.
pub(crate) fn below(path: &str, folder_below: &str) -> String {
    folder(&format!("{path}\\{folder_below}")).replace("\\\\", "\\")
}

/// The section and entry that describe a source file on a processor.
pub(crate) fn source<'a>(inf: &'a Inf, name: &str, arch: &str) -> Option<(&'a Section, &'a Entry)> {
    [
        format!("SourceDisksFiles.{arch}"),
        "SourceDisksFiles".to_owned(),
    ]
    .iter()
    .filter_map(|section| inf.section(section))
    .find_map(|section| {
        let entry = section
            .entries
            .iter()
            .find(|entry| same(entry.name(), name))?;
        Some((section, entry))
    })
}

/// The folder that `[SourceDisksNames]` gives a disk; None if the disk is not listed.
pub(crate) fn disk(inf: &Inf, id: &str, arch: &str) -> Option<String> {
    [
        format!("SourceDisksNames.{arch}"),
        "SourceDisksNames".to_owned(),
    ]
    .iter()
    .filter_map(|section| inf.section(section))
    .flat_map(|section| &section.entries)
    .find(|entry| {
        let key = entry
            .key
            .as_ref()
            .map(|key| inf.text(key))
            .unwrap_or_default();
        same(&key, id) || (number(&key).is_some() && number(&key) == number(id))
    })
    .map(|entry| {
        entry
            .value(3)
            .map(|field| inf.text(field))
            .unwrap_or_default()
    })
}
