//! The shipped template, and mutations of it that the linter must refuse.

use super::{Inf, lint, render};
use crate::drivers::{Arch, DRIVERS};
use crate::version::{Epoch, Version};

const TEMPLATE: &str = include_str!("../../../../inf/vioblk.inx");
const FILES: [&str; 2] = ["vioblk.sys", "vioblk.cat"];

fn rendered(arch: Arch) -> String {
    render(
        TEMPLATE,
        &DRIVERS[0],
        arch,
        Version([1, 2, 3, 4]),
        Epoch(1_700_000_000),
    )
    .unwrap()
}

#[test]
fn the_shipped_inf_is_clean() {
    for arch in Arch::ALL {
        let text = rendered(arch);
        assert_eq!(lint(&text, &DRIVERS[0], arch, &FILES), [""; 0], "{text}");
        assert!(text.contains("DriverVer   = 11/14/2023,1.2.3.4\r\n"));
        assert!(
            text.starts_with("; Two forms"),
            "the template's own comments are left out"
        );
    }
}

#[test]
fn each_rule_catches_its_mutation() {
    let text = rendered(Arch::Amd64);
    for (from, to, expected) in [
        ("PnpLockdown = 1", "PnpLockdown = 0", "PnpLockdown"),
        ("= SCSIAdapter", "= System", "Class"),
        ("11/14/2023,", "2023-11-14,", "DriverVer"),
        (
            "CatalogFile = vioblk.cat",
            "CatalogFile = other.cat",
            "CatalogFile",
        ),
        ("Provider    = %Provider%", "Provider    = WinPV", "token"),
        (
            "NTamd64.10.0...16299\r\n\r\n[Models",
            "NTamd64.10.0...17763\r\n\r\n[Models",
            "is missing",
        ),
        (
            ", NTamd64.10.0...14393, NTamd64.10.0...16299",
            "",
            "not decorated",
        ),
        (
            "PCI\\VEN_1AF4&DEV_1042\r\n",
            "PCI\\VEN_1AF4&DEV_1043\r\n",
            "hardware ids",
        ),
        (
            "StartType      = 0 ; SERVICE_BOOT_START",
            "StartType      = 3",
            "StartType",
        ),
        (
            "DefaultDestDir = 13",
            "DefaultDestDir = 12",
            "cannot take its driver",
        ),
        (
            "Files_1607     = 12",
            "Files_1607     = 13",
            "cannot take its driver",
        ),
        (
            "ServiceBinary  = %13%",
            "ServiceBinary  = %12%",
            "ServiceBinary",
        ),
        (
            "MSISupported,0x00010001,1",
            "MSISupported,0x00010001,0",
            "MSI-X",
        ),
        (
            "MessageNumberLimit,0x00010001,65",
            "MessageNumberLimit,0x00010001,1",
            "MessageNumberLimit",
        ),
        (";%13%\\vioblk.sys\"", "\"", "messages"),
        ("DmaRemappingCompatible", "Other", "DMA remapping"),
        (
            "HKR,\"Parameters\",BusType",
            "HKLM,\"Parameters\",BusType",
            "HKLM",
        ),
        ("vioblk.sys = 1", "other.sys = 1", "differ"),
        (
            "ServiceName = \"",
            "Service = \"",
            "%servicename% is not defined",
        ),
        ("[EventLog]", "[EventLogs]", "which is missing"),
        (
            "CopyFiles = Files\r\n",
            "CopyFiles = Files\r\nDelReg = Files\r\n",
            "delreg",
        ),
        (
            "0x00000002, Service,",
            "0x00000000, Service,",
            "ASSOCSERVICE",
        ),
        ("[Files]\r\n", "[Files]\n", "CR LF"),
        (
            "\"WinPV VirtIO drivers\"",
            "\"WinPV VirtIO drivérs\"",
            "ASCII",
        ),
        ("[Files]", "[Files", "no ]"),
    ] {
        let mutated = text.replacen(from, to, 1);
        assert_ne!(mutated, text, "{from:?} is not in the INF");
        let problems = lint(&mutated, &DRIVERS[0], Arch::Amd64, &FILES);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{from:?} -> {to:?}: {problems:?}"
        );
    }
    assert!(
        !lint(&text, &DRIVERS[0], Arch::Arm64, &FILES).is_empty(),
        "the other processor's"
    );
    assert!(
        !lint(&text, &DRIVERS[0], Arch::Amd64, &FILES[1..]).is_empty(),
        "no .sys"
    );
}

#[test]
fn an_unknown_field_is_an_error() {
    let refused = render(
        "Class = @CLASS@",
        &DRIVERS[0],
        Arch::Amd64,
        Version([0; 4]),
        Epoch(0),
    );
    assert!(refused.unwrap_err().to_string().contains("unknown field"));
}

#[test]
fn the_parser_knows_quotes_and_comments() {
    let inf = Inf::parse("[A] ; c\nk = \"x;y, z\", 2 ; three\nHKR,,n,0,\"a=b\"\n").unwrap();
    assert_eq!(inf.fields("a", "K").unwrap(), ["x;y, z", "2"]);
    assert_eq!(
        inf.section("A").unwrap()[1].fields,
        ["HKR", "", "n", "0", "a=b"]
    );
    assert!(Inf::parse("k = 1").is_err());
}

#[test]
fn the_inf_and_the_driver_agree_on_dma_remapping() {
    for arch in Arch::ALL {
        let inf = Inf::parse(&rendered(arch)).unwrap();
        for section in ["Service", "Service_1607"] {
            let values = inf.registry(section);
            let value = values
                .iter()
                .find(|[_, name, ..]| *name == "DmaRemappingCompatible")
                .unwrap();
            assert_eq!(
                value[..3],
                ["Parameters", "DmaRemappingCompatible", "0x00010001"]
            );
            assert_eq!(value[3] == "1", vioblk::DMA_REMAPPING_OPT_IN, "[{section}]");
        }
    }
}
