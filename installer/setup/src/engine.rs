//! The commands: each notes what it is about to do, does it, and says so in the log.
//!
//! The MSI runs `begin`, then `uninstall` and `install` for each driver, then either `commit` or `rollback`. An upgrade runs the
//! older product's uninstallation inside the newer one's transaction, so every note carries the product that made it, and no
//! product touches another's.

mod ending;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use ending::{commit, rollback};
use ending::{settle, sweep};

use crate::content::Content;
use crate::policy::{self, Candidate, Class, Refusal};
use crate::record::{self, Damaged, Installed, Pending, Step, Superseded};
use crate::system::{Device, Removed, System, Table, WinError};

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The driver would keep Windows from starting, or would never run.
    #[error("{0}")]
    Refused(Refusal),
    /// A Windows function failed.
    #[error("{0}")]
    Windows(#[from] WinError),
    /// The driver store took a package and did not say under which name.
    #[error(
        "the driver store gave the package of {0} no name that can be noted ({1:?}); `pnputil /enum-drivers` lists it"
    )]
    Unnamed(String, String),
    /// A note of an earlier run cannot be read.
    #[error("{0}; delete it in the registry below HKLM\\SOFTWARE\\WinPV\\Setup")]
    Damaged(#[from] Damaged),
}

/// What to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// Driver and service name.
    pub driver: String,
    /// Full path of the package's INF.
    pub inf: String,
    /// Its signature.
    pub candidate: Candidate,
    /// The MSI product that answers for it.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Hardware ids of the devices that the log tells about.
    pub devices: Vec<String>,
    /// Give the package to matching devices even where they have a driver that fits as well or better.
    pub force: bool,
    /// Only add the package to the driver store; devices get it when they are next found.
    pub stage_only: bool,
}

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uninstall {
    /// Driver and service name.
    pub driver: String,
    /// Full path of the package's INF, from which a rollback adds it again.
    pub inf: String,
    /// The MSI product that gives it up.
    pub product: String,
}

/// Tells whether Windows loads a driver, and why not. The MSI asks before it changes anything.
pub fn check(system: &mut impl System, candidate: Candidate) -> Result<(), Failure> {
    let state = system.code_integrity();
    system.log(format_args!("signature: {}; {state}", candidate.class));
    fits(system)?;
    policy::judge(candidate, &state).map_err(Failure::Refused)
}

fn fits(system: &mut impl System) -> Result<(), Failure> {
    match system.foreign_machine() {
        Some(machine) => Err(Failure::Refused(Refusal::OtherProcessor(machine))),
        None => Ok(()),
    }
}

/// Starts a transaction of a product.
pub fn begin(system: &mut impl System, product: &str) -> Result<(), Failure> {
    for driver in system.names(Table::Pending)? {
        let pending = pending(system, &driver)?;
        if let Some(pending) = pending.filter(|pending| pending.product == product) {
            system.log(format_args!(
                "{driver}: an earlier run was cut off; what it did is kept"
            ));
            settle(system, &driver, &pending)?;
        }
    }
    sweep(system)
}

/// Adds a package and gives it to matching devices, in place.
pub fn install(system: &mut impl System, request: &Install) -> Result<(), Failure> {
    let driver = &request.driver;
    fits(system)?;
    let state = system.code_integrity();
    policy::judge(request.candidate, &state).map_err(Failure::Refused)?;
    if request.candidate.class == Class::Attestation && state.server != Some(false) {
        system.log(format_args!(
            "{driver}: has only Microsoft's attestation signature, which Windows Server may not load"
        ));
    }
    let before = system.devices(&request.devices)?;
    for device in &before {
        system.log(format_args!("{driver}: {} runs on {device}", device.id));
    }
    if let Some(earlier) = pending(system, driver)? {
        settle(system, driver, &earlier)?;
    }
    let mut note = Pending {
        step: Step::Adding,
        published: String::new(),
        product: request.product.clone(),
        version: request.version.clone(),
        inf: request.inf.clone(),
        content: None,
        others: fallbacks(&before),
    };
    system.write(Table::Pending, driver, &note.to_text())?;
    let added = system.add_package(&request.inf)?;
    if !record::is_published(&added.published) {
        return Err(Failure::Unnamed(request.inf.clone(), added.published));
    }
    note.step = if added.new { Step::Added } else { Step::Found };
    note.published = added.published;
    let noted = system.content(&note.published).and_then(|content| {
        note.content = content;
        system.write(Table::Pending, driver, &note.to_text())
    });
    let published = &note.published;
    if let Err(error) = noted {
        // Without the note no rollback would know of the package. The store gave it this name just now.
        if added.new {
            let removed = system.delete_unused_package(published)?;
            report_removal(system, driver, published, removed)?;
        }
        return Err(error.into());
    }
    if added.new {
        system.log(format_args!(
            "{driver}: version {} added to the driver store as {published}",
            request.version
        ));
    } else {
        system.log(format_args!(
            "{driver}: version {} was in the driver store already, as {published}",
            request.version
        ));
    }
    if request.stage_only {
        system.log(format_args!(
            "{driver}: present devices keep their driver, as was asked for"
        ));
        return Ok(());
    }
    let own = policy::replaces_own(&before, &note.published, &request.version);
    if request.force {
        system.log(format_args!(
            "{driver}: every matching device gets the new package, as was asked for"
        ));
    } else if own {
        system.log(format_args!(
            "{driver}: matching devices run on an earlier package of WinPV's and get the new one"
        ));
    }
    let force = request.force || own;
    if let Some(now) = update(system, driver, &request.inf, &note.published, force)? {
        // The package that a repair found has the new name whether the repair is committed or not.
        if let Some(mut record) =
            installed(system, driver)?.filter(|record| record.published == note.published)
        {
            record.published.clone_from(&now);
            system.write(Table::Installed, driver, &record.to_text())?;
        }
        note.published = now;
        system.write(Table::Pending, driver, &note.to_text())?;
    }
    for device in system.devices(&request.devices)? {
        let published = &note.published;
        if device.inf != *published {
            system.log(format_args!(
                "{driver}: {} stays on {device}; Windows takes {published} for no better one. WINPV_FORCE=1 (winpv-setup: --force) \
                 gives it to the device all the same",
                device.id
            ));
        } else if !before.contains(&device) {
            system.log(format_args!("{driver}: {} runs on {device} now", device.id));
        }
    }
    Ok(())
}

/// What devices fall back to: the published INFs that they run on, if each runs on one.
fn fallbacks(devices: &[Device]) -> Vec<String> {
    let named = |device: &Device| record::is_published(&device.inf);
    if !devices.iter().all(named) {
        return Vec::new();
    }
    let mut infs: Vec<String> = devices.iter().map(|device| device.inf.clone()).collect();
    infs.sort_unstable();
    infs.dedup();
    infs
}

/// Gives a package to the devices that it fits best. Returns its name if that has become another one.
fn update(
    system: &mut impl System,
    driver: &str,
    inf: &str,
    published: &str,
    force: bool,
) -> Result<Option<String>, Failure> {
    let restart = system.update_devices(inf, force)?;
    let devices = system.present_devices(driver)?;
    system.log(format_args!(
        "{driver}: matching devices updated in place; present devices that run on it: {devices}"
    ));
    if restart {
        system.request_restart()?;
        system.log(format_args!("{driver}: Windows needs a restart to finish"));
    }
    // DiInstallDriver takes a package that the store has out of it and adds it anew (MS: nf-newdev-diinstalldriverw, remarks).
    let now = system.add_package(inf)?.published;
    if now == published || !record::is_published(&now) {
        return Ok(None);
    }
    system.log(format_args!("{driver}: {published} is {now} now"));
    Ok(Some(now))
}

/// Removes a package of ours unless Windows may boot from it.
pub fn uninstall(system: &mut impl System, request: &Uninstall) -> Result<(), Failure> {
    let driver = &request.driver;
    let Some(record) = installed(system, driver)? else {
        system.log(format_args!("{driver}: no package of ours is installed"));
        return Ok(());
    };
    let taken_over = pending(system, driver)?.is_some_and(|note| note.product != request.product);
    if taken_over || record.product != request.product {
        system.log(format_args!(
            "{driver}: stays; another version of WinPV has taken it over"
        ));
        return Ok(());
    }
    let published = &record.published;
    let mut note = Pending {
        step: Step::Released,
        published: published.clone(),
        product: request.product.clone(),
        version: record.version.clone(),
        inf: request.inf.clone(),
        content: record.content.clone(),
        others: Vec::new(),
    };
    if !record.added {
        system.write(Table::Pending, driver, &note.to_text())?;
        system.log(format_args!(
            "{driver}: {published} stays; it was in the driver store before WinPV"
        ));
        return Ok(());
    }
    if !is_ours(system, driver, published, record.content.as_ref())? {
        return Ok(system.write(Table::Pending, driver, &note.to_text())?);
    }
    let boot_start = system.starts_at_boot(driver)?;
    let devices = system.present_devices(driver)?;
    if !policy::may_remove(boot_start, devices) {
        system.log(format_args!(
            "{driver}: {published} stays; Windows may boot from it ({devices} present devices run on it). Once none does: \
             pnputil /delete-driver {published} /uninstall"
        ));
        return Ok(());
    }
    note.step = Step::Removed;
    system.write(Table::Pending, driver, &note.to_text())?;
    let removed = system.remove_package(published)?;
    report_removal(system, driver, published, removed)
}

/// Whether a published name still stands for the package that was noted, which alone may be removed; logs why not.
fn is_ours(
    system: &mut impl System,
    driver: &str,
    published: &str,
    noted: Option<&Content>,
) -> Result<bool, Failure> {
    let now = system.content(published)?;
    let ours = now.is_some() && now.as_ref() == noted;
    match (noted, now) {
        (_, None) => system.log(format_args!(
            "{driver}: {published} is not in the driver store any more"
        )),
        (None, Some(_)) => system.log(format_args!(
            "{driver}: {published} stays; an early build noted its name alone, which may be another package's by now. If `pnputil \
             /enum-drivers` shows it as {}'s: pnputil /delete-driver {published} /uninstall",
            policy::PROVIDER
        )),
        (Some(_), Some(_)) if !ours => system.log(format_args!(
            "{driver}: {published} is another package now and is left alone; the one of {} was removed by somebody else",
            policy::PROVIDER
        )),
        _ => {}
    }
    Ok(ours)
}

fn report_removal(
    system: &mut impl System,
    driver: &str,
    published: &str,
    removed: Removed,
) -> Result<(), Failure> {
    match removed {
        Removed::Gone { restart } => {
            system.log(format_args!(
                "{driver}: {published} removed from its devices and from the driver store"
            ));
            if restart {
                system.request_restart()?;
                system.log(format_args!("{driver}: Windows needs a restart to finish"));
            }
        }
        Removed::InUse => system.log(format_args!(
            "{driver}: {published} stays; a device is installed with it"
        )),
        Removed::Missing => system.log(format_args!(
            "{driver}: {published} was not in the driver store any more"
        )),
    }
    Ok(())
}

fn installed(system: &mut impl System, driver: &str) -> Result<Option<Installed>, Failure> {
    let text = system.read(Table::Installed, driver)?;
    Ok(text.as_deref().map(Installed::parse).transpose()?)
}

fn pending(system: &mut impl System, driver: &str) -> Result<Option<Pending>, Failure> {
    let text = system.read(Table::Pending, driver)?;
    Ok(text.as_deref().map(Pending::parse).transpose()?)
}

fn superseded(system: &mut impl System, published: &str) -> Result<Option<Superseded>, Failure> {
    let text = system.read(Table::Superseded, published)?;
    Ok(text.as_deref().map(Superseded::parse).transpose()?)
}

/// A command of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tells whether Windows loads such a driver.
    Check(Candidate),
    /// Starts a transaction of this product.
    Begin(String),
    /// Adds one driver's package.
    Install(Install),
    /// Removes one driver's package.
    Uninstall(Uninstall),
    /// Makes this product's transaction final.
    Commit(String),
    /// Undoes this product's transaction.
    Rollback(String),
}

impl Command {
    /// Carries the command out and logs a failure.
    pub fn run(&self, system: &mut impl System) -> Result<(), Failure> {
        let result = match self {
            Command::Check(candidate) => check(system, *candidate),
            Command::Begin(product) => begin(system, product),
            Command::Install(request) => install(system, request),
            Command::Uninstall(request) => uninstall(system, request),
            Command::Commit(product) => commit(system, product),
            Command::Rollback(product) => rollback(system, product),
        };
        if let Err(failure) = &result {
            let subject = match self {
                Command::Install(request) => request.driver.to_string(),
                Command::Uninstall(request) => request.driver.to_string(),
                Command::Check(_) => "check".to_string(),
                Command::Begin(_) => "begin".to_string(),
                Command::Commit(_) => "commit".to_string(),
                Command::Rollback(_) => "rollback".to_string(),
            };
            system.log(format_args!("{subject}: FAILED: {failure}"));
        }
        result
    }
}
