//! The Rust toolchain's parts that rust-toolchain.toml asks for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Purpose, debian};
use crate::process::Run;
use crate::toolchain::{self, Toolchain};

/// A slow line may need its time for 200 MB.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(1200);

#[derive(Deserialize)]
struct File {
    toolchain: Pinned,
}

/// What rust-toolchain.toml pins.
#[derive(Deserialize)]
pub struct Pinned {
    /// The release.
    pub channel: String,
    /// rustup components.
    pub components: Vec<String>,
    /// Target triples.
    pub targets: Vec<String>,
}

impl Pinned {
    /// Reads rust-toolchain.toml.
    pub fn read(root: &Path) -> Result<Pinned> {
        let path = root.join("rust-toolchain.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: File = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(file.toolchain)
    }

    /// The targets that are not installed. The Windows ones need none of it to pack: core is built from source.
    fn missing_targets(&self, purpose: Purpose) -> Result<Vec<String>> {
        let sysroot = toolchain::sysroot(&toolchain::rustc())?;
        let missing = |target: &&String| {
            !sysroot
                .join("lib/rustlib")
                .join(target)
                .join("lib")
                .is_dir()
        };
        Ok(match purpose {
            Purpose::Pack => Vec::new(),
            Purpose::Test | Purpose::Full | Purpose::Fuzz => {
                self.targets.iter().filter(missing).cloned().collect()
            }
        })
    }
}

/// Adds what is missing by rustup; where rustup cannot, takes Debian's compiler for the drivers.
pub fn require(purpose: Purpose) -> Result<()> {
    let pinned = Pinned::read(&crate::root())?;
    if Toolchain::find().is_err() {
        println!("rustup: adding {}", pinned.components.join(", "));
        if let Err(error) = rustup(&pinned, "component", &pinned.components) {
            println!("rustup cannot: {error:#}\nfalling back on Debian's compiler for the drivers");
            debian::provide(&["rustc-web", "rust-web-src"], false)?;
        }
        Toolchain::find()?;
    }
    let targets = pinned.missing_targets(purpose)?;
    if !targets.is_empty() {
        println!("rustup: adding the targets {}", targets.join(", "));
        rustup(&pinned, "target", &targets)
            .with_context(|| format!("the tests need the targets {}", targets.join(", ")))?;
    }
    Ok(())
}

fn rustup(pinned: &Pinned, what: &str, names: &[String]) -> Result<()> {
    Run::new("rustup")
        .args([what, "add", "--toolchain", &pinned.channel])
        .args(names)
        .deadline(DOWNLOAD_DEADLINE)
        .ok()
        .map(|_| ())
}

/// One line for each part: what was found, or what is missing.
pub fn report() -> Vec<(String, Result<String, String>)> {
    let mut lines = Vec::new();
    match Toolchain::find() {
        Ok(toolchain) => {
            let show = |path: &PathBuf| Ok(path.display().to_string());
            lines.push(("rustc for the drivers".to_owned(), show(&toolchain.rustc)));
            lines.push(("rust-src".to_owned(), show(&toolchain.rust_src)));
            lines.push(("rust-lld".to_owned(), show(&toolchain.rust_lld)));
        }
        Err(error) => lines.push(("Rust toolchain".to_owned(), Err(format!("{error:#}")))),
    }
    let missing =
        Pinned::read(&crate::root()).and_then(|pinned| pinned.missing_targets(Purpose::Test));
    lines.push((
        "Rust targets".to_owned(),
        match missing {
            Ok(missing) if missing.is_empty() => Ok("all of rust-toolchain.toml".to_owned()),
            Ok(missing) => Err(format!("run `rustup target add {}`", missing.join(" "))),
            Err(error) => Err(format!("{error:#}")),
        },
    ));
    lines
}
