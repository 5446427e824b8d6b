//! The passage of time, as the caller's platform tells it.
#![forbid(unsafe_code)]

/// A monotonic clock and a way to let time pass; every wait of this crate goes through it and has a deadline.
pub trait Clock {
    /// Time since any fixed point, in microseconds. Never goes back.
    fn now_us(&self) -> u64;

    /// Lets about `us` microseconds pass, by sleeping or by spinning, as the caller's context allows.
    fn wait_us(&self, us: u32);
}
