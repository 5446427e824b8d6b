//! Where the Rust toolchain keeps what a driver build needs.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::Run;

/// Debian's compiler, for machines where rustup cannot add the library's source.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// The parts of a Rust installation that a driver build needs.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// `cargo`.
    pub cargo: PathBuf,
    /// `rustc`.
    pub rustc: PathBuf,
    /// The standard library's source, for `-Zbuild-std`.
    pub rust_src: PathBuf,
    /// LLVM's linker.
    pub rust_lld: PathBuf,
    /// Where cargo keeps downloaded sources.
    pub cargo_home: PathBuf,
}

impl Toolchain {
    /// Looks around; the error names what is missing and how to get it.
    pub fn find() -> Result<Toolchain> {
        let first = rustc();
        let found = with_source(&first).or_else(|| with_source(Path::new(DEBIAN_RUSTC)));
        let Some((rustc, rust_src)) = found else {
            bail!(
                "the Rust standard library's source is missing: run `rustup component add rust-src`"
            );
        };
        // Debian has no rust-lld that fits, so the linker is the rustup toolchain's in either case.
        let bin = sysroot(&first)?
            .join("lib/rustlib")
            .join(host_triple(&first)?)
            .join("bin");
        let rust_lld = bin.join("rust-lld");
        if !rust_lld.is_file() {
            bail!(
                "no linker at {}: install Rust by rustup, whose toolchains contain rust-lld",
                rust_lld.display()
            );
        }
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        Ok(Toolchain {
            cargo,
            rustc,
            rust_src,
            rust_lld,
            cargo_home: cargo_home()?,
        })
    }
}

/// The compiler that cargo itself would use.
pub fn rustc() -> PathBuf {
    env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from)
}

/// The folder of a compiler's libraries.
pub fn sysroot(rustc: &Path) -> Result<PathBuf> {
    let output = Run::new(rustc).args(["--print", "sysroot"]).ok()?;
    Ok(PathBuf::from(output.stdout.trim()))
}

/// The compiler and its library's source, if it has it.
fn with_source(rustc: &Path) -> Option<(PathBuf, PathBuf)> {
    let source = sysroot(rustc).ok()?.join("lib/rustlib/src/rust");
    source
        .join("library/core/Cargo.toml")
        .is_file()
        .then(|| (rustc.to_owned(), source))
}

fn host_triple(rustc: &Path) -> Result<String> {
    let version = Run::new(rustc).arg("-vV").ok()?.stdout;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("`rustc -vV` names no host")
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}
