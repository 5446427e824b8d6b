//! The bill of materials names every program of the pack, with the digest of what is shipped.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use winpv::drivers::{self, Arch};
use winpv::msi;
use winpv::pack::{BILL, hex};
use winpv::process::Run;
use winpv::version::Version;

/// Drivers by their files, the programs in the MSIs as msitools takes them out.
pub fn complete(dist: &Path) -> Result<()> {
    let bill: Value = serde_json::from_str(&fs::read_to_string(dist.join(BILL))?)?;
    let components = bill["components"].as_array().context("no components")?;
    let mut named: BTreeMap<&str, &str> = components
        .iter()
        .filter(|component| component["purl"].is_null())
        .filter_map(|component| {
            let digest = component["hashes"][0]["content"].as_str()?;
            Some((component["name"].as_str()?, digest))
        })
        .collect();
    let version = Version::parse(env!("CARGO_PKG_VERSION"))?;
    let mut shipped = BTreeMap::new();
    for arch in Arch::ALL {
        for driver in drivers::packages() {
            let path = driver.file(arch, "sys");
            shipped.insert(path.clone(), fs::read(dist.join(&path))?);
        }
        let name = msi::file_name(version, arch);
        let scratch = tempfile::tempdir()?;
        for (stream, file) in [("setup", "winpv-setup.exe"), ("check", "winpv-check.dll")] {
            let out = scratch.path().join(stream);
            // Its output is the stream's bytes, which are no text.
            Run::new("sh")
                .args(["-c", r#"exec msiinfo extract "$1" "$2" > "$3""#, "sh"])
                .arg(dist.join(&name))
                .arg(format!("Binary.{stream}"))
                .arg(&out)
                .ok()?;
            shipped.insert(format!("{name}/{file}"), fs::read(&out)?);
        }
    }
    for (path, bytes) in &shipped {
        let digest = named
            .remove(path.as_str())
            .with_context(|| format!("{path} is not in the bill"))?;
        ensure!(
            digest == hex(&Sha256::digest(bytes)),
            "{path} has another digest"
        );
    }
    ensure!(named.is_empty(), "not in the pack: {:?}", named.keys());
    Ok(())
}
