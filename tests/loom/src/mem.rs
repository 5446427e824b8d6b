//! virtio-core's `mem` with [`access`] replaced: the other files are the shipped ones.

pub mod access;
#[path = "../../../crates/virtio-core/src/mem/barrier.rs"]
mod barrier;
#[path = "../../../crates/virtio-core/src/mem/packed.rs"]
mod packed;
#[path = "../../../crates/virtio-core/src/mem/region.rs"]
mod region;
#[path = "../../../crates/virtio-core/src/mem/split.rs"]
mod split;

pub(crate) use barrier::Order;
pub(crate) use packed::PackedMemory;
pub use region::{DeviceAddress, DmaRegion, OutOfRegion};
pub(crate) use split::{DeviceWord, DriverWord, SplitMemory};
