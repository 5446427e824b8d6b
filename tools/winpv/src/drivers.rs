//! The table of drivers: a new driver is one entry here.

use std::fmt;

/// A processor that drivers are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Arch {
    /// x64.
    Amd64,
    /// ARM64.
    Arm64,
}

impl Arch {
    /// Every processor that is packed.
    pub const ALL: [Arch; 2] = [Arch::Amd64, Arch::Arm64];

    /// The name that INF files and the `dist/` folders use.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// The Rust target triple.
    pub const fn target(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64-pc-windows-msvc",
            Arch::Arm64 => "aarch64-pc-windows-msvc",
        }
    }

    /// The linker's `/MACHINE` value.
    pub const fn machine(self) -> &'static str {
        match self {
            Arch::Amd64 => "X64",
            Arch::Arm64 => "ARM64",
        }
    }

    /// The first Windows build that the pack supports on this processor.
    ///
    /// x64: Windows 10 1607 and Server 2016. ARM64: Windows 10 1709, the first there is (MS:
    /// creating-inf-files-for-multiple-platforms-and-operating-systems, .ntarm64).
    pub const fn first_build(self) -> u32 {
        match self {
            Arch::Amd64 => 14393,
            Arch::Arm64 => 16299,
        }
    }

    /// What a catalog's `OS` attribute calls Windows 10 and later on this processor.
    pub const fn catalog_os(self) -> &'static str {
        match self {
            Arch::Amd64 => "_v100_X64",
            Arch::Arm64 => "_v100_ARM64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The organisation that wrote the drivers, as INF files, version resources and signatures name it.
pub const PROVIDER: &str = "WinPV";

/// A device setup class. MS: system-defined-device-setup-classes-available-to-vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Storage controllers.
    ScsiAdapter,
}

impl Class {
    /// Its name in INF files.
    pub const fn name(self) -> &'static str {
        match self {
            Class::ScsiAdapter => "SCSIAdapter",
        }
    }

    /// Its GUID, in braces.
    pub const fn guid(self) -> &'static str {
        match self {
            Class::ScsiAdapter => "{4D36E97B-E325-11CE-BFC1-08002BE10318}",
        }
    }
}

/// One driver of the pack.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// Crate and INF template.
    pub source: &'static str,
    /// The crate that is linked into the .sys: that with DriverEntry, on top of the driver's own.
    pub image: &'static str,
    /// Service and file name.
    pub name: &'static str,
    /// What Device Manager shows.
    pub description: &'static str,
    /// Its devices' class.
    pub class: Class,
    /// Windows can boot from its devices: the service starts at boot.
    pub boot_start: bool,
    /// Hardware ids, most specific first; INF and catalog both take them from here.
    pub hardware_ids: &'static [&'static str],
    /// What other tools call a driver for these devices, if they look for one by name.
    pub compatible: Option<Compatible>,
}

/// The name under which a driver is packed a second time.
#[derive(Clone, Copy, Debug)]
pub struct Compatible {
    /// Folder of the ISO.
    pub folder: &'static str,
    /// Service and file name.
    pub name: &'static str,
    /// What Device Manager shows. It is the service's display name as well, so it must be another one: Windows takes no display
    /// name twice (MS: system error 1078, ERROR_DUPLICATE_SERVICE_NAME).
    pub description: &'static str,
}

impl Driver {
    /// The package with the name that other tools look for.
    #[must_use]
    pub fn compatible(&self) -> Option<Driver> {
        self.compatible.map(|other| Driver {
            name: other.name,
            description: other.description,
            ..*self
        })
    }

    /// Where the package lies below `dist/`.
    #[must_use]
    pub fn folder(&self, arch: Arch) -> String {
        let top = if self.name == self.source {
            OWN
        } else {
            COMPATIBLE
        };
        format!("{top}/{}/{arch}", self.name)
    }

    /// Where one of the package's files lies below `dist/`.
    #[must_use]
    pub fn file(&self, arch: Arch, extension: &str) -> String {
        format!("{}/{}.{extension}", self.folder(arch), self.name)
    }

    /// Where the symbols lie below `dist/`.
    #[must_use]
    pub fn symbols(&self, arch: Arch) -> String {
        format!("symbols/{0}/{arch}/{0}.pdb", self.name)
    }
}

/// Folder of the packages with our own names, and of those with names that others look for.
const OWN: &str = "drivers";
const COMPATIBLE: &str = "compatible";

/// Every driver of the pack.
pub const DRIVERS: &[Driver] = &[Driver {
    source: "vioblk",
    image: "vioblk-image",
    name: "vioblk",
    description: "WinPV VirtIO Block Device",
    class: Class::ScsiAdapter,
    boot_start: true,
    // Virtio 1.3 §4.1.2: transitional block device 0x1001 (subsystem device 2), modern device 0x1040 + 2.
    hardware_ids: &[
        r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00",
        r"PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01",
        r"PCI\VEN_1AF4&DEV_1001",
        r"PCI\VEN_1AF4&DEV_1042",
    ],
    // virt-v2v boots from a viostor.sys (its manual, VIRTIO_WIN; libguestfs-common, mlcustomize/inject_virtio_win.ml).
    compatible: Some(Compatible {
        folder: "viostor",
        name: "viostor",
        description: "WinPV VirtIO Block Device (viostor)",
    }),
}];

/// Every package of the pack: each driver under its own name, then those with a second one.
pub fn packages() -> impl Iterator<Item = Driver> {
    DRIVERS
        .iter()
        .copied()
        .chain(DRIVERS.iter().filter_map(Driver::compatible))
}

/// Finds a driver of the table by name.
pub fn find(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}
