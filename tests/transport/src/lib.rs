//! A machine with one real device: what virtio-core needs of a platform, made of a QEMU that is driven over its qtest
//! socket.
//!
//! This is the one test crate that links both virtio-core and the device side, so that the two meet nowhere else.

mod driver;
mod machine;

pub use driver::{Disk, Driver, Request};
pub use machine::{Machine, Reach, Window};
