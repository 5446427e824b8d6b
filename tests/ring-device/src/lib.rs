//! The device side of virtqueues, written byte by byte from the specification.
//!
//! It shares no structure and no constant with the driver side, so that a wrong offset there cannot agree with itself.
//! Offsets and bits stand here as the numbers that the specification prints.
//!
//! ```text
//!  driver publishes ─► notification_due? ─► pop, pop, … ─► push / push_batch ─► interrupt_due?
//!                                  request_notification ─► work pending? again : sleep
//! ```
//!
//! A [`Queue`] also judges the driver: whatever the specification forbids the driver to do in the ring is a [`Violation`].
//! A device that lies writes its lies itself, through [`Memory`], at the addresses that [`Split`] and [`Packed`] tell.
//!
//! # Example
//!
//! A device that answers every buffer at once:
//!
//! ```
//! use ring_device::{Memory, Queue, Violation};
//!
//! fn serve(queue: &mut Queue, memory: &impl Memory) -> Result<bool, Violation> {
//!     while let Some(buffer) = queue.pop(memory)? {
//!         let room = buffer.writable_bytes();
//!         queue.push(memory, buffer.id, u32::try_from(room).unwrap_or(u32::MAX))?;
//!     }
//!     queue.interrupt_due(memory)
//! }
//! ```
#![forbid(unsafe_code)]

mod buffer;
mod ledger;
mod memory;
mod packed;
mod queue;
mod split;
#[cfg(test)]
mod tests;
mod violation;

pub use buffer::{Buffer, Part};
pub use memory::{Memory, Unreachable};
pub use packed::Packed;
pub use queue::{Queue, Setup};
pub use split::Split;
pub use violation::Violation;
