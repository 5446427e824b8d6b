//! `winpv inject` with the pack as it is: into WIMs in every run, into disks with `--full`, read back by other programs.

mod disk;
mod faults;
mod wim;

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest, Sha256};

use super::{Context, Outcome};
use winpv::pack::hex;
use winpv::process::{Output, Run};

pub use disk::into_disk;
pub use wim::into_wim;

/// A run boots an appliance twice, each half a minute without KVM, and other steps want the processor as well.
const DEADLINE: Duration = Duration::from_secs(900);

/// The program itself, as a user runs it.
fn program() -> Result<PathBuf> {
    env::current_exe().context("the name of this program")
}

/// `winpv inject` with the pack under test.
fn command(context: &Context, image: &Path, arguments: &[&str]) -> Result<Run> {
    command_with(context, &context.dist, image, arguments)
}

/// `winpv inject` with another pack.
fn command_with(context: &Context, pack: &Path, image: &Path, arguments: &[&str]) -> Result<Run> {
    Ok(Run::new(program()?)
        .dir(&context.root)
        .arg("inject")
        .arg(image)
        .arg("--pack")
        .arg(pack)
        .args(arguments)
        .deadline(DEADLINE))
}

fn inject(context: &Context, image: &Path, arguments: &[&str]) -> Result<Output> {
    command(context, image, arguments)?.output()
}

/// Fails unless the program succeeded and said this.
fn says(output: Output, words: &str) -> Result<()> {
    ensure!(output.status.success(), "{}", output.text());
    ensure!(
        output.stdout.contains(words),
        "no {words:?} in\n{}",
        output.text()
    );
    Ok(())
}

/// Fails unless the image was refused for this reason and is as it was.
fn refused(output: Output, words: &str, image: &Path, before: &str) -> Result<()> {
    ensure!(!output.status.success(), "not refused:\n{}", output.text());
    ensure!(
        output.stderr.contains(words),
        "no {words:?} in\n{}",
        output.text()
    );
    unchanged(image, before)
}

fn unchanged(image: &Path, before: &str) -> Result<()> {
    ensure!(digest(image)? == before, "the image was changed");
    Ok(())
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn digest(file: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut File::open(file)?, &mut digest)?;
    Ok(hex(&digest.finalize()))
}

/// A key of a hive as text, by a program that the injection reads nothing with.
pub(super) fn export(hive: &Path, key: &str) -> Result<String> {
    let run = Run::new("hivexregedit")
        .args(["--export", "--unsafe-printable-strings"])
        .arg(hive)
        .arg(key);
    Ok(run.ok()?.stdout)
}

/// The names of files that a run left beside the image.
fn left_overs(image: &Path) -> Result<Vec<String>> {
    let folder = image.parent().context("a folder")?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.contains(".winpv-inject") {
            found.push(name);
        }
    }
    Ok(found)
}

fn nothing_left(image: &Path) -> Result<()> {
    let names = left_overs(image)?;
    ensure!(names.is_empty(), "left beside the image: {names:?}");
    Ok(())
}

/// What a boot from virtio takes, in the hives and files of one Windows that were copied to `folder`.
fn complete(context: &Context, folder: &Path, processor: &str, is_pe: bool) -> Result<()> {
    let package = context.dist.join("drivers/vioblk").join(processor);
    for (file, name) in [("driver.sys", "vioblk.sys"), ("vioblk.inf", "vioblk.inf")] {
        ensure!(
            digest(&folder.join(file))? == digest(&package.join(name))?,
            "{name} is not the pack's"
        );
    }
    let has = |hive: &str, key: &str, lines: &[&str]| {
        let text = export(&folder.join(hive), key)?;
        for line in lines {
            ensure!(text.contains(line), "{key} has no {line}:\n{text}");
        }
        Ok(())
    };
    has(
        "SYSTEM",
        r"\ControlSet001\Services\vioblk",
        &[
            "\"Start\"=dword:00000000",
            "\"Type\"=dword:00000001",
            "\"Group\"=str(1):\"SCSI miniport\"",
            // This form of the export writes backslashes as they are.
            r#""ImagePath"=str(2):"system32\drivers\vioblk.sys""#,
        ],
    )?;
    has(
        "SYSTEM",
        r"\DriverDatabase\DeviceIds\PCI",
        &[
            r"[\DriverDatabase\DeviceIds\PCI\VEN_1AF4&DEV_1042]",
            r"[\DriverDatabase\DeviceIds\PCI\VEN_1AF4&DEV_1001]",
            "\"winpv-vioblk.inf\"=hex(3):01,ff,00,00",
        ],
    )?;
    let label =
        format!(r"\DriverDatabase\DriverPackages\winpv-vioblk.inf_{processor}_0000000000000000");
    has("SYSTEM", &label, &["\"Version\"=hex(3):00,ff,09,00"])?;
    let run_once = export(
        &folder.join("SOFTWARE"),
        r"\Microsoft\Windows\CurrentVersion\RunOnce",
    )?;
    ensure!(run_once.contains("!WinPV") != is_pe, "RunOnce: {run_once}");
    Ok(())
}
