//! Into WIMs that wimlib made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fake_windows::{Windows, pe, wim};

use super::faults::{self, Fault};
use super::{
    Context, Outcome, command_with, complete, digest, inject, left_overs, nothing_left, program,
    refused, says, unchanged,
};
use winpv::process::Run;

const BOTH: [&str; 3] = ["--index", "all", "--accept-test-signed"];
const SECOND: [&str; 3] = ["--index", "2", "--accept-test-signed"];

/// A WIM with these systems in a folder of its own.
fn make(dir: &Path, name: &str, systems: &[Windows]) -> Result<(PathBuf, String)> {
    let folder = dir.join(name);
    fs::create_dir(&folder)?;
    let file = folder.join("install.wim");
    wim::make(&file, systems, &folder)?;
    let before = digest(&file)?;
    Ok((file, before))
}

/// Every case.
pub fn into_wim(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let mut outcomes = both_images(context, dir)?;
    outcomes.extend(kept_whole(context, dir)?);
    outcomes.extend(processors(context, dir)?);
    Ok(outcomes)
}

/// Windows PE and a full Windows.
fn both_images(context: &Context, dir: &Path) -> Result<Vec<Outcome>> {
    let systems = [true, false].map(|is_pe| Windows {
        is_pe,
        ..Windows::default()
    });
    let (file, before) = make(dir, "both", &systems)?;
    let plans = |pack: &Path| {
        let arguments = [&BOTH[..], &["--dry-run", "--json"]].concat();
        let output = command_with(context, pack, &file, &arguments)?.output()?;
        ensure!(output.status.success(), "{}", output.text());
        let lines = ["look at image 1: ", "look at image 2: "];
        ensure!(
            lines.iter().all(|line| output.stderr.contains(line)),
            "no line for each step:\n{}",
            output.stderr
        );
        let report: serde_json::Value = serde_json::from_str(&output.stdout)?;
        Ok::<_, anyhow::Error>(report)
    };
    Ok(vec![
        Outcome::of("WIM: test-signed drivers are not taken silently", || {
            let output = inject(context, &file, &["--index", "all"])?;
            refused(output, "--accept-test-signed", &file, &before)
        }),
        Outcome::of("WIM: a refusal is JSON as well", || {
            let output = inject(context, &file, &["--index", "7", "--json"])?;
            let report: serde_json::Value = serde_json::from_str(&output.stdout)?;
            ensure!(
                report["refused"] == true && report["changed"] == false,
                "{report}"
            );
            let error = report["error"].as_str().context("no error")?;
            ensure!(error.contains("no image 7"), "{error}");
            refused(output, "no image 7", &file, &before)
        }),
        Outcome::of(
            "WIM: a dry run prints the plan as JSON, alike from folder and ISO",
            || {
                let report = plans(&context.dist)?;
                let all = report["plans"].as_array().context("no plans")?;
                ensure!(all.len() == 2, "{} plans", all.len());
                ensure!(
                    report["changed"] == false && report["dry_run"] == true,
                    "{report}"
                );
                let edits = all[1]["registry"].as_array().context("no registry")?;
                ensure!(
                    edits
                        .iter()
                        .any(|edit| edit["key"] == r"ControlSet001\Services\vioblk"
                            && edit["name"] == "Start"
                            && edit["value"] == "REG_DWORD 0"),
                    "{report}"
                );
                let from_iso = plans(&iso(context)?)?;
                ensure!(from_iso == report, "{from_iso}\nis not\n{report}");
                unchanged(&file, &before)
            },
        ),
        Outcome::of("WIM: a pack that a distribution installed is found", || {
            let share = dir.join("share");
            installed(context, &share.join("winpv"))?;
            let empty = dir.join("empty");
            fs::create_dir(&empty)?;
            let empty = empty.canonicalize()?;
            let run = |shared: &Path| {
                let run = Run::new(program()?).dir(&empty).arg("inject").arg(&file);
                run.args([&BOTH[..], &["--dry-run", "--json"]].concat())
                    .env_remove("CARGO_MANIFEST_DIR")
                    .env("XDG_DATA_DIRS", shared)
                    .deadline(super::DEADLINE)
                    .output()
            };
            let found: serde_json::Value = serde_json::from_str(&run(&share)?.stdout)?;
            let named = plans(&context.dist)?;
            ensure!(found == named, "{found}\nis not\n{named}");
            let missed = run(&empty)?;
            for place in [empty.join("dist"), empty.join("winpv")] {
                let place = place.display().to_string();
                ensure!(missed.stderr.contains(&place), "{}", missed.text());
            }
            refused(missed, "--pack", &file, &before)
        }),
        Outcome::of("WIM: a driver with a damaged signature is refused", || {
            let folder = dir.join("damaged");
            fs::create_dir(&folder)?;
            let own = context.dist.join("drivers/vioblk/amd64");
            for name in ["vioblk.inf", "vioblk.cat", "vioblk.sys"] {
                fs::copy(own.join(name), folder.join(name))?;
            }
            let driver = folder.join("vioblk.sys");
            let mut bytes = fs::read(&driver)?;
            // The signature stands at the end of the file and its value at its own end; the digest in the catalog leaves both out (MS:
            // "Windows Authenticode Portable Executable Signature Format").
            let at = bytes.len() - 40;
            bytes[at] ^= 1;
            fs::write(&driver, bytes)?;
            let output = command_with(context, &folder, &file, &BOTH)?.output()?;
            refused(
                output,
                "the signature of vioblk.sys is not good",
                &file,
                &before,
            )
        }),
        Outcome::of("WIM: a terminal shows a bar", || {
            // script(1) gives the program a terminal and prints what appears on it.
            let line = format!(
                "'{}' inject '{}' --pack '{}' --index 1 --accept-test-signed --dry-run",
                program()?.display(),
                file.display(),
                context.dist.display()
            );
            let run = Run::new("script").args(["-q", "-e", "-c", &line, "/dev/null"]);
            let shown = run
                .env("TERM", "xterm")
                .deadline(super::DEADLINE)
                .ok()?
                .stdout;
            ensure!(
                shown.contains("look at image 1") && shown.contains('\u{1b}'),
                "{shown:?}"
            );
            unchanged(&file, &before)
        }),
        Outcome::of("WIM: every image gets the drivers", || {
            says(inject(context, &file, &BOTH)?, "done")?;
            for (index, is_pe) in [("1", true), ("2", false)] {
                let folder = dir.join(index);
                extract(&file, index, &folder)?;
                complete(context, &folder, "amd64", is_pe)?;
            }
            says(inject(context, &file, &BOTH)?, "nothing to do")?;
            nothing_left(&file)
        }),
    ])
}

/// What docs/for-distributions.md installs.
fn installed(context: &Context, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let folders = ["drivers", "cert", "manifest.json"].map(|name| context.dist.join(name));
    Run::new("cp").arg("-r").args(folders).arg(to).ok()?;
    fs::copy(iso(context)?, to.join("winpv.iso"))?;
    Ok(())
}

/// The ISO of the pack.
fn iso(context: &Context) -> Result<PathBuf> {
    for entry in fs::read_dir(&context.dist)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "iso") {
            return Ok(path);
        }
    }
    anyhow::bail!("no ISO in {}", context.dist.display())
}

/// Copies what an injection writes out of an image.
fn extract(file: &Path, index: &str, folder: &Path) -> Result<()> {
    for (path, name) in [
        ("/Windows/System32/config/SYSTEM", "SYSTEM"),
        ("/Windows/System32/config/SOFTWARE", "SOFTWARE"),
        ("/Windows/Drivers/WinPV/vioblk/vioblk.inf", "vioblk.inf"),
        ("/Windows/System32/drivers/vioblk.sys", "driver.sys"),
    ] {
        Run::new("wimlib-imagex")
            .arg("extract")
            .arg(file)
            .args([index, path, "--dest-dir"])
            .arg(folder)
            .ok()?;
        let own = Path::new(path).file_name().context("a name")?;
        fs::rename(folder.join(own), folder.join(name))?;
    }
    Ok(())
}

/// Something goes wrong in the middle: the image stays as it was.
fn kept_whole(context: &Context, dir: &Path) -> Result<Vec<Outcome>> {
    let (file, _) = make(dir, "whole", &[Windows::default(), Windows::default()])?;
    // Longer than every file of the pack, so that the limit of the full disk is met by the WIM alone.
    let noise = dir.join("noise");
    let mut state = 1u32;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    fs::write(&noise, random.take(3 << 20).collect::<Vec<u8>>())?;
    Run::new("wimlib-imagex")
        .arg("update")
        .arg(&file)
        .args(["1", "--command"])
        .arg(format!("add '{}' /noise", noise.display()))
        .ok()?;
    let before = digest(&file)?;
    let fault = |fault| faults::run(context, "wimlib-imagex", fault, &file, &SECOND)?.output();
    Ok(vec![
        Outcome::of("WIM: unchanged if a program fails", || {
            refused(fault(Fault::Fails)?, "disk on fire", &file, &before)?;
            nothing_left(&file)
        }),
        Outcome::of("WIM: unchanged if it does not read back as written", || {
            refused(fault(Fault::Lies)?, "as it was written", &file, &before)?;
            nothing_left(&file)
        }),
        Outcome::of("WIM: unchanged if the disk is full", || {
            let length = fs::metadata(&file)?.len() + 4096;
            let output = faults::full_disk(context, &file, length, &SECOND)?.output()?;
            refused(output, "wimlib-imagex update", &file, &before)?;
            nothing_left(&file)
        }),
        Outcome::of(
            "WIM: unchanged if it is killed, and the next run clears up",
            || {
                let output = fault(Fault::Killed)?;
                ensure!(
                    output.status.code().is_none(),
                    "not killed:\n{}",
                    output.text()
                );
                unchanged(&file, &before)?;
                ensure!(left_overs(&file)?.len() == 1, "it was not in the middle");
                says(inject(context, &file, &SECOND)?, "done")?;
                nothing_left(&file)
            },
        ),
    ])
}

/// Images for other processors and other Windows.
fn processors(context: &Context, dir: &Path) -> Result<Vec<Outcome>> {
    let arm = Windows {
        machine: pe::ARM64,
        ..Windows::default()
    };
    let (file, before) = make(dir, "arm", &[arm])?;
    let only = ["--index", "1", "--accept-test-signed"];
    let amd64 = context.dist.join("drivers/vioblk/amd64");
    let x86 = Windows {
        machine: pe::X86,
        ..Windows::default()
    };
    let old = Windows {
        build: 10586,
        ..Windows::default()
    };
    let (mixed, mixed_before) = make(dir, "mixed", &[Windows::default(), x86, old])?;
    Ok(vec![
        Outcome::of("WIM: drivers for another processor are refused", || {
            let output = command_with(context, &amd64, &file, &only)?.output()?;
            refused(
                output,
                "no drivers for arm64, only for amd64",
                &file,
                &before,
            )
        }),
        Outcome::of("WIM: an ARM64 image gets the ARM64 drivers", || {
            says(inject(context, &file, &only)?, "done")?;
            let folder = dir.join("arm-1");
            extract(&file, "1", &folder)?;
            complete(context, &folder, "arm64", false)
        }),
        Outcome::of(
            "WIM: one image that is refused keeps all as they were",
            || {
                let output = inject(context, &mixed, &BOTH)?;
                refused(output, "this Windows is for x86", &mixed, &mixed_before)?;
                let output = inject(context, &mixed, &["--index", "3", "--accept-test-signed"])?;
                refused(output, "Windows build 10586", &mixed, &mixed_before)?;
                nothing_left(&mixed)
            },
        ),
    ])
}
