//! vioblk.sys: DriverEntry, and with it all that is done for each request.
//!
//! The routines of [`vioblk`] that are marked `#[inline]` are compiled here, for speed, because their addresses are taken here; the rest
//! of that crate is compiled for size (profile `driver` in the workspace's Cargo.toml).
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

mod ffi;
