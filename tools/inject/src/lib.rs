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
pub mod windows;

mod bcd;
mod boot;
mod disk;
mod first_boot;
mod guestfish;
mod hive;
mod ntfs;
mod plan;
mod programs;
mod wim;
mod working_copy;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

use disk::Disk;
use package::Pack;
pub use plan::{Consent, Plan};
pub use refusal::Refusal;
pub use wim::Index;
use wim::{Header, WimImage};
use working_copy::Original;

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

/// Injects `pack` into `image` and returns the plans, one an installation, as they were carried out (or would be). `say` is
/// told what goes on.
///
/// # Errors
///
/// A [`Refusal`], or something failed; the image is then as it was.
pub fn inject(
    image: &Path,
    pack: &Pack,
    options: &Options,
    say: &dyn Fn(&str),
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
        Some(header) => in_wim(&original, header, pack, options, scratch.path(), say),
        None => on_disk(&original, pack, options, scratch.path(), say),
    }
}

fn in_wim(
    original: &Original,
    header: Header,
    pack: &Pack,
    options: &Options,
    scratch: &Path,
    say: &dyn Fn(&str),
) -> Result<Vec<Plan>> {
    programs::require(&programs::FOR_WIM)?;
    let path = original.path();
    header.check(&path.display().to_string())?;
    let index = options
        .index
        .context("a WIM can hold several images: say which with --index, or --index all")?;
    let indexes = header.select(index)?;
    say("checking the WIM");
    wim::verify(path)?;
    let mut plans = Vec::new();
    for index in indexes {
        say(&format!("looking at image {index}"));
        let folder = scratch.join(index.to_string());
        std::fs::create_dir(&folder)?;
        let mut tree = WimImage { wim: path, index };
        let plan = Plan::make(&mut tree, pack, options.consent, &folder)
            .with_context(|| format!("image {index}"))?;
        plans.push((index, plan));
    }
    if !options.dry_run && plans.iter().any(|(_, plan)| !plan.is_done()) {
        say("copying the WIM");
        let copy = original.copy()?;
        for (index, plan) in plans.iter().filter(|(_, plan)| !plan.is_done()) {
            say(&format!("writing image {index}"));
            wim::apply(copy.path(), *index, plan, scratch)?;
        }
        say("checking the new WIM");
        wim::verify(copy.path())?;
        copy.replace()?;
    }
    Ok(plans.into_iter().map(|(_, plan)| plan).collect())
}

fn on_disk(
    original: &Original,
    pack: &Pack,
    options: &Options,
    scratch: &Path,
    say: &dyn Fn(&str),
) -> Result<Vec<Plan>> {
    programs::require(&programs::FOR_DISK)?;
    let path = original.path();
    let format = disk::format(path, options.format.as_deref())?;
    anyhow::ensure!(
        options.index.is_none(),
        "{} is a disk, and --index is for WIM files",
        path.display()
    );
    say("looking at the disk");
    let mut tree = Disk::open(path, &format, options.root.as_deref(), scratch)?;
    let plan = Plan::make(&mut tree, pack, options.consent, scratch)?;
    drop(tree);
    if !options.dry_run && !plan.is_done() {
        say("copying the disk");
        let copy = original.copy()?;
        say("writing");
        disk::apply(copy.path(), &format, &plan.target, &plan)?;
        // A virtual machine that was started meanwhile would go on with the old file.
        disk::format(path, Some(&format))?;
        copy.replace()?;
    }
    Ok(vec![plan])
}
