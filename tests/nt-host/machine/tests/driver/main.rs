//! The machine as a driver sees it: a small driver is built for Windows, loaded and called.
//!
//! For ARM64, on a host of another architecture:
//!
//! ```text
//! CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
//! CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER=qemu-aarch64 \
//! cargo test -p host-machine --target aarch64-unknown-linux-musl
//! ```

mod build;
mod calls;
#[cfg(target_arch = "x86_64")]
mod coverage;
mod faults;
mod fibers;
mod guard;
mod hints;
mod host;
mod loading;
mod mmio;
