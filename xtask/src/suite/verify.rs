//! `verify`: the pack has no finding, and each rule finds what breaks it, and nothing else.

mod archives;
mod bench;
mod catalogs;
mod packs;
mod shipped;
mod signatures;
mod vendor;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use winpv::verify::rules::RULES;

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
    let mut outcomes = shipped::all(context);
    let scratch = tempfile::tempdir()?;
    let mut bench = Bench::new(context, scratch.path())?;
    outcomes.push(Outcome::of("the package alone has no finding", || {
        bench.finds(&[])
    }));
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
