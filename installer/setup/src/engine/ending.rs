//! How a transaction ends: what it did becomes final, or is undone.

use alloc::string::ToString;

use super::{Failure, installed, is_ours, pending, report_removal, superseded, update};
use crate::content::Content;
use crate::policy;
use crate::record::{Installed, Pending, Step, Superseded};
use crate::system::{Removed, System, Table};

/// Makes what a product's transaction did final.
pub fn commit(system: &mut impl System, product: &str) -> Result<(), Failure> {
    for driver in system.names(Table::Pending)? {
        let pending = pending(system, &driver)?;
        if let Some(pending) = pending.filter(|pending| pending.product == product) {
            settle(system, &driver, &pending)?;
            system.log(format_args!("{driver}: committed"));
        }
    }
    sweep(system)
}

/// Turns one transaction's note into a lasting record.
pub fn settle(system: &mut impl System, driver: &str, pending: &Pending) -> Result<(), Failure> {
    let before = installed(system, driver)?;
    match pending.step {
        Step::Adding => {}
        Step::Removed | Step::Released => system.erase(Table::Installed, driver)?,
        Step::Added | Step::Found => {
            let Pending {
                published, content, ..
            } = pending;
            // Removed and added again by somebody else, a package has another name, or its name is another package's.
            let is_it = |name: &str, noted: Option<&Content>| {
                name == published && noted.is_none_or(|noted| Some(noted) == content.as_ref())
            };
            let waiting = superseded(system, published)?;
            let ours_before = waiting
                .as_ref()
                .is_some_and(|waiting| is_it(published, waiting.content.as_ref()))
                || before.as_ref().is_some_and(|record| {
                    record.added && is_it(&record.published, record.content.as_ref())
                });
            let record = Installed {
                published: published.clone(),
                added: pending.step != Step::Found || ours_before,
                product: pending.product.clone(),
                version: pending.version.clone(),
                content: content.clone(),
            };
            if let Some(old) = before.filter(|old| old.added && old.published != *published) {
                let note = Superseded {
                    driver: driver.to_string(),
                    content: old.content,
                };
                system.write(Table::Superseded, &old.published, &note.to_text())?;
            }
            system.write(Table::Installed, driver, &record.to_text())?;
            if waiting.is_some() {
                system.erase(Table::Superseded, published)?;
            }
        }
    }
    Ok(system.erase(Table::Pending, driver)?)
}

/// Removes replaced packages, once no restart is needed any more: until then the old one may still be running.
pub fn sweep(system: &mut impl System) -> Result<(), Failure> {
    for published in system.names(Table::Superseded)? {
        let Some(Superseded { driver, content }) = superseded(system, &published)? else {
            continue;
        };
        if system.restart_requested() {
            system.log(format_args!(
                "{driver}: the replaced {published} stays until a run after the restart"
            ));
            continue;
        }
        if !is_ours(system, &driver, &published, content.as_ref())? {
            system.erase(Table::Superseded, &published)?;
            continue;
        }
        match system.delete_unused_package(&published)? {
            Removed::InUse => system.log(format_args!(
                "{driver}: the replaced {published} stays; a device is installed with it"
            )),
            Removed::Gone { .. } => {
                system.erase(Table::Superseded, &published)?;
                system.log(format_args!("{driver}: the replaced {published} removed"));
            }
            Removed::Missing => system.erase(Table::Superseded, &published)?,
        }
    }
    Ok(())
}

/// Undoes what a product's transaction did. What cannot be undone is logged, and the rest is undone all the same.
pub fn rollback(system: &mut impl System, product: &str) -> Result<(), Failure> {
    let mut first = Ok(());
    let mut drivers = system.names(Table::Pending)?;
    drivers.reverse();
    for driver in drivers {
        if let Err(failure) = undo(system, &driver, product) {
            system.log(format_args!("{driver}: cannot be rolled back: {failure}"));
            first = first.and(Err(failure));
        }
    }
    first
}

fn undo(system: &mut impl System, driver: &str, product: &str) -> Result<(), Failure> {
    let Some(note) = pending(system, driver)?.filter(|note| note.product == product) else {
        return Ok(());
    };
    let published = &note.published;
    match note.step {
        Step::Adding => system.log(format_args!(
            "{driver}: rolled back; no package is known to have been added"
        )),
        Step::Found | Step::Released => system.log(format_args!(
            "{driver}: rolled back; {published} was left alone"
        )),
        Step::Added => {
            if is_ours(system, driver, published, note.content.as_ref())? {
                let removed = if has_way_back(system, driver, &note)? {
                    system.remove_package(published)?
                } else {
                    system.delete_unused_package(published)?
                };
                report_removal(system, driver, published, removed)?;
            }
            system.log(format_args!("{driver}: rolled back"));
        }
        Step::Removed => {
            let added = system.add_package(&note.inf)?;
            let mut record = Installed {
                published: added.published.clone(),
                added: true,
                product: note.product.clone(),
                version: note.version.clone(),
                content: system.content(&added.published)?,
            };
            system.write(Table::Installed, driver, &record.to_text())?;
            system.log(format_args!(
                "{driver}: rolled back; added again as {}",
                added.published
            ));
            if let Some(now) = update(system, driver, &note.inf, &added.published, false)? {
                record.published = now;
                system.write(Table::Installed, driver, &record.to_text())?;
            }
        }
    }
    Ok(system.erase(Table::Pending, driver)?)
}

/// Whether the devices of a package can do without it: Windows does not boot from them, or a package that fits them is in the driver
/// store, the one that they had or that of the installation before. DiUninstallDriver leaves a device that no other package fits
/// without a driver (MS: nf-newdev-diuninstalldriverw), and the name that a device notes may be that of a package that is gone.
fn has_way_back(system: &mut impl System, driver: &str, note: &Pending) -> Result<bool, Failure> {
    let mut all = !note.others.is_empty();
    for other in &note.others {
        all = all && *other != note.published && system.content(other)?.is_some();
    }
    if all {
        return Ok(true);
    }
    if let Some(before) =
        installed(system, driver)?.filter(|before| before.published != note.published)
        && before.content.is_some()
        && before.content == system.content(&before.published)?
    {
        return Ok(true);
    }
    let boot_start = system.starts_at_boot(driver)?;
    Ok(policy::may_remove(
        boot_start,
        system.present_devices(driver)?,
    ))
}
