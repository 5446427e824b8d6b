//! Whether this Windows will load the boot-start drivers, by their signatures and by its boot configuration.

use std::path::Path;

use anyhow::Result;

use crate::bcd::{Bcd, Entry, Partition};
use crate::hive::Hive;
use crate::package::Package;
use crate::plan::{Consent, HiveEdits};
use crate::refusal::Refusal;
use crate::trust::Trust;
use crate::windows::{BootStore, Tree, Windows};

/// Refuses drivers that this Windows will not load; returns the edits of the BCD that change its mind.
///
/// # Errors
///
/// A [`Refusal`], or the image cannot be read.
pub fn judge(
    tree: &mut dyn Tree,
    windows: &Windows,
    packages: &[&Package],
    consent: Consent,
    scratch: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<HiveEdits>> {
    let mut boots_by_test = false;
    for package in packages.iter().filter(|package| package.is_boot_start()) {
        match package.trust {
            Trust::Unsigned => {
                return Err(Refusal::Signature {
                    package: package.name.clone(),
                    file: package.service.binary.clone(),
                    trust: package.trust,
                }
                .into());
            }
            Trust::Test => boots_by_test = true,
            // MS: "Driver code signing requirements", "Windows Server signed drivers".
            Trust::Attestation if windows.is_server && !consent.accept_attestation_on_server => {
                return Err(Refusal::AttestedOnServer {
                    package: package.name.clone(),
                    file: package.service.binary.clone(),
                }
                .into());
            }
            Trust::Attestation if windows.is_server => notes.push(format!(
                "{}: attestation-signed, which Microsoft does not accept on Windows Server",
                package.name
            )),
            Trust::Attestation | Trust::Whcp => {}
        }
    }
    let test_signed: Vec<&str> = packages
        .iter()
        .filter(|package| package.trust == Trust::Test)
        .map(|package| package.name.as_str())
        .collect();
    if test_signed.is_empty() && consent.enable_testsigning {
        return Err(Refusal::TestSigningNotNeeded.into());
    }
    if !boots_by_test && !consent.enable_testsigning {
        if !test_signed.is_empty() {
            notes.push(format!(
                "{}: test-signed, Windows loads that only with testsigning on and Secure Boot off",
                test_signed.join(", ")
            ));
        }
        return Ok(Vec::new());
    }
    let Some(found) = tree.boot_stores(scratch)? else {
        if !consent.accept_test_signed {
            return Err(Refusal::WimTestSigned.into());
        }
        notes.push(
            "test-signed: each machine that boots this needs testsigning on and Secure Boot off"
                .to_owned(),
        );
        return Ok(Vec::new());
    };
    let names: Vec<_> = found.stores.iter().map(ToString::to_string).collect();
    let mut starts_this = false;
    let mut all = Vec::new();
    for store in found.stores {
        let (starts, edits) = judge_store(store, &found.elsewhere, consent, notes)?;
        starts_this |= starts;
        all.extend(edits);
    }
    if !starts_this {
        return Err(Refusal::NoBcdEntry(names.join(", ")).into());
    }
    notes.push(
        "test-signed: Secure Boot must be off in the virtual machine, or Windows ignores testsigning and stops with 0xC0000428"
            .to_owned(),
    );
    Ok(all)
}

/// Whether the store can start this Windows, and what to write into it.
fn judge_store(
    store: BootStore,
    elsewhere: &[Partition],
    consent: Consent,
    notes: &mut Vec<String>,
) -> Result<(bool, Option<HiveEdits>)> {
    let name = store.to_string();
    let bcd = Bcd::open(Hive::open(&store.local, &name)?, elsewhere)?;
    let starts = !bcd.entries().is_empty();
    let off = bcd.without_testsigning()?;
    if off.is_empty() {
        return Ok((starts, None));
    }
    let entries: Vec<_> = off.iter().map(Entry::to_string).collect();
    let entries = entries.join(", ");
    if !consent.enable_testsigning {
        return Err(Refusal::TestSigningOff {
            store: name,
            entries,
        }
        .into());
    }
    notes.push(format!(
        "testsigning is switched on in {name} for {entries}"
    ));
    for (entry, what) in bcd.others() {
        notes.push(format!("{entry} in {name} is left alone: it {what}"));
    }
    Ok((
        starts,
        Some(HiveEdits {
            name,
            device: store.device,
            path: store.path,
            edits: Bcd::edits(&off),
            removed: Vec::new(),
            hive: bcd.into_hive(),
        }),
    ))
}

#[cfg(test)]
mod tests;
