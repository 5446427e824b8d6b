//! `winpv inject` with the pack as it is: into a WIM in every run, into a disk with `--full`, read back by other programs.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use fake_windows::disk::{self, Disk, Firmware};
use fake_windows::{Windows, wim};
use sha2::{Digest, Sha256};

use super::{Context, Outcome};
use winpv::pack::hex;
use winpv::process::{Output, Run};

/// A run boots an appliance twice, each half a minute without KVM, and other steps want the processor as well.
const DEADLINE: Duration = Duration::from_secs(900);

/// The program itself, as a user runs it.
fn program() -> Result<PathBuf> {
    env::current_exe().context("the name of this program")
}

fn inject(context: &Context, image: &Path, arguments: &[&str]) -> Result<Output> {
    Run::new(program()?)
        .dir(&context.root)
        .arg("inject")
        .arg(image)
        .arg("--pack")
        .arg(&context.dist)
        .args(arguments)
        .deadline(DEADLINE)
        .output()
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

/// What a boot from virtio takes, in the hives and files of one Windows that were copied to `folder`.
fn complete(context: &Context, folder: &Path, is_pe: bool) -> Result<()> {
    let package = context.dist.join("drivers/vioblk/amd64");
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
    let run_once = export(
        &folder.join("SOFTWARE"),
        r"\Microsoft\Windows\CurrentVersion\RunOnce",
    )?;
    ensure!(run_once.contains("!WinPV") != is_pe, "RunOnce: {run_once}");
    Ok(())
}

/// Into a WIM with Windows PE and a full Windows.
pub fn into_wim(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let file = dir.join("install.wim");
    let systems = [true, false].map(|is_pe| Windows {
        is_pe,
        ..Windows::default()
    });
    wim::make(&file, &systems, dir)?;
    let before = digest(&file)?;
    let mut outcomes = vec![
        Outcome::of("WIM: test-signed drivers are not taken silently", || {
            let output = inject(context, &file, &["--index", "all"])?;
            refused(output, "--accept-test-signed", &file, &before)
        }),
        Outcome::of("WIM: a dry run prints the plan as JSON", || {
            let output = inject(
                context,
                &file,
                &[
                    "--index",
                    "all",
                    "--accept-test-signed",
                    "--dry-run",
                    "--json",
                ],
            )?;
            ensure!(output.status.success(), "{}", output.text());
            let report: serde_json::Value = serde_json::from_str(&output.stdout)?;
            let plans = report["plans"].as_array().context("no plans")?;
            ensure!(plans.len() == 2, "{} plans", plans.len());
            unchanged(&file, &before)
        }),
        Outcome::of("WIM: every image gets the drivers", || {
            let arguments = ["--index", "all", "--accept-test-signed"];
            says(inject(context, &file, &arguments)?, "done")?;
            for (index, is_pe) in [("1", true), ("2", false)] {
                let folder = dir.join(index);
                for (path, name) in [
                    ("/Windows/System32/config/SYSTEM", "SYSTEM"),
                    ("/Windows/System32/config/SOFTWARE", "SOFTWARE"),
                    ("/Windows/Drivers/WinPV/vioblk/vioblk.inf", "vioblk.inf"),
                    ("/Windows/System32/drivers/vioblk.sys", "driver.sys"),
                ] {
                    Run::new("wimlib-imagex")
                        .arg("extract")
                        .arg(&file)
                        .args([index, path, "--dest-dir"])
                        .arg(&folder)
                        .ok()?;
                    let own = Path::new(path).file_name().context("a name")?;
                    fs::rename(folder.join(own), folder.join(name))?;
                }
                complete(context, &folder, is_pe)?;
            }
            let arguments = ["--index", "all", "--accept-test-signed"];
            says(inject(context, &file, &arguments)?, "nothing to do")
        }),
    ];
    outcomes.push(Outcome::of("WIM: nothing is left beside it", || {
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            ensure!(!name.to_string_lossy().starts_with('.'), "{name:?}");
        }
        Ok(())
    }));
    Ok(outcomes)
}

/// Into a qcow2 disk with an EFI system partition.
pub fn into_disk(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let made = Disk {
        firmware: Firmware::Uefi,
        ..Disk::default()
    };
    let raw = dir.join("windows.raw");
    made.make(&raw, &Windows::default(), dir)?;
    let image = dir.join("windows.qcow2");
    Run::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .arg(&raw)
        .arg(&image)
        .ok()?;
    let before = digest(&image)?;
    let mut outcomes = vec![
        Outcome::of("disk: libguestfs sees a Windows for x64", || {
            inspect(&image)
        }),
        Outcome::of("disk: test-signed drivers need testsigning", || {
            let output = inject(context, &image, &[])?;
            refused(output, "testsigning is off", &image, &before)
        }),
        Outcome::of(
            "disk: killed while it writes, the image is as it was",
            || {
                killed(context, &image)?;
                unchanged(&image, &before)
            },
        ),
        Outcome::of(
            "disk: it gets the drivers, over what the killed run left",
            || {
                says(inject(context, &image, &["--enable-testsigning"])?, "done")?;
                let folder = dir.join("back");
                read_back(&image, &made, &folder)?;
                complete(context, &folder, false)?;
                let object = format!(
                    r"\Objects\{}\Elements\16000049",
                    fake_windows::hives::LOADER
                );
                let element = export(&folder.join("BCD"), &object)?;
                ensure!(element.contains("\"Element\"=hex(3):01"), "{element}");
                let script = fs::read_to_string(folder.join("first-boot.cmd"))?;
                ensure!(
                    script.contains("pnputil") && script.contains("winpv-test-root.cer"),
                    "{script}"
                );
                Ok(())
            },
        ),
        Outcome::of("disk: libguestfs still sees a Windows for x64", || {
            inspect(&image)
        }),
        Outcome::of("disk: a second run changes nothing", || {
            let before = digest(&image)?;
            says(inject(context, &image, &[])?, "nothing to do")?;
            unchanged(&image, &before)
        }),
        Outcome::of("disk: nothing is left beside it", || {
            ensure!(!left_over(&image).exists(), "the copy is still there");
            Ok(())
        }),
    ];
    outcomes.extend(refusals(context, &made, &raw, dir));
    Ok(outcomes)
}

/// Disks that Windows is not done with. Each is made from the raw one by ntfs-3g's own tools.
fn refusals(context: &Context, made: &Disk, raw: &Path, dir: &Path) -> Vec<Outcome> {
    let case = |name: &str, words: &str, work: &dyn Fn(&Path) -> Result<()>| {
        Outcome::of(format!("disk: {name} is refused"), || {
            let image = dir.join("refused.raw");
            Run::new("cp")
                .arg("--sparse=always")
                .arg(raw)
                .arg(&image)
                .ok()?;
            made.edit_volume(&image, dir, work)?;
            let before = digest(&image)?;
            let output = inject(context, &image, &["--enable-testsigning", "--format=raw"])?;
            refused(output, words, &image, &before)
        })
    };
    vec![
        case("a volume with the dirty flag", "is not clean", &|volume| {
            Run::new("ntfsfix").arg(volume).ok().map(|_| ())
        }),
        case("a hibernated Windows", "hibernated", &|volume| {
            let mut hiberfil = vec![0; 8192];
            hiberfil[..4].copy_from_slice(b"hibr");
            disk::put(volume, "/hiberfil.sys", &hiberfil, dir)
        }),
        case("an encrypted volume", "BitLocker", &|volume| {
            let mut bytes = fs::read(volume)?;
            bytes[3..11].copy_from_slice(b"-FVE-FS-");
            Ok(fs::write(volume, bytes)?)
        }),
    ]
}

/// What virt-inspector says of the disk.
fn inspect(image: &Path) -> Result<()> {
    let text = disk::libguestfs("virt-inspector")
        .args(["--no-applications", "--no-icon", "--format=qcow2", "--add"])
        .arg(image)
        .ok()?
        .stdout;
    for line in [
        "<name>windows</name>",
        "<arch>x86_64</arch>",
        "<product_name>Windows 10 Pro</product_name>",
        "<windows_current_control_set>ControlSet001</windows_current_control_set>",
    ] {
        ensure!(text.contains(line), "no {line} in\n{text}");
    }
    Ok(())
}

/// Where a run puts its copy.
fn left_over(image: &Path) -> PathBuf {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    image.with_file_name(format!(".{name}.winpv-inject"))
}

/// Kills a run while it writes: a qcow2 file grows when QEMU writes where nothing was before.
fn killed(context: &Context, image: &Path) -> Result<()> {
    let mut run = Command::new(program()?)
        .current_dir(&context.root)
        .arg("inject")
        .arg(image)
        .args(["--enable-testsigning", "--pack"])
        .arg(&context.dist)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let copy = left_over(image);
    let start = Instant::now();
    let length = fs::metadata(image)?.len();
    let result = loop {
        if fs::metadata(&copy).is_ok_and(|copy| copy.len() > length) {
            break Ok(());
        }
        if let Some(status) = run.try_wait()? {
            bail!("it ended by itself ({status}) before it could be killed");
        }
        if start.elapsed() > DEADLINE {
            break Err(anyhow::anyhow!("it wrote nothing"));
        }
        thread::sleep(Duration::from_millis(100));
    };
    run.kill()?;
    run.wait()?;
    result?;
    ensure!(
        copy.exists(),
        "the killed run left no copy, so it was not in the middle"
    );
    Ok(())
}

/// Copies what an injection writes out of the disk.
fn read_back(image: &Path, made: &Disk, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    let download = |path: &str, name: &str| format!("download {path} {}", to.join(name).display());
    let script = [
        "run".to_owned(),
        "mount-ro /dev/sda1 /".to_owned(),
        download("/EFI/Microsoft/Boot/BCD", "BCD"),
        "umount /".to_owned(),
        format!("mount-ro {} /", made.device()),
        download("/Windows/System32/config/SYSTEM", "SYSTEM"),
        download("/Windows/System32/config/SOFTWARE", "SOFTWARE"),
        download("/Windows/System32/drivers/vioblk.sys", "driver.sys"),
        download("/Windows/Drivers/WinPV/vioblk/vioblk.inf", "vioblk.inf"),
        download("/Windows/Drivers/WinPV/first-boot.cmd", "first-boot.cmd"),
    ];
    let commands = to.join("script");
    fs::write(&commands, script.join("\n") + "\n")?;
    disk::libguestfs("guestfish")
        .args(["--ro", "--format=qcow2", "--add"])
        .arg(image)
        .arg("--file")
        .arg(&commands)
        .ok()
        .map(|_| ())
}
