//! Into disks that libguestfs made.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fake_windows::disk::{self, COPIED_ENTRY, Disk, Firmware, OTHER_ENTRY};
use fake_windows::hives::LOADER;
use fake_windows::{Windows, security};

use super::super::appliance::Appliance;
use super::faults::{self, Fault};
use super::{
    Context, Outcome, command, complete, digest, export, left_overs, nothing_left, refused, says,
    unchanged,
};
use winpv::process::{Output, Run};

/// What is run, and the appliance that it uses.
struct Bench<'a> {
    context: &'a Context,
    appliance: Appliance,
}

impl Bench<'_> {
    /// `winpv inject` with the pack under test.
    fn inject(&self, image: &Path, arguments: &[&str]) -> Result<Output> {
        let run = command(self.context, image, arguments)?;
        self.appliance.lend(run).output()
    }

    /// Makes a disk.
    fn make(&self, disk: &Disk, file: &Path, scratch: &Path) -> Result<()> {
        let run = disk.prepare(file, &Windows::default(), scratch)?;
        self.appliance.lend(run).ok().map(|_| ())
    }

    /// Runs guestfish's commands on a disk that is only read.
    fn read(&self, image: &Path, format: &str, commands: &[String], scratch: &Path) -> Result<()> {
        let file = scratch.join("script");
        fs::write(&file, format!("run\n{}\n", commands.join("\n")))?;
        let run = disk::libguestfs("guestfish")
            .args(["--ro", &format!("--format={format}"), "--add"])
            .arg(image)
            .arg("--file")
            .arg(&file);
        self.appliance.lend(run).ok().map(|_| ())
    }
}

/// Every case.
pub fn into_disk(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let made = Disk {
        firmware: Firmware::Uefi,
        ..Disk::default()
    };
    let raw = dir.join("windows.raw");
    // The injection that succeeds runs in libguestfs's own appliance, as it does for users.
    let bench = Bench {
        context,
        appliance: Appliance::make()?,
    };
    bench.make(&made, &raw, dir)?;
    let mut outcomes = with_esp(&bench, &made, &raw, dir)?;
    outcomes.extend(refusals(&bench, &made, &raw, dir));
    outcomes.extend(two_roots(&bench, dir)?);
    Ok(outcomes)
}

/// A qcow2 disk with an EFI system partition.
fn with_esp(bench: &Bench, made: &Disk, raw: &Path, dir: &Path) -> Result<Vec<Outcome>> {
    let image = dir.join("windows.qcow2");
    Run::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .arg(raw)
        .arg(&image)
        .ok()?;
    let before = digest(&image)?;
    let allowed = ["--enable-testsigning"];
    let fault = |fault| {
        let run = faults::run(bench.context, "guestfish", fault, &image, &allowed)?;
        bench.appliance.lend(run).output()
    };
    Ok(vec![
        Outcome::of("disk: libguestfs sees a Windows for x64", || {
            inspect(bench, &image)
        }),
        Outcome::of("disk: test-signed drivers need testsigning", || {
            let output = bench.inject(&image, &[])?;
            ensure!(
                [LOADER, COPIED_ENTRY]
                    .iter()
                    .all(|entry| output.stderr.contains(entry))
                    && !output.stderr.contains(OTHER_ENTRY),
                "{}",
                output.text()
            );
            refused(output, "testsigning is off", &image, &before)
        }),
        Outcome::of(
            "disk: --dry-run says what would be done, and no more",
            || dry_run(bench, &image, &before),
        ),
        Outcome::of("disk: unchanged if a program fails", || {
            refused(fault(Fault::Fails)?, "guestfish", &image, &before)?;
            nothing_left(&image)
        }),
        Outcome::of(
            "disk: unchanged if it does not read back as written",
            || {
                refused(fault(Fault::Lies)?, "after it was written", &image, &before)?;
                nothing_left(&image)
            },
        ),
        Outcome::of("disk: unchanged if the disk beneath it is full", || {
            let length = fs::metadata(&image)?.len() + (64 << 10);
            let run = faults::full_disk(bench.context, &image, length, &allowed)?;
            let output = bench.appliance.lend(run).output()?;
            // QEMU reports the error to its guest, which may go on: then reading back shows it.
            ensure!(
                output.stderr.contains("copy the disk: "),
                "{}",
                output.text()
            );
            refused(output, "error: ", &image, &before)?;
            nothing_left(&image)
        }),
        Outcome::of("disk: unchanged if it is killed while it writes", || {
            let output = fault(Fault::Killed)?;
            ensure!(
                output.status.code().is_none(),
                "not killed:\n{}",
                output.text()
            );
            unchanged(&image, &before)?;
            ensure!(left_overs(&image)?.len() == 1, "it was not in the middle");
            Ok(())
        }),
        Outcome::of(
            "disk: it gets the drivers, and the next run clears up",
            || {
                let output = command(bench.context, &image, &allowed)?.output()?;
                for words in ["testsigning is switched on", "starts another partition"] {
                    ensure!(output.stdout.contains(words), "{}", output.text());
                }
                says(output, "done")?;
                nothing_left(&image)?;
                let folder = dir.join("back");
                read_back(bench, &image, made, &folder)?;
                complete(bench.context, &folder, "amd64", false)?;
                for (entry, on) in [(LOADER, true), (COPIED_ENTRY, true), (OTHER_ENTRY, false)] {
                    let object = format!(r"\Objects\{entry}\Elements");
                    let elements = export(&folder.join("BCD"), &object)?;
                    ensure!(elements.contains("16000049") == on, "{entry}: {elements}");
                }
                let script = fs::read_to_string(folder.join("first-boot.cmd"))?;
                ensure!(
                    script.contains("pnputil") && script.contains("winpv-test-root.cer"),
                    "{script}"
                );
                descriptors(&folder)
            },
        ),
        Outcome::of("disk: a second run changes nothing", || {
            let before = digest(&image)?;
            says(bench.inject(&image, &[])?, "nothing to do")?;
            unchanged(&image, &before)
        }),
    ])
}

/// The plan of the run that writes it below; the disk is as it was, the same file, and nothing lies beside it.
fn dry_run(bench: &Bench, image: &Path, before: &str) -> Result<()> {
    let folder = image.parent().context("a folder")?;
    let names = || -> Result<BTreeSet<_>> {
        let entries = fs::read_dir(folder)?;
        Ok(entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?)
    };
    let state = || -> Result<_> {
        let metadata = fs::metadata(image)?;
        Ok((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    };
    let (names_before, state_before) = (names()?, state()?);
    let output = bench.inject(image, &["--enable-testsigning", "--dry-run"])?;
    for words in ["testsigning is switched on", "vioblk.sys"] {
        ensure!(output.stdout.contains(words), "{}", output.text());
    }
    says(output, "dry run: nothing was changed")?;
    unchanged(image, before)?;
    ensure!(state()? == state_before, "the image is another file");
    ensure!(names()? == names_before, "something lies beside it");
    nothing_left(image)
}

/// New files have what Windows would hand down to them, and no right to write for everyone; a hive keeps what it had.
fn descriptors(folder: &Path) -> Result<()> {
    let inherited = security::INHERITED;
    for name in ["driver.sys", "first-boot.cmd"] {
        let found = security::entries(&fs::read(folder.join(format!("{name}.descriptor")))?)?;
        let has = |rights, who: &str| found.contains(&(inherited, rights, who.to_owned()));
        ensure!(
            has(security::ALL, security::SYSTEM)
                && has(security::ALL, security::ADMINISTRATORS)
                && has(security::READ_AND_RUN, security::USERS),
            "{name}: {found:?}"
        );
        ensure!(
            found
                .iter()
                .all(|(_, _, who)| who != "S-1-1-0" && who != security::CREATOR_OWNER),
            "{name}: {found:?}"
        );
    }
    let (before, after) = ("cmd.exe.descriptor", "SYSTEM.descriptor");
    ensure!(
        fs::read(folder.join(before))? == fs::read(folder.join(after))?,
        "the hive has another descriptor than its neighbours"
    );
    Ok(())
}

/// Disks that Windows is not done with, or that lack something. Each is made from the raw one without an appliance.
fn refusals(bench: &Bench, made: &Disk, raw: &Path, dir: &Path) -> Vec<Outcome> {
    let case = |name: &str, words: &str, work: &dyn Fn(&Path) -> Result<()>| {
        Outcome::of(format!("disk: {name} is refused"), || {
            let image = copy(raw, dir)?;
            work(&image)?;
            let before = digest(&image)?;
            let output = bench.inject(&image, &["--enable-testsigning", "--format=raw"])?;
            refused(output, words, &image, &before)
        })
    };
    vec![
        case("a volume with the dirty flag", "is not clean", &|image| {
            made.edit_volume(image, dir, |volume| {
                Run::new("ntfsfix").arg(volume).ok().map(|_| ())
            })
        }),
        case("a hibernated Windows", "hibernated", &|image| {
            made.edit_volume(image, dir, |volume| hiberfil(volume, b"hibr", dir))
        }),
        case("a Windows that was resuming", "hibernated", &|image| {
            made.edit_volume(image, dir, |volume| hiberfil(volume, b"rstr", dir))
        }),
        case("an encrypted volume", "BitLocker", &|image| {
            made.edit_volume(image, dir, |volume| {
                let mut bytes = fs::read(volume)?;
                bytes[3..11].copy_from_slice(b"-FVE-FS-");
                Ok(fs::write(volume, bytes)?)
            })
        }),
        case(
            "one without a BCD where UEFI looks",
            "no EFI/Microsoft/Boot/BCD on an EFI system partition",
            &|image| made.wipe_esp(image),
        ),
    ]
}

/// A file with a session; libntfs-3g knows `hibr` itself, `rstr` is for us alone to see.
fn hiberfil(volume: &Path, mark: &[u8; 4], dir: &Path) -> Result<()> {
    let mut content = vec![0; 8192];
    content[..4].copy_from_slice(mark);
    disk::put(volume, "/hiberfil.sys", &content, dir)
}

fn copy(raw: &Path, dir: &Path) -> Result<PathBuf> {
    let image = dir.join("refused.raw");
    Run::new("cp")
        .arg("--sparse=always")
        .arg(raw)
        .arg(&image)
        .ok()?;
    Ok(image)
}

/// A disk for a BIOS with two installations.
fn two_roots(bench: &Bench, dir: &Path) -> Result<Vec<Outcome>> {
    let made = Disk {
        second: Some(300 * 2048),
        testsigning: Some(false),
        ..Disk::default()
    };
    let folder = dir.join("two");
    fs::create_dir(&folder)?;
    let image = folder.join("two.raw");
    bench.make(&made, &image, &folder)?;
    let before = digest(&image)?;
    let raw = ["--format=raw", "--enable-testsigning"];
    Ok(vec![
        Outcome::of("disk: two installations are not guessed between", || {
            let output = bench.inject(&image, &raw)?;
            ensure!(
                output.stderr.contains("/dev/sda1, /dev/sda2"),
                "{}",
                output.text()
            );
            refused(output, "--root", &image, &before)
        }),
        Outcome::of(
            "disk: --root chooses one, and the other stays as it was",
            || {
                let arguments = [&raw[..], &["--root", "/dev/sda2"]].concat();
                says(bench.inject(&image, &arguments)?, "done")?;
                let back = folder.join("back");
                fs::create_dir(&back)?;
                let download =
                    |from: &str, to: &str| format!("download {from} {}", back.join(to).display());
                let system = "/Windows/System32/config/SYSTEM";
                bench.read(
                    &image,
                    "raw",
                    &[
                        "mount-ro /dev/sda1 /".to_owned(),
                        download(system, "first"),
                        download("/Boot/BCD", "BCD"),
                        "umount /".to_owned(),
                        "mount-ro /dev/sda2 /".to_owned(),
                        download(system, "second"),
                    ],
                    &back,
                )?;
                let service = r"\ControlSet001\Services";
                let has = |hive: &str| {
                    Ok::<_, anyhow::Error>(export(&back.join(hive), service)?.contains("vioblk"))
                };
                ensure!(!has("first")? && has("second")?, "the wrong one was served");
                for (entry, on) in [(LOADER, false), (COPIED_ENTRY, false), (OTHER_ENTRY, true)] {
                    let object = format!(r"\Objects\{entry}\Elements\16000049");
                    let element = export(&back.join("BCD"), &object)?;
                    let expected = format!("\"Element\"=hex(3):0{}", u8::from(on));
                    ensure!(element.contains(&expected), "{entry}: {element}");
                }
                Ok(())
            },
        ),
    ])
}

/// What virt-inspector says of the disk.
fn inspect(bench: &Bench, image: &Path) -> Result<()> {
    let run = disk::libguestfs("virt-inspector")
        .args(["--no-applications", "--no-icon", "--format=qcow2", "--add"])
        .arg(image);
    let text = bench.appliance.lend(run).ok()?.stdout;
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

/// Copies what an injection writes out of the disk.
fn read_back(bench: &Bench, image: &Path, made: &Disk, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    let download = |path: &str, name: &str| format!("download {path} {}", to.join(name).display());
    let descriptor = |path: &str, name: &str| {
        let file = to.join(format!("{name}.descriptor"));
        format!(
            "lgetxattr {path} system.ntfs_acl | cat > {}",
            file.display()
        )
    };
    let driver = "/Windows/System32/drivers/vioblk.sys";
    let script = "/Windows/Drivers/WinPV/first-boot.cmd";
    let system = "/Windows/System32/config/SYSTEM";
    bench.read(
        image,
        "qcow2",
        &[
            "mount-ro /dev/sda1 /".to_owned(),
            download("/EFI/Microsoft/Boot/BCD", "BCD"),
            "umount /".to_owned(),
            format!("mount-ro {} /", made.device()),
            download(system, "SYSTEM"),
            download("/Windows/System32/config/SOFTWARE", "SOFTWARE"),
            download(driver, "driver.sys"),
            download("/Windows/Drivers/WinPV/vioblk/vioblk.inf", "vioblk.inf"),
            download(script, "first-boot.cmd"),
            descriptor(driver, "driver.sys"),
            descriptor(script, "first-boot.cmd"),
            descriptor(system, "SYSTEM"),
            descriptor("/Windows/System32/cmd.exe", "cmd.exe"),
        ],
        to,
    )
}
