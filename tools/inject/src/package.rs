//! What is put into an image: driver packages and, for test-signed ones, their certificates.

mod read;

pub use read::extract;

use crate::registry::Value;
use crate::trust::Trust;
use crate::windows::Machine;

/// One driver package for one processor.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name of its folder in the image and of its entries in the driver database.
    pub name: String,
    /// The processor.
    pub machine: Machine,
    /// The INF's file name.
    pub inf: String,
    /// The INF's `ClassGuid`, as 16 bytes in the order in which Windows stores a GUID.
    pub class: [u8; 16],
    /// The hardware ids of its models.
    pub hardware_ids: Vec<String>,
    /// The driver's service.
    pub service: Service,
    /// What the driver file's signature is.
    pub trust: Trust,
    /// Every file: its path in the package, folders separated by `/`, and its content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Which of them the service's driver is copied from.
    pub driver: String,
}

/// What an INF's service section says.
#[derive(Clone, Debug)]
pub struct Service {
    /// Name of its key.
    pub name: String,
    /// `ServiceType`.
    pub kind: u32,
    /// `StartType`; 0 is boot-start.
    pub start: u32,
    /// `ErrorControl`.
    pub error_control: u32,
    /// `LoadOrderGroup`; empty if there is none.
    pub group: String,
    /// The driver file's name where Windows runs it.
    pub binary: String,
    /// What its `AddReg` adds: subkey, name, value.
    pub values: Vec<(String, String, Value)>,
}

impl Package {
    /// True if Windows needs the driver to reach the disk that it boots from.
    #[must_use]
    pub fn is_boot_start(&self) -> bool {
        self.service.start == 0
    }

    /// The content of the driver file.
    #[must_use]
    pub fn driver(&self) -> &[u8] {
        let file = self.files.iter().find(|(path, _)| *path == self.driver);
        file.map_or(&[], |(_, bytes)| bytes)
    }
}

/// A certificate that test-signed packages need in the machine's stores.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// File name.
    pub name: String,
    /// DER.
    pub der: Vec<u8>,
    /// True for a root certificate.
    pub root: bool,
}

/// Everything that may be put into an image.
#[derive(Clone, Debug, Default)]
pub struct Pack {
    /// The packages, for any processor.
    pub packages: Vec<Package>,
    /// The certificates of a test-signed pack.
    pub certificates: Vec<Certificate>,
}

/// A GUID's bytes as Windows stores it: three numbers with the low byte first, then eight bytes (MS: guiddef.h).
#[must_use]
pub fn guid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: String = text
        .strip_prefix('{')?
        .strip_suffix('}')?
        .split('-')
        .collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    if digits.len() != 32 {
        return None;
    }
    let mut bytes = number.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    Some(bytes)
}
