//! The GUIDs: each is computed from what it stands for, so that the same content always has the same ones.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Content;

/// All of WinPV's GUIDs are computed below this one.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b0d_3c5e_92b4_4f6e_8a0e_1d5a_c0f7_7e21);

/// What ties every version of WinPV together (MS: "UpgradeCode property"). Never changes; both platforms share it, as a machine
/// has only one.
pub const UPGRADE_CODE: &str = "{D2A8B1B6-0E0C-4F0B-9E0B-6C5C3B5E7A10}";

/// The GUIDs of one MSI.
pub struct Ids {
    /// Product code.
    pub product: Uuid,
    /// Package code.
    pub package: Uuid,
    base: String,
}

impl Ids {
    pub fn new(content: &Content) -> Ids {
        // Two packs that differ in any byte are two products: Windows Installer refuses to install over a product with the same
        // code and other content (MS: "Product Codes", "Package Codes").
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        for driver in &content.drivers {
            for part in [&driver.name, &driver.description] {
                add(part.as_bytes());
            }
            add(&[u8::from(driver.boot_start)]);
            for (name, bytes) in &driver.files {
                add(name.as_bytes());
                add(bytes);
            }
        }
        for part in [&content.setup, &content.check] {
            add(part);
        }
        add(content.signature.as_bytes());
        add(&content.epoch.to_le_bytes());
        let base = format!("{}/{}", content.platform.template(), content.version_text());
        let content: String = digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ids {
            product: v5(&format!("product/{base}/{content}")),
            package: v5(&format!("package/{base}/{content}")),
            base,
        }
    }

    /// A component's code. It contains the version, as each version installs into a folder of its own (MS: "What happens if the
    /// component rules are broken").
    pub fn component(&self, name: &str) -> Uuid {
        v5(&format!("component/{}/{name}", self.base))
    }
}

fn v5(name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// As Windows Installer writes GUIDs: in braces, upper-case (MS: "GUID").
pub fn text(id: Uuid) -> String {
    format!("{{{}}}", id.to_string().to_uppercase())
}
