//! The rings' index arithmetic, run over every input or over a set that is shown to stand for every input.
//!
//! The files under test are compiled here a second time, with optimisation also in test builds: 2³³ calls take seconds.
//! `docs/proofs.md` says what follows from these runs and what does not.
#![forbid(unsafe_code)]

#[cfg(test)]
mod delay;
#[cfg(test)]
#[path = "../../../crates/virtio-core/src/ring/event.rs"]
mod event;
#[cfg(test)]
mod packed;
#[cfg(test)]
#[path = "../../../crates/virtio-core/src/ring/position.rs"]
mod position;
#[cfg(test)]
mod split;
