//! The appliance of libguestfs, made to start in under half the time: each start costs a processor without KVM twenty seconds.
//!
//! It is built of what libguestfs builds its own of: the same kernel, daemon and programs. Three things differ: the
//! kernel is unpacked beforehand, only the modules that a disk needs are loaded before its root, and what starts the daemon does
//! not look for volume groups, arrays and networks, which the tests' disks do not have.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cpio::newc::{Builder, ModeFileType};
use fake_windows::disk::libguestfs;
use tempfile::TempDir;
use winpv::process::Run;

use super::kernel;

/// Where libguestfs looks for appliances (guestfs(3), LIBGUESTFS_PATH).
const PATH: &str = "LIBGUESTFS_PATH";
/// The file that says that a folder holds one that is ready (libguestfs-make-fixed-appliance(1)).
const FIXED: &str = "README.fixed";
/// What is loaded to reach the root and the disk, in addition to checksums: SCSI disks by virtio, the daemon's channel, random
/// numbers, the root's file system, and FUSE for NTFS.
const MODULES: [&str; 17] = [
    "scsi_common",
    "scsi_mod",
    "sd_mod",
    "t10_pi",
    "virtio",
    "virtio_ring",
    "virtio_pci",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_console",
    "virtio_rng",
    "virtio_scsi",
    "libcrc32c",
    "mbcache",
    "jbd2",
    "ext4",
    "fuse",
];
/// What runs as process 1. The daemon finds its channel and its disks by names that udev gives them, and looks into /dev/mapper.
const INIT: &str = "\
#!/bin/sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin LVM_SYSTEM_DIR=/run/lvm
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /dev/shm /sysroot /run/lock /run/lvm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
: > /run/lvm/lvm.conf
ln -sf /proc/mounts /etc/mtab
/lib/systemd/systemd-udevd --daemon
modprobe dm_mod
udevadm trigger --subsystem-match=block --subsystem-match=virtio-ports
udevadm settle
if grep -q guestfs_verbose=1 /proc/cmdline; then exec guestfsd --verbose; fi
exec guestfsd
";

/// A folder with the appliance.
pub struct Appliance {
    folder: TempDir,
}

impl Appliance {
    /// Builds it, which takes a few seconds.
    ///
    /// # Errors
    ///
    /// libguestfs is missing, or a program fails.
    pub fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let built = folder.path().join("built");
        let machine = Run::new("uname").arg("-m").ok()?.stdout;
        Run::new("supermin")
            .args(["--build", "--copy-kernel", "--format", "ext2"])
            .args(["--host-cpu", machine.trim(), "-o"])
            .arg(&built)
            .arg(parts()?)
            .ok()?;
        let to = |name: &str| folder.path().join(name);
        kernel::unpack(&built.join("kernel"), &to("kernel"))?;
        initrd(&built.join("initrd"), &to("initrd"))?;
        fs::rename(built.join("root"), to("root"))?;
        replace_init(&to("root"), folder.path())?;
        fs::write(to(FIXED), "Made for tests.\n")?;
        Ok(Self { folder })
    }

    /// Has a program use it.
    #[must_use]
    pub fn lend(&self, run: Run) -> Run {
        run.env(PATH, self.folder.path())
    }
}

/// What libguestfs builds its appliance of (guestfs(3), guestfs_get_path).
fn parts() -> Result<PathBuf> {
    let path = libguestfs("guestfish").arg("get-path").ok()?.stdout;
    path.trim()
        .split(':')
        .map(|folder| Path::new(folder).join("supermin.d"))
        .find(|parts| parts.is_dir())
        .with_context(|| format!("libguestfs has nothing to build its appliance of in {path}"))
}

/// Writes the initial RAM disk with a shorter list of modules. A file in an archive behind the first takes the place of that in it.
fn initrd(from: &Path, to: &Path) -> Result<()> {
    let mut archives = fs::read(from)?;
    let all = file(&archives, "modules")?;
    let list = String::from_utf8(all).context("the list of modules is no text")?;
    let few: String = list
        .lines()
        .filter(|name| is_needed(name))
        .fold(String::new(), |few, name| few + name + "\n");
    ensure!(!few.is_empty(), "no module is known:\n{list}");
    // An archive starts at a multiple of four bytes.
    archives.resize(archives.len().next_multiple_of(4), 0);
    let entry = Builder::new("modules")
        .mode(0o644)
        .set_mode_file_type(ModeFileType::Regular);
    let mut writer = entry.write(archives, u32::try_from(few.len())?);
    writer.write_all(few.as_bytes())?;
    let archives = cpio::newc::trailer(writer.finish()?)?;
    fs::write(to, archives)?;
    Ok(())
}

/// Whether a module of this file name is loaded.
fn is_needed(name: &str) -> bool {
    let module = name.split(".ko").next().unwrap_or(name).replace('-', "_");
    module.starts_with("crc") || MODULES.contains(&module.as_str())
}

/// A file in an archive.
fn file(archive: &[u8], name: &str) -> Result<Vec<u8>> {
    let mut rest = archive;
    loop {
        let mut reader = cpio::newc::Reader::new(rest)?;
        let entry = reader.entry();
        ensure!(!entry.is_trailer(), "no {name} in the initial RAM disk");
        if entry.name().trim_start_matches("./") == name {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut content)?;
            return Ok(content);
        }
        rest = reader.finish()?;
    }
}

/// Puts our process 1 into the root, which is an ext2 image.
fn replace_init(root: &Path, scratch: &Path) -> Result<()> {
    let init = scratch.join("init");
    fs::write(&init, INIT)?;
    let commands = scratch.join("commands");
    let content = format!(
        "rm /init\nwrite {} init\nset_inode_field /init mode 0100755\n",
        init.display()
    );
    fs::write(&commands, content)?;
    // Debian has it where only root looks for programs; e2fsprogs comes with libguestfs.
    let said = Run::new("/usr/sbin/debugfs")
        .arg("-w")
        .arg("-f")
        .arg(&commands)
        .arg(root)
        .ok()?;
    let back = Run::new("/usr/sbin/debugfs")
        .args(["-R", "cat /init"])
        .arg(root)
        .ok()?;
    ensure!(
        back.stdout == INIT,
        "/init was not replaced:\n{}",
        said.text()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_needed;

    #[test]
    fn modules_are_known_by_either_spelling() {
        for name in [
            "virtio_pci.ko",
            "virtio-rng.ko",
            "t10-pi.ko.xz",
            "crc32c_generic.ko",
        ] {
            assert!(is_needed(name), "{name}");
        }
        for name in ["ata_piix.ko", "virtio_net.ko", "nfit.ko"] {
            assert!(!is_needed(name), "{name}");
        }
    }
}
