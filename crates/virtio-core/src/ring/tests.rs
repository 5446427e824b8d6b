//! Tests of the rings: every behaviour once, run over direct × indirect × event-idx, against a device side that shares no
//! code with this crate (rust-vmm's `virtio-queue`).

mod behaviour;
mod event;
mod hostile;
mod kick;
mod model;
mod refuse;
mod rig;
mod threads;
