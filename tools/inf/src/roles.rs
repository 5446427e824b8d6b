//! What sections are for, and which directives name which sections.

use crate::strings;

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
    Remove,
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
pub const COMPANIONS: [(&str, Role); 16] = [
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
    // Network components: MS: remove-section-in-a-network-inf-file.
    (".Remove", Role::Remove),
    (".Remove.Services", Role::Remove),
];

/// Which values of a directive name sections.
#[derive(Clone, Copy)]
pub enum Which {
    /// All of them.
    All,
    /// The one with this index.
    At(usize),
}
use Which::{All, At};

/// Where a directive may stand, which of its values name sections, and what those are. MS: the page of each directive.
pub const LINKS: &[(&[Role], &str, Which, Role)] = &[
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
