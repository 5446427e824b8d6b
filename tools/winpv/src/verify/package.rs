//! One driver package: an INF, what it copies, and the catalog that it names.

use std::collections::BTreeSet;

use anyhow::Result;
use driver_inf::files::{catalog as catalog_of, copied, locate, path_in_package};
use driver_inf::lint::{self, Options, Severity};
use driver_inf::walk::{self, Role};
use driver_inf::{Inf, target};
use object::pe;

use super::catalog;
use super::find::Place;
use super::report::{Level, Report, Strictness};
use super::signature::Subject;
use super::sys::{self, version};
use super::{Session, Trusted};
use crate::drivers::PROVIDER;

/// The package of one INF for one processor.
#[derive(Debug)]
pub struct Package {
    /// The INF.
    pub inf: Place,
    /// The processor, as INF files name it.
    pub arch: String,
    /// The catalog that the INF names, whether or not it is there.
    pub catalog: Option<Place>,
    /// The INF and what it copies, as far as it is there: its path in the package and where it is.
    pub files: Vec<(String, Place)>,
    /// The hardware ids of its models, in lower case.
    pub hardware_ids: BTreeSet<String>,
    /// The least Windows that its models are for.
    pub first: target::Build,
    /// By whose rules it is judged.
    pub strictness: Strictness,
    /// Names of the drivers that the boot loader loads, in lower case.
    boot: BTreeSet<String>,
    driver_ver: Option<version::Version>,
}

/// Reads an INF: a package for each processor that it installs something on. None if it is no INF for drivers.
pub fn read(
    session: &Session<'_>,
    report: &mut Report,
    place: &Place,
    strictness: Strictness,
) -> Result<Vec<Package>> {
    let inf = Inf::parse(&place.read()?);
    if inf.section("Version").is_none() {
        return Ok(Vec::new());
    }
    let own = inf.value("Version", "Provider").as_deref() == Some(PROVIDER);
    let strictness = if own || session.strict {
        Strictness::Ours
    } else {
        strictness
    };
    judge(report, place, &inf, strictness);
    let walked = walk::Package::new(&inf);
    let copied = copied(&walked);
    let mut arches: Vec<&str> = walked
        .installs
        .iter()
        .map(|own| own.arch.as_str())
        .collect();
    arches.sort_unstable();
    arches.dedup();
    let mut packages = Vec::new();
    for arch in arches {
        let mut package = Package {
            inf: place.clone(),
            // MS: inf-manufacturer-section: without a decoration they are for x86.
            arch: if arch.is_empty() { "x86" } else { arch }.to_owned(),
            catalog: catalog_of(&inf, arch).map(|name| beside(place, &name)),
            files: vec![(place.name().to_lowercase(), place.clone())],
            hardware_ids: hardware_ids(&inf, &walked, arch),
            first: target::Build::OLDEST,
            strictness,
            boot: boot_drivers(&inf, &walked, arch),
            driver_ver: driver_ver(&inf),
        };
        let of_arch = |install: &&walk::Install| install.arch == arch;
        let installs = walked.installs.iter().filter(of_arch);
        package.first = installs
            .map(walk::Install::first)
            .min()
            .unwrap_or(target::Build::OLDEST);
        for file in &copied {
            if walked
                .installs
                .get(file.install)
                .is_none_or(|install| install.arch != arch)
            {
                continue;
            }
            let path = path_in_package(&inf, &file.source, arch)
                .unwrap_or_else(|| file.source.to_lowercase());
            package.add_file(report, path);
        }
        report.counts.packages += 1;
        packages.push(package);
    }
    Ok(packages)
}

impl Package {
    fn add_file(&mut self, report: &mut Report, path: String) {
        if self.files.iter().any(|(known, _)| *known == path) {
            return;
        }
        let folder = self.inf.parent();
        match locate(&folder.path, &path) {
            Some(real) => {
                let mut place = folder.join(&path);
                place.path = real;
                self.files.push((path, place));
            }
            None => report.add(
                "file-missing",
                self.strictness,
                &self.inf.label,
                format!("{path}, which it copies on {}, is not there", self.arch),
                "put it there, or correct the INF",
            ),
        }
    }

    /// Checks what does not depend on the catalog: that there is one, and the drivers.
    pub fn check(
        &self,
        session: &Session<'_>,
        report: &mut Report,
        trusted: Trusted<'_>,
    ) -> Result<()> {
        match &self.catalog {
            None => report.add(
                "catalog-none",
                self.strictness,
                &self.inf.label,
                format!("it names no catalog for {}", self.arch),
                "name one by CatalogFile in [Version]",
            ),
            Some(catalog) if !catalog.path.is_file() => report.add(
                "catalog-missing",
                self.strictness,
                &self.inf.label,
                format!("its catalog {} is not there", catalog.name()),
                "put it beside the INF",
            ),
            Some(_) => {}
        }
        for (path, place) in &self.files {
            if path.ends_with(".sys") {
                self.driver(session, report, trusted, place)?;
            }
        }
        Ok(())
    }

    fn driver(
        &self,
        session: &Session<'_>,
        report: &mut Report,
        trusted: Trusted<'_>,
        place: &Place,
    ) -> Result<()> {
        let bytes = place.read()?;
        let machine = machine(&bytes);
        if machine != Some(self.arch.as_str()) {
            report.add(
                "file-arch",
                self.strictness,
                &place.label,
                format!(
                    "{} is installed on {}, but is {}",
                    place.name(),
                    self.arch,
                    machine.map_or("no driver image".to_owned(), |own| format!(
                        "built for {own}"
                    ))
                ),
                "put the driver for that processor there",
            );
        }
        if matches!(machine, Some("amd64" | "arm64")) {
            let rows = sys::rows(&bytes, self.driver_ver)?;
            sys::report(&rows, report, &place.label, self.strictness);
        }
        let subject = if self.boot.contains(&place.name().to_lowercase()) {
            Subject::BootDriver
        } else {
            Subject::Image
        };
        session.signature(
            report,
            &place.label,
            &bytes,
            subject,
            trusted,
            self.strictness,
        )
    }
}

/// Applies the rules of lint-inf. What they call an error is one in our packages only: others' packages that Windows takes
/// follow older rules.
fn judge(report: &mut Report, place: &Place, inf: &Inf, strictness: Strictness) {
    let folder = place.parent().path;
    let options = Options {
        present: Some(Box::new(move |path| locate(&folder, path).is_some())),
        path_length: place.name().chars().count(),
        ..Options::default()
    };
    for finding in lint::lint(inf, &options) {
        let level = match (strictness, finding.rule.severity) {
            (Strictness::Ours, _) => Level::Error,
            (Strictness::Theirs, Severity::Error) => Level::Warning,
            (Strictness::Theirs, Severity::Warning) => Level::Note,
        };
        report.add_at(
            finding.rule.id,
            level,
            &format!("{}:{}", place.label, finding.at),
            finding.message,
            finding.mend,
        );
    }
}

fn beside(inf: &Place, name: &str) -> Place {
    let folder = inf.parent();
    let mut place = folder.join(name);
    if let Some(real) = locate(&folder.path, &name.to_lowercase()) {
        place.path = real;
    }
    place
}

fn hardware_ids(inf: &Inf, walked: &walk::Package<'_>, arch: &str) -> BTreeSet<String> {
    let models = walked.models.iter().filter(|models| models.arch == arch);
    models
        .flat_map(walk::Models::devices)
        .flat_map(|device| device.values.iter().skip(1))
        .map(|id| inf.text(id).to_lowercase())
        .filter(|id| !id.is_empty())
        .collect()
}

/// The drivers of services that start at boot. MS: inf-addservice-directive, SERVICE_BOOT_START.
fn boot_drivers(inf: &Inf, walked: &walk::Package<'_>, arch: &str) -> BTreeSet<String> {
    const SERVICE_BOOT_START: u32 = 0;
    let mut names = BTreeSet::new();
    for (index, install) in walked.installs.iter().enumerate() {
        if install.arch != arch {
            continue;
        }
        for part in walked.of(index, Role::Service) {
            let first = |key: &str| part.section.entry(key).and_then(|entry| entry.value(0));
            let start = first("StartType").and_then(|field| inf.number(field));
            let (Some(SERVICE_BOOT_START), Some(binary)) = (start, first("ServiceBinary")) else {
                continue;
            };
            let binary = inf.text(binary).to_lowercase();
            names.insert(binary.rsplit('\\').next().unwrap_or(&binary).to_owned());
        }
    }
    names
}

fn driver_ver(inf: &Inf) -> Option<version::Version> {
    let entry = inf.section("Version")?.entry("DriverVer")?;
    version::parse(&inf.text(entry.value(1)?))
}

/// The processor of a PE image, as INF files name it.
fn machine(bytes: &[u8]) -> Option<&'static str> {
    let at = bytes.get(0x3c..0x40)?.try_into().ok()?;
    let header = usize::try_from(u32::from_le_bytes(at)).ok()?;
    let machine = bytes.get(header.checked_add(4)?..header.checked_add(6)?)?;
    if !bytes.starts_with(b"MZ") {
        return None;
    }
    match u16::from_le_bytes(machine.try_into().ok()?) {
        pe::IMAGE_FILE_MACHINE_I386 => Some("x86"),
        pe::IMAGE_FILE_MACHINE_AMD64 => Some("amd64"),
        pe::IMAGE_FILE_MACHINE_ARMNT => Some("arm"),
        pe::IMAGE_FILE_MACHINE_ARM64 => Some("arm64"),
        _ => None,
    }
}

/// Checks packages, and each catalog once with all the packages that it is for.
pub fn check(
    session: &Session<'_>,
    report: &mut Report,
    trusted: Trusted<'_>,
    packages: &[Package],
) -> Result<()> {
    let mut catalogs = BTreeSet::new();
    for package in packages {
        package.check(session, report, trusted)?;
        catalogs.extend(package.catalog.clone());
    }
    for place in catalogs.into_iter().filter(|place| place.path.is_file()) {
        let of_catalog = packages
            .iter()
            .filter(|package| package.catalog.as_ref() == Some(&place));
        catalog::check(
            session,
            report,
            trusted,
            &place,
            &Vec::from_iter(of_catalog),
        )?;
    }
    Ok(())
}
