//! Follows an INF as setup does: manufacturers, models, installs and every section that those lead to.

use std::collections::{BTreeSet, VecDeque};

use crate::target::{Range, Target};
use crate::{Entry, Inf, Pos, Section, strings};

/// What HKR stands for in a registry section. MS: inf-addreg-directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    /// The device's software key.
    Software,
    /// The device's hardware key.
    Hardware,
    /// The service's key.
    Service,
    /// The event log's key.
    EventLog,
    /// The device interface's key.
    Interface,
    /// The software key, for co-installers.
    CoInstaller,
    /// The setup class's key.
    Class,
}

/// What a section is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the INF reference")]
pub enum Role {
    Install,
    Hw,
    Services,
    CoInstallers,
    Interfaces,
    Events,
    Filters,
    Wdf,
    Com,
    Software,
    Components,
    Wmi,
    LogConfigOverride,
    FactDef,
    Class,
    Service,
    EventLog,
    Interface,
    EventProvider,
    AutoLogger,
    Files,
    DelFiles,
    RenFiles,
    Registry(Home),
    DelRegistry,
    Properties,
    Trigger,
    Kmdf,
    Umdf,
    ComServer,
    /// Some other section that a directive names.
    Other,
}

/// Suffixes of an install section's companions.
pub const COMPANIONS: [(&str, Role); 14] = [
    ("", Role::Install),
    (".HW", Role::Hw),
    (".Services", Role::Services),
    (".CoInstallers", Role::CoInstallers),
    (".Interfaces", Role::Interfaces),
    (".Events", Role::Events),
    (".Filters", Role::Filters),
    (".Wdf", Role::Wdf),
    (".COM", Role::Com),
    (".Software", Role::Software),
    (".Components", Role::Components),
    (".WMI", Role::Wmi),
    (".LogConfigOverride", Role::LogConfigOverride),
    (".FactDef", Role::FactDef),
];

/// Which values of a directive name sections.
#[derive(Clone, Copy)]
enum Which {
    All,
    At(usize),
}
use Which::{All, At};

/// Where a directive may stand, which of its values name sections, and what those are. MS: the page of each directive.
const LINKS: &[(&[Role], &str, Which, Role)] = &[
    (COPYING, "CopyFiles", All, Role::Files),
    (COPYING, "DelFiles", All, Role::DelFiles),
    (COPYING, "RenFiles", All, Role::RenFiles),
    (
        &[Role::Install],
        "AddReg",
        All,
        Role::Registry(Home::Software),
    ),
    (&[Role::Hw], "AddReg", All, Role::Registry(Home::Hardware)),
    (
        &[Role::CoInstallers],
        "AddReg",
        All,
        Role::Registry(Home::CoInstaller),
    ),
    (
        &[Role::Service],
        "AddReg",
        All,
        Role::Registry(Home::Service),
    ),
    (
        &[Role::EventLog],
        "AddReg",
        All,
        Role::Registry(Home::EventLog),
    ),
    (
        &[Role::Interface],
        "AddReg",
        All,
        Role::Registry(Home::Interface),
    ),
    (&[Role::Class], "AddReg", All, Role::Registry(Home::Class)),
    (REGISTRY, "DelReg", All, Role::DelRegistry),
    (REGISTRY, "BitReg", All, Role::Other),
    (
        &[Role::Install, Role::Interface, Role::Class],
        "AddProperty",
        All,
        Role::Properties,
    ),
    (
        &[Role::Install, Role::Interface, Role::Class],
        "DelProperty",
        All,
        Role::Other,
    ),
    (
        &[Role::Install, Role::LogConfigOverride],
        "LogConfig",
        All,
        Role::Other,
    ),
    (&[Role::Install], "ProfileItems", All, Role::Other),
    (&[Role::Install], "UpdateInis", All, Role::Other),
    (&[Role::Install], "UpdateIniFields", All, Role::Other),
    (&[Role::Install], "Ini2Reg", All, Role::Other),
    (
        &[Role::Install, Role::Class],
        "RegisterDlls",
        All,
        Role::Other,
    ),
    (
        &[Role::Install, Role::Class],
        "UnregisterDlls",
        All,
        Role::Other,
    ),
    (
        &[Role::Install, Role::Class],
        "AddPowerSetting",
        All,
        Role::Other,
    ),
    (&[Role::Services], "AddService", At(2), Role::Service),
    (&[Role::Services], "AddService", At(3), Role::EventLog),
    (&[Role::Service], "AddTrigger", All, Role::Trigger),
    (&[Role::Service], "FailureActions", All, Role::Other),
    (&[Role::Interfaces], "AddInterface", At(2), Role::Interface),
    (
        &[Role::Events],
        "AddEventProvider",
        At(1),
        Role::EventProvider,
    ),
    (&[Role::EventProvider], "AddChannel", At(2), Role::Other),
    (&[Role::Events], "AddAutoLogger", At(2), Role::AutoLogger),
    (&[Role::Events], "UpdateAutoLogger", At(1), Role::AutoLogger),
    (
        &[Role::AutoLogger],
        "AddAutoLoggerProvider",
        At(1),
        Role::Other,
    ),
    (&[Role::Filters], "AddFilter", At(2), Role::Other),
    (&[Role::Wdf], "KmdfService", At(1), Role::Kmdf),
    (&[Role::Wdf], "UmdfService", At(1), Role::Umdf),
    (&[Role::Com], "AddComServer", At(2), Role::ComServer),
    (&[Role::ComServer], "AddComClass", At(2), Role::Other),
    (&[Role::Software], "AddSoftware", At(2), Role::Other),
    (&[Role::Components], "AddComponent", At(2), Role::Other),
    (&[Role::Wmi], "WMIInterface", At(2), Role::Other),
];
const COPYING: &[Role] = &[
    Role::Install,
    Role::CoInstallers,
    Role::Class,
    Role::Interface,
];
const REGISTRY: &[Role] = &[
    Role::Install,
    Role::Hw,
    Role::CoInstallers,
    Role::Service,
    Role::EventLog,
    Role::Interface,
    Role::Class,
];

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
                All => entry.values.iter().collect(),
                At(index) => Vec::from_iter(entry.values.get(*index)),
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
            // Of one line's sections for a processor, the newest that is not too new is taken. MS:
            // combining-platform-extensions-with-operating-system-versions.
            let to = targets
                .iter()
                .filter(|other| other.arch == own.arch && other.first() > own.first())
                .map(Target::first)
                .min();
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
    for section in &inf.sections {
        let name = section.name.to_lowercase();
        let Some(decoration) = name.strip_prefix("defaultinstall") else {
            continue;
        };
        let decoration = decoration.trim_start_matches('.');
        let companion = COMPANIONS
            .iter()
            .any(|(suffix, _)| !suffix.is_empty() && name.ends_with(&suffix.to_lowercase()));
        if !companion
            && let Some(target) =
                Target::parse(decoration).or_else(|| decoration.is_empty().then(Target::default))
        {
            let range = Range {
                from: target.first(),
                to: None,
            };
            add(section.name.clone(), &target.arch, range, section.start());
        }
    }
    all
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

/// Sections that setup finds by their own name.
#[must_use]
pub fn is_well_known(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "version",
        "manufacturer",
        "sourcedisksnames",
        "sourcedisksfiles",
        "destinationdirs",
        "controlflags",
        "signatureattributes",
        "classinstall32",
        "interfaceinstall32",
        "deviceinstall32",
        "defaultinstall",
        "defaultuninstall",
        "optional components",
        "components",
        "winntupgrade",
        "netmigration",
    ];
    let name = name.to_lowercase();
    let base = name.split('.').next().unwrap_or_default();
    NAMES.contains(&base) || strings::is_strings(&name)
}
