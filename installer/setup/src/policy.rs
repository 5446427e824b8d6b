//! What must not be done: load a driver that Windows refuses, take away one that Windows needs.

use core::fmt;
use core::str::FromStr;

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

/// What decides whether the running Windows loads a test-signed driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeIntegrity {
    /// Test signing; `None`: Windows did not say.
    pub test_signing: Option<bool>,
    /// Secure Boot.
    pub secure_boot: SecureBoot,
}

/// Why a boot-start driver is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub CodeIntegrity);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a boot-start driver of this package has only a test signature, and Windows would not start any more:",
        )?;
        match self.0.test_signing {
            Some(true) => {}
            Some(false) => f.write_str(
                " test signing is off (run \"bcdedit /set testsigning on\" and restart);",
            )?,
            None => f.write_str(" Windows does not say whether test signing is on;")?,
        }
        match self.0.secure_boot {
            SecureBoot::Off => {}
            SecureBoot::On => {
                f.write_str(" Secure Boot is on (switch it off in the machine's firmware);")?;
            }
            SecureBoot::Unknown => {
                f.write_str(" neither Windows nor the firmware says whether Secure Boot is off;")?;
            }
        }
        f.write_str(" nothing was changed")
    }
}

/// Refuses a test-signed boot-start driver unless the running Windows certainly loads it.
///
/// A driver that starts later may fail to load, but it cannot keep Windows from starting.
pub fn judge(class: Class, boot_start: bool, state: CodeIntegrity) -> Result<(), Refusal> {
    let loads = state.test_signing == Some(true) && state.secure_boot == SecureBoot::Off;
    if class == Class::Test && boot_start && !loads {
        return Err(Refusal(state));
    }
    Ok(())
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
