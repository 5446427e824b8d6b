//! The Windows kernel that the test host gives to a driver: virtual CPUs, IRQL, DPCs, locks, pool, clock and exports.
//!
//! One Linux thread runs everything. Each virtual CPU runs one fiber at a time; where a driver is pre-empted is chosen by a
//! seeded generator at imports and MMIO, and a loop that waits for another CPU and says so (`pause`) always gives way, so a run on
//! in-process devices is repeatable from its seed. State lives in thread-locals, and no borrow of it is held while driver code runs
//! or fibers are switched.
//!
//! It is stricter than Windows on purpose: every call is checked against what Microsoft documents ([`rules`]).

pub mod abi;
pub mod callback;
mod context;
pub mod export;
mod fault;
pub mod guest;
pub mod inject;
mod kernel;
pub mod lock;
pub mod pool;
pub mod rules;
pub mod sched;
mod shared_data;
#[cfg(test)]
mod testing;
pub mod trace;

pub use kernel::{Clock, Config, Preempt, Report, boot, config, count, ram, shutdown};
