//! Virtual disks, by qemu-img and guestfish.

mod security;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use winpv_process::Run;

use crate::bcd::Partition;
use crate::guestfish::{Access, Guestfish};
use crate::ntfs::{self, VolumeRecord};
use crate::package::guid_bytes;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::windows::{BootStore, BootStores, Tree};

/// Formats that QEMU writes in place, in one file.
const FORMATS: [&str; 7] = ["raw", "qcow2", "qed", "vdi", "vhdx", "vpc", "vmdk"];
/// Where a BCD lies: on an EFI system partition, or on the system partition of a machine with a BIOS
/// (MS: "BCDBoot Command-Line Options", /f).
const EFI_STORE: &str = "EFI/Microsoft/Boot/BCD";
const BIOS_STORE: &str = "Boot/BCD";

/// Finds out a disk image's format and refuses what cannot be worked on as a copy of one file. `format`: what the user
/// says; otherwise QEMU looks.
///
/// # Errors
///
/// A [`Refusal`].
pub fn format(disk: &Path, format: Option<&str>) -> Result<String> {
    let name = disk.display().to_string();
    if disk.is_file() && is_written(disk)? {
        return Err(Refusal::InUse(name, "QEMU has it open for writing".to_owned()).into());
    }
    let mut run = Run::new("qemu-img").args(["info", "--output=json"]);
    if let Some(format) = format {
        run = run.args(["-f", format]);
    }
    let output = run.arg(disk).output()?;
    if !output.status.success() {
        let text = output.stderr.trim().to_owned();
        // What QEMU itself says of such a lock.
        if text.contains("Failed to get") && text.contains("lock") {
            return Err(Refusal::InUse(name, text).into());
        }
        return Err(Refusal::NoImage(name, text).into());
    }
    let info: Json = serde_json::from_str(&output.stdout).context("qemu-img info is no JSON")?;
    let found = judge(&info, name)?;
    if format.is_none() && found == "raw" {
        check_raw(disk)?;
    }
    Ok(found)
}

/// Refuses what cannot be a raw disk: QEMU calls every file so that it does not know, unless the user calls it so.
fn check_raw(disk: &Path) -> Result<()> {
    // ECMA-119 §6.2.1, §8.1.2: behind 16 sectors of 2048 bytes, a type, then these letters.
    const ISO: (usize, &[u8]) = (16 * 2048 + 1, b"CD001");
    // wimlib, pipable WIMs (wimlib-imagex(1), --pipable).
    const PIPABLE: &[u8] = b"WLPWM";
    // Of a partition table, and of a volume without one. UEFI 2.10 §5.2.1, table 5-2
    const BOOT_SECTOR: (usize, &[u8]) = (510, &[0x55, 0xaa]);
    let mut head = Vec::new();
    let file = fs::File::open(disk)?;
    file.take(ISO.0 as u64 + 8).read_to_end(&mut head)?;
    let has =
        |(at, bytes): (usize, &[u8])| head.get(at..).is_some_and(|part| part.starts_with(bytes));
    let name = disk.display().to_string();
    if has(ISO) {
        return Err(Refusal::Iso(name).into());
    }
    if head.starts_with(PIPABLE) {
        return Err(Refusal::Pipable(name).into());
    }
    if !has(BOOT_SECTOR) {
        let why = "it has no boot sector".to_owned();
        return Err(Refusal::NoImage(name, why).into());
    }
    Ok(())
}

/// True if QEMU has the file open to write it. `qemu-img info` does not look for that in a raw image: it reads nothing there.
fn is_written(disk: &Path) -> Result<bool> {
    let inode = fs::metadata(disk)?.ino();
    let locks = fs::read_to_string("/proc/locks").context("cannot read /proc/locks")?;
    Ok(locks.lines().any(|line| is_write_lock(line, inode)))
}

/// True if a line of /proc/locks (proc(5)) is such a lock: number, kind, ADVISORY, READ, process, device and inode, first and last
/// byte. The device is not compared: file systems with volumes of their own have another number there.
fn is_write_lock(line: &str, inode: u64) -> bool {
    // QEMU, block/file-posix.c: a process locks byte 100 + N for the permission N that it uses; 1 to 3 are to write, to write
    // what is there already, to resize.
    const WRITE: (u64, u64) = (101, 103);
    let fields: Vec<_> = line.split_whitespace().collect();
    let [_, "OFDLCK", _, _, _, file, first, last] = fields.as_slice() else {
        return false;
    };
    // The kernel joins neighbours into one line.
    file.rsplit(':').next() == Some(inode.to_string().as_str())
        && first.parse().is_ok_and(|first: u64| first <= WRITE.1)
        && last.parse().is_ok_and(|last: u64| last >= WRITE.0)
}

/// Judges what `qemu-img info` says.
fn judge(info: &Json, name: String) -> Result<String> {
    let format = info["format"]
        .as_str()
        .context("qemu-img names no format")?;
    let refuse = |what: &str| Err(Refusal::Format(name.clone(), what.to_owned()).into());
    if !FORMATS.contains(&format) {
        return refuse(&format!("a {format} image"));
    }
    if info["encrypted"].as_bool() == Some(true) {
        return refuse("encrypted");
    }
    let data = &info["format-specific"]["data"];
    if data["data-file"].is_string() {
        return refuse("a qcow2 image with its data in another file");
    }
    if let Some(kind) = data["create-type"].as_str() {
        // The others are several files, or are written once and compressed.
        if kind != "monolithicSparse" {
            return refuse(&format!("a {kind} VMDK"));
        }
    }
    Ok(format.to_owned())
}

/// The Windows on a disk, read through an appliance.
pub struct Disk {
    guestfish: Guestfish,
    /// The file system with Windows, such as `/dev/sda2`.
    device: String,
    system_root: String,
    scratch: PathBuf,
}

impl Disk {
    /// Boots an appliance with the disk, read only, and finds the Windows on it. `root`: which file system, if the user
    /// says.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], also for a volume that Windows is not done with.
    pub fn open(disk: &Path, format: &str, root: Option<&str>, scratch: &Path) -> Result<Disk> {
        let mut guestfish = Guestfish::launch(disk, format, Access::Read)?;
        let mut found = Vec::new();
        for device in guestfish.run(&["inspect-os"])? {
            if guestfish.run(&["inspect-get-type", &device])? == ["windows"]
                && root.is_none_or(|root| root == device)
            {
                found.push(device);
            }
        }
        let device = match found.as_slice() {
            [device] => device.clone(),
            [] => return Err(none(&mut guestfish, scratch)?),
            several => return Err(Refusal::SeveralWindows(several.join(", ")).into()),
        };
        let system_root = guestfish
            .run(&["inspect-get-windows-systemroot", &device])?
            .concat();
        let mut disk = Disk {
            guestfish,
            device,
            system_root: system_root.trim_matches('/').to_owned(),
            scratch: scratch.to_owned(),
        };
        let device = disk.device.clone();
        disk.check_volume(&device)?;
        disk.mount(&device)?;
        disk.check_hibernation()?;
        Ok(disk)
    }

    fn mount(&mut self, device: &str) -> Result<()> {
        self.guestfish.run(&["umount-all"])?;
        self.guestfish.run(&["mount-ro", device, "/"])?;
        Ok(())
    }

    /// Refuses an NTFS volume that is marked for a check or was not unmounted.
    fn check_volume(&mut self, device: &str) -> Result<()> {
        let dirty = |why: &str| {
            Err(Refusal::DirtyVolume {
                volume: device.to_owned(),
                why: why.to_owned(),
            }
            .into())
        };
        let boot = part(&mut self.guestfish, &self.scratch, device, 0, 512)?;
        let Some(at) = VolumeRecord::find(&boot) else {
            return dirty("its boot sector is not that of NTFS");
        };
        let record = part(
            &mut self.guestfish,
            &self.scratch,
            device,
            at.offset,
            at.length,
        )?;
        match ntfs::volume_flags(&record) {
            None => return dirty("its master file table is damaged"),
            Some(flags) if flags & ntfs::DIRTY != 0 => return dirty("its dirty flag is set"),
            Some(_) => {}
        }
        let probe = self.guestfish.run(&["ntfs-3g-probe", "true", device])?;
        Ok(probed(device, &probe.concat())?)
    }

    /// Refuses a hibernated Windows; its volume is mounted.
    fn check_hibernation(&mut self) -> Result<()> {
        let Some(path) = self.find("hiberfil.sys")? else {
            return Ok(());
        };
        let head = part(&mut self.guestfish, &self.scratch, &path, 0, 4096)?;
        if ntfs::is_hibernated(&head) {
            return Err(Refusal::Hibernated.into());
        }
        Ok(())
    }

    /// A file's path as it is spelt on the mounted volume.
    fn find(&mut self, path: &str) -> Result<Option<String>> {
        spelling(&mut self.guestfish, path)
    }
}

/// Judges what ntfs-3g.probe says of a volume (its manual page): 14 hibernated, 15 not unmounted; 12 and 13 inconsistent.
fn probed(device: &str, code: &str) -> Result<(), Refusal> {
    let why = match code {
        "0" => return Ok(()),
        "14" => return Err(Refusal::Hibernated),
        "15" => "it was not unmounted".to_owned(),
        code => format!("ntfs-3g.probe says {code}"),
    };
    Err(Refusal::DirtyVolume {
        volume: device.to_owned(),
        why,
    })
}

/// Why there is no Windows: an encrypted volume, or really none.
fn none(guestfish: &mut Guestfish, scratch: &Path) -> Result<anyhow::Error> {
    for line in guestfish.run(&["list-partitions"])? {
        let boot = part(guestfish, scratch, &line, 0, 512)?;
        if ntfs::is_bitlocker(&boot) {
            return Ok(Refusal::BitLocker(line).into());
        }
    }
    let systems = guestfish.run(&["list-filesystems"])?.join(", ");
    let only = match systems.as_str() {
        "" => ", nor any file system".to_owned(),
        systems => format!(", only {systems}"),
    };
    Ok(Refusal::NoWindows(only).into())
}

/// Reads a part of a device or file.
fn part(
    guestfish: &mut Guestfish,
    scratch: &Path,
    path: &str,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>> {
    let local = scratch.join("part");
    guestfish.run(&[
        "download-offset",
        path,
        &local.display().to_string(),
        &offset.to_string(),
        &length.to_string(),
    ])?;
    Ok(fs::read(local)?)
}

/// The path of an existing file as it is spelt on the mounted volume; `None` if there is none.
fn spelling(guestfish: &mut Guestfish, path: &str) -> Result<Option<String>> {
    // guestfish(1), case-sensitive-path: only the last part may be missing. So each folder is asked for by itself: what cannot be
    // read must not look as if it were not there.
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at = String::new();
    for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
        at = guestfish
            .run(&["case-sensitive-path", &format!("{at}/{folder}")])?
            .concat();
        if guestfish.run(&["is-dir", &at])? != ["true"] {
            return Ok(None);
        }
    }
    let spelt = guestfish
        .run(&["case-sensitive-path", &format!("{at}/{name}")])?
        .concat();
    let is_file = guestfish.run(&["is-file", &spelt])? == ["true"];
    Ok(is_file.then_some(spelt))
}

impl Tree for Disk {
    fn name(&self) -> String {
        self.device.clone()
    }

    fn system_root(&self) -> String {
        self.system_root.clone()
    }

    fn fetch(&mut self, path: &str, to: &Path) -> Result<bool> {
        let Some(spelt) = self.find(path)? else {
            return Ok(false);
        };
        self.guestfish
            .run(&["download", &spelt, &to.display().to_string()])?;
        Ok(true)
    }

    fn boot_stores(&mut self, scratch: &Path) -> Result<Option<BootStores>> {
        let mut stores: Vec<BootStore> = Vec::new();
        for line in self.guestfish.run(&["list-filesystems"])? {
            let Some((device, kind)) = line.split_once(": ") else {
                continue;
            };
            if !["ntfs", "vfat"].contains(&kind) {
                continue;
            }
            self.mount(device)?;
            let before = stores.len();
            for path in [EFI_STORE, BIOS_STORE] {
                let Some(spelt) = self.find(path)? else {
                    continue;
                };
                let local = scratch.join(format!("BCD-{}", stores.len()));
                self.guestfish
                    .run(&["download", &spelt, &local.display().to_string()])?;
                stores.push(BootStore {
                    device: device.to_owned(),
                    path: path.to_owned(),
                    local,
                });
            }
            if kind == "ntfs" && device != self.device && stores.len() > before {
                self.guestfish.run(&["umount-all"])?;
                self.check_volume(device)?;
            }
        }
        let device = self.device.clone();
        self.mount(&device)?;
        let (is_gpt, elsewhere) = partitions(&mut self.guestfish, &device)?;
        // MS: "Windows and GPT FAQ": Windows starts from a GPT disk only where the firmware is UEFI, which has its own store;
        // one in `Boot` is a left-over there, of mbr2gpt for instance.
        if is_gpt && !stores.iter().any(|store| store.path == EFI_STORE) {
            return Err(Refusal::NoBcd(format!("{EFI_STORE} on an EFI system partition")).into());
        }
        if stores.is_empty() {
            return Err(Refusal::NoBcd(format!("{BIOS_STORE}, no {EFI_STORE}")).into());
        }
        Ok(Some(BootStores { stores, elsewhere }))
    }
}

/// Whether the disk of partition `own` has a GPT, and what a BCD calls its other partitions.
fn partitions(guestfish: &mut Guestfish, own: &str) -> Result<(bool, Vec<Partition>)> {
    let mut elsewhere = Vec::new();
    // A volume that fills a disk without partitions has no others beside it.
    if !guestfish
        .run(&["list-partitions"])?
        .iter()
        .any(|partition| partition == own)
    {
        return Ok((false, elsewhere));
    }
    let disk = guestfish.run(&["part-to-dev", own])?.concat();
    let own = guestfish.run(&["part-to-partnum", own])?.concat();
    let is_gpt = guestfish.run(&["part-get-parttype", &disk])? == ["gpt"];
    let mut number = String::new();
    for line in guestfish.run(&["part-list", &disk])? {
        match line.trim().split_once(": ") {
            Some(("part_num", value)) => number = value.to_owned(),
            Some(("part_start", start)) if number != own => elsewhere.push(if is_gpt {
                let guid = guestfish
                    .run(&["part-get-gpt-guid", &disk, &number])?
                    .concat();
                let stored = guid_bytes(&format!("{{{guid}}}"));
                Partition::gpt(stored.with_context(|| format!("{guid} is no GUID"))?)
            } else {
                Partition::mbr(start.parse().context("where a partition starts")?)
            }),
            _ => {}
        }
    }
    Ok((is_gpt, elsewhere))
}

/// Carries a plan out on a copy of the disk, then reads everything back.
///
/// # Errors
///
/// libguestfs fails, or what is read back is not what was written.
pub fn apply(disk: &Path, format: &str, device: &str, plan: &Plan, scratch: &Path) -> Result<()> {
    plan.edit_hives()?;
    let mut work: BTreeMap<&str, Vec<(&Path, &str)>> = BTreeMap::new();
    for file in &plan.files {
        work.entry(device)
            .or_default()
            .push((&file.local, &file.path));
    }
    for hive in &plan.hives {
        let on = if hive.device.is_empty() {
            device
        } else {
            &hive.device
        };
        work.entry(on)
            .or_default()
            .push((hive.hive.file(), &hive.path));
    }
    let mut guestfish = Guestfish::launch(disk, format, Access::Write)?;
    for (on, files) in work {
        if on == device {
            security::mount_inheriting(&mut guestfish, on, scratch)?;
        } else {
            guestfish.run(&["mount", on, "/"])?;
        }
        let mut new = BTreeSet::new();
        for (local, path) in &files {
            if upload(&mut guestfish, local, path)? {
                new.insert(path);
            }
        }
        if on == device {
            security::unmount(&mut guestfish)?;
        }
        // What is read back must come from the file system, not from the driver's memory of it.
        guestfish.run(&["umount-all"])?;
        guestfish.run(&["mount-ro", on, "/"])?;
        for (local, path) in &files {
            let spelt = spelling(&mut guestfish, path)?
                .with_context(|| format!("{path} is not there after it was written"))?;
            let found = guestfish.run(&["checksum", "sha256", &spelt])?.concat();
            let digest = Sha256::digest(fs::read(local)?);
            let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            ensure!(found == expected, "{path} is not what was written to it");
            if on == device && new.contains(path) {
                security::check(&mut guestfish, &spelt, scratch)?;
            }
        }
        guestfish.run(&["umount-all"])?;
    }
    guestfish.finish()
}

/// Writes a file, in place if it is there, so that it keeps its security descriptor; true if it is new.
fn upload(guestfish: &mut Guestfish, local: &Path, path: &str) -> Result<bool> {
    let mut at = String::new();
    let Some((folders, name)) = path.rsplit_once('/') else {
        bail!("{path} has no folder");
    };
    for folder in folders.split('/') {
        at = guestfish
            .run(&["case-sensitive-path", &format!("{at}/{folder}")])?
            .concat();
        guestfish.run(&["mkdir-p", &at])?;
    }
    let to = guestfish
        .run(&["case-sensitive-path", &format!("{at}/{name}")])?
        .concat();
    let is_new = guestfish.run(&["exists", &to])? != ["true"];
    guestfish.run(&["upload", &local.display().to_string(), &to])?;
    Ok(is_new)
}

#[cfg(test)]
mod tests;
