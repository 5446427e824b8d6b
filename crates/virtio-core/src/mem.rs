//! Memory that the device can see, and the only way this crate touches it.
//!
//! No reference to plain data in it ever exists: the device may change any byte at any time. What is read is copied out
//! once, what is written is copied in, both volatile; the few words that carry ordering are atomics.

#[expect(unsafe_code, reason = "the accesses themselves")]
mod access;
mod barrier;
mod dma;
mod packed;
mod region;
mod split;
mod table;
#[cfg(test)]
mod tests;

use access::write_fields;
pub(crate) use barrier::Order;
#[cfg(test)]
pub(crate) use barrier::instruction;
pub use dma::Dma;
pub(crate) use packed::{Alone, PackedMemory, PackedWriter, UsedPlace};
pub use region::{DeviceAddress, DmaRegion, OutOfRegion};
pub(crate) use split::{DeviceWord, DriverWord, SplitDescriptors, SplitMemory};
pub use table::TableMemory;
