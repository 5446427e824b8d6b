//! The vocabulary that both storage miniports share: requests, statuses, sense, locks, DPCs, DMA memory, configuration.
//!
//! Wrappers say the IRQL that Microsoft documents. They cannot check it: a caller that breaks it breaks Windows, not Rust.
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

#[cfg(test)]
extern crate std;

pub mod adapter;
pub mod carve;
pub mod dpc;
pub mod dump;
pub mod entry;
pub mod event;
pub mod find;
pub mod message;
pub mod perf;
pub mod sense;
pub mod srb;
pub mod status;
pub mod trace;

pub use adapter::{Adapter, Physical, ScatterGather, Segment};
pub use carve::{Carver, Dma};
pub use dpc::Dpc;
pub use dump::Dump;
pub use entry::Miniport;
pub use find::FindAdapter;
pub use sense::{Sense, SenseKey};
pub use srb::{Function, Srb};
pub use status::{SrbStatus, StorStatus};

#[doc(hidden)]
pub use nt_sys;
pub use nt_sys::storport as sys;
