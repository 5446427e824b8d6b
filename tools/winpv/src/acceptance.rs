//! Which Windows loads a boot-start driver with which signature, as manifest.json tells it.
//!
//! MS: "Kernel-mode code signing requirements" (from Windows 10 1607 on, a new kernel-mode driver needs a signature of the Hardware
//! Dev Center, got by certification or attestation), "How to test preproduction drivers with Secure Boot enabled" (TESTSIGNING
//! lets other signatures pass, and requires Secure Boot to be off), "Attestation sign Windows drivers" (Windows Server takes
//! only drivers that passed the tests of the hardware lab kit).

use serde_json::{Value, json};
use winpv_inject::trust::Trust;

use crate::drivers::Arch;

/// Attestation on Server. MS: "Driver code signing requirements", "Windows Server signed drivers": Windows Server 2016 and later
/// load only drivers that passed the tests of the hardware lab kit. Such drivers have been seen to load all the same.
const NOT_TESTED: &str = "so says Microsoft, though such drivers have been seen to load; refused by the MSI and by winpv inject unless accepted";

/// Releases of Windows that a package is for.
pub struct Range {
    /// All of them, as people call them.
    pub name: &'static str,
    /// A server.
    pub server: bool,
    /// Build number of the first.
    pub first_build: u32,
    /// Build number of the last that was known when the pack was made. Later ones are not refused.
    pub last_build: u32,
}

/// Build numbers of Windows 11 25H2 and Windows Server 2025. MS: Windows 11 and Windows Server release information.
const CLIENT_25H2: u32 = 26200;
const SERVER_2025: u32 = 26100;

/// What a processor's packages are for. No release of Windows Server for ARM64 is known to us.
#[must_use]
pub const fn windows(arch: Arch) -> &'static [Range] {
    match arch {
        Arch::Amd64 => {
            const {
                &[
                    Range {
                        name: "Windows 10 1607 to Windows 11 25H2",
                        server: false,
                        first_build: Arch::Amd64.first_build(),
                        last_build: CLIENT_25H2,
                    },
                    Range {
                        name: "Windows Server 2016 to 2025",
                        server: true,
                        first_build: Arch::Amd64.first_build(),
                        last_build: SERVER_2025,
                    },
                ]
            }
        }
        Arch::Arm64 => {
            const {
                &[Range {
                    name: "Windows 10 1709 to Windows 11 25H2",
                    server: false,
                    first_build: Arch::Arm64.first_build(),
                    last_build: CLIENT_25H2,
                }]
            }
        }
    }
}

/// One row for each combination that Microsoft's documentation tells apart.
#[must_use]
pub fn table(trust: Trust, arch: Arch) -> Value {
    let mut rows = Vec::new();
    for range in windows(arch) {
        let states: &[[&str; 3]] = match trust {
            Trust::Unsigned => &[["any", "any", "no"]],
            Trust::Test => &[
                ["on", "any", "no"],
                ["off", "off", "no"],
                ["off", "on", "yes"],
            ],
            Trust::Attestation if range.server => &[["any", "any", "no"]],
            Trust::Attestation | Trust::Whcp => &[["any", "any", "yes"]],
        };
        for [secure_boot, testsigning, loads] in states {
            let mut row = json!({
                "windows": range.name,
                "secure_boot": secure_boot,
                "testsigning": testsigning,
                "loads": loads,
            });
            if trust == Trust::Attestation && range.server {
                row["note"] = NOT_TESTED.into();
            }
            rows.push(row);
        }
    }
    Value::Array(rows)
}

/// The class's name, as the MSI uses it.
#[must_use]
pub const fn class(trust: Trust) -> &'static str {
    match trust {
        Trust::Unsigned => "unsigned",
        Trust::Test => "test",
        Trust::Attestation => "attestation",
        Trust::Whcp => "whcp",
    }
}
