//! What machine QEMU is to play, and its start.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use host_machine::ram::Ram;
use serde_json::json;

use super::doorbell::Doorbell;
use super::process::{self, Process};
use super::qtest::Session;
use super::{DEVICE, DOORBELL, MOST_RAM, Place, Qemu, port};

/// An error that QEMU's blkdebug driver injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InjectedError {
    /// The operation that fails.
    pub operation: Operation,
    /// The 512-byte sector that a request must touch to fail; none: any request.
    pub sector: Option<u64>,
    /// Linux errno, for example 5 (EIO) or 28 (ENOSPC).
    pub errno: i32,
    /// Whether only the first such request fails.
    pub once: bool,
}

/// An operation as blkdebug names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading data.
    Read,
    /// Writing data.
    Write,
    /// Flushing the cache.
    Flush,
}

impl Operation {
    fn iotype(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
        }
    }
}

/// A QEMU about to be started.
#[derive(Debug, Clone)]
pub struct Builder {
    device: String,
    image: Option<PathBuf>,
    read_only: bool,
    errors: Vec<InjectedError>,
    iommu: bool,
    behind_port: bool,
    vectors: u16,
    disk: String,
}

impl Builder {
    /// QEMU with one device: `device` is the value of its `-device` option, like `virtio-blk-pci,num-queues=4`.
    ///
    /// Slot, drive and error policy (report to the guest) are added to it. A `virtio-scsi-pci` gets a `scsi-hd` with the drive.
    #[must_use]
    pub fn new(device: &str) -> Self {
        Self {
            device: device.to_owned(),
            image: None,
            read_only: false,
            errors: Vec::new(),
            iommu: false,
            behind_port: false,
            vectors: 32,
            disk: String::new(),
        }
    }

    /// Backs the device's `drive` with a raw image.
    #[must_use]
    pub fn image(mut self, path: &Path) -> Self {
        self.image = Some(path.to_owned());
        self
    }

    /// Opens the image read-only, which makes the disk read-only.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Injects errors between the device and the image.
    #[must_use]
    pub fn errors(mut self, errors: &[InjectedError]) -> Self {
        self.errors = errors.to_vec();
        self
    }

    /// Puts an intel-iommu into the machine. The device is behind it only with `iommu_platform=on`.
    #[must_use]
    pub fn iommu(mut self, iommu: bool) -> Self {
        self.iommu = iommu;
        self
    }

    /// Puts the device behind a root port, as PCI Express has it: only there QEMU gives a virtio device power management, and
    /// [`Device::set_power`] works. It is a modern one then.
    #[must_use]
    pub fn behind_port(mut self, behind_port: bool) -> Self {
        self.behind_port = behind_port;
        self
    }

    /// How many MSI-X messages can be told apart, 32 unless set; [`Device::enable_interrupts`] refuses more.
    #[must_use]
    pub fn vectors(mut self, vectors: u16) -> Self {
        self.vectors = vectors;
        self
    }

    /// Properties of the `scsi-hd` behind a `virtio-scsi-pci`, like `logical_block_size=4096`.
    #[must_use]
    pub fn disk(mut self, properties: &str) -> Self {
        properties.clone_into(&mut self.disk);
        self
    }

    /// Starts QEMU on `ram` and assigns the device's BARs.
    ///
    /// # Errors
    /// QEMU is missing, too old, refuses an option or does not come up within 30 s; with what it said.
    pub fn start(&self, ram: &Ram) -> anyhow::Result<Qemu> {
        ensure!(
            ram.len() <= MOST_RAM && ram.len().is_multiple_of(1 << 20),
            "QEMU needs RAM in whole MiB, at most 2 GiB: got {} bytes",
            ram.len()
        );
        let (socket, theirs) = UnixStream::pair()?;
        let (doorbell, server) = Doorbell::new(self.vectors)?;
        let mut bios = tempfile::NamedTempFile::new().context("cannot make the halt BIOS file")?;
        bios.write_all(&halt_bios())?;
        let theirs = OwnedFd::from(theirs);
        let arguments = self.arguments(ram, bios.path(), theirs.as_raw_fd(), server.as_raw_fd());
        process::version()?;
        let process = Process::start(&process::program(), &arguments, vec![theirs, server])?;
        let mut session = Session::new(socket, process);
        // The first reply comes after QEMU has opened its files, so that the BIOS may go.
        session.ask("inl 0xcf8").context("QEMU did not come up")?;
        drop(bios);
        Qemu::set_up(session, doorbell, self.behind_port)
    }

    fn arguments(&self, ram: &Ram, bios: &Path, qtest: i32, doorbell: i32) -> Vec<OsString> {
        let mib = ram.len() >> 20;
        let mut arguments: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: OsString| {
            arguments.push(name.into());
            arguments.push(value);
        };
        option("-machine", "q35,accel=tcg,memory-backend=ram".into());
        option("-m", format!("{mib}M").into());
        option("-object", {
            let mut value = OsString::from(format!(
                "memory-backend-file,id=ram,size={mib}M,share=on,mem-path="
            ));
            value.push(escape(ram.path()));
            value
        });
        option("-bios", bios.into());
        option("-display", "none".into());
        option("-vga", "none".into());
        option("-chardev", format!("socket,id=qtest,fd={qtest}").into());
        option("-qtest", "chardev:qtest".into());
        option("-qtest-log", "/dev/null".into());
        option(
            "-chardev",
            format!("socket,id=doorbell,fd={doorbell}").into(),
        );
        if self.iommu {
            option("-device", "intel-iommu".into());
        }
        if let Some(image) = &self.image {
            option("-blockdev", self.drive(image).into());
        }
        if self.behind_port {
            option("-device", port::option().into());
        }
        for device in self.devices() {
            option("-device", device.into());
        }
        let (vectors, Place { slot, .. }) = (self.vectors, DOORBELL);
        option(
            "-device",
            format!("ivshmem-doorbell,chardev=doorbell,vectors={vectors},bus=pcie.0,addr={slot}")
                .into(),
        );
        arguments.extend(["-nodefaults".into(), "-no-user-config".into()]);
        arguments
    }

    /// The device under test, and the disk behind it where that is a device of its own.
    fn devices(&self) -> Vec<String> {
        const POLICIES: [&str; 2] = ["rerror", "werror"];
        let (bus, Place { slot, .. }) = if self.behind_port {
            (port::BUS_NAME, port::DEVICE)
        } else {
            ("pcie.0", DEVICE)
        };
        let mut device = format!("{},bus={bus},addr={slot}", self.device);
        if self.image.is_none() {
            return vec![device];
        }
        let mut disk = String::from(",drive=disk");
        for policy in POLICIES {
            if !self.device.contains(&format!(",{policy}=")) {
                disk += &format!(",{policy}=report");
            }
        }
        if !self.device.starts_with("virtio-scsi") {
            return vec![device + &disk];
        }
        device += ",id=controller";
        let mut unit = format!("scsi-hd,bus=controller.0{disk}");
        if !self.disk.is_empty() {
            unit = format!("{unit},{}", self.disk);
        }
        vec![device, unit]
    }

    /// The block graph: the image, perhaps with blkdebug in front.
    fn drive(&self, image: &Path) -> String {
        let raw = |name: Option<&str>| {
            let mut node = json!({
                "driver": "raw",
                "read-only": self.read_only,
                "discard": "unmap",
                "file": {"driver": "file", "filename": image.to_string_lossy(), "read-only": self.read_only},
            });
            if let (Some(name), Some(node)) = (name, node.as_object_mut()) {
                node.insert("node-name".to_owned(), name.into());
            }
            node
        };
        if self.errors.is_empty() {
            return raw(Some("disk")).to_string();
        }
        let rules: Vec<_> = self
            .errors
            .iter()
            .map(|error| {
                let mut rule = json!({
                    "event": "none",
                    "iotype": error.operation.iotype(),
                    "errno": error.errno,
                    "once": error.once,
                });
                if let (Some(sector), Some(rule)) = (error.sector, rule.as_object_mut()) {
                    rule.insert("sector".to_owned(), sector.into());
                }
                rule
            })
            .collect();
        json!({
            "driver": "blkdebug",
            "node-name": "disk",
            "image": raw(None),
            "inject-error": rules,
        })
        .to_string()
    }
}

/// Doubles the commas of a path inside a QEMU option.
pub(crate) fn escape(path: &Path) -> OsString {
    path.to_string_lossy().replace(',', ",,").into()
}

/// A BIOS whose reset vector parks the CPU: `cli; hlt; jmp` back to the `hlt`.
fn halt_bios() -> Vec<u8> {
    const RESET_VECTOR: usize = 0xfff0;
    let mut bios = vec![0xf4; 64 << 10];
    bios[RESET_VECTOR..RESET_VECTOR + 4].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
    bios
}
