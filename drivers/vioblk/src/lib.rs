//! The virtio block device as a StorPort miniport.
#![cfg_attr(not(test), no_std)]
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
#![deny(unsafe_code)]

mod chain;
mod changes;
pub mod config;
mod disk;
mod dump;
pub mod events;
mod ffi;
mod find;
pub mod identity;
mod lifecycle;
pub mod limits;
mod pnp;
mod pool;
mod ranges;
mod request;
mod reset;
mod ring;
pub mod scsi;
mod segments;
mod short;
mod start;
mod state;
pub mod statistics;
mod trace;

pub use ffi::entry::miniport;
