//! Checks what the compiler does not: who may depend on whom, lint headers, where `unsafe` may stand, file lengths.

mod source;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use winpv::process::Run;

/// The shipped crates and what each may depend on; a driver (any crate under drivers/) may depend on all of them, and what
/// lies in a driver's folder on that driver.
const SHIPPED: [(&str, &[&str]); 4] = [
    ("virtio-core", &[]),
    ("nt-sys", &[]),
    ("nt", &["nt-sys"]),
    ("storport", &["nt", "nt-sys", "virtio-core"]),
];

/// Crates from outside that may end up in a driver: small, without allocation, widely reviewed.
const OUTSIDE: [&str; 3] = ["bitflags", "thiserror", "zerocopy"];

/// The longest that a source file may be.
const MAX_LINES: usize = 500;

/// One member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Package name.
    pub name: String,
    /// Its folder, relative to the repository.
    pub dir: PathBuf,
    /// Names of the packages it links (normal and build dependencies), then those that only its tests use.
    pub normal: BTreeSet<String>,
    /// Dev-dependencies.
    pub dev: BTreeSet<String>,
}

impl Member {
    fn is_driver(&self) -> bool {
        self.dir.starts_with("drivers")
    }

    fn is_shipped(&self) -> bool {
        self.is_driver() || SHIPPED.iter().any(|(name, _)| *name == self.name)
    }

    fn is_test_host(&self) -> bool {
        let hosts = ["tests/nt-host", "tests/device", "tests/ring-device"];
        hosts.iter().any(|dir| self.dir.starts_with(dir))
    }
}

/// Everything that is wrong, one line each.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let members = members(root)?;
    let mut problems = dependencies(&members);
    for member in &members {
        let dir = root.join(&member.dir);
        if member.is_shipped() {
            let lib = dir.join("src/lib.rs");
            let text = fs::read_to_string(&lib)
                .with_context(|| format!("cannot read {}", lib.display()))?;
            problems.extend(
                source::header(&text)
                    .into_iter()
                    .map(|problem| format!("{}: {problem}", member.name)),
            );
        }
        let mut files = Vec::new();
        rust_files(&dir, &mut files)?;
        for file in files {
            let text = fs::read_to_string(&file)?;
            let path = file.strip_prefix(root).unwrap_or(&file);
            let lines = text.lines().count();
            if lines > MAX_LINES {
                problems.push(format!(
                    "{}: {lines} lines, more than {MAX_LINES}",
                    path.display()
                ));
            }
            let safe = member.is_driver() || member.name == "virtio-core";
            if safe && !source::may_be_unsafe(path) && source::has_unsafe(&text) {
                problems.push(format!(
                    "{}: unsafe code outside ffi, mem and mmio",
                    path.display()
                ));
            }
        }
    }
    problems.sort();
    problems.dedup();
    Ok(problems)
}

/// The rules about dependencies.
pub fn dependencies(members: &[Member]) -> Vec<String> {
    let by_name: BTreeMap<&str, &Member> = members
        .iter()
        .map(|member| (member.name.as_str(), member))
        .collect();
    let mut problems = Vec::new();
    for member in members {
        if member.is_shipped() {
            let allowed = SHIPPED
                .iter()
                .find(|(name, _)| *name == member.name)
                .map(|(_, allowed)| *allowed);
            for dependency in &member.normal {
                let fine = match (by_name.get(dependency.as_str()), allowed) {
                    (None, _) => OUTSIDE.contains(&dependency.as_str()),
                    (Some(_), Some(allowed)) => allowed.contains(&dependency.as_str()),
                    (Some(inside), None) => {
                        let own = inside.is_driver() && member.dir.starts_with(&inside.dir);
                        own || SHIPPED.iter().any(|(name, _)| *name == inside.name)
                    }
                };
                if !fine {
                    problems.push(format!("{} must not depend on {dependency}", member.name));
                }
            }
        }
        if member.is_test_host() {
            // Also through others, and also in tests: a wrong definition must not agree with itself.
            for dependency in reachable(member, &by_name) {
                if by_name
                    .get(dependency.as_str())
                    .is_some_and(|inside| inside.is_shipped())
                {
                    problems.push(format!("{} must never depend on {dependency}", member.name));
                }
            }
        }
    }
    problems
}

/// Every package that a member's code or tests reach within the workspace.
fn reachable(member: &Member, by_name: &BTreeMap<&str, &Member>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&String> = member.normal.iter().chain(&member.dev).collect();
    while let Some(name) = open.pop() {
        if seen.insert(name.clone())
            && let Some(inside) = by_name.get(name.as_str())
        {
            open.extend(&inside.normal);
        }
    }
    seen
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

fn members(root: &Path) -> Result<Vec<Member>> {
    let output = Run::new("cargo")
        .dir(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .ok()?;
    let metadata: Metadata = serde_json::from_str(&output.stdout).context("cargo metadata")?;
    let root = root.canonicalize()?;
    metadata
        .packages
        .into_iter()
        .map(|package| {
            let dir = package
                .manifest_path
                .parent()
                .context("manifest without a folder")?;
            let (dev, normal): (Vec<_>, Vec<_>) = package
                .dependencies
                .into_iter()
                .partition(|dependency| dependency.kind.as_deref() == Some("dev"));
            let names = |list: Vec<Dependency>| {
                list.into_iter().map(|dependency| dependency.name).collect()
            };
            Ok(Member {
                dir: dir.strip_prefix(&root).unwrap_or(dir).to_owned(),
                name: package.name,
                normal: names(normal),
                dev: names(dev),
            })
        })
        .collect()
}

/// The .rs files of one package, without those of packages in folders below it.
fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            let other = path.join("Cargo.toml").exists() || path.ends_with("target");
            if !other {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
