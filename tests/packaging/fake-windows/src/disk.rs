//! Raw disks, partitioned and filled by guestfish; single files are changed later without an appliance.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use winpv_process::Run;

use crate::hives::{self, Entry, LOADER};
use crate::{Windows, security};

/// Without KVM, making a disk takes half a minute.
const DEADLINE: Duration = Duration::from_secs(600);
const SECTOR: u64 = 512;
/// Sectors: where the first partition starts, and where the volume of Windows starts behind an EFI system partition.
const FIRST: u64 = 2048;
const BEHIND_ESP: u64 = FIRST + 64 * 2048;
/// Sectors left free at the end, where GPT keeps its copy.
const TAIL: u64 = 2048;
/// GUIDs of the partitions on a disk with a GPT: as text, and that of Windows as it is stored.
const ESP_GUID: &str = "00010203-0405-0607-0809-0a0b0c0d0e0f";
const WINDOWS_GUID: &str = "10111213-1415-1617-1819-1a1b1c1d1e1f";
const STORED_ESP_GUID: [u8; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
const STORED_WINDOWS_GUID: [u8; 16] = [
    0x13, 0x12, 0x11, 0x10, 0x15, 0x14, 0x17, 0x16, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
];
/// The entry that starts another partition than that of Windows; on a disk with two, the second.
pub const OTHER_ENTRY: &str = "{b2721d73-1db4-4c62-bf78-c548a880142f}";
/// A copy of the entry for Windows, as `bcdedit /copy` makes it.
pub const COPIED_ENTRY: &str = "{b2721d73-1db4-4c62-bf78-c548a8801430}";

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
    /// Sector where a second Windows starts, on a disk for a BIOS.
    pub second: Option<u64>,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            mebibytes: 600,
            firmware: Firmware::Bios,
            testsigning: None,
            second: None,
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

    /// The boot configuration: Windows, a copy of its entry, and an entry that starts another partition.
    fn bcd(&self) -> Vec<u8> {
        let mbr = |sector: u64| u128::from(sector * SECTOR).to_le_bytes();
        let (own, other) = match self.firmware {
            Firmware::Bios => (mbr(FIRST), mbr(self.second.unwrap_or(FIRST + 1))),
            Firmware::Uefi => (STORED_WINDOWS_GUID, STORED_ESP_GUID),
        };
        let entry = |object, title, partition| Entry {
            object,
            title,
            partition: Some(partition),
            ..Entry::windows(self.testsigning)
        };
        let entries = [
            entry(LOADER, "Windows 10", own),
            entry(COPIED_ENTRY, "Windows 10, for tests", own),
            entry(OTHER_ENTRY, "Another Windows", other),
        ];
        hives::bcd_with(&entries, LOADER, &[LOADER, COPIED_ENTRY, OTHER_ENTRY])
    }

    /// The run of guestfish that makes the raw disk `file`, with what lies below in a folder of its own in `scratch`.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn prepare(&self, file: &Path, windows: &Windows, scratch: &Path) -> Result<Run> {
        let tree = scratch.join("disk-tree");
        windows.write(&tree)?;
        let bcd = scratch.join("BCD");
        fs::write(&bcd, self.bcd())?;
        File::create(file)?.set_len(self.mebibytes << 20)?;

        let device = self.device();
        let start = self.start();
        let mut script = vec!["run".to_owned()];
        match self.firmware {
            Firmware::Bios => script.extend([
                "part-init /dev/sda mbr".to_owned(),
                match self.second {
                    None => format!("part-add /dev/sda p {start} -{TAIL}"),
                    Some(second) => format!(
                        "part-add /dev/sda p {start} {}\npart-add /dev/sda p {second} -{TAIL}\npart-set-mbr-id /dev/sda 2 7",
                        second - 1
                    ),
                },
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
                format!("part-set-gpt-guid /dev/sda 1 {ESP_GUID}"),
                format!("part-set-gpt-guid /dev/sda 2 {WINDOWS_GUID}"),
                "mkfs vfat /dev/sda1".to_owned(),
                "mount /dev/sda1 /".to_owned(),
                "mkdir-p /EFI/Microsoft/Boot".to_owned(),
                format!("upload {} /EFI/Microsoft/Boot/BCD", bcd.display()),
                "umount-all".to_owned(),
            ]),
        }
        let copy = |device: &str| {
            let mut script = vec![
                format!("mkfs ntfs {device} label:Windows"),
                format!("mount {device} /"),
                // A tar file of the tree would do, but keeps Unix owners that NTFS has no use for.
                format!("copy-in {}/. /", tree.display()),
            ];
            // What is made in them inherits from these; ntfs-3g itself has no such descriptors.
            let descriptor = hex(&security::descriptor(&security::OF_FOLDER));
            for folder in ["Windows", "Windows/System32/drivers"] {
                script.push(format!(
                    "debug sh \"setfattr -n system.ntfs_acl -v 0x{descriptor} /sysroot/{folder}\""
                ));
            }
            script
        };
        script.extend(copy(device));
        if self.firmware == Firmware::Bios {
            script.push("mkdir-p /Boot".to_owned());
            script.push(format!("upload {} /Boot/BCD", bcd.display()));
        }
        if self.second.is_some() {
            script.push("umount-all".to_owned());
            script.extend(copy("/dev/sda2"));
        }
        script.push("umount-all".to_owned());
        let commands = scratch.join("disk-script");
        fs::write(&commands, script.join("\n") + "\n")?;
        Ok(libguestfs("guestfish")
            .args(["--rw", "--format=raw", "--add"])
            .arg(file)
            .arg("--file")
            .arg(&commands))
    }

    /// Overwrites the EFI system partition's first sectors, so that nothing is found on it.
    ///
    /// # Errors
    ///
    /// The disk cannot be written.
    pub fn wipe_esp(&self, disk: &Path) -> Result<()> {
        let mut file = OpenOptions::new().write(true).open(disk)?;
        file.seek(SeekFrom::Start(FIRST * SECTOR))?;
        file.write_all(&[0; 64 << 10])?;
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
