//! Rules about services. MS: inf-addservice-directive.

use std::collections::BTreeMap;

use super::Lint;
use crate::files::{Copied, copied};
use crate::strings::Piece;
use crate::walk::{Part, Role};
use crate::{Entry, Field, Pos, Section, same};

/// SPSVCINST_ASSOCSERVICE.
const ASSOCIATED: u32 = 0x2;
/// SERVICE_WIN32_OWN_PROCESS and SERVICE_WIN32_SHARE_PROCESS.
const WIN32: u32 = 0x30;
const AUTO_START: u32 = 2;
const DEMAND_START: u32 = 3;
const DISABLED: u32 = 4;

pub(super) fn check(lint: &mut Lint<'_>) {
    let files = copied(&lint.package);
    let mut configured: BTreeMap<String, Vec<Configured>> = BTreeMap::new();
    for index in 0..lint.package.installs.len() {
        let services: Vec<Part<'_>> = lint.package.of(index, Role::Services).copied().collect();
        function_driver(lint, index, &services);
        for part in &services {
            for entry in part.section.all("AddService") {
                add_service(lint, entry);
                let section = entry
                    .value(2)
                    .and_then(|field| lint.inf().section(&lint.inf().text(field)));
                let Some(section) = section else {
                    continue;
                };
                let associated = flags(lint, entry).unwrap_or(0) & ASSOCIATED != 0;
                service(lint, index, section, associated, &files);
                let name = entry
                    .value(0)
                    .map(|field| lint.inf().text(field))
                    .unwrap_or_default();
                configured
                    .entry(name.to_lowercase())
                    .or_default()
                    .push(Configured {
                        what: configuration(lint, section),
                        section: section.name.clone(),
                        at: entry.at,
                        install: index,
                    });
            }
        }
    }
    for (name, all) in configured {
        differently(lint, &name, &all);
    }
}

fn flags(lint: &Lint<'_>, entry: &Entry) -> Option<u32> {
    match entry.value(1) {
        None => Some(0),
        Some(field) => lint.inf().number(field),
    }
}

/// Every device has exactly one function driver.
fn function_driver(lint: &mut Lint<'_>, index: usize, services: &[Part<'_>]) {
    // An extension INF adds to a device that has one; modems and monitors need none (MS: inf-addservice-directive).
    let exempt = lint.class_is(&["Extension", "Modem", "Monitor"]) || lint.is_network_component();
    // Neither does what is installed without a device.
    let primitive = lint.package.installs[index]
        .name
        .to_lowercase()
        .starts_with("defaultinstall");
    if exempt || primitive {
        return;
    }
    let (at, name) = {
        let install = &lint.package.installs[index];
        (install.at, install.name.clone())
    };
    let associated: Vec<&Entry> = services
        .iter()
        .flat_map(|part| part.section.all("AddService"))
        .filter(|entry| flags(lint, entry).is_none_or(|flags| flags & ASSOCIATED != 0))
        .collect();
    let inherited = services
        .iter()
        .any(|part| part.section.entry("Needs").is_some());
    if associated.is_empty() && !inherited {
        lint.report(
            "INF801",
            at,
            format!("[{name}] gives the device no function driver"),
            format!("write AddService = NAME,0x2,SECTION in [{name}.Services]; AddService = ,2 if the device needs none"),
        );
    }
    if let [_, second, ..] = associated.as_slice() {
        lint.report(
            "INF802",
            second.at,
            format!("[{name}] has a second function driver"),
            "set the flag 0x2 for one service only; a filter driver does not have it",
        );
    }
}

/// The AddService line itself.
fn add_service(lint: &mut Lint<'_>, entry: &Entry) {
    let flags = flags(lint, entry);
    if flags.is_none() {
        return lint.report(
            "INF803",
            entry.at(1),
            "the flags are not a number",
            "write 0x2 for the function driver, nothing or 0 for other services",
        );
    }
    if entry.value(0).is_none() && flags.unwrap_or(0) & ASSOCIATED == 0 {
        lint.report(
            "INF803",
            entry.at,
            "the service has no name",
            "name it; AddService = ,2 says that the device needs no driver",
        );
    }
    if entry.value(0).is_some() && entry.value(2).is_none() {
        lint.report(
            "INF803",
            entry.at,
            "no section describes the service",
            "write AddService = NAME,0x2,SECTION",
        );
    }
    let log = entry
        .value(4)
        .map(|field| (field.at, lint.inf().text(field)));
    if let Some((at, log)) = log
        && !["System", "Application", "Security"]
            .iter()
            .any(|known| same(known, &log))
    {
        lint.report(
            "INF809",
            at,
            format!("{log:?} is not an event log"),
            "write System, Application or Security, or leave it out for System",
        );
    }
}

/// The section that describes a service.
fn service(
    lint: &mut Lint<'_>,
    index: usize,
    section: &Section,
    associated: bool,
    files: &[Copied],
) {
    let mut number = |key: &str| {
        let field = section.entry(key).and_then(|entry| entry.value(0));
        let value = field.and_then(|field| lint.inf().number(field));
        if value.is_none() {
            let at = field.map_or(section.start(), |field| field.at);
            lint.report(
                "INF804",
                at,
                format!("[{}] has no number for {key}", section.name),
                format!("write {key} = NUMBER; ServiceType, StartType, ErrorControl and ServiceBinary are required"),
            );
        }
        value
    };
    let (kind, start) = (number("ServiceType"), number("StartType"));
    number("ErrorControl");
    let binary = section
        .entry("ServiceBinary")
        .and_then(|entry| entry.value(0));
    match binary {
        None => lint.report(
            "INF804",
            section.start(),
            format!("[{}] has no ServiceBinary", section.name),
            "write ServiceBinary = %13%\\FILE.sys",
        ),
        Some(field) => service_binary(lint, index, field, files),
    }
    let at = |key: &str| section.entry(key).map_or(section.start(), |entry| entry.at);
    if kind.is_some_and(|kind| kind & WIN32 != 0) {
        let isolated = lint.isolated(&lint.package.installs[index]);
        if isolated && (start != Some(DEMAND_START) || section.entry("AddTrigger").is_none()) {
            lint.report(
                "INF806",
                at("StartType"),
                "the program runs although its device may be absent",
                "write StartType = 3 and start it with AddTrigger (build 19041 and later) when the device's interface arrives",
            );
        }
    } else if start == Some(AUTO_START) {
        lint.report(
            "INF807",
            at("StartType"),
            "StartType 2 is not for device drivers",
            "write 3, or 0 for a driver that Windows boots from",
        );
    }
    if associated && start == Some(DISABLED) {
        lint.report(
            "INF807",
            at("StartType"),
            "the function driver is disabled",
            "write 3, or 0 for a driver that Windows boots from",
        );
    }
}

/// The path of a service's file.
fn service_binary(lint: &mut Lint<'_>, index: usize, field: &Field, files: &[Copied]) {
    let inf = lint.inf();
    let expansion = inf.expand(&field.text);
    // The path may be in quotes of its own, and arguments may follow it.
    let text = expansion.text();
    let path = match text.strip_prefix('"') {
        Some(rest) => rest.split('"').next().unwrap_or(rest),
        None => text.as_str(),
    };
    let quoted = text.starts_with('"');
    let Some(dirid) = expansion.dirids().next() else {
        let undefined = expansion
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Undefined(_)));
        if !undefined {
            lint.report(
                "INF805",
                field.at,
                format!("{text} does not say in which folder the file is"),
                "write %13%\\FILE, with the directory id to which the file is copied",
            );
        }
        return;
    };
    let below = path
        .split_once(&format!("%{dirid}%"))
        .map_or("", |(_, rest)| rest);
    if !quoted && below.trim().contains(' ') && !executable_then_arguments(below) {
        return lint.report(
            "INF808",
            field.at,
            format!("{path} has a blank but no quotation marks of its own"),
            "write three of them: \"\"\"%13%\\FOLDER NAME\\FILE\"\"\"",
        );
    }
    let below = if quoted {
        below
    } else {
        below.split(' ').next().unwrap_or(below)
    };
    let wanted = below.trim_matches('\\').to_lowercase();
    let of_install: Vec<&Copied> = files.iter().filter(|file| file.install == index).collect();
    let is_it = |file: &&&Copied| {
        let path = format!("{}\\{}", file.folder, file.name).to_lowercase();
        path.trim_matches('\\') == wanted
    };
    let found: Vec<&&Copied> = of_install.iter().filter(is_it).collect();
    let (name, needs) = {
        let install = &lint.package.installs[index];
        let needs = lint
            .package
            .of(index, Role::Install)
            .any(|part| part.section.entry("Needs").is_some());
        (install.name.clone(), needs)
    };
    if found.iter().any(|file| file.dirid == Some(dirid)) {
        return;
    }
    if let Some(file) = found.first() {
        // A file that goes nowhere has a rule of its own.
        if let Some(id) = file.dirid {
            lint.report(
                "INF810",
                field.at,
                format!("the service runs %{dirid}%\\{wanted}, but [{name}] copies it to %{id}%"),
                format!("write %{id}%\\{wanted}"),
            );
        }
    } else if !needs {
        lint.report(
            "INF810",
            field.at,
            format!("[{name}] copies no {wanted} for the service to run"),
            "list it in a CopyFiles section, or correct the name; take a driver of Windows by Include and Needs",
        );
    }
}

/// `\program.exe -service`: the blank ends the path.
fn executable_then_arguments(below: &str) -> bool {
    let first = below
        .trim()
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_lowercase();
    [".exe", ".sys", ".dll"]
        .iter()
        .any(|ending| first.ends_with(ending))
}

struct Configured {
    what: Vec<(String, String)>,
    section: String,
    at: Pos,
    install: usize,
}

/// A service's settings, in a fixed order.
fn configuration(lint: &Lint<'_>, section: &Section) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = section
        .entries
        .iter()
        .filter(|entry| {
            !["AddReg", "DelReg", "BitReg"]
                .iter()
                .any(|name| same(name, entry.name()))
        })
        .map(|entry| {
            let values: Vec<String> = entry
                .values
                .iter()
                .map(|field| lint.inf().text(field).to_lowercase())
                .collect();
            (entry.name().to_lowercase(), values.join(","))
        })
        .collect();
    all.sort();
    all
}

/// Two installs that one Windows can use configure one service differently.
fn differently(lint: &mut Lint<'_>, name: &str, all: &[Configured]) {
    for (index, second) in all.iter().enumerate() {
        let installs = &lint.package.installs;
        let conflict = all[..index].iter().find(|first| {
            first.what != second.what && installs[first.install].overlaps(&installs[second.install])
        });
        if let Some(first) = conflict {
            let message = format!(
                "service {name} is configured differently by [{}] and [{}]",
                first.section, second.section
            );
            lint.report(
                "INF811",
                second.at,
                message,
                "use one section for both, or two services",
            );
        }
    }
}
