//! Rules about `[Manufacturer]` and the models sections. MS: inf-manufacturer-section, inf-models-section.

use std::collections::BTreeSet;

use super::Lint;
use crate::target::Build;
use crate::walk::{COMPANIONS, actual};
use crate::{Pos, Section};

pub(super) fn check(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    let default: Option<&Section> = inf.sections.iter().find(|section| {
        let name = section.name.to_lowercase();
        name == "defaultinstall" || name.starts_with("defaultinstall.")
    });
    match (inf.section("Manufacturer"), default) {
        (None, None) => lint.report(
            "INF201",
            Pos::START,
            "there is no [Manufacturer] section: the INF installs nothing",
            "add one that names a models section",
        ),
        (Some(_), Some(default)) => lint.report(
            "INF202",
            default.start(),
            "[DefaultInstall] beside [Manufacturer]",
            "put what installs without a device into an INF of its own",
        ),
        (Some(section), None) => manufacturer(lint, section),
        // A primitive driver has no models.
        (None, Some(_)) => return,
    }
    decorations(lint);
    devices(lint);
}

fn manufacturer(lint: &mut Lint<'_>, section: &Section) {
    for entry in &section.entries {
        let decorated = entry.values.iter().skip(1).any(|field| {
            let target = crate::target::Target::parse(&lint.inf().text(field));
            // A malformed one has its own rule.
            target.is_none_or(|target| !target.arch.is_empty())
        });
        if entry.value(0).is_none() {
            lint.report(
                "INF201",
                entry.at,
                "the entry names no models section",
                "write %Manufacturer% = SECTION,NTamd64.10.0...16299",
            );
        } else if !decorated {
            lint.report(
                "INF203",
                entry.at,
                "the models are for no processor: 64-bit Windows does not take them",
                "decorate them, for example with NTamd64.10.0...16299",
            );
        }
    }
}

fn decorations(lint: &mut Lint<'_>) {
    for index in 0..lint.package.models.len() {
        let models = &lint.package.models[index];
        let (at, name) = (models.at, models.name.clone());
        let Some(target) = models.target.clone() else {
            let decoration = name
                .split_once('.')
                .map_or(name.as_str(), |(_, rest)| rest)
                .to_owned();
            lint.report(
                "INF204",
                at,
                format!("{decoration} is not a decoration that Windows can read"),
                "write NTarch.major.minor...build, for example NTamd64.10.0...16299",
            );
            continue;
        };
        if target.build.is_some() && target.first() < Build::DECORATED {
            lint.report(
                "INF205",
                at,
                format!("a build number with {}", target.first()),
                "give build numbers only for 10.0 and from 14310 on: older Windows cannot read them",
            );
        }
        if target.product.is_some() || target.suite.is_some() {
            lint.report(
                "INF206",
                at,
                "the decoration asks for a product type or suite",
                "leave these parts empty: one package serves client and server",
            );
        }
        if ["ia64", "arm"].contains(&target.arch.as_str()) {
            lint.report(
                "INF207",
                at,
                format!("Windows for {} is no longer supported", target.arch),
                "remove these models",
            );
        }
        // MS: creating-inf-files-for-multiple-platforms-and-operating-systems, .ntarm64.
        let range = lint.package.models[index].range;
        if target.arch == "arm64" && !range.reaches(Build::RUNS_FROM_STORE) {
            lint.report(
                "INF212",
                at,
                "Windows for ARM64 starts with build 16299: these models are never used",
                "remove them",
            );
        }
        if lint.package.models[index].section.is_none() {
            lint.report(
                "INF208",
                at,
                format!("[{name}] is missing"),
                "add the section, empty if these Windows versions are to be left out",
            );
        }
    }
}

fn devices(lint: &mut Lint<'_>) {
    let inf = lint.inf();
    let mut any = false;
    for index in 0..lint.package.models.len() {
        let Some(section) = lint.package.models[index].section else {
            continue;
        };
        let arch = lint.package.models[index].arch.clone();
        let mut ids = BTreeSet::new();
        for entry in &section.entries {
            match entry.value(0).map(|field| (field.at, inf.text(field))) {
                None => lint.report(
                    "INF209",
                    entry.at,
                    "the device has no install section",
                    "write %Device% = INSTALL-SECTION,HARDWARE-ID",
                ),
                Some((at, name))
                    if actual(inf, &name, &arch).is_none()
                        && !has_companion(lint, &name, &arch) =>
                {
                    lint.report(
                        "INF209",
                        at,
                        format!("[{name}] is missing"),
                        "add the install section, or correct its name",
                    );
                }
                Some(_) => {}
            }
            for field in entry.values.iter().skip(1) {
                let id = inf.text(field).to_lowercase();
                if id.is_empty() {
                    continue;
                }
                any = true;
                if !ids.insert(id) {
                    lint.report(
                        "INF211",
                        field.at,
                        format!("{} stands twice in [{}]", inf.text(field), section.name),
                        "remove one of the two",
                    );
                }
            }
        }
    }
    let complete = lint
        .package
        .models
        .iter()
        .all(|models| models.section.is_some());
    if !any
        && complete
        && let Some(section) = inf.section("Manufacturer")
    {
        lint.report(
            "INF210",
            section.start(),
            "no model has a hardware id: the INF installs on no device",
            "write %Device% = INSTALL-SECTION,HARDWARE-ID",
        );
    }
}

/// A class such as Monitor may do with companions alone.
fn has_companion(lint: &Lint<'_>, name: &str, arch: &str) -> bool {
    COMPANIONS.iter().any(|(suffix, _)| {
        [format!(".NT{arch}"), ".NT".to_owned(), String::new()]
            .iter()
            .any(|extension| {
                let name = format!("{name}{extension}{suffix}");
                lint.inf().section(&name).is_some()
            })
    })
}
