//! virt-v2v of Debian with the pack's ISO: a made-up Windows gets the block driver, and none from a pack laid out otherwise.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fake_windows::Windows;
use fake_windows::disk::{self, Disk};
use serde_json::Value;

use super::appliance::Appliance;
use super::inject::{digest, export};
use super::{Context, Outcome};
use winpv::drivers::{Arch, DRIVERS, Driver};
use winpv::iso::{self, Entry};
use winpv::pack::MANIFEST;
use winpv::version::{Epoch, Version};

/// A conversion boots three appliances, each half a minute without KVM, and other steps want the processor as well.
const DEADLINE: Duration = Duration::from_secs(1200);

/// What one conversion left.
struct Converted {
    /// Everything that virt-v2v said.
    log: String,
    /// The new virtual machine's description.
    domain: String,
    /// Its disk.
    image: PathBuf,
}

impl Converted {
    fn says(&self, words: &str) -> Result<()> {
        ensure!(self.log.contains(words), "virt-v2v did not say {words:?}");
        Ok(())
    }
}

/// With the pack's ISO, and with one that has the pack's own folders only.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let raw = dir.join("windows.raw");
    let made = Disk::default();
    let appliance = Appliance::make()?;
    let run = made.prepare(&raw, &Windows::default(), dir)?;
    appliance.lend(run).ok()?;
    let manifest: Value = serde_json::from_str(&fs::read_to_string(context.dist.join(MANIFEST))?)?;
    let iso = manifest["iso"]["path"].as_str().context("no ISO named")?;

    let block = DRIVERS
        .iter()
        .find_map(Driver::compatible)
        .context("no driver has a second name")?;
    let good = convert(&appliance, &raw, &context.dist.join(iso), &dir.join("good"))?;
    let back = dir.join("back");
    let mut outcomes = vec![
        Outcome::of(
            "it copies the packages for this Windows, and no others",
            || copied(&good, &block),
        ),
        Outcome::of("it sees a driver to boot with", || {
            good.says("gcaps_block_bus = virtio-blk")
        }),
        Outcome::of("the virtual machine's disk is on virtio", || {
            ensure!(good.domain.contains("bus='virtio'"), "{}", good.domain);
            ensure!(!good.domain.contains("bus='ide'"), "{}", good.domain);
            Ok(())
        }),
        Outcome::of("the image has the pack's driver, ready to start", || {
            read_back(&appliance, &good.image, &made, &block, &back)?;
            injected(&context.dist, &block, &back)
        }),
    ];

    let wrong = other_layout(&context.dist, &dir.join("other"))?;
    let wrong = convert(&appliance, &raw, &wrong, &dir.join("wrong"))?;
    outcomes.push(Outcome::of(
        "a pack with other folders gives it nothing",
        || {
            wrong.says("there are no virtio drivers available for this version of Windows")?;
            wrong.says("gcaps_block_bus = ide")?;
            ensure!(!wrong.domain.contains("bus='virtio'"), "{}", wrong.domain);
            ensure!(copies(&wrong).is_empty(), "copied {:?}", copies(&wrong));
            Ok(())
        },
    ));
    Ok(outcomes)
}

/// Runs virt-v2v from a raw disk to the folder `to`.
fn convert(appliance: &Appliance, raw: &Path, iso: &Path, to: &Path) -> Result<Converted> {
    fs::create_dir(to)?;
    let run = disk::libguestfs("virt-v2v")
        .env("VIRTIO_WIN", iso)
        .args(["-v", "-x", "-i", "disk"])
        .arg(raw)
        .args(["-o", "local", "-os"])
        .arg(to)
        .args(["-of", "qcow2", "-on", "guest"])
        .deadline(DEADLINE);
    let output = appliance.lend(run).output()?;
    let log = output.text();
    let end = log.lines().rev().take(30).collect::<Vec<_>>();
    ensure!(
        output.status.success(),
        "virt-v2v failed:\n{}",
        end.into_iter().rev().collect::<Vec<_>>().join("\n")
    );
    Ok(Converted {
        log,
        domain: fs::read_to_string(to.join("guest.xml"))?,
        image: to.join("guest-sda"),
    })
}

/// The paths on the ISO that virt-v2v says it copied.
fn copies(converted: &Converted) -> BTreeSet<&str> {
    converted
        .log
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once("copying guest tools bits: '")?;
            let (from, _) = rest.split_once("' ->")?;
            // The ISO's own path stands before it.
            Some(from.split_once(".iso:")?.1.trim_start_matches('/'))
        })
        .collect()
}

/// Each file of the package for Windows 10 on x64 was copied, and nothing for another Windows or processor. Later releases than
/// Debian's also see the folder with the processor first, at the root.
fn copied(good: &Converted, block: &Driver) -> Result<()> {
    let copies = copies(good);
    let folder = block.compatible.context("no second name")?.folder;
    for ending in ["inf", "sys", "cat"] {
        let name = format!("{}.{ending}", block.name);
        ensure!(
            copies.contains(format!("{folder}/w10/amd64/{name}").as_str()),
            "copied {copies:?}"
        );
        good.says(&format!("-> '/Windows/Drivers/VirtIO/{name}'"))?;
    }
    let others = copies.iter().find(|path| {
        ![format!("{folder}/w10/amd64/"), "amd64/w10/".to_owned()]
            .iter()
            .any(|place| path.starts_with(place))
    });
    ensure!(others.is_none(), "copied {others:?}");
    Ok(())
}

/// An ISO with the drivers in folders that name no release of Windows.
fn other_layout(dist: &Path, to: &Path) -> Result<PathBuf> {
    let mut entries = Vec::new();
    for driver in DRIVERS {
        for ending in ["inf", "sys", "cat"] {
            let from = driver.file(Arch::Amd64, ending);
            let copy = to.join(&from);
            fs::create_dir_all(copy.parent().context("no folder")?)?;
            fs::copy(dist.join(&from), copy)?;
            entries.push(Entry {
                path: from.clone(),
                from,
            });
        }
    }
    let version = Version([0, 0, 1, 0]);
    iso::write(to, &entries, version, Epoch(1_700_000_000))?;
    Ok(to.join(iso::file_name(version)))
}

/// Copies what virt-v2v writes for a boot driver out of the new disk.
fn read_back(
    appliance: &Appliance,
    image: &Path,
    made: &Disk,
    block: &Driver,
    to: &Path,
) -> Result<()> {
    fs::create_dir(to)?;
    let download = |path: &str, name: &str| format!("download {path} {}", to.join(name).display());
    let drivers = "/Windows/System32/drivers";
    let staged = "/Windows/Drivers/VirtIO";
    let mut script = vec![
        "run".to_owned(),
        format!("mount-ro {} /", made.device()),
        download("/Windows/System32/config/SYSTEM", "SYSTEM"),
        download(&format!("{drivers}/{}.sys", block.name), "driver.sys"),
        format!("ls {staged}"),
    ];
    for ending in ["inf", "sys", "cat"] {
        let name = format!("{}.{ending}", block.name);
        script.push(download(&format!("{staged}/{name}"), &name));
    }
    let commands = to.join("script");
    fs::write(&commands, script.join("\n") + "\n")?;
    let run = disk::libguestfs("guestfish")
        .args(["--ro", "--format=qcow2", "--add"])
        .arg(image)
        .arg("--file")
        .arg(&commands);
    let listed = appliance.lend(run).ok()?.stdout;
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    let wanted = ["cat", "inf", "sys"].map(|ending| format!("{}.{ending}", block.name));
    ensure!(names == wanted, "in {staged}: {names:?}");
    Ok(())
}

/// The files are the pack's, and the hive ties the devices to the service.
fn injected(dist: &Path, block: &Driver, back: &Path) -> Result<()> {
    for (name, ending) in [
        ("driver.sys".to_owned(), "sys"),
        (format!("{}.sys", block.name), "sys"),
        (format!("{}.inf", block.name), "inf"),
        (format!("{}.cat", block.name), "cat"),
    ] {
        let packed = dist.join(block.file(Arch::Amd64, ending));
        ensure!(
            digest(&back.join(&name))? == digest(&packed)?,
            "{name} is not {}",
            packed.display()
        );
    }
    let has = |key: &str, lines: &[String]| -> Result<()> {
        let text = export(&back.join("SYSTEM"), key)?;
        for line in lines {
            ensure!(text.contains(line.as_str()), "{key} has no {line}:\n{text}");
        }
        Ok(())
    };
    has(
        &format!(r"\ControlSet001\Services\{}", block.name),
        &[
            "\"Start\"=dword:00000000".to_owned(),
            "\"Type\"=dword:00000001".to_owned(),
            "\"Group\"=str(1):\"SCSI miniport\"".to_owned(),
            format!(
                r#""ImagePath"=str(2):"system32\drivers\{}.sys""#,
                block.name
            ),
        ],
    )?;
    // The ids that virt-v2v knows for virtio-blk; ours are these and less specific ones.
    for id in block.hardware_ids.iter().filter(|id| id.contains("REV_")) {
        has(
            &format!(r"\DriverDatabase\DeviceIds\{id}"),
            &["\"guestor.inf\"=hex(3):01,ff,00,00".to_owned()],
        )?;
        has(
            &format!(r"\DriverDatabase\DriverPackages\guestor.inf_tmp\Descriptors\{id}"),
            &["\"Configuration\"=".to_owned()],
        )?;
    }
    has(
        r"\DriverDatabase\DriverPackages\guestor.inf_tmp\Configurations\guestor_conf",
        &[format!("\"Service\"=str(1):\"{}\"", block.name)],
    )
}
