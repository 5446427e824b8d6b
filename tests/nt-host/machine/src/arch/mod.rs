//! What differs between processors, behind one surface.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;

/// What an attempt to carry out a trapped device access came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emulated {
    /// Done, and the instruction is behind.
    Done,
    #[cfg(target_arch = "x86_64")]
    /// The instruction is about to be executed on memory that stands in for the device; a trap follows.
    Stepping,
    /// Not an instruction that can be carried out.
    Refused,
}
