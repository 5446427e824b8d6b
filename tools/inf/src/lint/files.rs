//! Rules about what is copied where. MS: inf-copyfiles-directive, inf-destinationdirs-section, inf-sourcedisksfiles-section,
//! run-from-driver-store.

use std::collections::{BTreeMap, BTreeSet};

use super::Lint;
use crate::files::{Copied, below, copied, destination, disk, folder, source};
use crate::same;
use crate::target::Build;
use crate::walk::Role;

/// The driver store.
pub(super) const STORE: i64 = 13;

/// Directory ids that are no longer allowed since Windows 11 24H2. MS: using-dirids, Release Deprecated.
const DEPRECATED: [i64; 21] = [
    -1, 1, 17, 18, 20, 21, 24, 25, 30, 50, 53, 54, 16406, 16407, 16408, 16409, 16415, 16419, 16429,
    16430, 65535,
];

pub(super) fn check(lint: &mut Lint<'_>) {
    let copied = copied(&lint.package);
    for file in &copied {
        destinations(lint, file);
        sources(lint, file);
    }
    conflicts(lint, &copied);
    listed(lint, &copied);
    dirids(lint);
    store_only(lint);
}

fn destinations(lint: &mut Lint<'_>, file: &Copied) {
    let install = &lint.package.installs[file.install];
    let (name, ranges) = (install.name.clone(), install.ranges.clone());
    let isolated = lint.isolated(install);
    let first = install.first();
    let Some(dirid) = file.dirid else {
        return lint.report(
            "INF309",
            file.at,
            format!("{}: [DestinationDirs] says not where to copy it", file.name),
            "add an entry for the section, or DefaultDestDir = 13",
        );
    };
    if isolated && dirid != STORE {
        lint.report(
            "INF301",
            file.at,
            format!("{} is copied to %{dirid}% on {}", file.name, ranges[0]),
            format!("run it from the driver store: DIRID 13 in [DestinationDirs], in models from build 16299 on if [{name}] must also serve older Windows"),
        );
    }
    if dirid == STORE && first < Build::RUNS_FROM_STORE {
        lint.report(
            "INF302",
            file.at,
            format!("{} is run from the driver store, but [{name}] is also for {first}", file.name),
            "decorate these models with NTarch.10.0...16299, and give older Windows models of their own with DIRID 12",
        );
    }
    // MS: manufacturer-section-in-a-network-inf-file: classes that the network configuration interfaces install.
    if lint.is_network_component() && dirid == STORE && first < Build(10, 0, 25319) {
        lint.report(
            "INF303",
            file.at,
            format!("network components run from the driver store from build 25319 on, but [{name}] is also for {first}"),
            "give older Windows models of their own: NTarch and NTarch.10.0...25319",
        );
    }
}

fn sources(lint: &mut Lint<'_>, file: &Copied) {
    let inf = lint.inf();
    let arch = lint.package.installs[file.install].arch.clone();
    let ending = file.source.to_lowercase();
    if ending.ends_with(".cat") || ending.ends_with(".inf") {
        return lint.report(
            "INF313",
            file.at,
            format!("{} is copied", file.source),
            "remove it: Windows copies the INF and its catalog by itself",
        );
    }
    let Some((_, entry)) = source(inf, &file.source, &arch) else {
        return lint.report(
            "INF304",
            file.at,
            format!(
                "{} is not in [SourceDisksFiles] for {}",
                file.source,
                or_all(&arch)
            ),
            format!("add {} = 1", file.source),
        );
    };
    let id = entry
        .value(0)
        .map(|field| inf.text(field))
        .unwrap_or_default();
    let Some(path) = disk(inf, &id, &arch) else {
        return lint.report(
            "INF307",
            entry.at,
            format!("disk {id:?} is not in [SourceDisksNames]"),
            "add it, or correct the number",
        );
    };
    let subfolder = entry
        .value(1)
        .map(|field| inf.text(field))
        .unwrap_or_default();
    let from = below(&path, &subfolder);
    if file.dirid == Some(STORE) {
        if !same(&file.name, &file.source) {
            lint.report(
                "INF305",
                file.at,
                format!("{} is renamed to {}", file.source, file.name),
                "keep the name: a file that runs from the driver store is not copied",
            );
        }
        if from != folder(&file.folder) {
            lint.report(
                "INF305",
                file.at,
                format!(
                    "{} lies in {from:?} of the package, but is sent to {:?}",
                    file.source, file.folder
                ),
                "give [SourceDisksFiles] and [DestinationDirs] the same folder",
            );
        }
    }
    present(lint, file, &from);
}

fn or_all(arch: &str) -> &str {
    if arch.is_empty() {
        "any processor"
    } else {
        arch
    }
}

fn present(lint: &mut Lint<'_>, file: &Copied, from: &str) {
    let Some(present) = &lint.options.present else {
        return;
    };
    let wanted = folder(&format!("{from}\\{}", file.source)).replace('\\', "/");
    if !present(&wanted) {
        lint.report(
            "INF306",
            file.at,
            format!("{wanted} is not in the package"),
            "put it there, or correct the name",
        );
    }
}

/// Two installs that one Windows can use copy different files to one place.
fn conflicts(lint: &mut Lint<'_>, copied: &[Copied]) {
    let mut places: BTreeMap<(Option<i64>, String), Vec<&Copied>> = BTreeMap::new();
    for file in copied {
        let place = folder(&format!("{}\\{}", file.folder, file.name));
        places.entry((file.dirid, place)).or_default().push(file);
    }
    for files in places.values() {
        for (index, second) in files.iter().enumerate() {
            let conflict = files[..index].iter().find(|first| {
                let installs = &lint.package.installs;
                !same(&first.source, &second.source)
                    && installs[first.install].overlaps(&installs[second.install])
            });
            if let Some(first) = conflict {
                let message = format!(
                    "{} and {} are both copied to {}",
                    first.source, second.source, second.name
                );
                lint.report(
                    "INF310",
                    second.at,
                    message,
                    "give the two different names at the destination",
                );
            }
        }
    }
}

/// What `[SourceDisksFiles]` lists.
fn listed(lint: &mut Lint<'_>, copied: &[Copied]) {
    let inf = lint.inf();
    for section in &inf.sections {
        let name = section.name.to_lowercase();
        if name != "sourcedisksfiles" && !name.starts_with("sourcedisksfiles.") {
            continue;
        }
        let mut own = BTreeSet::new();
        for entry in &section.entries {
            let file = entry.name().to_lowercase();
            if !own.insert(file.clone()) {
                lint.report(
                    "INF311",
                    entry.at,
                    format!("{file} is listed twice"),
                    "give every file of the package a name of its own",
                );
                continue;
            }
            if file.ends_with(".cat") || file.ends_with(".inf") {
                lint.report(
                    "INF313",
                    entry.at,
                    format!("{file} is listed"),
                    "remove it: Windows copies the INF and its catalog by itself",
                );
            } else if file.ends_with('_') {
                lint.report(
                    "INF314",
                    entry.at,
                    format!("{file} is the name of a compressed file"),
                    "list the name that the file has after unpacking",
                );
            } else if !copied.iter().any(|copied| same(&copied.source, &file)) {
                lint.report(
                    "INF308",
                    entry.at,
                    format!("{file} is listed, but no CopyFiles copies it"),
                    "copy it, or remove the line: only copied files become part of the package",
                );
            }
        }
    }
}

fn dirids(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    for entry in inf
        .section("DestinationDirs")
        .into_iter()
        .flat_map(|section| &section.entries)
    {
        let Some(field) = entry.value(0) else {
            continue;
        };
        match inf.text(field).trim().parse::<i64>() {
            Err(_) => lint.report(
                "INF315",
                field.at,
                format!("{:?} is not a directory id", field.text),
                "write the number alone, for example 13",
            ),
            Ok(id) if DEPRECATED.contains(&id) => lint.report(
                "INF315",
                field.at,
                format!("directory id {id} is no longer allowed"),
                "run the files from the driver store: DIRID 13",
            ),
            Ok(_) => {}
        }
    }
}

/// What cannot be done with files that run from the driver store. MS: using-dirids, 13; inf-validation-errors-and-warnings, 1101, 1102.
fn store_only(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    for role in [Role::DelFiles, Role::RenFiles] {
        for part in lint.parts(role) {
            if destination(inf, &part.section.name).0 == Some(STORE) {
                lint.report(
                    "INF312",
                    part.section.start(),
                    format!(
                        "[{}] deletes or renames files in the driver store",
                        part.section.name
                    ),
                    "remove it: Windows removes the package's files with the package",
                );
            }
        }
    }
    for part in lint.parts(Role::Files) {
        let security = inf.section(&format!("{}.security", part.section.name));
        if let Some(security) = security
            && destination(inf, &part.section.name).0 == Some(STORE)
        {
            lint.report(
                "INF312",
                security.start(),
                "a security descriptor for files in the driver store",
                "remove the section",
            );
        }
    }
}
