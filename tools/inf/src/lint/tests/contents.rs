//! Mutations for the rules about text, `[Version]` and models.

use super::{Mutation, Options, STORAGE, SYSTEM, USER, append, bytes, change};

pub(super) fn all() -> Vec<Mutation> {
    let mut all = text();
    all.extend(version());
    all.extend(models());
    all
}

fn text() -> Vec<Mutation> {
    let crlf = STORAGE.replace('\n', "\r\n");
    let spoilt = |from: &str, to: &[u8]| {
        let (before, after) = crlf.split_once(from).unwrap();
        [before.as_bytes(), to, after.as_bytes()].concat()
    };
    let big_endian = "\u{feff}"
        .encode_utf16()
        .chain(crlf.encode_utf16())
        .flat_map(u16::to_be_bytes)
        .collect();
    let long = format!("HKR,Parameters,Long,,\"{}\"\n[Strings]", "x".repeat(5000));
    vec![
        change("INF001", STORAGE, &[("[New_Files]", "[New_Files")]),
        change(
            "INF001",
            STORAGE,
            &[("\"Example service\"", "\"Example service")],
        ),
        change("INF001", STORAGE, &[("[New_Files]", "[New_Files] files")]),
        append(
            "INF001",
            STORAGE,
            "[ControlFlags]\nExcludeFromSelect = * \\",
        ),
        bytes("INF002", spoilt("; A", "; \u{c4}".as_bytes()), "UTF-8"),
        bytes("INF002", big_endian, "UTF-16 BE"),
        bytes("INF003", spoilt("; A", b"; \xc4"), "a comment in Latin-1"),
        bytes(
            "INF003",
            spoilt("Example disk", b"Example d\xefsk"),
            "a string in Latin-1",
        ),
        bytes("INF004", STORAGE.as_bytes().to_vec(), "LF"),
        bytes("INF004", spoilt("disk.sys\r\n", b"disk.sys\r"), "one CR"),
        change(
            "INF005",
            SYSTEM,
            &[("ProviderName = Rich", "ProviderName = $NAME$")],
        ),
        change(
            "INF005",
            STORAGE,
            &[(
                "BusType,0x00010001,1",
                "BusType,0x00010001,1\nHKR,Parameters,Text,,$TEXT$",
            )],
        ),
        change("INF006", STORAGE, &[("[Strings]", &long)]),
        change("INF006", STORAGE, &[("Strings", "Strings")]).with(Options {
            path_length: 260,
            ..Options::default()
        }),
        append(
            "INF006",
            STORAGE,
            &format!("[ControlFlags.{}]", "x".repeat(300)),
        ),
        bytes(
            "INF007",
            format!("/*++\r\n{crlf}").into_bytes(),
            "a comment of another language",
        ),
        bytes(
            "INF007",
            format!("Key = 1\r\n{crlf}").into_bytes(),
            "an entry",
        ),
    ]
}

fn version() -> Vec<Mutation> {
    let class = |class: &str, guid: &str| {
        [
            ("= SCSIAdapter".to_owned(), format!("= {class}")),
            (
                "{4D36E97B-E325-11CE-BFC1-08002BE10318}".to_owned(),
                guid.to_owned(),
            ),
        ]
    };
    let classes = |rule, name: &str, guid: &str| {
        let [a, b] = class(name, guid);
        change(rule, STORAGE, &[(&a.0, &a.1), (&b.0, &b.1)])
    };
    vec![
        change("INF101", STORAGE, &[("$Windows NT$", "$Chicago$")]),
        change(
            "INF101",
            STORAGE,
            &[("Signature   = \"$Windows NT$\"\n", "")],
        ),
        change("INF102", STORAGE, &[("Class       = SCSIAdapter\n", "")]),
        change(
            "INF102",
            STORAGE,
            &[("ClassGuid   = {4D36E97B-E325-11CE-BFC1-08002BE10318}\n", "")],
        ),
        change(
            "INF102",
            STORAGE,
            &[(
                "{4D36E97B-E325-11CE-BFC1-08002BE10318}",
                "4D36E97B-E325-11CE-BFC1-08002BE10318",
            )],
        ),
        classes(
            "INF103",
            "SCSIAdapter",
            "{4d36e97d-e325-11ce-bfc1-08002be10318}",
        ),
        classes("INF103", "Disks", "{4d36e97b-e325-11ce-bfc1-08002be10318}"),
        classes(
            "INF104",
            "Unknown",
            "{4d36e97e-e325-11ce-bfc1-08002be10318}",
        ),
        classes("INF104", "Sample", "{78A1C341-4539-11d3-B88D-00C04FAD5171}"),
        append("INF105", STORAGE, "[ClassInstall32]"),
        append("INF105", SYSTEM, "[ClassInstall32.NTamd64]"),
        change("INF106", STORAGE, &[("Provider    = %Provider%\n", "")]),
        change(
            "INF106",
            STORAGE,
            &[("Provider    = %Provider%", "Provider    = \"\"")],
        ),
        change(
            "INF107",
            STORAGE,
            &[("Provider    = %Provider%", "Provider    = Example")],
        ),
        change(
            "INF107",
            SYSTEM,
            &[("Provider    = %Provider%", "Provider    = \"Example Ltd.\"")],
        ),
        change("INF108", STORAGE, &[("\"Example\"", "\"Microsoft\"")]),
        change(
            "INF108",
            STORAGE,
            &[("\"Example\"", "\"Microsoft Corporation\"")],
        ),
        change(
            "INF109",
            STORAGE,
            &[("DriverVer   = 01/02/2024,1.2.3.4\n", "")],
        ),
        change("INF109", STORAGE, &[("01/02/2024", "2024-01-02")]),
        change("INF109", STORAGE, &[("01/02/2024", "13/02/2024")]),
        change("INF109", STORAGE, &[("1.2.3.4", "1.2.3")]),
        change("INF109", STORAGE, &[("1.2.3.4", "1.2.3.70000")]),
        change("INF109", STORAGE, &[("1.2.3.4", "0.0.0.0")]),
        change("INF110", STORAGE, &[("CatalogFile = disk.cat\n", "")]),
        change("INF110", STORAGE, &[("= disk.cat", "= disk.p7b")]),
        change("INF110", STORAGE, &[("= disk.cat", "= cat\\disk.cat")]),
        change("INF111", STORAGE, &[("PnpLockdown = 1", "PnpLockdown = 0")]),
        change("INF111", STORAGE, &[("PnpLockdown = 1\n", "")]),
        change(
            "INF112",
            STORAGE,
            &[(
                "PnpLockdown = 1",
                "PnpLockdown = 1\nDriverPackageType = PlugAndPlay",
            )],
        ),
        change(
            "INF112",
            STORAGE,
            &[(
                "PnpLockdown = 1",
                "PnpLockdown = 1\nDriverPackageDisplayName = %Device%",
            )],
        ),
    ]
}

/// One more decoration, with a section that has no devices.
fn decoration(rule: &'static str, decoration: &str) -> Mutation {
    change(
        rule,
        STORAGE,
        &[
            ("14393, NTamd64", &format!("14393, {decoration}, NTamd64")),
            (
                "[SourceDisksNames]",
                &format!("[Models.{decoration}]\n\n[SourceDisksNames]"),
            ),
        ],
    )
}

/// One more line of manufacturers.
fn manufacturer(rule: &'static str, line: &str, section: &str) -> Mutation {
    let text = format!("[Manufacturer]\n{line}\n");
    change(
        rule,
        STORAGE,
        &[
            ("[Manufacturer]\n", &text),
            (
                "[SourceDisksNames]",
                &format!("{section}\n\n[SourceDisksNames]"),
            ),
        ],
    )
}

/// One more line of the newest models.
fn device(rule: &'static str, line: &str) -> Mutation {
    change(
        rule,
        STORAGE,
        &[(
            "%Device% = New, PCI\\VEN_1AF4&DEV_1042",
            &format!("%Device% = New, PCI\\VEN_1AF4&DEV_1042\n{line}"),
        )],
    )
}

fn models() -> Vec<Mutation> {
    let header = STORAGE.split("[Manufacturer]").next().unwrap();
    let none = format!("{header}[Strings]\nProvider = \"Example\"\n");
    vec![
        append("INF201", &none, ""),
        manufacturer("INF201", "%Provider% =", ""),
        append("INF202", STORAGE, "[DefaultInstall]"),
        append("INF202", STORAGE, "[DefaultInstall.NTamd64]"),
        manufacturer("INF203", "%Provider% = Bare", "[Bare]"),
        manufacturer("INF203", "%Provider% = Bare, NT.10.0", "[Bare.NT.10.0]"),
        decoration("INF204", "NTmips"),
        decoration("INF204", "NTamd64.ten"),
        decoration("INF204", "NTamd64.10.0...16299.1"),
        decoration("INF205", "NTamd64.10.0...10240"),
        decoration("INF205", "NTamd64.6.3...14393"),
        decoration("INF206", "NTamd64.10.0.1..16300"),
        decoration("INF206", "NTamd64.10.0..0x80.16300"),
        decoration("INF207", "NTia64"),
        decoration("INF207", "NTarm"),
        change(
            "INF208",
            STORAGE,
            &[("14393, NTamd64", "14393, NTx86, NTamd64")],
        ),
        change(
            "INF208",
            SYSTEM,
            &[(
                "= Devices, NTamd64.10.0...19041",
                "= Devices, NTamd64.10.0...19041, NTamd64.10.0...22000",
            )],
        ),
        device("INF209", "%Device% = Nowhere, PCI\\VEN_1AF4&DEV_1048"),
        device("INF209", "%Device% = , PCI\\VEN_1AF4&DEV_1048"),
        change(
            "INF210",
            STORAGE,
            &[
                (", PCI\\VEN_1AF4&DEV_1001", ""),
                (", PCI\\VEN_1AF4&DEV_1042", ""),
            ],
        ),
        change("INF210", USER, &[(", ACPI\\EXMP0001", "")]),
        device("INF211", "%Device% = New, pci\\ven_1af4&dev_1042"),
        change(
            "INF211",
            SYSTEM,
            &[("DEV_1045", "DEV_1045, PCI\\VEN_1AF4&DEV_1045")],
        ),
        change("INF212", STORAGE, &[("NTamd64", "NTarm64")]),
        change(
            "INF212",
            USER,
            &[
                (
                    "Devices, NTarm64",
                    "Devices, NTarm64.10.0...15063, NTarm64.10.0...16299, NTarm64",
                ),
                (
                    "[SourceDisksNames]",
                    "[Devices.NTarm64.10.0...15063]\n[Devices.NTarm64.10.0...16299]\n[SourceDisksNames]",
                ),
            ],
        ),
    ]
}
