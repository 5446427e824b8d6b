//! Weakens each fence and each ordering of the rings and of the lock of vioblk's queues, one at a time, and expects loom to find it.
//!
//! A mutant is one changed line in a copy of their source, which tests/loom compiles as it compiles the original.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use winpv::process::Run;

use super::{Context, Outcome, cargo};

/// Where orderings stand that loom is to see: folders with the file of their name, and a single file.
const SOURCES: [&str; 3] = [
    "crates/virtio-core/src/ring",
    "crates/virtio-core/src/mem",
    "drivers/vioblk/src/ffi/lock/claim.rs",
];
/// What tests/loom compiles.
const NEEDED: [&str; 4] = [
    "crates/virtio-core/src",
    "drivers/vioblk/src/ffi/lock",
    "tests/loom",
    "Cargo.lock",
];

/// Tests of tests/loom that take under a second, by part of their name: they run first, as any one that fails will do.
const QUICK: [&str; 6] = [
    "lock::",
    "reuse::",
    "kick_of_a_batch",
    "kick_of_a_table",
    "kick_of_what_is_sent",
    "interrupt_of_a_batch",
];

/// From cold, loom is compiled first.
const BUILD_DEADLINE: Duration = Duration::from_secs(600);
const TEST_DEADLINE: Duration = Duration::from_secs(300);

/// A change of one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Counts from 1.
    line: usize,
    /// What was done to it.
    what: String,
    /// The whole file after it.
    text: String,
}

/// Every weaker version of a source file.
pub fn mutants(source: &str) -> Result<Vec<Mutant>> {
    const FENCE: &str = "fence(Ordering::SeqCst);";
    let lines: Vec<&str> = source.lines().collect();
    let mut mutants = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let mut add = |what: &str, from: &str, to: &str, at: usize| {
            let changed = format!("{}{to}{}", &line[..at], &line[at + from.len()..]);
            let mut text = lines.clone();
            text[index] = &changed;
            mutants.push(Mutant {
                line: index + 1,
                what: what.to_owned(),
                text: text.join("\n") + "\n",
            });
        };
        if let Some(at) = code.find("fence(") {
            ensure!(
                code[at..].trim_end() == FENCE,
                "line {}: a fence that is not `{FENCE}` on a line of its own",
                index + 1
            );
            add("fence taken away", FENCE, "", at);
            add("fence AcqRel", FENCE, "fence(Ordering::AcqRel);", at);
            continue;
        }
        for ordering in ["Acquire", "Release", "AcqRel", "SeqCst"] {
            let from = format!("Ordering::{ordering}");
            for (at, _) in code.match_indices(&from) {
                add(
                    &format!("{ordering} to Relaxed"),
                    &from,
                    "Ordering::Relaxed",
                    at,
                );
            }
        }
    }
    Ok(mutants)
}

/// The step.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let tree = context.target_dir.join("weakened");
    copy_tree(&context.root, &tree)?;
    let quick_first = |name: &String| !QUICK.iter().any(|part| name.contains(part));
    let mut names = build(&tree)?;
    names.sort_by_key(quick_first);
    ensure!(!names.is_empty(), "tests/loom has no test");
    let mut outcomes = vec![Outcome::of("unchanged", || {
        match first_failure(&tree, &names)? {
            Some(name) => bail!("{name} fails"),
            None => Ok(()),
        }
    })];
    for file in sources(&context.root)? {
        let source = fs::read_to_string(context.root.join(&file))?;
        let found = mutants(&source).with_context(|| file.display().to_string())?;
        for mutant in found {
            let name = format!("{}:{} {}", file.display(), mutant.line, mutant.what);
            outcomes.push(Outcome::of(name, || {
                fs::write(tree.join(&file), &mutant.text)?;
                build(&tree)?;
                match first_failure(&tree, &names)? {
                    Some(_) => Ok(()),
                    None => {
                        bail!("no test of tests/loom fails: it is not needed, or a test is missing")
                    }
                }
            }));
        }
        fs::write(tree.join(&file), &source)?;
    }
    ensure!(outcomes.len() > 1, "no fence and no ordering found");
    Ok(outcomes)
}

/// Source files that may hold orderings, relative to the repository.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in SOURCES {
        if root.join(folder).is_file() {
            files.push(PathBuf::from(folder));
            continue;
        }
        for entry in fs::read_dir(root.join(folder))? {
            let name = entry?.file_name();
            let file = Path::new(folder).join(&name);
            if file.extension().is_some_and(|end| end == "rs") && name != "tests.rs" {
                files.push(file);
            }
        }
        files.push(PathBuf::from(folder).with_extension("rs"));
    }
    files.retain(|file| root.join(file).is_file());
    files.sort();
    Ok(files)
}

/// Copies what tests/loom needs into a workspace of its own.
fn copy_tree(root: &Path, tree: &Path) -> Result<()> {
    for needed in NEEDED {
        copy(&root.join(needed), &tree.join(needed))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let mut manifest: toml::Table = manifest.parse()?;
    let workspace = manifest["workspace"]
        .as_table_mut()
        .context("no workspace")?;
    workspace.insert("members".into(), vec!["tests/loom"].into());
    workspace.remove("exclude");
    fs::write(tree.join("Cargo.toml"), toml::to_string(&manifest)?)?;
    Ok(())
}

/// Copies a file, or a folder with all in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// `cargo test` of tests/loom in the copy.
fn test(tree: &Path) -> Run {
    Run::new("cargo")
        .dir(tree)
        .args([
            "test",
            "--quiet",
            "--package",
            "ring-loom",
            "--test",
            "loom",
        ])
        .env("CARGO_TARGET_DIR", tree.join("target"))
        .env("RUSTFLAGS", "--allow warnings")
        .env("RUST_BACKTRACE", "0")
}

/// Builds the tests and lists them.
fn build(tree: &Path) -> Result<Vec<String>> {
    let listed = test(tree)
        .args(["--", "--list", "--format", "terse"])
        .deadline(BUILD_DEADLINE)
        .ok()?;
    let names = listed.stdout.lines();
    let names = names.filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// The first of the tests that fails.
fn first_failure<'n>(tree: &Path, names: &'n [String]) -> Result<Option<&'n str>> {
    for name in names {
        let output = test(tree)
            .args(["--", "--exact", name, "--format", "pretty"])
            .deadline(TEST_DEADLINE)
            .output()?;
        let outcomes = cargo::parse(&output.stdout);
        let [outcome] = &outcomes[..] else {
            bail!("{name}: {}", cargo::tail(&output.text()));
        };
        if outcome.result.is_err() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
