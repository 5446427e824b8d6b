//! Where the Rust toolchain keeps what a driver build needs.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::Run;

/// The parts of a Rust installation that a driver build needs.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// `cargo`.
    pub cargo: PathBuf,
    /// The folder that `rustc --print sysroot` names.
    pub sysroot: PathBuf,
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
        let rustc = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let print = |what: &str| -> Result<PathBuf> {
            let output = Run::new(&rustc).args(["--print", what]).ok()?;
            Ok(PathBuf::from(output.stdout.trim()))
        };
        let sysroot = print("sysroot")?;
        let host = host_triple(&rustc)?;
        let rust_src = sysroot.join("lib/rustlib/src/rust");
        if !rust_src.join("library/core/Cargo.toml").is_file() {
            bail!(
                "the Rust standard library's source is not in {}: run `rustup component add rust-src`",
                rust_src.display()
            );
        }
        let rust_lld = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
        if !rust_lld.is_file() {
            bail!(
                "no linker at {}: install Rust by rustup, whose toolchains contain rust-lld",
                rust_lld.display()
            );
        }
        Ok(Toolchain {
            cargo,
            sysroot,
            rust_src,
            rust_lld,
            cargo_home: cargo_home()?,
        })
    }
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
