//! The pack's bill of materials: what each shipped binary is made of, as CycloneDX 1.6.
//!
//! It lists code that ends up in a binary. Build scripts, procedural macros and tools leave nothing in it and are not
//! listed; the Rust libraries `core` and `alloc` do and are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::drivers::Arch;
use crate::process::Run;
use crate::toolchain::Toolchain;
use crate::version::{Epoch, Version};

/// A binary of the pack.
pub struct Binary<'a> {
    /// The Rust package that it is linked from.
    pub package: &'a str,
    /// Its processor.
    pub arch: Arch,
    /// Path below `dist/`, with that of the MSI before the name of what is in it.
    pub path: String,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// CycloneDX component type: `device-driver`, `application` or `library`.
    pub kind: &'a str,
}

/// What `cargo metadata` tells, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    targets: Vec<Target>,
}

impl Package {
    fn is_macro(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }

    /// What names the package in the whole world.
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// Nothing for an ordinary dependency; `build` and `dev` otherwise.
    kind: Option<String>,
}

/// `Cargo.lock`, for the checksums that `cargo metadata` leaves out.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Writes the bill of materials of `binaries`. The same input gives the same text.
///
/// # Errors
///
/// cargo cannot read the workspace at `root`, or a binary's package is not in it.
pub fn write(
    toolchain: &Toolchain,
    root: &Path,
    version: Version,
    epoch: Epoch,
    binaries: &[Binary<'_>],
) -> Result<String> {
    let lock = root.join("Cargo.lock");
    let lock =
        fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let lock: Lock = toml::from_str(&lock).context("Cargo.lock")?;
    let checksums: BTreeMap<(String, String), String> = lock
        .package
        .into_iter()
        .filter_map(|package| Some(((package.name, package.version), package.checksum?)))
        .collect();
    let rustc = Run::new(&toolchain.rustc).arg("--version").ok()?.stdout;
    let rustc = rustc
        .split_whitespace()
        .nth(1)
        .context("rustc names no version")?;
    let mut components = BTreeMap::new();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for arch in Arch::ALL {
        let graph = Graph::read(toolchain, root, arch)?;
        for binary in binaries.iter().filter(|binary| binary.arch == arch) {
            let top = graph.shipped(binary.package, &checksums, &mut components, &mut edges)?;
            let core = library(rustc, &mut components);
            components.insert(binary.path.clone(), of_binary(binary, version));
            edges.insert(binary.path.clone(), BTreeSet::from([top, core]));
        }
    }
    let dependencies: Vec<Value> = components
        .keys()
        .map(|name| json!({ "ref": name, "dependsOn": edges.get(name).cloned().unwrap_or_default() }))
        .collect();
    let components: Vec<Value> = components.into_values().collect();
    let body = json!({ "components": components, "dependencies": dependencies });
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(&serde_json::to_string(&body)?),
        "version": 1,
        "metadata": {
            "timestamp": epoch.rfc3339(),
            "component": {
                "type": "application",
                "bom-ref": "winpv",
                "name": "WinPV",
                "version": version.to_string(),
                "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
            },
        },
        "components": body["components"],
        "dependencies": body["dependencies"],
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The packages of the workspace and who needs whom, for one processor.
struct Graph {
    packages: BTreeMap<String, Package>,
    nodes: BTreeMap<String, Vec<Dependency>>,
}

impl Graph {
    fn read(toolchain: &Toolchain, root: &Path, arch: Arch) -> Result<Graph> {
        let output = Run::new(&toolchain.cargo)
            .dir(root)
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
            ])
            .arg(arch.target())
            .ok()?;
        let metadata: Metadata = serde_json::from_str(&output.stdout).context("cargo metadata")?;
        let packages = metadata.packages.into_iter();
        let nodes = metadata.resolve.nodes.into_iter();
        Ok(Graph {
            packages: packages
                .map(|package| (package.id.clone(), package))
                .collect(),
            nodes: nodes.map(|node| (node.id, node.deps)).collect(),
        })
    }

    /// Adds a package of the workspace with everything that is linked with it; returns its reference.
    fn shipped(
        &self,
        name: &str,
        checksums: &BTreeMap<(String, String), String>,
        components: &mut BTreeMap<String, Value>,
        edges: &mut BTreeMap<String, BTreeSet<String>>,
    ) -> Result<String> {
        let top = self
            .packages
            .values()
            .find(|package| package.name == name && package.source.is_none())
            .with_context(|| format!("the workspace has no package {name}"))?;
        let mut waiting = vec![top];
        while let Some(package) = waiting.pop() {
            let purl = package.purl();
            let linked: Vec<&Package> = self
                .nodes
                .get(&package.id)
                .into_iter()
                .flatten()
                .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()))
                .filter_map(|dependency| self.packages.get(&dependency.pkg))
                .filter(|package| !package.is_macro())
                .collect();
            let known = components.contains_key(&purl);
            edges
                .entry(purl.clone())
                .or_default()
                .extend(linked.iter().map(|package| package.purl()));
            let checksum = checksums.get(&(package.name.clone(), package.version.clone()));
            components.insert(purl, of_package(package, checksum));
            if !known {
                waiting.extend(linked);
            }
        }
        Ok(top.purl())
    }
}

fn of_package(package: &Package, checksum: Option<&String>) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": package.purl(),
        "name": package.name,
        "version": package.version,
        "purl": package.purl(),
    });
    if let Some(license) = &package.license {
        // Cargo still takes the old form with a slash, which is no SPDX expression.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn of_binary(binary: &Binary<'_>, version: Version) -> Value {
    json!({
        "type": binary.kind,
        "bom-ref": binary.path,
        "name": binary.path,
        "version": version.to_string(),
        "hashes": [{ "alg": "SHA-256", "content": binary.sha256 }],
    })
}

/// The Rust library that is compiled into every binary; returns its reference.
fn library(rustc: &str, components: &mut BTreeMap<String, Value>) -> String {
    let reference = format!("pkg:generic/rust-core@{rustc}");
    components.insert(
        reference.clone(),
        json!({
            "type": "library",
            "bom-ref": reference,
            // Drivers have no `alloc`.
            "name": "core, alloc and compiler_builtins",
            "version": rustc,
            "purl": reference,
            "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        }),
    );
    reference
}

/// A UUID that follows from the content alone. // RFC 9562 §5.8: version 8
fn serial(content: &str) -> String {
    let digest = Sha256::digest(content);
    let mut bytes: [u8; 16] = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = crate::pack::hex(&bytes);
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests;
