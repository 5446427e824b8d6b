//! Rules about sections and how they refer to each other.

use std::collections::{BTreeMap, BTreeSet};

use super::Lint;
use crate::walk::{COMPANIONS, Role, is_well_known};
use crate::{Inf, Section, same};

pub(super) fn check(lint: &mut Lint<'_>) {
    missing(lint);
    unused(lint);
    two_kinds(lint);
    twice(lint);
    needs(lint);
}

fn missing(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    for link in lint.package.links.clone() {
        if inf.section(&link.target).is_none() {
            let mend = if link.directive == "CopyFiles" {
                "add the section, or write @FILE to copy one file"
            } else {
                "add the section, or correct its name"
            };
            lint.report(
                "INF501",
                link.at,
                format!(
                    "{} names [{}], which is missing",
                    link.directive, link.target
                ),
                mend,
            );
        }
    }
}

/// Sections that nothing leads to.
fn unused(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    let mut used: BTreeSet<String> = inf
        .sections
        .iter()
        .map(|section| section.name.to_lowercase())
        .filter(|name| is_well_known(name))
        .collect();
    used.extend(
        lint.package
            .models
            .iter()
            .map(|models| models.name.to_lowercase()),
    );
    used.extend(
        lint.package
            .parts
            .iter()
            .map(|part| part.section.name.to_lowercase()),
    );
    // Any value of a used section that is the name of a section counts: not every directive that names sections is in the table.
    let mut open: Vec<String> = used.iter().cloned().collect();
    while let Some(name) = open.pop() {
        for entry in inf
            .section(&name)
            .into_iter()
            .flat_map(|section| &section.entries)
        {
            for field in &entry.values {
                let target = inf.text(field).to_lowercase();
                if inf.section(&target).is_some() && used.insert(target.clone()) {
                    open.push(target);
                }
            }
        }
        let security = format!("{name}.security");
        if inf.section(&security).is_some() {
            used.insert(security);
        }
    }
    for section in &inf.sections {
        if !used.contains(&section.name.to_lowercase()) {
            lint.report(
                "INF502",
                section.start(),
                format!("[{}] is used by nothing", section.name),
                unused_mend(inf, section),
            );
        }
    }
}

/// A companion whose install section has another platform extension is not found.
fn unused_mend(inf: &Inf, section: &Section) -> String {
    let name = section.name.to_lowercase();
    for (suffix, _) in COMPANIONS.iter().filter(|(suffix, _)| !suffix.is_empty()) {
        let Some(base) = name.strip_suffix(&suffix.to_lowercase()) else {
            continue;
        };
        let stem = base.split(".nt").next().unwrap_or(base);
        let install = inf.sections.iter().find(|other| {
            let other = other.name.to_lowercase();
            other != base
                && (other == stem
                    || other
                        .strip_prefix(stem)
                        .is_some_and(|rest| rest.starts_with(".nt") && !rest[1..].contains('.')))
        });
        if let Some(install) = install {
            return format!(
                "name it [{}{suffix}]: it must have the platform extension of its install section",
                install.name
            );
        }
    }
    "remove it, or correct the name where it is meant to be used".to_owned()
}

fn two_kinds(lint: &mut Lint<'_>) {
    let mut kinds: BTreeMap<String, Vec<(String, crate::Pos)>> = BTreeMap::new();
    for link in &lint.package.links {
        let uses = kinds.entry(link.target.to_lowercase()).or_default();
        if !uses
            .iter()
            .any(|(directive, _)| same(directive, &link.directive))
        {
            uses.push((link.directive.clone(), link.at));
        }
    }
    for (name, uses) in kinds {
        if let [(first, _), (second, at), ..] = uses.as_slice() {
            lint.report(
                "INF503",
                *at,
                format!("[{name}] is used by {first} and by {second}"),
                "give each directive a section of its own",
            );
        }
    }
}

fn twice(lint: &mut Lint<'_>) {
    for section in &lint.inf().sections {
        if let [first, second, ..] = section.at.as_slice() {
            lint.report(
                "INF506",
                *second,
                format!("[{}] stands already at line {}", section.name, first.line),
                "put the entries into one section: Windows merges the two",
            );
        }
    }
}

/// Include and Needs. MS: inf-validation-errors-and-warnings, 1310 to 1319.
fn needs(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    let own: Vec<_> = lint
        .package
        .parts
        .iter()
        .filter(|part| COMPANIONS.iter().any(|(_, role)| *role == part.role))
        .copied()
        .collect();
    for part in own {
        let included = part
            .section
            .all("Include")
            .any(|entry| !entry.values.is_empty());
        for field in part.section.all("Needs").flat_map(|entry| &entry.values) {
            let name = inf.text(field);
            if name.is_empty() {
                continue;
            }
            let (wanted, found) = (suffix(part.role), name_suffix(&name));
            if wanted != found {
                lint.report(
                    "INF504",
                    field.at,
                    format!(
                        "[{}] needs [{name}], which is of another kind",
                        part.section.name
                    ),
                    if wanted.is_empty() {
                        "name the install section itself here".to_owned()
                    } else {
                        format!("name a section that ends in {wanted}")
                    },
                );
            }
            if !included && inf.section(&name).is_none() {
                lint.report(
                    "INF505",
                    field.at,
                    format!(
                        "[{name}] is not in this INF, and [{}] includes none",
                        part.section.name
                    ),
                    "name the INF that has it with Include in the same section",
                );
            }
        }
    }
}

fn suffix(role: Role) -> &'static str {
    COMPANIONS
        .iter()
        .find(|(_, known)| *known == role)
        .map_or("", |(suffix, _)| suffix)
}

fn name_suffix(name: &str) -> &'static str {
    let name = name.to_lowercase();
    COMPANIONS
        .iter()
        .find(|(suffix, _)| !suffix.is_empty() && name.ends_with(&suffix.to_lowercase()))
        .map_or("", |(suffix, _)| suffix)
}
