//! `verify`: checks driver packages of any vendor, and everything that they are delivered in.
//!
//! A folder, an ISO, an MSI or a cabinet is searched for INF files. Each package is held to the rules in [`rules`], its INF to those
//! of `lint-inf`, its drivers to the static rules in [`sys`].

mod anchors;
mod archive;
mod catalog;
pub mod find;
mod folder;
mod package;
pub(crate) mod pkcs7;
pub mod report;
pub mod rules;
mod signature;
mod stamp;
pub mod sys;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use anchors::Anchors;
use find::Place;
use report::{Level, Report, Strictness};
use signature::{Checker, Subject};

use crate::progress::Progress;
pub use sys::{Row, check as check_image, mutations};

/// Whom to trust; None if that is not known.
type Trusted<'a> = Option<&'a Anchors>;

/// How to verify.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files with the certificates to trust, PEM or DER. Without any: the roots that a pack brings along.
    pub roots: Vec<PathBuf>,
    /// Judge every package by the rules for packages of WinPV.
    pub strict: bool,
    /// For a .sys alone: the INF whose DriverVer it must carry.
    pub inf: Option<PathBuf>,
}

/// What all checks share.
struct Session<'a> {
    checker: &'a Checker,
    given: Option<Anchors>,
    strict: bool,
    scratch: &'a Path,
    progress: &'a Progress,
}

impl Session<'_> {
    /// Checks a file's signatures and reports what is wrong with them.
    fn signature(
        &self,
        report: &mut Report,
        label: &str,
        bytes: &[u8],
        subject: Subject,
        trusted: Trusted<'_>,
        strictness: Strictness,
    ) -> Result<()> {
        let verdict = self.checker.check(bytes, subject, trusted)?;
        report.counts.signatures += verdict.signatures;
        for problem in verdict.problems {
            report.add(
                problem.rule,
                strictness,
                label,
                problem.message,
                problem.mend,
            );
        }
        Ok(())
    }

    fn strictness(&self) -> Strictness {
        if self.strict {
            Strictness::Ours
        } else {
            Strictness::Theirs
        }
    }
}

/// Checks whatever `path` is: a folder, a .sys, an .inf with its package, a .cat with the packages that name it, an .msi, a .cab or an .iso.
///
/// # Errors
///
/// There is nothing to check at `path`, a named certificate cannot be read, or a program that is needed cannot be run.
pub fn verify(path: &Path, options: &Options) -> Result<Report> {
    verify_showing(path, options, &Progress::silent())
}

/// As [`verify`]; each archive is a step, as one can take minutes.
///
/// # Errors
///
/// Those of [`verify`].
pub fn verify_showing(path: &Path, options: &Options, progress: &Progress) -> Result<Report> {
    if !path.exists() {
        bail!("cannot read {}: there is no such file", path.display());
    }
    let scratch = tempfile::tempdir()?;
    let checker = Checker::new()?;
    let given = Anchors::given(&options.roots, scratch.path())?;
    let session = Session {
        checker: &checker,
        given,
        strict: options.strict,
        scratch: scratch.path(),
        progress,
    };
    let mut report = Report::default();
    if let Some(given) = &session.given {
        report.trusted.clone_from(&given.from);
    }
    let place = Place::new(path);
    if path.is_dir() {
        folder::named(&session, &mut report, &place)?;
    } else if place.has_ending("sys") {
        driver(&session, &mut report, &place, options)?;
    } else if place.has_ending("inf") {
        let trusted = session.given.as_ref();
        let packages = package::read(&session, &mut report, &place, session.strictness())?;
        if packages.is_empty() {
            bail!("{} installs no driver", path.display());
        }
        package::check(&session, &mut report, trusted, &packages)?;
    } else if place.has_ending("cat") {
        catalog_of(&session, &mut report, &place)?;
    } else if archive::is_one(&place) {
        let trusted = session.given.as_ref();
        archive::check(
            &session,
            &mut report,
            trusted,
            &place,
            session.strictness(),
            0,
        )?;
    } else {
        bail!(
            "{} is nothing that verify knows: name a folder, or a .sys, .inf, .cat, .msi, .cab or .iso file",
            path.display()
        );
    }
    Ok(report)
}

/// What is wrong with the embedded signatures of a boot-start driver, whoever is to be trusted: arithmetic, certificates, page hashes.
/// Empty if nothing is, as far as that goes.
///
/// # Errors
///
/// A program that is needed cannot be run.
pub fn boot_signature(name: &str, driver: &[u8]) -> Result<Vec<String>> {
    let mut report = Report::default();
    let verdict = Checker::new()?.check(driver, Subject::BootDriver, None)?;
    for problem in verdict.problems {
        let (message, mend) = (problem.message, problem.mend);
        report.add(problem.rule, Strictness::Theirs, name, message, mend);
    }
    let errors = report.findings.into_iter();
    Ok(errors
        .filter(|finding| finding.level == Level::Error)
        .map(|finding| finding.message)
        .collect())
}

/// A catalog, with the packages beside it that name it.
fn catalog_of(session: &Session<'_>, report: &mut Report, place: &Place) -> Result<()> {
    let beside = place.parent();
    let folder = match beside.path.as_os_str().is_empty() {
        true => Path::new("."),
        false => &beside.path,
    };
    let mut packages = Vec::new();
    for entry in folder.read_dir()? {
        let name = entry?.file_name();
        let inf = beside.join(&name.to_string_lossy());
        if inf.has_ending("inf") {
            // What is wrong with an INF of another catalog is not asked here.
            let mut of_inf = Report::default();
            let found = package::read(session, &mut of_inf, &inf, session.strictness())?;
            let names_it = |package: &package::Package| {
                let catalog = package.catalog.as_ref();
                catalog.is_some_and(|catalog| catalog.path == place.path)
            };
            let found = Vec::from_iter(found.into_iter().filter(names_it));
            report.counts.packages += found.len();
            packages.extend(found);
        }
    }
    let trusted = session.given.as_ref();
    if packages.is_empty() {
        return catalog::check(session, report, trusted, place, &[]);
    }
    package::check(session, report, trusted, &packages)
}

/// A driver image without its package.
fn driver(
    session: &Session<'_>,
    report: &mut Report,
    place: &Place,
    options: &Options,
) -> Result<()> {
    let strictness = session.strictness();
    let rows = sys::check(&place.path, options.inf.as_deref())?;
    sys::report(&rows, report, &place.label, strictness);
    let bytes = place.read()?;
    let trusted = session.given.as_ref();
    session.signature(
        report,
        &place.label,
        &bytes,
        Subject::Image,
        trusted,
        strictness,
    )
}
