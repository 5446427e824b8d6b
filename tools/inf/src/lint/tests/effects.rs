//! Mutations for the rules about sections, directives, the registry and services.

use super::{Mutation, STORAGE, SYSTEM, USER, append, change};

pub(super) fn all() -> Vec<Mutation> {
    let mut all = sections();
    all.extend(directives());
    all.extend(registry());
    all.extend(services());
    all
}

fn sections() -> Vec<Mutation> {
    vec![
        change(
            "INF501",
            STORAGE,
            &[("CopyFiles = New_Files", "CopyFiles = New_Files, Nowhere")],
        ),
        change(
            "INF501",
            STORAGE,
            &[("= Service_AddReg", "= Service_AddReg, Nowhere")],
        ),
        change(
            "INF501",
            SYSTEM,
            &[
                ("FilterPosition = Upper", "FilterPosition = Upper"),
                (
                    "AddInterface = {f0b4a4d0-5e1b-4b51-9e3c-7b1f3a5d2c60},,Rich_Interface",
                    "AddInterface = {f0b4a4d0-5e1b-4b51-9e3c-7b1f3a5d2c60},,Rich_Interface\nAddInterface = {f0b4a4d0-5e1b-4b51-9e3c-7b1f3a5d2c62},,Nowhere",
                ),
            ],
        ),
        append("INF502", STORAGE, "[Orphan]\nKey = 1"),
        // The install section is [New.NT], so this companion is not found.
        append("INF502", STORAGE, "[New.Interfaces]\nKey = 1"),
        change(
            "INF503",
            STORAGE,
            &[(
                "CopyFiles = New_Files",
                "CopyFiles = New_Files\nAddProperty = New_Files",
            )],
        ),
        change(
            "INF503",
            SYSTEM,
            &[(
                "CopyFiles = Rich_Files",
                "CopyFiles = Rich_Files\nAddPowerSetting = Rich_Files",
            )],
        ),
        change("INF504", SYSTEM, &[("NO_DRV.Services", "NO_DRV.HW")]),
        change(
            "INF504",
            SYSTEM,
            &[("Needs   = NO_DRV\n", "Needs   = NO_DRV.Services\n")],
        ),
        change("INF504", USER, &[("WUDFRD.NT.HW", "WUDFRD.NT")]),
        change(
            "INF505",
            SYSTEM,
            &[("[Other]\nInclude = machine.inf\n", "[Other]\n")],
        ),
        change(
            "INF505",
            SYSTEM,
            &[(
                "[Other.Services]\nInclude = machine.inf\n",
                "[Other.Services]\n",
            )],
        ),
        append("INF506", STORAGE, "[New_Service]\nDescription = %Service%"),
        append("INF506", STORAGE, "[VERSION]"),
    ]
}

fn directives() -> Vec<Mutation> {
    vec![
        append(
            "INF601",
            STORAGE,
            "[New.NT.CoInstallers]\nAddReg = Co\n[Co]\nHKR,,CoInstallers32,0x00010000,\"co.dll,Main\"",
        ),
        change(
            "INF601",
            STORAGE,
            &[(
                "[Device_AddReg]",
                "[Device_AddReg]\nHKR,,CoInstallers32,0x00010000,\"co.dll,Main\"",
            )],
        ),
        append("INF602", STORAGE, "[New.NT.FactDef]"),
        append("INF602", STORAGE, "[New.NT.LogConfigOverride]"),
        change(
            "INF603",
            STORAGE,
            &[
                (
                    "CopyFiles = New_Files",
                    "CopyFiles = New_Files\nDelReg = Gone",
                ),
                ("[New_Files]", "[Gone]\nHKR,,Old\n[New_Files]"),
            ],
        ),
        change(
            "INF603",
            SYSTEM,
            &[
                (
                    "CopyFiles = Rich_Files",
                    "CopyFiles = Rich_Files\nRegisterDlls = Dlls",
                ),
                ("[Rich_Files]", "[Dlls]\n13,,rich.dll,1\n[Rich_Files]"),
            ],
        ),
        change(
            "INF603",
            SYSTEM,
            &[(
                "AddService = rich, 0x2, Rich_Service",
                "AddService = rich, 0x2, Rich_Service\nDelService = older",
            )],
        ),
        append(
            "INF604",
            STORAGE,
            "[New.NT.Filters]\nAddFilter = disk,,Position\n[Position]\nFilterPosition = Upper",
        ),
        change(
            "INF604",
            SYSTEM,
            &[(
                "ServiceBinary = %13%\\rich.sys",
                "ServiceBinary = %13%\\rich.sys\nBootFlags = 1",
            )],
        ),
        change("INF604", SYSTEM, &[("19041", "18362")]),
        change("INF605", SYSTEM, &[("KmdfLibraryVersion = 1.15\n", "")]),
        change(
            "INF605",
            SYSTEM,
            &[("KmdfLibraryVersion = 1.15", "KmdfLibraryVersion = newest")],
        ),
        change("INF605", USER, &[("UmdfLibraryVersion = 2.25.0\n", "")]),
        change("INF606", SYSTEM, &[("= 1.15", "= 1.33")]),
        change("INF606", SYSTEM, &[("= 1.15", "= 1.35")]),
        change("INF607", USER, &[("17134", "16299")]),
        change("INF607", USER, &[("17134", "17133")]),
    ]
}

/// One more line in the service's registry section.
fn value(rule: &'static str, line: &str) -> Mutation {
    change(
        rule,
        STORAGE,
        &[(
            "HKR,Parameters,BusType",
            &format!("{line}\nHKR,Parameters,BusType"),
        )],
    )
}

/// One more line in the hardware key's registry section.
fn hardware(rule: &'static str, line: &str) -> Mutation {
    change(
        rule,
        SYSTEM,
        &[("HKR,,Depth", &format!("{line}\nHKR,,Depth"))],
    )
}

/// A second device for old Windows, whose install differs in one thing.
fn second(rule: &'static str, windows: &str, sections: &str, first: (&str, &str)) -> Mutation {
    let line = format!("%Device% = {windows}, PCI\\VEN_1AF4&DEV_1042");
    change(
        rule,
        STORAGE,
        &[
            (
                &line,
                &format!("{line}\n%Device% = Second, PCI\\VEN_1AF4&DEV_1048"),
            ),
            (
                "[Strings]",
                &format!("[Second]\nCopyFiles = {windows}_Files\n{sections}\n[Strings]"),
            ),
            first,
        ],
    )
}

fn registry() -> Vec<Mutation> {
    let msi = "\"Interrupt Management\\MessageSignaledInterruptProperties\"";
    let services = "SYSTEM\\CurrentControlSet\\Services";
    let run = "Software\\Microsoft\\Windows\\CurrentVersion";
    let same_service = "[Second.Services]\nAddService = disk,2,Old_Service,Log";
    let differ = |value: &str| {
        format!(
            "[Second.HW]\nAddReg = Second_AddReg\n[Second_AddReg]\nHKLM,Software\\Example,Mode,0x00010001,{value}\n{same_service}"
        )
    };
    let old = "[Old.NT.HW]\nAddReg = Device_AddReg";
    let old_writes = "[Old.NT.HW]\nAddReg = Device_AddReg, Old_AddReg\n[Old_AddReg]\nHKLM,Software\\Example,Mode,0x00010001,1";
    vec![
        value("INF701", "HKLM,Software\\Example,Mode,0x00010001,1"),
        value("INF701", "HKCR,Example,,,\"x\""),
        value(
            "INF702",
            "HKEY_LOCAL_MACHINE,Software\\Example,Mode,0x00010001,1",
        ),
        value("INF702", "Parameters,Mode"),
        hardware("INF703", "HKR,,Names,0x00010008,\"c\""),
        hardware("INF703", "HKR,,Names,0x00000004"),
        value("INF704", &format!("HKLM,{run}\\Run,Example,,\"x.exe\"")),
        value("INF704", &format!("HKLM,{run}\\RunOnce,Example,,\"x.exe\"")),
        value(
            "INF705",
            &format!("HKLM,{services}\\disk\\Parameters,Mode,0x00010001,1"),
        ),
        hardware(
            "INF705",
            &format!("HKLM,{services}\\tcpip,Mode,0x00010001,1"),
        ),
        value("INF706", "HKR,,Mode,0x00010001,1"),
        value("INF706", "HKR,Settings,Mode,0x00010001,1"),
        hardware("INF707", "HKR,,UpperFilters,0x00010000,\"filter\""),
        hardware("INF707", "HKR,,\"LowerFilters\",0x00010000,\"filter\""),
        value("INF708", "HKR,Parameters,MSISupported,0x00010001,1"),
        hardware("INF708", "HKR,,MSISupported,0x00010001,1"),
        hardware(
            "INF708",
            &format!("HKR,{msi},MessageNumberLimit,0x00010001,4096"),
        ),
        hardware("INF708", &format!("HKR,{msi},MessageNumberLimit,,\"8\"")),
        hardware("INF709", "HKR,,Mode,DWORD,1"),
        hardware("INF709", "HKR,,Mode,0x00010001,many"),
        hardware("INF709", "HKR,,Mode,0x00000001,100"),
        hardware("INF710", "HKR,,Path,,\"%11%\\x.dll\""),
        hardware("INF710", "HKR,,Path,0x00020000,%12%\\x.sys"),
        second("INF711", "Old", &differ("2"), (old, old_writes)),
        second("INF711", "Old", &differ("0x10"), (old, old_writes)),
    ]
}

fn services() -> Vec<Mutation> {
    let other = |binary: &str, start: &str| {
        format!(
            "[Second.Services]\nAddService = disk,2,Second_Service\n[Second_Service]\nDisplayName = %Service%\nServiceType = 1\nStartType = {start}\nErrorControl = 1\nServiceBinary = {binary}\\disk.sys"
        )
    };
    let nothing = ("[Version]", "[Version]");
    let new_service = "AddService = disk, 0x2, New_Service, Log";
    let new_binary = "= %13%\\disk.sys";
    vec![
        change(
            "INF801",
            STORAGE,
            &[(new_service, "AddService = disk, 0x0, New_Service, Log")],
        ),
        change("INF801", SYSTEM, &[("Needs   = NO_DRV.Services\n", "")]),
        change(
            "INF802",
            SYSTEM,
            &[("filter, , Filter_Service", "filter, 2, Filter_Service")],
        ),
        change(
            "INF802",
            STORAGE,
            &[(
                new_service,
                "AddService = disk, 0x2, New_Service, Log\nAddService = ,2",
            )],
        ),
        change(
            "INF803",
            STORAGE,
            &[(new_service, "AddService = disk, two, New_Service, Log")],
        ),
        change(
            "INF803",
            SYSTEM,
            &[(
                "AddService = rich,",
                "AddService = more\nAddService = rich,",
            )],
        ),
        change(
            "INF803",
            SYSTEM,
            &[("AddService = rich,", "AddService = ,0\nAddService = rich,")],
        ),
        change(
            "INF804",
            SYSTEM,
            &[(
                "StartType     = 3\nErrorControl  = 1\nServiceBinary = %13%\\rich",
                "StartType     = 3\nServiceBinary = %13%\\rich",
            )],
        ),
        change(
            "INF804",
            STORAGE,
            &[("StartType     = 0", "StartType     = BOOT")],
        ),
        change(
            "INF804",
            SYSTEM,
            &[("ServiceBinary = %13%\\rich.sys\n", "")],
        ),
        change(
            "INF805",
            STORAGE,
            &[(new_binary, "= System32\\drivers\\disk.sys")],
        ),
        change("INF805", SYSTEM, &[("= %13%\\filter.sys", "= filter.sys")]),
        change(
            "INF806",
            SYSTEM,
            &[("= 0x10\nStartType     = 3", "= 0x10\nStartType     = 2")],
        ),
        change(
            "INF806",
            SYSTEM,
            &[("= 0x10\nStartType     = 3", "= 0x20\nStartType     = 1")],
        ),
        change(
            "INF807",
            STORAGE,
            &[("StartType     = 0", "StartType     = 2")],
        ),
        change(
            "INF807",
            STORAGE,
            &[("StartType     = 0", "StartType     = 4")],
        ),
        change("INF808", STORAGE, &[(new_binary, "= %13%\\my disk.sys")]),
        change(
            "INF808",
            STORAGE,
            &[(new_binary, "= \"%13%\\sub folder\\disk.sys\"")],
        ),
        change(
            "INF809",
            STORAGE,
            &[("New_Service, Log", "New_Service, Log, Kernel")],
        ),
        change(
            "INF809",
            STORAGE,
            &[("Old_Service, Log", "Old_Service, Log, Sys, disk")],
        ),
        change("INF810", STORAGE, &[(new_binary, "= %12%\\disk.sys")]),
        change("INF810", STORAGE, &[(new_binary, "= %13%\\dsik.sys")]),
        change(
            "INF810",
            SYSTEM,
            &[("serve.exe -service", "other.exe -service")],
        ),
        second("INF811", "Old", &other("%12%", "3"), nothing),
        second("INF811", "New", &other("%13%", "3"), nothing),
    ]
}
