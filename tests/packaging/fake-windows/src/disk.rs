//! Raw disks, partitioned and filled by guestfish; single files are changed later without an appliance.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use winpv_process::Run;

use crate::{Windows, hives};

/// Without KVM, making a disk takes half a minute.
const DEADLINE: Duration = Duration::from_secs(600);
const SECTOR: u64 = 512;
/// Sectors: where the first partition starts, and where the volume of Windows starts behind an EFI system partition.
const FIRST: u64 = 2048;
const BEHIND_ESP: u64 = FIRST + 64 * 2048;
/// Sectors left free at the end, where GPT keeps its copy.
const TAIL: u64 = 2048;

/// How the machine would start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// One NTFS volume in an MBR, with `Boot\BCD`.
    Bios,
    /// GPT: an EFI system partition with the BCD, then the NTFS volume.
    Uefi,
}

/// What the disk shall be.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Length in MiB; the file is sparse.
    pub mebibytes: u64,
    /// How it would start.
    pub firmware: Firmware,
    /// What the BCD says about test-signed drivers, if anything.
    pub testsigning: Option<bool>,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            mebibytes: 600,
            firmware: Firmware::Bios,
            testsigning: None,
        }
    }
}

/// The variables that make libguestfs run without libvirt and without KVM, which may be there but broken.
pub const ENVIRONMENT: [(&str, &str); 3] = [
    ("LIBGUESTFS_BACKEND", "direct"),
    ("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg"),
    ("LC_ALL", "C.UTF-8"),
];

/// A program of libguestfs with these variables.
#[must_use]
pub fn libguestfs(program: &str) -> Run {
    ENVIRONMENT
        .iter()
        .fold(Run::new(program).deadline(DEADLINE), |run, (key, value)| {
            run.env(key, value)
        })
}

impl Disk {
    /// First sector of the volume with Windows.
    fn start(&self) -> u64 {
        match self.firmware {
            Firmware::Bios => FIRST,
            Firmware::Uefi => BEHIND_ESP,
        }
    }

    /// The device that libguestfs gives the volume with Windows.
    #[must_use]
    pub fn device(&self) -> &'static str {
        match self.firmware {
            Firmware::Bios => "/dev/sda1",
            Firmware::Uefi => "/dev/sda2",
        }
    }

    /// Makes the raw disk `file`, with what lies below in a folder of its own in `scratch`.
    ///
    /// # Errors
    ///
    /// guestfish is missing or fails.
    pub fn make(&self, file: &Path, windows: &Windows, scratch: &Path) -> Result<()> {
        let tree = scratch.join("disk-tree");
        windows.write(&tree)?;
        let bcd = scratch.join("BCD");
        fs::write(&bcd, hives::bcd(self.testsigning))?;
        File::create(file)?.set_len(self.mebibytes << 20)?;

        let device = self.device();
        let start = self.start();
        let mut script = vec!["run".to_owned()];
        match self.firmware {
            Firmware::Bios => script.extend([
                "part-init /dev/sda mbr".to_owned(),
                format!("part-add /dev/sda p {start} -{TAIL}"),
                "part-set-mbr-id /dev/sda 1 7".to_owned(),
                "part-set-bootable /dev/sda 1 true".to_owned(),
            ]),
            Firmware::Uefi => script.extend([
                "part-init /dev/sda gpt".to_owned(),
                format!("part-add /dev/sda p {FIRST} {}", start - 1),
                format!("part-add /dev/sda p {start} -{TAIL}"),
                // EFI system partition, basic data (UEFI 2.10, table 5.7; MS: "PARTITION_INFORMATION_GPT").
                "part-set-gpt-type /dev/sda 1 c12a7328-f81f-11d2-ba4b-00a0c93ec93b".to_owned(),
                "part-set-gpt-type /dev/sda 2 ebd0a0a2-b9e5-4433-87c0-68b6b72699c7".to_owned(),
                "mkfs vfat /dev/sda1".to_owned(),
                "mount /dev/sda1 /".to_owned(),
                "mkdir-p /EFI/Microsoft/Boot".to_owned(),
                format!("upload {} /EFI/Microsoft/Boot/BCD", bcd.display()),
                "umount-all".to_owned(),
            ]),
        }
        script.push(format!("mkfs ntfs {device} label:Windows"));
        script.push(format!("mount {device} /"));
        // A tar file of the tree would do, but keeps Unix owners that NTFS has no use for.
        script.push(format!("copy-in {}/. /", tree.display()));
        if self.firmware == Firmware::Bios {
            script.push("mkdir-p /Boot".to_owned());
            script.push(format!("upload {} /Boot/BCD", bcd.display()));
        }
        script.push("umount-all".to_owned());
        let commands = scratch.join("disk-script");
        fs::write(&commands, script.join("\n") + "\n")?;
        libguestfs("guestfish")
            .args(["--rw", "--format=raw", "--add"])
            .arg(file)
            .arg("--file")
            .arg(&commands)
            .ok()?;
        Ok(())
    }

    /// Works on the volume with Windows as a file of its own, and puts it back. For what ntfs-3g's tools do on an unmounted
    /// volume, in seconds instead of the appliance's half minute.
    ///
    /// # Errors
    ///
    /// `work` fails, or the disk cannot be read or written.
    pub fn edit_volume(
        &self,
        disk: &Path,
        scratch: &Path,
        work: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let offset = self.start() * SECTOR;
        let length = (self.mebibytes << 20) - offset - (TAIL - 1) * SECTOR;
        let volume: PathBuf = scratch.join("volume");
        let mut from = File::open(disk)?;
        from.seek(SeekFrom::Start(offset))?;
        let mut to = File::create(&volume)?;
        std::io::copy(&mut from.take(length), &mut to)?;
        drop(to);
        work(&volume)?;
        let mut from = File::open(&volume)?;
        let mut to = OpenOptions::new().write(true).open(disk)?;
        to.seek(SeekFrom::Start(offset))?;
        std::io::copy(&mut from, &mut to)?;
        to.flush()?;
        fs::remove_file(&volume).context("the volume's file is gone")
    }
}

/// Puts a file into an unmounted NTFS volume; its folder must be there.
///
/// # Errors
///
/// ntfscp is missing or fails.
pub fn put(volume: &Path, path: &str, bytes: &[u8], scratch: &Path) -> Result<()> {
    let local = scratch.join("put");
    fs::write(&local, bytes)?;
    Run::new("ntfscp")
        .args(["--force", "--quiet"])
        .arg(volume)
        .arg(&local)
        .arg(path)
        .ok()?;
    Ok(())
}
