//! Follows an INF as setup does: manufacturers, models, installs and every section that those lead to.

use std::collections::{BTreeSet, VecDeque};

use crate::target::{Build, Range, Target};
use crate::{Entry, Inf, Pos, Section};

pub use crate::roles::{COMPANIONS, Home, Role, is_well_known};
use crate::roles::{LINKS, Which};

/// A models section that a `[Manufacturer]` line names.
#[derive(Debug)]
pub struct Models<'a> {
    /// The section's full name.
    pub name: String,
    /// Where the decoration, or without one the name, is written.
    pub at: Pos,
    /// The decoration; None if it is malformed.
    pub target: Option<Target>,
    /// On which Windows it is used.
    pub range: Range,
    /// Its processor.
    pub arch: String,
    /// The section, if it is there.
    pub section: Option<&'a Section>,
}

impl Models<'_> {
    /// Lines of the section that name devices.
    pub fn devices(&self) -> impl Iterator<Item = &Entry> {
        self.section
            .into_iter()
            .flat_map(|section| &section.entries)
    }
}

/// An install section, as one processor's setup finds it.
#[derive(Debug)]
pub struct Install {
    /// Its name with the platform extension that applies.
    pub name: String,
    /// The processor.
    pub arch: String,
    /// On which Windows it is used.
    pub ranges: Vec<Range>,
    /// Where a device first names it.
    pub at: Pos,
}

impl Install {
    /// The first Windows that uses it.
    #[must_use]
    pub fn first(&self) -> crate::target::Build {
        let first = self.ranges.iter().map(|range| range.from).min();
        first.unwrap_or(crate::target::Build::OLDEST)
    }

    /// Some Windows at or after this build uses it.
    #[must_use]
    pub fn reaches(&self, build: crate::target::Build) -> bool {
        self.ranges.iter().any(|range| range.reaches(build))
    }

    /// Some Windows can use both.
    #[must_use]
    pub fn overlaps(&self, other: &Install) -> bool {
        let ranges = |range: &Range| other.ranges.iter().any(|other| range.overlaps(other));
        self.arch == other.arch && self.ranges.iter().any(ranges)
    }
}

/// A section in one of its uses.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The section.
    pub section: &'a Section,
    /// What it is used for.
    pub role: Role,
    /// Index of the install it belongs to; None for class installation.
    pub install: Option<usize>,
}

/// A section that a directive names.
#[derive(Clone, Debug)]
pub struct Link {
    /// The directive.
    pub directive: String,
    /// The named section.
    pub target: String,
    /// Where the name is written.
    pub at: Pos,
}

/// An INF as setup sees it.
#[derive(Debug)]
pub struct Package<'a> {
    /// The file.
    pub inf: &'a Inf,
    /// Every models section that is named.
    pub models: Vec<Models<'a>>,
    /// Every install section that devices lead to, once a processor.
    pub installs: Vec<Install>,
    /// Every section in each of its uses.
    pub parts: Vec<Part<'a>>,
    /// Every naming of a section by a directive.
    pub links: Vec<Link>,
}

impl<'a> Package<'a> {
    /// Follows everything.
    #[must_use]
    pub fn new(inf: &'a Inf) -> Package<'a> {
        let models = models(inf);
        let installs = installs(inf, &models);
        let mut package = Package {
            inf,
            models,
            installs,
            parts: Vec::new(),
            links: Vec::new(),
        };
        package.follow();
        package
    }

    /// The parts with this role.
    pub fn parts(&self, role: Role) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().filter(move |part| part.role == role)
    }

    /// The parts of one install with this role.
    pub fn of(&self, install: usize, role: Role) -> impl Iterator<Item = &Part<'a>> {
        self.parts(role)
            .filter(move |part| part.install == Some(install))
    }

    fn follow(&mut self) {
        let mut open: VecDeque<Part<'a>> = VecDeque::new();
        for (index, install) in self.installs.iter().enumerate() {
            for (suffix, role) in COMPANIONS {
                if let Some(section) = self.inf.section(&format!("{}{suffix}", install.name)) {
                    open.push_back(Part {
                        section,
                        role,
                        install: Some(index),
                    });
                }
            }
        }
        for section in &self.inf.sections {
            let name = section.name.to_lowercase();
            if name == "classinstall32" || name.starts_with("classinstall32.") {
                let role = if name.ends_with(".services") {
                    Role::Services
                } else {
                    Role::Class
                };
                open.push_back(Part {
                    section,
                    role,
                    install: None,
                });
            }
        }
        let mut seen = BTreeSet::new();
        let mut linked = BTreeSet::new();
        while let Some(part) = open.pop_front() {
            if !seen.insert((part.section.start(), part.role, part.install)) {
                continue;
            }
            self.parts.push(part);
            for (link, role) in links(self.inf, &part) {
                if let Some(section) = self.inf.section(&link.target) {
                    open.push_back(Part {
                        section,
                        role,
                        install: part.install,
                    });
                }
                if linked.insert((link.at, link.target.clone())) {
                    self.links.push(link);
                }
            }
            // Needs is as if the named section's lines stood here. MS: inf-ddinstall-section.
            for name in part.section.all("Needs").flat_map(|entry| &entry.values) {
                if let Some(section) = self.inf.section(&self.inf.text(name)) {
                    open.push_back(Part { section, ..part });
                }
            }
        }
    }
}

/// Every section that a section names, and what for.
fn links(inf: &Inf, part: &Part<'_>) -> Vec<(Link, Role)> {
    let mut found = Vec::new();
    for entry in &part.section.entries {
        let rows = LINKS.iter().filter(|(roles, directive, ..)| {
            roles.contains(&part.role) && crate::same(directive, entry.name())
        });
        for (_, directive, which, role) in rows {
            let fields = match which {
                Which::All => entry.values.iter().collect(),
                Which::At(index) => Vec::from_iter(entry.values.get(*index)),
            };
            for field in fields {
                let target = inf.text(field);
                // `CopyFiles = @file` names a file.
                if !target.is_empty() && !target.starts_with('@') {
                    let link = Link {
                        directive: (*directive).to_owned(),
                        target,
                        at: field.at,
                    };
                    found.push((link, *role));
                }
            }
        }
    }
    found
}

/// The models sections, each with the Windows versions for which setup takes it.
fn models(inf: &Inf) -> Vec<Models<'_>> {
    let mut all = Vec::new();
    for entry in inf
        .section("Manufacturer")
        .into_iter()
        .flat_map(|s| &s.entries)
    {
        let Some(first) = entry.values.first() else {
            continue;
        };
        let base = inf.text(first);
        // An undecorated section is the last resort, and on 64-bit Windows none at all.
        let mut line = vec![(base.clone(), first.at, Some(Target::default()))];
        for decoration in entry.values.iter().skip(1) {
            let text = inf.text(decoration);
            if !text.is_empty() {
                line.push((
                    format!("{base}.{text}"),
                    decoration.at,
                    Target::parse(&text),
                ));
            }
        }
        if line.len() > 1 && inf.section(&base).is_none() {
            line.remove(0);
        }
        let targets: Vec<Target> = line
            .iter()
            .filter_map(|(.., target)| target.clone())
            .collect();
        for (name, at, target) in line {
            let own = target.clone().unwrap_or_default();
            let to = newer(&own, targets.iter());
            all.push(Models {
                section: inf.section(&name),
                name,
                at,
                range: Range {
                    from: own.first(),
                    to,
                },
                arch: own.arch.clone(),
                target,
            });
        }
    }
    all
}

fn installs(inf: &Inf, models: &[Models<'_>]) -> Vec<Install> {
    let mut all: Vec<Install> = Vec::new();
    let mut add = |name: String, arch: &str, range: Range, at: Pos| {
        let known = all
            .iter_mut()
            .find(|install| install.arch == arch && crate::same(&install.name, &name));
        match known {
            Some(install) if !install.ranges.contains(&range) => install.ranges.push(range),
            Some(_) => {}
            None => all.push(Install {
                name,
                arch: arch.to_owned(),
                ranges: vec![range],
                at,
            }),
        }
    };
    for models in models {
        for device in models.devices() {
            if let Some(field) = device.value(0)
                && let Some(section) = actual(inf, &inf.text(field), &models.arch)
            {
                add(section.name.clone(), &models.arch, models.range, field.at);
            }
        }
    }
    // [DefaultInstall] is installed without a device. MS: inf-defaultinstall-section.
    let defaults: Vec<(&Section, Target)> = inf
        .sections
        .iter()
        .filter_map(|section| Some((section, default_install(&section.name)?)))
        .collect();
    for (section, target) in &defaults {
        let to = newer(target, defaults.iter().map(|(_, other)| other));
        let range = Range {
            from: target.first(),
            to,
        };
        add(section.name.clone(), &target.arch, range, section.start());
    }
    all
}

/// Of sections for one processor the newest that is not too new is taken: where the next one takes over. MS:
/// combining-platform-extensions-with-operating-system-versions.
fn newer<'t>(own: &Target, all: impl Iterator<Item = &'t Target>) -> Option<Build> {
    all.filter(|other| other.arch == own.arch && other.first() > own.first())
        .map(Target::first)
        .min()
}

/// The decoration of `[DefaultInstall]`; None for its companions and for other sections.
fn default_install(name: &str) -> Option<Target> {
    let rest = name.to_lowercase();
    match rest.strip_prefix("defaultinstall")? {
        "" => Some(Target::default()),
        rest => Target::parse(rest.strip_prefix('.')?),
    }
}

/// The install section that setup takes on a processor. MS: creating-inf-files-for-multiple-platforms-and-operating-systems.
#[must_use]
pub fn actual<'a>(inf: &'a Inf, name: &str, arch: &str) -> Option<&'a Section> {
    let decorated = (!arch.is_empty()).then(|| format!("{name}.NT{arch}"));
    decorated
        .and_then(|name| inf.section(&name))
        .or_else(|| inf.section(&format!("{name}.NT")))
        .or_else(|| inf.section(name))
}
