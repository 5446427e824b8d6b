//! Rules about directives: those that are gone, and those that are newer than the Windows they are for.

use super::Lint;
use crate::target::Build;
use crate::walk::{Part, Role};
use crate::{Entry, same};

/// Directives that take something away or need code to run. MS: using-a-universal-inf-file.
const FORBIDDEN: [&str; 13] = [
    "BitReg",
    "DelFiles",
    "DelProperty",
    "DelReg",
    "DelService",
    "Ini2Reg",
    "LogConfig",
    "ProfileItems",
    "RegisterDlls",
    "RenFiles",
    "UnregisterDlls",
    "UpdateIniFields",
    "UpdateInis",
];

/// Directives and the first build that knows them. MS: the directive's page.
const SINCE: [(&str, Build); 10] = [
    // inf-ddinstall-events-section: Windows 10 1809.
    ("AddEventProvider", Build(10, 0, 17763)),
    // inf-addupdateautologger-directive: Windows 11.
    ("AddAutoLogger", Build(10, 0, 22000)),
    ("UpdateAutoLogger", Build(10, 0, 22000)),
    // inf-addfilter-directive: Windows 10 1903.
    ("AddFilter", Build(10, 0, 18362)),
    // inf-addservice-directive: Windows 10 2004.
    ("AddTrigger", Build(10, 0, 19041)),
    ("ServiceSidType", Build(10, 0, 19041)),
    ("DelayedAutoStart", Build(10, 0, 19041)),
    // inf-addservice-directive: Windows 11 22H2; build 25398.
    ("FailureActions", Build(10, 0, 22621)),
    ("BootFlags", Build(10, 0, 25398)),
    // inf-addcomserver-directive: Windows 11 24H2.
    ("AddComServer", Build(10, 0, 26100)),
];

/// KMDF minor versions and the first Windows that has them. MS: kmdf-version-history. Up to 1.11 a co-installer could bring it.
const KMDF: [(u32, Build); 11] = [
    (13, Build(6, 3, 0)),
    (15, Build(10, 0, 0)),
    (17, Build(10, 0, 10586)),
    (19, Build(10, 0, 14393)),
    (21, Build(10, 0, 15063)),
    (23, Build(10, 0, 16299)),
    (25, Build(10, 0, 17134)),
    (27, Build(10, 0, 17763)),
    (29, Build(10, 0, 18362)),
    (31, Build(10, 0, 19041)),
    // Windows Server 2022; the client is Windows 11 21H2.
    (33, Build(10, 0, 20348)),
];

/// MS: restricting-the-loading-location-of-umdf-drivers: Windows 10 1803.
const UMDF_FROM_STORE: Build = Build(10, 0, 17134);

pub(super) fn check(lint: &mut Lint<'_>) {
    for part in lint.package.parts.clone() {
        legacy_section(lint, &part);
        for entry in &part.section.entries {
            forbidden(lint, &part, entry);
            newer(lint, &part, entry);
        }
        if part.role == Role::Wdf {
            framework(lint, &part);
        }
        if part.role == Role::Umdf {
            user_mode_driver(lint, &part);
        }
    }
}

fn legacy_section(lint: &mut Lint<'_>, part: &Part<'_>) {
    match part.role {
        Role::CoInstallers => lint.report(
            "INF601",
            part.section.start(),
            "co-installers are no longer supported",
            "remove the section; what the co-installer did must be declared in the INF or done by the driver",
        ),
        Role::FactDef | Role::LogConfigOverride => lint.report(
            "INF602",
            part.section.start(),
            format!("[{}] is ignored on current Windows", part.section.name),
            "remove the section: Plug and Play assigns the resources",
        ),
        _ => {}
    }
}

fn forbidden(lint: &mut Lint<'_>, part: &Part<'_>, entry: &Entry) {
    // The keys of a list or registry section are not directives; network components are removed by their INF.
    let list = matches!(
        part.role,
        Role::Registry(_)
            | Role::Files
            | Role::DelFiles
            | Role::RenFiles
            | Role::DelRegistry
            | Role::Other
            | Role::Remove
    );
    if !list
        && lint.part_isolated(part)
        && let Some(name) = FORBIDDEN.iter().find(|name| same(name, entry.name()))
    {
        lint.report(
            "INF603",
            entry.at,
            format!("{name} is not allowed in a declarative driver package"),
            "remove it: an INF only adds, and Windows undoes that when the package is removed",
        );
    }
}

fn newer(lint: &mut Lint<'_>, part: &Part<'_>, entry: &Entry) {
    let since = SINCE.iter().find(|(name, _)| same(name, entry.name()));
    let install = part.install.map(|index| &lint.package.installs[index]);
    if let (Some((name, since)), Some(install)) = (since, install)
        && directive_role(part.role)
        && install.first() < *since
    {
        let first = install.first();
        lint.report(
            "INF604",
            entry.at,
            format!("{name} came with {since}, but the section is also for {first}"),
            format!(
                "put it into models decorated with NTarch.10.0...{}",
                since.2
            ),
        );
    }
}

fn directive_role(role: Role) -> bool {
    matches!(
        role,
        Role::Events | Role::Filters | Role::Service | Role::Com
    )
}

fn framework(lint: &mut Lint<'_>, part: &Part<'_>) {
    let inf = lint.inf();
    for (service, version) in [
        ("KmdfService", "KmdfLibraryVersion"),
        ("UmdfService", "UmdfLibraryVersion"),
    ] {
        for entry in part.section.all(service) {
            let Some(section) = entry
                .value(1)
                .and_then(|field| inf.section(&inf.text(field)))
            else {
                continue;
            };
            // UMDF's version may also stand in the Wdf section itself.
            let found = section
                .entry(version)
                .or_else(|| part.section.entry(version));
            let Some(found) = found else {
                lint.report(
                    "INF605",
                    section.start(),
                    format!("[{}] has no {version}", section.name),
                    format!("write {version} = 1.15, or the version that the driver was built for"),
                );
                continue;
            };
            if service == "KmdfService" {
                kmdf_version(lint, part, found);
            }
        }
    }
}

fn kmdf_version(lint: &mut Lint<'_>, part: &Part<'_>, entry: &Entry) {
    let inf = lint.inf();
    let text = entry
        .value(0)
        .map(|field| inf.text(field))
        .unwrap_or_default();
    let minor = text
        .strip_prefix("1.")
        .and_then(|minor| minor.parse::<u32>().ok());
    let Some(minor) = minor else {
        return lint.report(
            "INF605",
            entry.at(0),
            format!("{text:?} is not a KMDF version"),
            "write KmdfLibraryVersion = 1.15, or the version that the driver was built for",
        );
    };
    let since = KMDF
        .iter()
        .rev()
        .find(|(known, _)| *known <= minor)
        .map(|(_, build)| *build);
    let install = part.install.map(|index| &lint.package.installs[index]);
    if let (Some(since), Some(install)) = (since, install)
        && install.first() < since
    {
        let first = install.first();
        lint.report(
            "INF606",
            entry.at(0),
            format!("KMDF {text} came with {since}, but the section is also for {first}"),
            "build the driver for an older KMDF, or give older Windows models of their own",
        );
    }
}

fn user_mode_driver(lint: &mut Lint<'_>, part: &Part<'_>) {
    let inf = lint.inf();
    let Some(install) = part.install.map(|index| &lint.package.installs[index]) else {
        return;
    };
    let first = install.first();
    for field in part
        .section
        .all("ServiceBinary")
        .filter_map(|entry| entry.value(0))
    {
        let store = inf
            .expand(&field.text)
            .dirids()
            .any(|id| id == super::files::STORE);
        if store && first < UMDF_FROM_STORE {
            lint.report(
                "INF607",
                field.at,
                format!("user-mode drivers run from the driver store from {UMDF_FROM_STORE} on, but the section is also for {first}"),
                "decorate these models with NTarch.10.0...17134, and give older Windows models of their own with 12,UMDF",
            );
        }
    }
}
