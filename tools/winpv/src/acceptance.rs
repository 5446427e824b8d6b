//! Which Windows loads a boot-start driver with which signature, as manifest.json tells it.
//!
//! MS: "Kernel-mode code signing requirements" (from Windows 10 1607 on, a new kernel-mode driver needs a signature of the Hardware
//! Dev Center, got by certification or attestation), "How to test preproduction drivers with Secure Boot enabled" (TESTSIGNING
//! lets other signatures pass, and requires Secure Boot to be off), "Attestation sign Windows drivers" (Windows Server takes
//! only drivers that passed the tests of the hardware lab kit).

use serde_json::{Value, json};
use winpv_inject::trust::Trust;

const CLIENT: &str = "Windows 10 1607 to Windows 11 25H2";
const SERVER: &str = "Windows Server 2016 to 2025";

/// One row for each combination that Microsoft's documentation tells apart.
#[must_use]
pub fn table(trust: Trust) -> Value {
    let row = |windows: &str, secure_boot: &str, testsigning: &str, loads: &str| json!({ "windows": windows, "secure_boot": secure_boot, "testsigning": testsigning, "loads": loads });
    match trust {
        Trust::Unsigned => json!([
            row(CLIENT, "any", "any", "no"),
            row(SERVER, "any", "any", "no")
        ]),
        Trust::Test => json!([
            row(CLIENT, "on", "any", "no"),
            row(CLIENT, "off", "off", "no"),
            row(CLIENT, "off", "on", "yes"),
            row(SERVER, "on", "any", "no"),
            row(SERVER, "off", "off", "no"),
            row(SERVER, "off", "on", "yes"),
        ]),
        Trust::Attestation => json!([
            row(CLIENT, "any", "any", "yes"),
            row(SERVER, "any", "any", "not promised by Microsoft"),
        ]),
        Trust::Whcp => json!([
            row(CLIENT, "any", "any", "yes"),
            row(SERVER, "any", "any", "yes")
        ]),
    }
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
