//! The rings under loom: every interleaving of driver and device with up to three pre-emptions, and every value that the memory model lets a
//! load return.
//!
//! The files of virtio-core are compiled here a second time. Two of its modules are replaced, so that loom sees what the rings
//! do: [`sync`] (orderings and fences) and `mem::access` (the only code that touches shared memory). All else is the shipped
//! source: formats, decisions, fences, orderings.
//!
//! [`lock`] is the lock that vioblk.sys takes a queue with, from its source.
//!
//! The device is a model of its own ([`device`]), written from the specification and with its own fences, so that a lost
//! notification is the driver's fault.

pub mod device;
pub mod line;
pub mod lock;
pub mod mem;
pub mod rig;
#[path = "../../../crates/virtio-core/src/ring/mod.rs"]
pub mod ring;
#[path = "../../../crates/virtio-core/src/spec/mod.rs"]
pub mod spec;
pub mod sync;
pub mod transport;
