//! A virtio-core queue and an independent device over the same memory, in every mode, with an account of every token.
//!
//! What tests of rings share: behaviour, random histories and the hostile table run on a [`Rig`]. It sees virtio-core from
//! outside only.

mod device;
mod memory;
mod mode;
mod rig;

pub use device::Device;
pub use memory::GuestMemory;
pub use mode::{Mode, Side, Variant};
pub use rig::{Rig, part, slots, stopped};
