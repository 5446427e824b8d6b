//! Rules about registry sections. MS: inf-addreg-directive, driver-isolation, porting-inf-to-windows-driver.

use std::collections::BTreeMap;

use super::Lint;
use crate::walk::{Home, Part, Role};
use crate::{Entry, Pos, number, same};

const ROOTS: [&str; 5] = ["HKR", "HKLM", "HKCR", "HKCU", "HKU"];

/// Flags of an AddReg line.
mod flag {
    pub const BINARY: u32 = 0x1;
    pub const DELETE: u32 = 0x4;
    pub const APPEND: u32 = 0x8;
    pub const KEY_ONLY: u32 = 0x10 | 0x2000;
    pub const TYPE: u32 = 0xffff_0000 | BINARY;
    pub const MULTI_SZ: u32 = 0x0001_0000;
    pub const DWORD: u32 = 0x0001_0001;
}

/// Where the number and kind of a device's interrupts are set. MS: enabling-message-signaled-interrupts-in-the-registry.
const MSI_KEY: &str = r"Interrupt Management\MessageSignaledInterruptProperties";
const MSI_MAX: u32 = 2048;

/// Folders that a stored path must not start with: they are resolved when the package is added. MS:
/// inf-validation-errors-and-warnings, 1257 and 1258.
const WINDOWS_FOLDERS: [(i64, &str); 3] = [
    (10, "%%SystemRoot%%"),
    (11, r"%%SystemRoot%%\System32"),
    (12, r"%%SystemRoot%%\System32\drivers"),
];

/// One line of a registry section.
struct Line<'a> {
    entry: &'a Entry,
    root: String,
    key: String,
    name: String,
    flags: Option<u32>,
    values: Vec<String>,
    isolated: bool,
    home: Home,
}

pub(super) fn check(lint: &mut Lint<'_>) {
    let parts: Vec<(Part<'_>, Home)> = lint
        .package
        .parts
        .iter()
        .filter_map(|part| match part.role {
            Role::Registry(home) => Some((*part, home)),
            _ => None,
        })
        .collect();
    let mut set: BTreeMap<String, Vec<Written>> = BTreeMap::new();
    for (part, home) in &parts {
        for entry in &part.section.entries {
            let line = read(lint, entry, lint.part_isolated(part), *home);
            place(lint, &line);
            shape(lint, &line);
            interrupts(lint, &line);
            paths(lint, &line);
            if let (Some(install), true) = (part.install, line.root.eq_ignore_ascii_case("HKLM")) {
                let place = format!("{}\\{}\\{}", line.root, line.key, line.name).to_lowercase();
                set.entry(place).or_default().push(Written {
                    value: format!("{:?} {:?}", line.flags, line.values),
                    at: entry.at,
                    install,
                });
            }
        }
    }
    for (place, written) in set {
        differently(lint, &place, &written);
    }
}

fn read<'a>(lint: &Lint<'_>, entry: &'a Entry, isolated: bool, home: Home) -> Line<'a> {
    let inf = lint.inf();
    let text = |index: usize| {
        entry
            .values
            .get(index)
            .map(|field| inf.text(field))
            .unwrap_or_default()
    };
    let flags = match text(3).as_str() {
        "" => Some(0),
        flags => number(flags),
    };
    Line {
        entry,
        root: text(0),
        key: text(1),
        name: text(2),
        flags,
        values: entry
            .values
            .iter()
            .skip(4)
            .map(|field| inf.text(field))
            .collect(),
        isolated,
        home,
    }
}

/// Where a line writes.
fn place(lint: &mut Lint<'_>, line: &Line<'_>) {
    let root = line.entry.at(0);
    let key = line.key.to_lowercase();
    if !ROOTS.iter().any(|known| same(known, &line.root)) {
        return lint.report(
            "INF702",
            root,
            format!("{:?} is not a registry root", line.root),
            "write HKR, or one of HKLM, HKCR, HKCU and HKU",
        );
    }
    if line.home == Home::CoInstaller || same(&line.name, "CoInstallers32") {
        return lint.report(
            "INF601",
            line.entry.at,
            "a co-installer is registered",
            "remove the line; co-installers are no longer supported",
        );
    }
    if !same(&line.root, "HKR") {
        let run = r"\currentversion\run";
        let services = r"system\currentcontrolset\services";
        if key.ends_with(run)
            || key.contains(&format!("{run}\\"))
            || key.ends_with(&format!("{run}once"))
        {
            lint.report(
                "INF704",
                root,
                "the INF starts a program when a user logs on",
                "install software with AddSoftware from a component INF, or a service with AddService",
            );
        } else if same(&line.root, "HKLM") && key.starts_with(services) {
            lint.report(
                "INF705",
                root,
                format!("a service's key is written by its full path: {}", line.key),
                "write HKR,Parameters in the AddReg section of the service itself; leave other services alone",
            );
        } else if line.isolated {
            lint.report(
                "INF701",
                root,
                format!("{}\\{} is not the driver's own", line.root, line.key),
                "write under HKR",
            );
        }
        return;
    }
    let parameters = key == "parameters" || key.starts_with("parameters\\");
    if line.home == Home::Service && line.isolated && !parameters {
        lint.report(
            "INF706",
            line.entry.at,
            format!("{:?} is set in the service's key itself", line.name),
            "write HKR,Parameters: the rest of the key belongs to Windows",
        );
    }
    let filter = ["UpperFilters", "LowerFilters"]
        .iter()
        .any(|name| same(name, &line.name));
    if filter && line.isolated && line.home == Home::Hardware && key.is_empty() {
        lint.report(
            "INF707",
            line.entry.at,
            format!("a filter is added by the value {}", line.name),
            "use AddFilter in [DDInstall.Filters], in models decorated with NTarch.10.0...18362",
        );
    }
}

/// Flags and values.
fn shape(lint: &mut Lint<'_>, line: &Line<'_>) {
    let Some(flags) = line.flags else {
        return lint.report(
            "INF709",
            line.entry.at(3),
            "the flags are not a number",
            "write for example 0x00010001 for a REG_DWORD",
        );
    };
    if line.isolated && flags & (flag::DELETE | flag::APPEND) != 0 {
        let what = if flags & flag::APPEND != 0 {
            "appends to"
        } else {
            "deletes"
        };
        lint.report(
            "INF703",
            line.entry.at(3),
            format!("the line {what} a value that others may use"),
            "set values of the driver's own, whole",
        );
    }
    if flags & flag::APPEND != 0 && flags & flag::TYPE != flag::MULTI_SZ {
        return lint.report(
            "INF709",
            line.entry.at(3),
            "only a REG_MULTI_SZ can be appended to",
            "leave out 0x8, or write 0x00010008",
        );
    }
    if flags & (flag::KEY_ONLY | flag::DELETE) != 0 {
        return;
    }
    // A DWORD is one number, or its four bytes.
    let numeric = line.values.iter().all(|value| number(value).is_some());
    let bytes = line
        .values
        .iter()
        .all(|value| u8::from_str_radix(value.trim().trim_start_matches("0x"), 16).is_ok());
    let good = match flags & flag::TYPE {
        flag::DWORD if line.values.len() <= 1 => numeric,
        flag::DWORD => line.values.len() == 4 && bytes,
        flag::BINARY => bytes,
        _ => true,
    };
    if !good {
        lint.report(
            "INF709",
            line.entry.at(4),
            format!(
                "{} is not a value of the type that {flags:#010x} says",
                line.values.join(",")
            ),
            "write one number for a REG_DWORD, bytes between 00 and FF for a REG_BINARY",
        );
    }
}

/// Message-signaled interrupts.
fn interrupts(lint: &mut Lint<'_>, line: &Line<'_>) {
    let limit = same(&line.name, "MessageNumberLimit");
    if !limit && !same(&line.name, "MSISupported") {
        return;
    }
    let key = line.key.trim_matches('\\');
    let value = line.values.first().and_then(|value| number(value));
    let (at, message, mend) = if line.home != Home::Hardware || !same(key, MSI_KEY) {
        (
            line.entry.at,
            format!("{} is not where Windows looks for it", line.name),
            format!("write HKR,\"{MSI_KEY}\" in an AddReg section of [DDInstall.HW]"),
        )
    } else if line
        .flags
        .is_some_and(|flags| flags & flag::TYPE != flag::DWORD)
    {
        (
            line.entry.at(3),
            format!("{} is not a REG_DWORD", line.name),
            "write 0x00010001".to_owned(),
        )
    } else if limit && !value.is_none_or(|value| (1..=MSI_MAX).contains(&value)) {
        (
            line.entry.at(4),
            "the number of messages is out of range".to_owned(),
            format!("write 1 to {MSI_MAX} for MSI-X; 1, 2, 4, 8 or 16 for MSI"),
        )
    } else {
        return;
    };
    lint.report("INF708", at, message, mend);
}

/// Paths that are resolved too early.
fn paths(lint: &mut Lint<'_>, line: &Line<'_>) {
    let inf = lint.inf();
    for field in line.entry.values.iter().skip(4) {
        let known = inf
            .expand(&field.text)
            .dirids()
            .find_map(|id| WINDOWS_FOLDERS.iter().find(|(known, _)| *known == id));
        if let Some((id, folder)) = known {
            lint.report(
                "INF710",
                field.at,
                format!(
                    "%{id}% is replaced when the package is added, which may be on another machine"
                ),
                format!("write {folder} in a REG_EXPAND_SZ (flags 0x00020000)"),
            );
        }
    }
}

struct Written {
    value: String,
    at: Pos,
    install: usize,
}

/// Two installs that one Windows can use write different values to one place.
fn differently(lint: &mut Lint<'_>, place: &str, written: &[Written]) {
    for (index, second) in written.iter().enumerate() {
        let installs = &lint.package.installs;
        let conflict = written[..index].iter().find(|first| {
            first.value != second.value
                && installs[first.install].overlaps(&installs[second.install])
        });
        if let Some(first) = conflict {
            let message = format!("{place} is set differently at line {}", first.at.line);
            lint.report(
                "INF711",
                second.at,
                message,
                "write to HKR, where each device has its own",
            );
        }
    }
}
