//! Checks an INF against the rules that Windows' installer and InfVerif apply (MS: "INF Validation Errors and Warnings").

use std::collections::{BTreeMap, BTreeSet};

use super::text::Inf;
use crate::drivers::{Arch, Driver};

/// DIRID 12: System32\drivers. DIRID 13: the driver store.
const DIRIDS: [&str; 2] = ["12", "13"];

/// The first build that runs drivers from the driver store.
const DRIVER_STORE_BUILD: u32 = 16299;

/// Everything that is wrong with a driver's INF; `files` are the package's file names.
pub fn lint(text: &str, driver: &Driver, arch: Arch, files: &[&str]) -> Vec<String> {
    let mut lint = Lint {
        problems: Vec::new(),
    };
    lint.bytes(text);
    match Inf::parse(text) {
        Err(error) => lint.problem(format!("{error:#}")),
        Ok(inf) => {
            lint.version(&inf, driver, files);
            lint.models(&inf, driver, arch);
            lint.files(&inf, files);
            lint.strings(&inf, text);
            lint.references(&inf);
            lint.forbidden(&inf);
        }
    }
    lint.problems
}

struct Lint {
    problems: Vec<String>,
}

impl Lint {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn require(&mut self, holds: bool, text: impl Into<String>) {
        if !holds {
            self.problem(text);
        }
    }

    fn bytes(&mut self, text: &str) {
        self.require(
            text.is_ascii(),
            "not ASCII: Windows would read it in the machine's code page",
        );
        let bare = text.split("\r\n").any(|line| line.contains(['\r', '\n']));
        self.require(
            !bare && text.ends_with("\r\n"),
            "a line does not end with CR LF",
        );
        self.require(!text.contains('@'), "a template field was not filled in");
    }

    fn version(&mut self, inf: &Inf, driver: &Driver, files: &[&str]) {
        let value = |key: &str| inf.value("Version", key).unwrap_or_default();
        for (key, expected) in [
            ("Signature", "$WINDOWS NT$"),
            ("Class", "SCSIAdapter"),
            ("ClassGuid", "{4D36E97B-E325-11CE-BFC1-08002BE10318}"),
            ("PnpLockdown", "1"),
        ] {
            self.require(
                value(key).eq_ignore_ascii_case(expected),
                format!("[Version] {key} is not {expected}"),
            );
        }
        self.require(
            value("Provider").starts_with('%'),
            "[Version] Provider is not a string token",
        );
        let catalog = format!("{}.cat", driver.name);
        self.require(
            value("CatalogFile") == catalog,
            format!("[Version] CatalogFile is not {catalog}"),
        );
        self.require(
            files.contains(&catalog.as_str()),
            format!("{catalog} is not in the package"),
        );
        let date_and_version = inf.fields("Version", "DriverVer").unwrap_or_default();
        let well_formed = match date_and_version {
            [date, version] => {
                let numbers = |text: &str, separator| {
                    text.split(separator)
                        .all(|part| part.parse::<u16>().is_ok())
                };
                date.len() == 10
                    && numbers(date, '/')
                    && version.split('.').count() == 4
                    && numbers(version, '.')
            }
            _ => false,
        };
        self.require(well_formed, "[Version] DriverVer is not mm/dd/yyyy,a.b.c.d");
    }

    /// Models sections are decorated for this processor only, and name exactly the table's hardware ids.
    fn models(&mut self, inf: &Inf, driver: &Driver, arch: Arch) {
        let Some([manufacturer]) = inf.section("Manufacturer") else {
            return self.problem("[Manufacturer] does not have exactly one entry");
        };
        let Some((name, decorations)) = manufacturer.fields.split_first() else {
            return self.problem("[Manufacturer] names no models section");
        };
        self.require(!decorations.is_empty(), "[Manufacturer] is not decorated");
        for decoration in decorations {
            let parts: Vec<&str> = decoration.split('.').collect();
            let [platform, "10", "0", "", "", build] = parts[..] else {
                self.problem(format!(
                    "{decoration} is not of the form NTarch.10.0...build"
                ));
                continue;
            };
            self.require(
                platform == format!("NT{arch}"),
                format!("{decoration} is not for {arch}"),
            );
            let Some(models) = inf.section(&format!("{name}.{decoration}")) else {
                self.problem(format!("[{name}.{decoration}] is missing"));
                continue;
            };
            let ids: BTreeSet<&str> = models
                .iter()
                .flat_map(|model| model.fields.iter().skip(1))
                .map(String::as_str)
                .collect();
            let expected: BTreeSet<&str> = driver.hardware_ids.iter().copied().collect();
            self.require(
                ids == expected,
                format!("[{name}.{decoration}] does not name the driver's hardware ids"),
            );
            let installs: BTreeSet<&str> = models
                .iter()
                .filter_map(|model| model.fields.first())
                .map(String::as_str)
                .collect();
            for install in installs {
                self.install(inf, install, driver, build.parse().unwrap_or(0));
            }
        }
    }

    fn install(&mut self, inf: &Inf, install: &str, driver: &Driver, build: u32) {
        let services = format!("{install}.NT.Services");
        let Some([name, flags, section, log]) = inf.fields(&services, "AddService") else {
            return self.problem(format!(
                "[{services}] has no AddService with flags, service and event log"
            ));
        };
        self.require(
            name == driver.name,
            format!("[{services}] adds the service {name}"),
        );
        self.require(
            flags == "0x00000002",
            format!("[{services}]: no SPSVCINST_ASSOCSERVICE"),
        );
        let (dirid, directory) = match inf.fields(&format!("{install}.NT"), "CopyFiles") {
            Some([list]) => {
                let own = inf.value("DestinationDirs", list);
                (
                    own.or(inf.value("DestinationDirs", "DefaultDestDir"))
                        .unwrap_or_default(),
                    list,
                )
            }
            _ => {
                return self.problem(format!(
                    "[{install}.NT] does not copy exactly one list of files"
                ));
            }
        };
        self.require(
            DIRIDS.contains(&dirid),
            format!("[{directory}] goes to directory {dirid}"),
        );
        let store = build >= DRIVER_STORE_BUILD;
        self.require(
            store == (dirid == "13"),
            format!("build {build} cannot take its driver from directory {dirid}"),
        );
        let binary = format!(r"%{dirid}%\{}.sys", driver.name);
        for (key, expected) in [
            ("ServiceBinary", binary.as_str()),
            ("ServiceType", "1"),
            ("StartType", "0"),
            ("ErrorControl", "1"),
            ("LoadOrderGroup", "SCSI miniport"),
        ] {
            let value = inf.value(section, key).unwrap_or_default();
            self.require(
                value == expected,
                format!("[{section}] {key} is {value:?}, not {expected:?}"),
            );
        }
        let log = inf.registry(log);
        let explains = |file: &str| {
            log.iter()
                .any(|[_, name, _, value]| *name == "EventMessageFile" && value.ends_with(file))
        };
        self.require(
            explains(&format!(r"\{}.sys", driver.name)),
            "the event log does not find the driver's messages",
        );
        let hardware = inf.registry(&format!("{install}.NT.HW"));
        let messages = |name: &str| {
            let key = r"Interrupt Management\MessageSignaledInterruptProperties";
            hardware
                .iter()
                .find(|[subkey, value, ..]| *subkey == key && *value == name)
                .map(|value| value[3])
        };
        self.require(
            messages("MSISupported") == Some("1"),
            format!("[{install}.NT.HW] does not turn MSI-X on"),
        );
        let limit = messages("MessageNumberLimit")
            .and_then(|limit| limit.parse().ok())
            .unwrap_or(0);
        self.require(
            (2..=2048).contains(&limit),
            format!("[{install}.NT.HW] MessageNumberLimit {limit} is not 2 to 2048"),
        );
        let service = inf.registry(section);
        self.require(
            service
                .iter()
                .any(|[_, name, ..]| *name == "DmaRemappingCompatible"),
            "no word about DMA remapping",
        );
    }

    /// Each copied file is listed as a source, each source is copied, and each is there.
    fn files(&mut self, inf: &Inf, files: &[&str]) {
        let sources: BTreeSet<&str> = inf
            .section("SourceDisksFiles")
            .unwrap_or_default()
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        let mut copied = BTreeSet::new();
        for (_, entries) in inf.sections() {
            let lists = entries
                .iter()
                .filter(|entry| entry.key.eq_ignore_ascii_case("CopyFiles"));
            for list in lists.flat_map(|entry| &entry.fields) {
                copied.extend(
                    inf.section(list)
                        .unwrap_or_default()
                        .iter()
                        .map(|entry| entry.fields[0].as_str()),
                );
            }
        }
        self.require(
            copied == sources,
            format!("copied files {copied:?} and source files {sources:?} differ"),
        );
        for file in sources {
            self.require(
                files.contains(&file),
                format!("{file} is not in the package"),
            );
        }
    }

    /// Each token is defined, and each defined token is used.
    fn strings(&mut self, inf: &Inf, text: &str) {
        let defined: BTreeMap<String, &str> = inf
            .section("Strings")
            .unwrap_or_default()
            .iter()
            .map(|entry| {
                (
                    entry.key.to_lowercase(),
                    entry.fields.first().map_or("", String::as_str),
                )
            })
            .collect();
        let mut used = BTreeSet::new();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with(';'))
        {
            // Doubled percent signs stand for themselves.
            let line = line.replace("%%", "");
            used.extend(line.split('%').skip(1).step_by(2).map(str::to_lowercase));
        }
        for token in &used {
            let dirid = token.parse::<u32>().is_ok();
            self.require(
                dirid || defined.contains_key(token),
                format!("%{token}% is not defined"),
            );
        }
        for (token, value) in defined {
            self.require(used.contains(&token), format!("%{token}% is never used"));
            self.require(!value.is_empty(), format!("%{token}% is empty"));
        }
    }

    /// Each section that a directive names is there, and each section is named by something.
    fn references(&mut self, inf: &Inf) {
        const WELL_KNOWN: [&str; 6] = [
            "version",
            "manufacturer",
            "sourcedisksnames",
            "sourcedisksfiles",
            "destinationdirs",
            "strings",
        ];
        let mut named: BTreeSet<String> = WELL_KNOWN.map(str::to_owned).into();
        for (section, entries) in inf.sections() {
            for entry in entries {
                let targets: Vec<String> = match entry.key.to_lowercase().as_str() {
                    "copyfiles" | "addreg" => entry.fields.clone(),
                    "addservice" => entry.fields.iter().skip(2).cloned().collect(),
                    _ if section == "manufacturer" => {
                        let decorated = entry
                            .fields
                            .iter()
                            .skip(1)
                            .map(|part| format!("{}.{part}", entry.fields[0]));
                        decorated.collect()
                    }
                    _ if section.starts_with("models.") => {
                        let install = &entry.fields[0];
                        ["", ".HW", ".Services"]
                            .map(|part| format!("{install}.NT{part}"))
                            .into()
                    }
                    _ => continue,
                };
                for target in targets {
                    self.require(
                        inf.section(&target).is_some(),
                        format!("[{section}] names [{target}], which is missing"),
                    );
                    named.insert(target.to_lowercase());
                }
            }
        }
        for (section, _) in inf.sections() {
            self.require(
                named.contains(section),
                format!("[{section}] is used by nothing"),
            );
        }
    }

    /// Directives that a declarative, isolated driver package must not have, and registry roots other than its own.
    fn forbidden(&mut self, inf: &Inf) {
        const DIRECTIVES: [&str; 11] = [
            "delfiles",
            "delreg",
            "delservice",
            "renfiles",
            "bitreg",
            "logconfig",
            "registerdlls",
            "ini2reg",
            "updateinis",
            "profileitems",
            "coinstallers32",
        ];
        let registry: BTreeSet<String> = inf
            .sections()
            .flat_map(|(_, entries)| entries)
            .filter(|entry| entry.key.eq_ignore_ascii_case("AddReg"))
            .flat_map(|entry| entry.fields.iter().map(|list| list.to_lowercase()))
            .collect();
        for (section, entries) in inf.sections() {
            for entry in entries {
                let key = entry.key.to_lowercase();
                self.require(
                    !DIRECTIVES.contains(&key.as_str()),
                    format!("[{section}] uses {key}"),
                );
                if registry.contains(section) {
                    let root = entry.fields[0].as_str();
                    self.require(
                        root == "HKR",
                        format!("[{section}] writes under {root}, not HKR"),
                    );
                }
            }
        }
    }
}
