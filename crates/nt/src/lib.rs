//! The kernel vocabulary that every driver shares, and what a .sys needs at link time.
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

pub mod cpu;
pub mod irql;
pub mod memory;
#[cfg(all(windows, panic = "abort"))]
mod panic;
#[cfg(windows)]
mod rt;
pub mod status;

pub use nt_sys as sys;
