//! `winpv inject`: puts the drivers into a Windows image.

use std::env;
use std::iter;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::json;
use winpv_inject::package::{Pack, Package};
use winpv_inject::trust::Trust;
use winpv_inject::{Consent, Index, Options, Plan, Refusal, Steps};

use crate::pack;
use crate::progress::Progress;
use crate::verify;

/// What `--help` shows below the options.
pub const EXAMPLES: &str = "\
Examples:
  winpv inject --dry-run windows.qcow2          prints every file and registry value, changes nothing
  winpv inject windows.qcow2                    lets an installed Windows boot from virtio
  winpv inject boot.wim --index all             lets Windows PE and Setup see virtio disks
  winpv inject install.wim --index 4 --pack winpv.iso
  winpv inject windows.qcow2 --enable-testsigning
                                                for drivers with a test signature; Secure Boot must be off

The image is replaced only when everything is done; docs/inject.md lists why an image can be refused.";

/// Arguments of `inject`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A WIM file, or a disk: raw, qcow2, vmdk, vhdx and what else QEMU writes
    pub image: PathBuf,
    /// Which image of a WIM: a number from 1, or all
    #[arg(long, value_name = "N|all")]
    pub index: Option<Index>,
    /// The pack: a folder, also another vendor's, or an ISO [default: dist/ in the sources, then an installed one, /usr/share/winpv]
    #[arg(long, value_name = "PACK")]
    pub pack: Option<PathBuf>,
    /// Print what would be done, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Switch testsigning on in each entry of the disk's boot configuration that starts this Windows; Secure Boot must be off
    #[arg(long)]
    pub enable_testsigning: bool,
    /// Put test-signed drivers into a WIM: whoever boots it sees to testsigning and Secure Boot
    #[arg(long)]
    pub accept_test_signed: bool,
    /// Put drivers that Microsoft attested without tests into a Windows Server
    #[arg(long)]
    pub accept_attestation_on_server: bool,
    /// Put a driver in the place of a newer one that Windows runs from System32\drivers
    #[arg(long)]
    pub allow_older: bool,
    /// Which file system of a disk with several installations, such as /dev/sda2
    #[arg(long, value_name = "DEVICE")]
    pub root: Option<String>,
    /// The disk's format, when QEMU shall not find it out
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print the plan, or why the image is refused, as JSON
    #[arg(long)]
    pub json: bool,
}

struct Shown(Progress);

impl Steps for Shown {
    fn step(&self, what: &str, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.0.step(what, work)
    }
}

/// Injects and prints what was done.
///
/// # Errors
///
/// The image is refused, or something failed; it is then as it was. With `--json` the report says so as well.
pub fn run(args: &Args) -> Result<bool> {
    let result = inject(args);
    if args.json {
        println!("{}", report(args, &result));
        return result.map(|_| true);
    }
    let plans = result?;
    for plan in &plans {
        print!("{plan}");
    }
    println!(
        "{}",
        if changed(args, &plans) {
            "done"
        } else if args.dry_run {
            "dry run: nothing was changed"
        } else {
            "nothing to do: the image is as it should be"
        }
    );
    Ok(true)
}

fn inject(args: &Args) -> Result<Vec<Plan>> {
    let path = match &args.pack {
        Some(path) => path.clone(),
        None => first_pack(&places())?,
    };
    let pack = Pack::read(&path)?;
    check_signatures(&pack)?;
    let options = Options {
        index: args.index,
        root: args.root.clone(),
        format: args.format.clone(),
        consent: Consent {
            enable_testsigning: args.enable_testsigning,
            accept_test_signed: args.accept_test_signed,
            accept_attestation_on_server: args.accept_attestation_on_server,
            allow_older: args.allow_older,
        },
        dry_run: args.dry_run,
    };
    let steps = Shown(Progress::new(None));
    winpv_inject::inject(&args.image, &pack, &options, &steps)
}

/// Refuses a boot-start driver whose signature claims what it does not hold: by its certificate alone the pack was judged so far.
fn check_signatures(pack: &Pack) -> Result<()> {
    let signed = |package: &&Package| package.is_boot_start() && package.trust != Trust::Unsigned;
    for package in pack.packages.iter().filter(signed) {
        let file = &package.service.binary;
        let problems = verify::boot_signature(file, package.driver())?;
        if let Some(problem) = problems.into_iter().next() {
            return Err(Refusal::BadSignature {
                package: package.name.clone(),
                file: file.clone(),
                problem,
            }
            .into());
        }
    }
    Ok(())
}

/// Where a pack is looked for when none is named: where the sources build it, then where a distribution's package installs it
/// (freedesktop.org, "XDG Base Directory Specification", XDG_DATA_DIRS).
fn places() -> Vec<PathBuf> {
    let shared = env::var_os("XDG_DATA_DIRS").filter(|folders| !folders.is_empty());
    let shared = shared.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let installed = env::split_paths(&shared)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("winpv"));
    iter::once(pack::default_out(&crate::root()))
        .chain(installed)
        .collect()
}

/// The first of these folders that is a pack of WinPV's.
fn first_pack(places: &[PathBuf]) -> Result<PathBuf> {
    let is_pack = |place: &&PathBuf| place.join(pack::MANIFEST).is_file();
    if let Some(found) = places.iter().find(is_pack) {
        return Ok(found.clone());
    }
    let looked: Vec<_> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    bail!(
        "no pack in {}: make one with `winpv build` in the sources, or name a folder or an ISO with --pack",
        looked.join(", ")
    )
}

fn changed(args: &Args, plans: &[Plan]) -> bool {
    !args.dry_run && plans.iter().any(|plan| !plan.is_done())
}

/// For `--json`. `refused` tells an image that must not be changed from a failure.
fn report(args: &Args, result: &Result<Vec<Plan>>) -> serde_json::Value {
    match result {
        Ok(plans) => json!({
            "image": args.image,
            "dry_run": args.dry_run,
            "changed": changed(args, plans),
            "plans": plans.iter().map(Plan::json).collect::<Vec<_>>(),
        }),
        Err(error) => json!({
            "image": args.image,
            "dry_run": args.dry_run,
            "changed": false,
            "refused": error.downcast_ref::<Refusal>().is_some(),
            "error": format!("{error:#}"),
        }),
    }
}
