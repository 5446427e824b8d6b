//! The machine that a Windows driver image believes it runs on, inside one Linux thread.
//!
//! It loads the image, carries calls across the two calling conventions, gives the driver its own
//! stacks, turns register accesses into calls to a device and reports every fault. It knows nothing of
//! what a Windows function means: that is the business of the crates above it.
//!
//! Everything belongs to the thread that made it; threads do not share images, windows or fibers.
//!
//! Driver code never runs on the stack of host code. Each fiber has one stack for either, and every
//! crossing changes stacks: so the driver's stack has exactly the size asked for, and a trap in driver
//! code continues as a plain call on the host stack, not inside a signal handler.
#![deny(missing_docs)]

mod arch;
mod context;
#[cfg(target_arch = "x86_64")]
pub mod coverage;
pub mod cpu;
pub mod fault;
pub mod fiber;
pub mod image;
pub mod mmio;
pub mod ram;
mod stack;
pub(crate) mod sys;
mod trap;
