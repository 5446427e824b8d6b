//! Everything that makes, checks and installs a WinPV pack, as a library: `winpv` is its face for users, `cargo xtask` the
//! one for developers.

pub mod acceptance;
pub mod attestation;
pub mod build;
pub mod cli;
pub mod drivers;
pub mod inf;
pub mod iso;
pub mod keys;
pub mod msi;
pub mod pack;
pub mod progress;
pub mod resource;
pub mod sbom;
pub mod setup;
pub mod sign;
pub mod toolchain;
pub mod verify;
pub mod version;

pub use winpv_process as process;

use std::env;
use std::path::{Path, PathBuf};

/// The folder that holds the sources: the nearest one around the current folder that has a workspace with our INF templates.
///
/// Where there is none, the current folder, so that messages about what is missing name a path the user knows.
#[must_use]
pub fn root() -> PathBuf {
    // Under cargo the package's folder is the better start: the user may call from anywhere.
    let start = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .or_else(|| env::current_dir().ok())
        .unwrap_or_else(|| PathBuf::from("."));
    let is_root =
        |dir: &&Path| dir.join("inf").is_dir() && dir.join("rust-toolchain.toml").is_file();
    start
        .ancestors()
        .find(is_root)
        .unwrap_or(&start)
        .to_path_buf()
}

/// Cargo's target folder: what CARGO_TARGET_DIR says, otherwise `target` in the repository.
#[must_use]
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
