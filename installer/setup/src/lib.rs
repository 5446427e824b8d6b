//! The program that the MSI runs to add, update and remove driver packages.
//!
//! What is decided stands in [`policy`] and [`engine`], which know Windows only through [`system::System`] and are tested on any
//! machine; `windows` carries it out. The same library is linked twice: as winpv-setup.exe, which does the work, and as
//! winpv-check.dll, which the MSI calls before and after (docs/install-msi.md says when).

#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]
#![cfg_attr(not(windows), forbid(unsafe_code))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod args;
pub mod bcd;
pub mod content;
pub mod engine;
pub mod plan;
pub mod policy;
pub mod record;
pub mod system;

#[cfg(windows)]
mod windows;

#[cfg(test)]
mod tests;
