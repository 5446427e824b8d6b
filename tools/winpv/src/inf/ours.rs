//! What holds for every INF of the pack beyond Microsoft's rules: it says what the table of drivers says.

use std::collections::BTreeSet;
use std::fmt::Display;

use driver_inf::lint::{Options, lint as lint_any};
use driver_inf::walk::{Home, Package, Role};
use driver_inf::{Inf, Pos};

use crate::drivers::{Arch, Driver, PROVIDER};

/// The first build that runs drivers from the driver store. MS: run-from-driver-store.
const DRIVER_STORE_BUILD: u32 = 16299;

/// Everything that is wrong with a driver's INF, one line each; `files` are the package's file names.
#[must_use]
pub fn lint(text: &str, driver: &Driver, arch: Arch, files: &[&str]) -> Vec<String> {
    let inf = Inf::parse(text.as_bytes());
    let names: BTreeSet<String> = files.iter().map(|file| file.to_lowercase()).collect();
    let options = Options {
        present: Some(Box::new(move |path| names.contains(path))),
        ..Options::default()
    };
    // A warning is for others to judge; our own files have none.
    let mut problems: Vec<String> = lint_any(&inf, &options)
        .iter()
        .map(|finding| {
            format!(
                "{}: {}: {}; {}",
                finding.at, finding.rule.id, finding.message, finding.mend
            )
        })
        .collect();
    let mut ours = Ours {
        inf: &inf,
        problems: Vec::new(),
    };
    ours.version(driver, files);
    ours.models(driver, arch);
    ours.device(driver);
    problems.extend(ours.problems);
    problems
}

struct Ours<'a> {
    inf: &'a Inf,
    problems: Vec<String>,
}

impl Ours<'_> {
    fn require(&mut self, holds: bool, at: Pos, text: impl Display) {
        if !holds {
            self.problems.push(format!("{at}: {text}"));
        }
    }

    fn version(&mut self, driver: &Driver, files: &[&str]) {
        let catalog = format!("{}.cat", driver.name);
        for (key, expected) in [
            ("Class", driver.class.name()),
            ("ClassGuid", driver.class.guid()),
            ("Provider", PROVIDER),
            ("CatalogFile", &catalog),
        ] {
            let value = self.inf.value("Version", key).unwrap_or_default();
            self.require(
                value == expected,
                Pos::START,
                format!("[Version] {key} is {value:?}, the table of drivers says {expected:?}"),
            );
        }
        self.require(
            files.contains(&catalog.as_str()),
            Pos::START,
            format!("{catalog} is not in the package"),
        );
        self.require(
            self.inf.text.text.is_ascii(),
            Pos::START,
            "not ASCII, which every tool reads alike",
        );
    }

    /// The models are for this processor and the pack's Windows versions, and name exactly the table's hardware ids.
    fn models(&mut self, driver: &Driver, arch: Arch) {
        let package = Package::new(self.inf);
        let expected: BTreeSet<&str> = driver.hardware_ids.iter().copied().collect();
        let mut builds = BTreeSet::new();
        for models in &package.models {
            self.require(
                models.arch == arch.name(),
                models.at,
                format!("[{}] is not for {arch}", models.name),
            );
            builds.extend(models.target.as_ref().and_then(|target| target.build));
            let ids: BTreeSet<&str> = models
                .devices()
                .flat_map(|entry| entry.values.iter().skip(1))
                .map(|field| field.text.as_str())
                .collect();
            self.require(
                ids == expected,
                models.at,
                format!("[{}] does not name the driver's hardware ids", models.name),
            );
        }
        let wanted = BTreeSet::from([arch.first_build(), DRIVER_STORE_BUILD]);
        self.require(
            builds == wanted,
            Pos::START,
            format!("the models are for builds {builds:?}, not {wanted:?}"),
        );
    }

    /// Each install turns on message-signaled interrupts and adds the service that the table says.
    fn device(&mut self, driver: &Driver) {
        let package = Package::new(self.inf);
        for (index, install) in package.installs.iter().enumerate() {
            let values = |home: Home, name: &str| -> Vec<String> {
                let lines = package
                    .of(index, Role::Registry(home))
                    .flat_map(|part| &part.section.entries);
                lines
                    .filter(|entry| entry.values.get(2).is_some_and(|field| field.is(name)))
                    .filter_map(|entry| entry.values.get(4))
                    .map(|field| self.inf.text(field))
                    .collect()
            };
            let messages = values(Home::Hardware, "MSISupported");
            let limit = values(Home::Hardware, "MessageNumberLimit");
            let limit = limit.first().and_then(|limit| driver_inf::number(limit));
            let explained = values(Home::EventLog, "EventMessageFile");
            let remapping = values(Home::Service, "DmaRemappingCompatible");
            let file = format!(r"\{}.sys", driver.name);
            let services: Vec<String> = package
                .of(index, Role::Services)
                .flat_map(|part| part.section.all("AddService"))
                .filter_map(|entry| entry.values.first())
                .map(|field| self.inf.text(field))
                .collect();
            let starts: Vec<u32> = package
                .of(index, Role::Service)
                .flat_map(|part| part.section.all("StartType"))
                .filter_map(|entry| entry.values.first())
                .filter_map(|field| self.inf.number(field))
                .collect();
            let name = &install.name;
            for (holds, text) in [
                (
                    services == [driver.name],
                    "does not add exactly the driver's service",
                ),
                // SERVICE_BOOT_START, SERVICE_DEMAND_START: MS: inf-addservice-directive.
                (
                    starts == [if driver.boot_start { 0 } else { 3 }],
                    "starts the service at another time than the table of drivers says",
                ),
                (messages == ["1"], "does not turn MSI-X on"),
                (
                    limit.is_some_and(|limit| limit >= 2),
                    "does not ask for two messages or more",
                ),
                (
                    explained.iter().any(|value| value.ends_with(&file)),
                    "does not tell the event log where the driver's messages are",
                ),
                (remapping.len() == 1, "says nothing about DMA remapping"),
            ] {
                self.require(holds, install.at, format!("[{name}] {text}"));
            }
        }
    }
}
