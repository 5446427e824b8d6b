//! A catalog against the packages that name it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use driver_catalog::{Catalog, Digests, Kind};

use super::find::Place;
use super::package::Package;
use super::report::{Report, Strictness};
use super::signature::Subject;
use super::{Session, Trusted};

/// Checks a catalog: its signature, and that it and the packages say the same.
pub fn check(
    session: &Session<'_>,
    report: &mut Report,
    trusted: Trusted<'_>,
    place: &Place,
    packages: &[&Package],
) -> Result<()> {
    let strict = packages
        .iter()
        .any(|package| package.strictness == Strictness::Ours);
    let strictness = if strict {
        Strictness::Ours
    } else {
        Strictness::Theirs
    };
    let bytes = place.read()?;
    let catalog = match Catalog::parse(&bytes) {
        Ok(catalog) => catalog,
        Err(error) => {
            report.add(
                "catalog-unreadable",
                strictness,
                &place.label,
                error.to_string(),
                "make a new one, of version 2",
            );
            return Ok(());
        }
    };
    if catalog.signatures.is_empty() {
        report.add(
            "catalog-unsigned",
            strictness,
            &place.label,
            "nobody signed it",
            "sign it",
        );
    } else {
        session.signature(
            report,
            &place.label,
            &bytes,
            Subject::Catalog,
            trusted,
            strictness,
        )?;
    }
    let mut of = Matched {
        catalog: &catalog,
        place,
        strictness,
        found: BTreeSet::new(),
        changed: BTreeSet::new(),
    };
    for package in packages {
        for (_, file) in &package.files {
            of.file(report, file)?;
        }
    }
    of.unknown(report);
    of.duplicates(report);
    of.systems(report, packages);
    of.hardware_ids(report, packages);
    Ok(())
}

struct Matched<'a> {
    catalog: &'a Catalog,
    place: &'a Place,
    strictness: Strictness,
    /// Digests of members that are files of a package.
    found: BTreeSet<Vec<u8>>,
    /// Names of files with other digests than the catalog's.
    changed: BTreeSet<String>,
}

impl Matched<'_> {
    fn add(
        &self,
        report: &mut Report,
        rule: &'static str,
        message: impl Into<String>,
        mend: &'static str,
    ) {
        report.add(rule, self.strictness, &self.place.label, message, mend);
    }

    /// Windows looks a file up by its digest; the name is for us.
    fn file(&mut self, report: &mut Report, file: &Place) -> Result<()> {
        const NEW_CATALOG: &str = "make and sign a new catalog, or get the right file";
        let name = file.name().to_lowercase();
        let catalog = self.place.name();
        let digests = match Digests::of(&name, &file.read()?) {
            Ok(digests) => digests,
            Err(error) => {
                self.changed.insert(name);
                report.add(
                    "file-changed",
                    self.strictness,
                    &file.label,
                    error.to_string(),
                    "get the right file",
                );
                return Ok(());
            }
        };
        let same = |kind: Kind, digest: &[u8]| kind == digests.kind && digest == digests.sha256;
        let mut members = self.catalog.members.iter();
        if let Some(member) = members.find(|member| same(member.kind, &member.sha256)) {
            report.counts.members += usize::from(self.found.insert(member.sha256.clone()));
            if member.name.to_lowercase() != name {
                report.add(
                    "member-name",
                    self.strictness,
                    &file.label,
                    format!("{catalog} knows it as {}", member.name),
                    "do not rename files of a package",
                );
            }
        } else if self.names(&name) {
            self.changed.insert(name);
            report.add(
                "file-changed",
                self.strictness,
                &file.label,
                format!("it is not the file that {catalog} vouches for"),
                NEW_CATALOG,
            );
        } else {
            report.add(
                "file-not-in-catalog",
                self.strictness,
                &file.label,
                format!("{catalog} does not vouch for it"),
                NEW_CATALOG,
            );
        }
        Ok(())
    }

    fn names(&self, file: &str) -> bool {
        let members = &self.catalog.members;
        members
            .iter()
            .any(|member| member.name.to_lowercase() == file)
    }

    fn unknown(&self, report: &mut Report) {
        for member in &self.catalog.members {
            // A changed file is told of already.
            let is_changed = self.changed.contains(&member.name.to_lowercase());
            if !is_changed && !self.found.contains(&member.sha256) {
                self.add(
                    report,
                    "member-unknown",
                    format!(
                        "it vouches for a {} that is in no package beside it",
                        member.name
                    ),
                    "put the file there, or make a catalog without it",
                );
            }
        }
    }

    fn duplicates(&self, report: &mut Report) {
        let mut seen = BTreeMap::<_, usize>::new();
        for member in &self.catalog.members {
            *seen.entry((&member.name, &member.sha256)).or_default() += 1;
        }
        for ((name, _), count) in seen {
            if count > 1 {
                self.add(
                    report,
                    "member-duplicate",
                    format!("{name} stands in it {count} times"),
                    "make a new catalog",
                );
            }
        }
    }

    /// MS: Inf2Cat. The attribute is a list such as `_v100_X64,_v100_Server_X64,_v100_X64_22H2`.
    fn systems(&self, report: &mut Report, packages: &[&Package]) {
        let mut attributes = self.catalog.attributes.iter();
        let Some((_, systems)) = attributes.find(|(name, _)| name == "OS") else {
            return self.add(
                report,
                "catalog-arch",
                "it has no OS attribute, so it is for no Windows",
                "make a new catalog with one",
            );
        };
        let systems: Vec<System> = systems.split(',').filter_map(System::parse).collect();
        for package in packages {
            let of_arch = || systems.iter().filter(|system| system.arch == package.arch);
            if of_arch().next().is_none() {
                self.add(
                    report,
                    "catalog-arch",
                    format!(
                        "{} installs on {}, but its OS attribute does not say so",
                        package.inf.name(),
                        package.arch
                    ),
                    "make a new catalog for that processor",
                );
            } else if !of_arch().any(|system| system.version >= package.first.0) {
                self.add(
                    report,
                    "catalog-windows",
                    format!(
                        "{} is for {} and later, its OS attribute for older Windows only",
                        package.inf.name(),
                        package.first
                    ),
                    "make a new catalog for these versions",
                );
            }
        }
    }

    fn hardware_ids(&self, report: &mut Report, packages: &[&Package]) {
        let listed = self.catalog.hardware_ids().into_iter();
        let listed: BTreeSet<String> = listed.map(str::to_lowercase).collect();
        let models = packages.iter().flat_map(|package| &package.hardware_ids);
        let wanted: BTreeSet<String> = models.cloned().collect();
        for (ids, what) in [
            (wanted.difference(&listed), "it does not name"),
            (listed.difference(&wanted), "no INF beside it names"),
        ] {
            let ids: Vec<String> = ids.cloned().collect();
            if !ids.is_empty() {
                self.add(
                    report,
                    "catalog-ids",
                    format!("{what} {}", ids.join(", ")),
                    "make a new catalog from the INF",
                );
            }
        }
    }
}

/// One entry of the OS attribute.
pub(super) struct System {
    /// Windows' major version.
    pub version: u32,
    /// The processor, as INF files name it.
    pub arch: &'static str,
}

impl System {
    pub fn parse(text: &str) -> Option<System> {
        let mut parts = text.trim().split('_');
        // It starts with an underscore.
        let number: u32 = parts.nth(1)?.strip_prefix('v')?.parse().ok()?;
        let arch = parts.find_map(|part| match part.to_lowercase().as_str() {
            "x86" => Some("x86"),
            "x64" => Some("amd64"),
            "arm" => Some("arm"),
            "arm64" => Some("arm64"),
            _ => None,
        });
        Some(System {
            version: number / 10,
            // `_v100` alone is x86.
            arch: arch.unwrap_or("x86"),
        })
    }
}
