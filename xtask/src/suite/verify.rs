//! `verify`: the pack has no finding, and each rule finds what breaks it, and nothing else.

mod archives;
mod bench;
mod catalogs;
mod packs;
mod signatures;
mod vendor;

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use winpv::verify::rules::RULES;
use winpv::verify::{self, Options};

use self::bench::Bench;
use super::{Context, Outcome};

/// One way to break a package.
struct Mutation {
    /// What is done.
    what: &'static str,
    /// The rules that must say so, apart from those for INF files.
    breaks: &'static [&'static str],
    /// Does it to the package in the bench's folder.
    make: fn(&Bench) -> Result<()>,
}

/// The pack itself, then every mutation.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::of("the pack has no finding", || whole(context))];
    let scratch = tempfile::tempdir()?;
    let mut bench = Bench::new(context, scratch.path())?;
    outcomes.push(Outcome::of("the package alone has no finding", || {
        bench.finds(&[])
    }));
    outcomes.push(Outcome::of(
        "a catalog alone is checked with its package",
        || catalogs_alone(context),
    ));
    let mut broken: BTreeSet<&str> = BTreeSet::new();
    let groups = [
        packs::MUTATIONS,
        catalogs::MUTATIONS,
        signatures::MUTATIONS,
        archives::MUTATIONS,
    ];
    for mutation in groups.into_iter().flatten() {
        broken.extend(mutation.breaks);
        outcomes.push(Outcome::of(mutation.what, || {
            bench.reset()?;
            (mutation.make)(&bench)?;
            bench.finds(mutation.breaks)
        }));
    }
    outcomes.push(Outcome::of("every rule has a mutation", || {
        let all = RULES.iter().map(|rule| rule.id);
        let without: Vec<_> = all.filter(|id| !broken.contains(id)).collect();
        ensure!(without.is_empty(), "none for {without:?}");
        Ok(())
    }));
    bench.reset()?;
    outcomes.extend(vendor::all(&bench));
    Ok(outcomes)
}

/// Each catalog in dist/, named by itself.
fn catalogs_alone(context: &Context) -> Result<()> {
    for driver in winpv::drivers::packages() {
        for arch in winpv::drivers::Arch::ALL {
            let path = context.dist.join(driver.file(arch, "cat"));
            let report = verify::verify(&path, &Options::default())?;
            let (counts, findings) = (report.counts, &report.findings);
            // Nothing beside it says that the test root is to be trusted.
            ensure!(
                (counts.packages, counts.members) == (1, 2)
                    && findings
                        .iter()
                        .all(|finding| finding.rule == "root-unknown"),
                "{}: {}: {findings:?}",
                path.display(),
                report.summary()
            );
        }
    }
    Ok(())
}

/// Everything in dist/: packages, MSIs, cabinets, ISO, checksums, manifest.
fn whole(context: &Context) -> Result<()> {
    let report = verify::verify(&context.dist, &Options::default())?;
    for finding in &report.findings {
        println!("{finding}");
    }
    ensure!(report.findings.is_empty(), "{}", report.summary());
    let counts = report.counts;
    // Two processors; each package in the folder, its MSI and its cabinet, and on the ISO.
    let packages = winpv::drivers::packages().count() * 2;
    if counts.packages < packages * 3 || counts.members < counts.packages * 2 {
        bail!("too little was looked at: {}", report.summary());
    }
    ensure!(
        counts.drivers == counts.packages && counts.archives >= 5,
        "too little was looked at: {}",
        report.summary()
    );
    Ok(())
}
