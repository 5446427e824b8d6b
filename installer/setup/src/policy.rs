//! What must not be done: load a driver that Windows refuses, take away one that Windows needs.

use core::fmt;
use core::str::FromStr;

use crate::bcd::NextStart;
use crate::system::Device;

/// Who vouches for the pack's drivers; stamped into the MSI when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A certificate that Windows does not trust by itself.
    Test,
    /// Microsoft's attestation signature.
    Attestation,
    /// Microsoft's signature after the hardware lab kit's tests.
    Whcp,
}

impl Class {
    /// The name that the command line and the MSI use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::Test => "test",
            Class::Attestation => "attestation",
            Class::Whcp => "whcp",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature class is test, attestation or whcp")]
pub struct UnknownClass;

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Class, UnknownClass> {
        [Class::Test, Class::Attestation, Class::Whcp]
            .into_iter()
            .find(|class| class.name() == text)
            .ok_or(UnknownClass)
    }
}

/// Whether the firmware checks what it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// It does.
    On,
    /// It does not, or it is a BIOS, which cannot.
    Off,
    /// Neither source could be read.
    Unknown,
}

/// What the firmware itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The UEFI variable `SecureBoot`: 1 is on (UEFI 2.10 §3.3).
    Variable(u8),
    /// There are no UEFI variables: the machine starts from a BIOS.
    Bios,
    /// The question was refused.
    Unreadable,
}

/// Brings together what Windows noted at its start and what the firmware says; the stricter of the two counts.
#[must_use]
pub fn secure_boot(noted: Option<u32>, firmware: Firmware) -> SecureBoot {
    let said_on = noted.is_some_and(|value| value != 0)
        || matches!(firmware, Firmware::Variable(value) if value != 0);
    let said_off = noted == Some(0) || matches!(firmware, Firmware::Variable(0) | Firmware::Bios);
    if said_on {
        SecureBoot::On
    } else if said_off {
        SecureBoot::Off
    } else {
        SecureBoot::Unknown
    }
}

/// What decides whether Windows loads a driver that Microsoft's lab kit did not test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeIntegrity {
    /// Test signing in the running Windows; `None`: Windows did not say.
    pub test_signing: Option<bool>,
    /// Test signing as the boot configuration has it.
    pub next_start: NextStart,
    /// Secure Boot.
    pub secure_boot: SecureBoot,
    /// Whether this is a Windows Server; `None`: Windows did not say.
    pub server: Option<bool>,
}

impl CodeIntegrity {
    /// The same with the best that can be behind each reading that failed.
    ///
    /// The MSI first asks with the rights of who started it, which may be too few to read the boot configuration and the firmware's
    /// variables. What it learns nothing about is left to the second question, asked as the system before anything is changed.
    #[must_use]
    pub fn at_best(self) -> CodeIntegrity {
        CodeIntegrity {
            test_signing: self.test_signing.or(Some(true)),
            next_start: match self.next_start {
                NextStart::Unknown => NextStart::Allows,
                known => known,
            },
            secure_boot: match self.secure_boot {
                SecureBoot::Unknown => SecureBoot::Off,
                known => known,
            },
            server: self.server.or(Some(false)),
        }
    }
}

impl fmt::Display for CodeIntegrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = match self.test_signing {
            Some(true) => "on",
            Some(false) => "off",
            None => "not readable",
        };
        write!(f, "test signing now {now}, at the next start ")?;
        match &self.next_start {
            NextStart::Allows => f.write_str("on")?,
            NextStart::Refuses(entry) => write!(f, "off in the boot entry {entry}")?,
            NextStart::Unknown => f.write_str("not readable")?,
        }
        f.write_str(match self.secure_boot {
            SecureBoot::On => ", Secure Boot on",
            SecureBoot::Off => ", Secure Boot off",
            SecureBoot::Unknown => ", Secure Boot not readable",
        })?;
        f.write_str(match self.server {
            Some(true) => ", Windows Server",
            Some(false) => ", Windows client",
            None => ", edition not readable",
        })
    }
}

/// A driver as far as its signature matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who signed it.
    pub class: Class,
    /// Whether the boot loader starts it.
    pub boot_start: bool,
    /// The user says that this Windows Server loads drivers with an attestation signature.
    pub attestation_on_server: bool,
}

/// Why a driver is not installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has a test signature, and this is what keeps Windows from loading it.
    TestSigned(CodeIntegrity),
    /// It has an attestation signature, and this is, or may be, a Windows Server.
    AttestedOnServer,
    /// The machine has another processor (an IMAGE_FILE_MACHINE value), and Windows only emulates the one that the package is for.
    OtherProcessor(u16),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TestSigned(state) => test_signed(state, f)?,
            Refusal::AttestedOnServer => f.write_str(
                "a boot-start driver of this package has only Microsoft's attestation signature, and Microsoft says that Windows Server \
                 loads only drivers that passed the tests of the Hardware Lab Kit: Windows might not start any more. If you have seen \
                 this Windows load such drivers, set WINPV_ACCEPT_ATTESTATION_ON_SERVER=1 (winpv-setup: --accept-attestation-on-server);",
            )?,
            Refusal::OtherProcessor(machine) => write!(
                f,
                "this machine has another processor ({machine:#06x}), whose drivers are in another MSI of WinPV: Windows emulates programs, but \
                 not drivers;"
            )?,
        }
        f.write_str(" nothing was changed")
    }
}

fn test_signed(state: &CodeIntegrity, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(
        "a boot-start driver of this package has only a test signature, and Windows would not start any more:",
    )?;
    match state.test_signing {
        Some(true) => {}
        Some(false) => {
            f.write_str(" test signing is off (run \"bcdedit /set testsigning on\" and restart);")?
        }
        None => f.write_str(" Windows does not say whether test signing is on;")?,
    }
    match &state.next_start {
        NextStart::Allows => {}
        NextStart::Refuses(entry) => write!(
            f,
            " test signing is off for the next start by the boot entry {entry} (run \"bcdedit /set {entry} testsigning on\");"
        )?,
        NextStart::Unknown => f.write_str(
            " the boot configuration (HKLM\\BCD00000000) does not say whether test signing will be on at the next start;",
        )?,
    }
    f.write_str(match state.secure_boot {
        SecureBoot::Off => "",
        SecureBoot::On => " Secure Boot is on (switch it off in the machine's firmware);",
        SecureBoot::Unknown => " neither Windows nor the firmware says whether Secure Boot is off;",
    })
}

/// Refuses a boot-start driver unless Windows certainly loads it, now and at the next start.
///
/// A driver that starts later may fail to load, but it cannot keep Windows from starting. MS: "Driver code signing requirements",
/// "Windows Server signed drivers": Windows Server 2016 and later load only drivers that passed the HLK's tests; attestation
/// signatures are for clients.
pub fn judge(candidate: Candidate, state: &CodeIntegrity) -> Result<(), Refusal> {
    if !candidate.boot_start {
        return Ok(());
    }
    let loads = state.test_signing == Some(true)
        && state.next_start == NextStart::Allows
        && state.secure_boot == SecureBoot::Off;
    match candidate.class {
        Class::Test if !loads => Err(Refusal::TestSigned(state.clone())),
        Class::Attestation if state.server != Some(false) && !candidate.attestation_on_server => {
            Err(Refusal::AttestedOnServer)
        }
        _ => Ok(()),
    }
}

/// Whether a driver may be taken away from the running system.
///
/// A boot-start driver that a present device uses is taken for the one that Windows boots from: telling a boot disk from a data
/// disk means following volumes over spanned, mirrored and stacked disks, and a wrong answer leaves Windows unbootable. What is
/// kept too long costs a few hundred kilobytes and a pnputil command.
#[must_use]
pub fn may_remove(boot_start: bool, present_devices: usize) -> bool {
    !boot_start || present_devices == 0
}

/// Who provides the pack's drivers, as their INFs say.
pub const PROVIDER: &str = "WinPV";

/// Whether matching devices get a package even where Windows does not take it for a better one.
///
/// Windows leaves a driver of equal rank and the same date and version (MS: "Overview of the driver package selection process"). That
/// would keep devices on an earlier build of this version, or on the same driver packed under another name. Where every driver that is
/// replaced is an earlier or equal one of WinPV's, none is replaced by a worse one.
#[must_use]
pub fn replaces_own(devices: &[Device], published: &str, version: &str) -> bool {
    let mut others = devices
        .iter()
        .filter(|device| !device.inf.is_empty() && device.inf != published)
        .peekable();
    others.peek().is_some()
        && others.all(|device| {
            device.provider == PROVIDER && numbers(&device.version) <= numbers(version)
        })
}

/// A version as numbers; what is none counts as the highest, so that nothing is taken for older than it.
fn numbers(version: &str) -> [u32; 4] {
    let mut numbers = [0; 4];
    let mut parts = version.split('.');
    for number in &mut numbers {
        *number = parts
            .next()
            .map_or(0, |part| part.parse().unwrap_or(u32::MAX));
    }
    numbers
}
