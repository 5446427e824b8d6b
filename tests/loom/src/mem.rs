//! virtio-core's `mem` with [`access`] replaced: the other files are the shipped ones.

pub mod access;
#[path = "../../../crates/virtio-core/src/mem/barrier.rs"]
mod barrier;
#[path = "../../../crates/virtio-core/src/mem/packed.rs"]
mod packed;
#[path = "../../../crates/virtio-core/src/mem/region.rs"]
mod region;
/// The file that is replaced, for the macro in it, which calls `access` wherever it is used.
#[expect(dead_code, reason = "the functions are those that loom does not see")]
#[path = "../../../crates/virtio-core/src/mem/access.rs"]
mod shipped;
#[path = "../../../crates/virtio-core/src/mem/split.rs"]
mod split;
#[path = "../../../crates/virtio-core/src/mem/table.rs"]
mod table;

pub(crate) use barrier::Order;
pub(crate) use packed::{Alone, PackedMemory, PackedWriter, UsedPlace};
pub use region::{DeviceAddress, DmaRegion, OutOfRegion};
use shipped::write_fields;
pub(crate) use split::{DeviceWord, DriverWord, SplitDescriptors, SplitMemory};
pub use table::TableMemory;
