//! Puts driver packages into Windows images on Linux, so that the image boots from virtio: WIM files and virtual disks.
//!
//! What is done to an image is worked out first, as a [`Plan`] that can be printed; every [`Refusal`] comes then. The plan is
//! carried out on a copy beside the image, read back, and only then takes the image's place. An image that is already as it
//! should be is not touched.
//!
//! Which files and registry values make Windows boot is taken from what virt-v2v writes (boot.rs, first_boot.rs). The
//! registry is edited by hivex, WIMs by wimlib, disks through libguestfs.

#![forbid(unsafe_code)]

pub mod package;
pub mod refusal;
pub mod registry;
pub mod trust;
pub mod windows;

mod bcd;
mod boot;
mod disk;
mod first_boot;
mod guestfish;
mod hive;
mod newer;
mod ntfs;
mod plan;
mod programs;
mod signatures;
mod wim;
mod working_copy;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use disk::Disk;
use package::Pack;
pub use plan::{Consent, Plan};
pub use refusal::Refusal;
pub use wim::Index;
use wim::{Header, WimImage};
use working_copy::Original;

/// Is told what goes on, and runs it: a step can take minutes.
pub trait Steps {
    /// Runs one step. Must call `work` once and return what it returns.
    ///
    /// # Errors
    ///
    /// Those of `work`.
    fn step(&self, what: &str, work: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

/// Runs a step that returns something.
fn step<T>(steps: &dyn Steps, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut work = Some(work);
    let mut result = None;
    steps.step(what, &mut || {
        let work = work.take().context("a step was run twice")?;
        result = Some(work()?);
        Ok(())
    })?;
    result.context("a step was not run")
}

/// What to do with an image.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which images of a WIM; needed for a WIM, not allowed for a disk.
    pub index: Option<Index>,
    /// Which file system of a disk with several installations, such as `/dev/sda2`.
    pub root: Option<String>,
    /// The disk's format, when it shall not be found out.
    pub format: Option<String>,
    /// What the user allows.
    pub consent: Consent,
    /// Stop after the plan.
    pub dry_run: bool,
}

/// Injects `pack` into `image` and returns the plans, one an installation, as they were carried out (or would be).
///
/// # Errors
///
/// A [`Refusal`], or something failed; the image is then as it was.
pub fn inject(
    image: &Path,
    pack: &Pack,
    options: &Options,
    steps: &dyn Steps,
) -> Result<Vec<Plan>> {
    // Copies of hives may hold secrets: the folder is only for us (tempfile gives it mode 0700).
    let scratch = tempfile::tempdir().context("no folder for temporary files")?;
    let original = Original::open(image)?;
    let mut head = Vec::new();
    File::open(original.path())
        .with_context(|| format!("cannot read {}", image.display()))?
        .take(wim::HEADER)
        .read_to_end(&mut head)?;
    match Header::parse(&head) {
        Some(header) => in_wim(&original, header, pack, options, scratch.path(), steps),
        None => on_disk(&original, pack, options, scratch.path(), steps),
    }
}

fn in_wim(
    original: &Original,
    header: Header,
    pack: &Pack,
    options: &Options,
    scratch: &Path,
    steps: &dyn Steps,
) -> Result<Vec<Plan>> {
    programs::require(&programs::FOR_WIM)?;
    let path = original.path();
    header.check(&path.display().to_string())?;
    for (is_given, option) in [
        (options.root.is_some(), "--root"),
        (options.format.is_some(), "--format"),
        (options.consent.enable_testsigning, "--enable-testsigning"),
    ] {
        ensure!(
            !is_given,
            "{} is a WIM file, and {option} is for disks",
            path.display()
        );
    }
    let index = options
        .index
        .context("a WIM can hold several images: say which with --index, or --index all")?;
    let indexes = header.select(index)?;
    step(steps, "check the WIM", || wim::verify(path))?;
    let mut plans = Vec::new();
    for index in indexes {
        let folder = scratch.join(index.to_string());
        fs::create_dir(&folder)?;
        let plan = step(steps, &format!("look at image {index}"), || {
            let mut tree = WimImage { wim: path, index };
            Plan::make(&mut tree, pack, options.consent, &folder)
                .with_context(|| format!("image {index}"))
        })?;
        plans.push((index, plan));
    }
    let is_done = plans.iter().all(|(_, plan)| plan.is_done());
    carry_out(original, is_done, options, "copy the WIM", steps, |copy| {
        for (index, plan) in plans.iter().filter(|(_, plan)| !plan.is_done()) {
            step(steps, &format!("write image {index}"), || {
                wim::apply(copy, *index, plan, scratch)
            })?;
        }
        step(steps, "check the new WIM", || wim::verify(copy))
    })?;
    Ok(plans.into_iter().map(|(_, plan)| plan).collect())
}

fn on_disk(
    original: &Original,
    pack: &Pack,
    options: &Options,
    scratch: &Path,
    steps: &dyn Steps,
) -> Result<Vec<Plan>> {
    programs::require(&programs::FOR_DISK)?;
    let path = original.path();
    ensure!(
        options.index.is_none(),
        "{} is no WIM file, and --index is for WIM files",
        path.display()
    );
    ensure!(
        !options.consent.accept_test_signed,
        "{} is no WIM file, and --accept-test-signed is for WIM files: a disk has a boot configuration, see --enable-testsigning",
        path.display()
    );
    let format = disk::format(path, options.format.as_deref())?;
    let plan = step(steps, "look at the disk", || {
        let mut tree = Disk::open(path, &format, options.root.as_deref(), scratch)?;
        Plan::make(&mut tree, pack, options.consent, scratch)
    })?;
    let is_done = plan.is_done();
    carry_out(original, is_done, options, "copy the disk", steps, |copy| {
        step(steps, "write and read back", || {
            disk::apply(copy, &format, &plan.target, &plan, scratch)
        })?;
        // A virtual machine that was started meanwhile would go on with the old file.
        disk::format(path, Some(&format)).map(|_| ())
    })?;
    Ok(vec![plan])
}

/// Has a copy of the image written and puts it in the image's place, unless there is nothing to write or the user only wants
/// to know what would be written. Both kinds of images go through here.
fn carry_out(
    original: &Original,
    is_done: bool,
    options: &Options,
    copying: &str,
    steps: &dyn Steps,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    if is_done || options.dry_run {
        return Ok(());
    }
    let copy = step(steps, copying, || original.copy())?;
    write(copy.path())?;
    copy.replace()
}
