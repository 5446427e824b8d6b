//! What the log says of devices that run on a driver already.

use anyhow::{Result, ensure};

use super::kit::Kit;
use super::prefix::exit;

/// A disk on virtio-win's driver, in the registry where Windows keeps devices and their drivers.
const DEVICE: &str = r#"
[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Enum\PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01\3&11583659&0&20]
"Service"="viostor"
"Class"="SCSIAdapter"
"ClassGUID"="{4d36e97b-e325-11ce-bfc1-08002be10318}"
"Driver"="{4d36e97b-e325-11ce-bfc1-08002be10318}\\0007"
"HardwareID"=hex(7):IDS

[HKEY_LOCAL_MACHINE\System\CurrentControlSet\Control\Class\{4d36e97b-e325-11ce-bfc1-08002be10318}\0007]
"InfPath"="oem3.inf"
"ProviderName"="Red Hat, Inc."
"DriverVersion"="100.94.104.24800"
"#;

/// A list of texts as regedit writes it.
pub fn texts(list: &[&str]) -> String {
    let all: String = list
        .iter()
        .map(|text| format!("{text}\0"))
        .chain(["\0".to_owned()])
        .collect();
    let bytes: Vec<String> = all
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bytes.join(",")
}

pub fn taken(kit: &Kit<'_>) -> Result<()> {
    let prefix = kit.ten()?;
    let ids = texts(&[
        r"PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01",
        r"PCI\VEN_1AF4&DEV_1042",
    ]);
    prefix.import(&DEVICE.replace("IDS", &ids))?;
    prefix.msiexec_ends(&["/i", &kit.trusted.path], exit::SUCCESS)?;
    let device = r"PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01\3&11583659&0&20";
    let driver = "viostor (oem3.inf, Red Hat, Inc. 100.94.104.24800)";
    let log = prefix.log().to_lowercase();
    for line in [
        format!("vioblk: {device} runs on {driver}"),
        // Wine gives devices no driver.
        format!("vioblk: {device} stays on {driver}; windows takes "),
    ] {
        ensure!(log.contains(&line.to_lowercase()), "no {line:?}:\n{log}");
    }
    ensure!(!log.contains("as was asked for"), "{log}");
    let force = ["/i", &kit.trusted.path, "REINSTALL=ALL", "WINPV_FORCE=1"];
    prefix.msiexec_ends(&force, exit::SUCCESS)?;
    prefix.logged("every matching device gets the new package, as was asked for")
}
