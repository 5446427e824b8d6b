//! The driver side of virtio: rings, the virtio-pci transport and the wire types of its devices.
//!
//! No operating system, no allocation, no panic: memory is lent by the caller, time comes through [`Clock`], registers
//! through [`mmio::Registers`], and whatever a device does wrong is an error value. Rules taken from the specification
//! are cited as `Virtio 1.3 §…`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mem`] | memory that the device can see, and the only way to touch it |
//! | [`mmio`] | device registers |
//! | [`spec`] | wire types and constants, nothing else |
//! | [`ring`] | virtqueues |
//! | [`transport`] | finding, negotiating, resetting and notifying a device |
//!
//! Lengths, offsets and alignments are in bytes, queue sizes in descriptors, times in microseconds.
#![no_std]
#![deny(unsafe_code)]
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

mod clock;
pub mod mem;
pub mod mmio;
pub mod ring;
pub mod spec;
mod sync;
#[cfg(test)]
mod testing;
pub mod transport;

pub use clock::Clock;

/// Compiles and runs the example in the read-me file.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
