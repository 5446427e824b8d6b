//! Rules about `[Version]`. MS: inf-version-section.

use super::Lint;
use crate::{Entry, Pos, Section, same};

/// Classes that vendors may use, and their GUIDs. MS: system-defined-device-setup-classes-available-to-vendors.
const CLASSES: [(&str, &str); 53] = [
    (
        "AudioProcessingObject",
        "5989fce8-9cd0-467d-8a6a-5419e31529d4",
    ),
    ("Battery", "72631e54-78a4-11d0-bcf7-00aa00b7b32a"),
    ("Biometric", "53d29ef7-377c-4d14-864b-eb3a85769359"),
    ("Bluetooth", "e0cbf06c-cd8b-4647-bb8a-263b43f0f974"),
    ("Camera", "ca3e7ab9-b4c3-4ae6-8251-579ef933890f"),
    ("CDROM", "4d36e965-e325-11ce-bfc1-08002be10318"),
    ("DiskDrive", "4d36e967-e325-11ce-bfc1-08002be10318"),
    ("Display", "4d36e968-e325-11ce-bfc1-08002be10318"),
    ("Extension", "e2f84ce7-8efa-411c-aa69-97454ca4cb57"),
    ("FDC", "4d36e969-e325-11ce-bfc1-08002be10318"),
    ("FloppyDisk", "4d36e980-e325-11ce-bfc1-08002be10318"),
    ("HDC", "4d36e96a-e325-11ce-bfc1-08002be10318"),
    ("HIDClass", "745a17a0-74d3-11d0-b6fe-00a0c90f57da"),
    ("Dot4", "48721b56-6795-11d2-b1a8-0080c72e74a2"),
    ("Dot4Print", "49ce6ac8-6f86-11d2-b1e5-0080c72e74a2"),
    ("61883", "7ebefbc0-3200-11d2-b4c2-00a0c9697d07"),
    ("AVC", "c06ff265-ae09-48f0-812c-16753d7cba83"),
    ("SBP2", "d48179be-ec20-11d1-b6b8-00c04fa372a7"),
    ("1394", "6bdd1fc1-810f-11d0-bec7-08002be2092f"),
    ("Image", "6bdd1fc6-810f-11d0-bec7-08002be2092f"),
    ("Infrared", "6bdd1fc5-810f-11d0-bec7-08002be2092f"),
    ("Keyboard", "4d36e96b-e325-11ce-bfc1-08002be10318"),
    ("MediumChanger", "ce5939ae-ebde-11d0-b181-0000f8753ec4"),
    ("MTD", "4d36e970-e325-11ce-bfc1-08002be10318"),
    ("Modem", "4d36e96d-e325-11ce-bfc1-08002be10318"),
    ("Monitor", "4d36e96e-e325-11ce-bfc1-08002be10318"),
    ("Mouse", "4d36e96f-e325-11ce-bfc1-08002be10318"),
    ("Multifunction", "4d36e971-e325-11ce-bfc1-08002be10318"),
    ("Media", "4d36e96c-e325-11ce-bfc1-08002be10318"),
    ("MultiportSerial", "50906cb8-ba12-11d1-bf5d-0000f805f530"),
    ("Net", "4d36e972-e325-11ce-bfc1-08002be10318"),
    ("NetClient", "4d36e973-e325-11ce-bfc1-08002be10318"),
    ("NetService", "4d36e974-e325-11ce-bfc1-08002be10318"),
    ("NetTrans", "4d36e975-e325-11ce-bfc1-08002be10318"),
    (
        "SecurityAccelerator",
        "268c95a1-edfe-11d3-95c3-0010dc4050a5",
    ),
    ("PCMCIA", "4d36e977-e325-11ce-bfc1-08002be10318"),
    ("Ports", "4d36e978-e325-11ce-bfc1-08002be10318"),
    ("Printer", "4d36e979-e325-11ce-bfc1-08002be10318"),
    ("PNPPrinters", "4658ee7e-f050-11d1-b6bd-00c04fa372a7"),
    ("Processor", "50127dc3-0f36-415e-a6cc-4cb3be910b65"),
    ("SCSIAdapter", "4d36e97b-e325-11ce-bfc1-08002be10318"),
    ("Securitydevices", "d94ee5d8-d189-4994-83d2-f68d7d41b0e6"),
    ("Sensor", "5175d334-c371-4806-b3ba-71fd53c9258d"),
    ("SmartCardReader", "50dd5230-ba8a-11d1-bf5d-0000f805f530"),
    ("SoftwareComponent", "5c4c3332-344d-483c-8739-259e934c9cc8"),
    ("NvmeDisk", "75416e63-5912-4dfa-ae8f-3efaccaffb14"),
    ("Volume", "71a27cdd-812a-11d0-bec7-08002be2092f"),
    ("System", "4d36e97d-e325-11ce-bfc1-08002be10318"),
    ("TapeDrive", "6d807884-7d21-11cf-801c-08002be10318"),
    ("USBDevice", "88bae032-5a81-49f0-bc3d-a4ff138216d6"),
    ("WCEUSBS", "25dbce51-6c8f-4a72-8a6d-b54c2b4fc835"),
    ("WPD", "eec5ad98-8080-425f-922a-dabf3de3f69a"),
    ("USB", "36fc9e60-c465-11cf-8056-444553540000"),
];

/// Classes that no vendor may use. MS: system-defined-device-setup-classes-reserved-for-system-use (those that the page calls
/// reserved or obsolete); Sample: inf-validation-errors-and-warnings, 1284.
const RESERVED: [&str; 13] = [
    "Adapter",
    "APMSupport",
    "Computer",
    "Decoder",
    "1394Debug",
    "Enum1394",
    "NoDriver",
    "LegacyDriver",
    "Unknown",
    "PrinterUpgrade",
    "Sound",
    "VolumeSnapshot",
    "Sample",
];

pub(super) fn check(lint: &mut Lint<'_>) {
    let Some(version) = lint.inf().section("Version") else {
        return lint.report(
            "INF101",
            Pos::START,
            "there is no [Version] section",
            "add it, with Signature = \"$Windows NT$\"",
        );
    };
    signature(lint, version);
    class(lint, version);
    provider(lint, version);
    driver_ver(lint, version);
    catalog(lint, version);
    lockdown(lint, version);
}

/// The first value of a key, expanded, and where it stands; the section's start if there is none.
fn value(lint: &Lint<'_>, version: &Section, key: &str) -> (Option<String>, Pos) {
    let entry = version.entry(key);
    let field = entry.and_then(|entry| entry.value(0));
    let at = field.map_or_else(
        || entry.map_or(version.start(), |entry| entry.at),
        |field| field.at,
    );
    (field.map(|field| lint.inf().text(field)), at)
}

fn signature(lint: &mut Lint<'_>, version: &Section) {
    let (signature, at) = value(lint, version, "Signature");
    if !signature.is_some_and(|text| same(&text, "$Windows NT$")) {
        lint.report(
            "INF101",
            at,
            "the signature is not \"$Windows NT$\"",
            "write Signature = \"$Windows NT$\"",
        );
    }
}

fn class(lint: &mut Lint<'_>, version: &Section) {
    let (class, class_at) = value(lint, version, "Class");
    let (guid, guid_at) = value(lint, version, "ClassGuid");
    if class.is_none() {
        lint.report(
            "INF102",
            class_at,
            "Class is missing",
            "name the setup class, for example Class = SCSIAdapter",
        );
    }
    match &guid {
        None => lint.report(
            "INF102",
            guid_at,
            "ClassGuid is missing",
            "write the class's GUID as {XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}",
        ),
        Some(guid) if !is_guid(guid) => lint.report(
            "INF102",
            guid_at,
            format!("{guid} is not a GUID"),
            "write it as {XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}",
        ),
        Some(_) => {}
    }
    let (Some(class), Some(guid)) = (class, guid) else {
        return;
    };
    let bare = guid.trim_matches(['{', '}']).to_lowercase();
    let by_name = CLASSES.iter().find(|(name, _)| same(name, &class));
    let by_guid = CLASSES.iter().find(|(_, id)| *id == bare);
    match (by_name, by_guid) {
        (Some((name, id)), _) if is_guid(&guid) && *id != bare => lint.report(
            "INF103",
            guid_at,
            format!("{guid} is not the GUID of class {name}"),
            format!("write ClassGuid = {{{id}}}"),
        ),
        (None, Some((name, _))) => lint.report(
            "INF103",
            class_at,
            format!("{guid} is the GUID of class {name}, not of {class}"),
            format!("write Class = {name}"),
        ),
        _ => {}
    }
    if RESERVED.iter().any(|name| same(name, &class)) {
        lint.report(
            "INF104",
            class_at,
            format!("class {class} is reserved for Windows itself"),
            "take one of the classes that are available to vendors, or define your own",
        );
    }
    if by_name.is_some() || by_guid.is_some() {
        for section in &lint.inf().sections {
            let name = section.name.to_lowercase();
            if name == "classinstall32" || name.starts_with("classinstall32.") {
                lint.report(
                    "INF105",
                    section.start(),
                    format!(
                        "[{}] for class {class}, which Microsoft defines",
                        section.name
                    ),
                    "remove the section",
                );
            }
        }
    }
}

/// `{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}`.
pub(super) fn is_guid(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return false;
    };
    let groups: Vec<&str> = inner.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.chars().all(|c| c.is_ascii_hexdigit()))
}

fn provider(lint: &mut Lint<'_>, version: &Section) {
    let (provider, at) = value(lint, version, "Provider");
    let Some(provider) = provider.filter(|text| !text.trim().is_empty()) else {
        return lint.report(
            "INF106",
            at,
            "Provider is missing or empty",
            "write Provider = %Provider% and define the string",
        );
    };
    // MS: inf-validation-errors-and-warnings, 1204: names that begin with Microsoft are not permitted either.
    if provider
        .trim_start()
        .to_lowercase()
        .starts_with("microsoft")
    {
        lint.report(
            "INF108",
            at,
            format!("the provider is {provider:?}"),
            "name the organisation that wrote the INF",
        );
    }
    let raw = version.entry("Provider").and_then(|entry| entry.value(0));
    if raw.is_some_and(|field| lint.inf().expand(&field.text).used.is_empty()) {
        lint.report(
            "INF107",
            at,
            "Provider is not a string token",
            "write Provider = %Provider% and define the string, so that it can be translated",
        );
    }
}

fn driver_ver(lint: &mut Lint<'_>, version: &Section) {
    let Some(entry) = version.entry("DriverVer") else {
        return lint.report(
            "INF109",
            version.start(),
            "DriverVer is missing",
            "write DriverVer = mm/dd/yyyy,w.x.y.z",
        );
    };
    let text = |index: usize| {
        let field = entry.value(index);
        field
            .map(|field| lint.inf().text(field))
            .unwrap_or_default()
    };
    let (date, number) = (text(0), text(1));
    if !is_date(&date) {
        lint.report(
            "INF109",
            entry.at(0),
            format!("{date:?} is not a date of the form mm/dd/yyyy"),
            "write month, day and year with two, two and four digits",
        );
    }
    if !is_version(&number) {
        lint.report(
            "INF109",
            entry.at(1),
            format!("{number:?} is not a version of the form w.x.y.z"),
            "write four numbers below 65535, not all of them 0",
        );
    }
}

/// MS: inf-driverver-directive.
fn is_date(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { '/' };
    let parts: Vec<&str> = text.split(separator).collect();
    let digits = parts
        .iter()
        .all(|part| part.chars().all(|c| c.is_ascii_digit()));
    let [month, day, year] = parts[..] else {
        return false;
    };
    let number = |part: &str| part.parse::<u32>().unwrap_or(0);
    digits
        && (month.len(), day.len(), year.len()) == (2, 2, 4)
        && (1..=12).contains(&number(month))
        && (1..=31).contains(&number(day))
}

/// MS: inf-driverver-directive.
fn is_version(text: &str) -> bool {
    let parts: Vec<Option<u32>> = text
        .split('.')
        .map(|part| part.parse().ok().filter(|number| *number < 65535))
        .collect();
    parts.len() == 4
        && parts.iter().all(Option::is_some)
        && parts.iter().any(|part| *part != Some(0))
}

fn catalog(lint: &mut Lint<'_>, version: &Section) {
    let catalogs: Vec<&Entry> = version
        .entries
        .iter()
        .filter(|entry| {
            let name = entry.name().to_lowercase();
            name == "catalogfile" || name.starts_with("catalogfile.nt")
        })
        .collect();
    if catalogs.is_empty() {
        return lint.report(
            "INF110",
            version.start(),
            "CatalogFile is missing: the package cannot be signed",
            "write CatalogFile = NAME.cat",
        );
    }
    for entry in catalogs {
        let name = entry
            .value(0)
            .map(|field| lint.inf().text(field))
            .unwrap_or_default();
        let is_catalog = name.len() > 4
            && name.to_lowercase().ends_with(".cat")
            && !name.contains(['\\', '/', ':']);
        if !is_catalog {
            lint.report(
                "INF110",
                entry.at(0),
                format!("{name:?} is not the name of a catalog beside the INF"),
                "write CatalogFile = NAME.cat, without a folder",
            );
        }
    }
}

fn lockdown(lint: &mut Lint<'_>, version: &Section) {
    let (lockdown, at) = value(lint, version, "PnpLockdown");
    if lockdown.as_deref().and_then(crate::number) != Some(1) {
        lint.report(
            "INF111",
            at,
            "PnpLockdown is not 1: programs may change the driver's files",
            "write PnpLockdown = 1",
        );
    }
    for key in ["DriverPackageType", "DriverPackageDisplayName"] {
        if let Some(entry) = version.entry(key) {
            lint.report(
                "INF112",
                entry.at,
                format!("{key} belongs to DIFx, which is gone"),
                "remove the line",
            );
        }
    }
}
