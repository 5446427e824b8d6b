//! Counts what a marked stretch of a program does: instructions, full fences, accesses to named memory. No time, no noise.
//!
//! The program runs as a child under ptrace. Outside of its marked stretches (`perf_marker::begin` and `end`) it runs at
//! full speed; inside them it is single-stepped, and each instruction is decoded before it runs: is it a full fence,
//! which addresses does it read and write. What is counted is the very code that the compiler made; nothing is
//! simulated, and nothing in the program is there only to count.
//!
//! A stretch is what lies between two markers, or a call into code that was named with `perf_marker::image`, such as a driver that
//! the process has loaded: then nothing counts that runs outside of it.
//!
//! Two ways in, with the same counter behind both:
//!
//! - [`count_program`] starts a program of its own, with its addresses fixed. Use it for what is built by other rules than
//!   the test itself (optimised, link-time optimised).
//! - [`count`] forks, and runs a closure in the child. Use it for code that is there already, such as a driver that the
//!   process has loaded.
//!
//! # What is exact and what is not
//!
//! - An instruction counts when it has retired. One with a repeat prefix counts once, however many elements it moves; its
//!   memory accesses count for each element.
//! - The code of the kernel is not counted: a system call is one instruction (and [`Counts::system_calls`] tells).
//! - A signal handler is not counted. An instruction that a handler carries out in the place of the processor (it faults,
//!   and the handler moves on) counts once, and so do its accesses.
//! - Only the thread that runs the closure or `main` is counted.
//! - The numbers repeat from run to run as far as the program does. [`count_program`] sees to what it can: no address
//!   space randomisation, an empty environment but for what the caller set and one tunable that keeps the C library from
//!   choosing its `memcpy` by processor.
//!
//! Only Linux on x86-64: elsewhere both functions return [`CountError::Unsupported`], and the caller has to say so.
//!
//! # Example
//!
//! ```
//! use perf_count::{CountError, Limits, count};
//!
//! let counted = count(Limits::default(), || {
//!     perf_marker::begin::<1>();
//!     std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
//!     perf_marker::end::<1>();
//! });
//! match counted {
//!     Ok(report) => assert_eq!(report.phase(1).unwrap().total.full_fences, 1),
//!     Err(CountError::Unsupported) => println!("skipped: not Linux on x86-64"),
//!     Err(error) => panic!("{error}"),
//! }
//! ```

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod calls;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod child;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod decode;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod ptrace;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tally;
#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tracer;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod watched;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use child::{count, count_program};

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

/// Bytes of zeros next to each other that are no longer taken for numbers.
pub const ZERO_RUN: u64 = 16;

/// What a stretch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions that retired.
    pub instructions: u64,
    /// Full fences: `mfence`, and every instruction with a lock prefix or that exchanges a register with memory.
    pub full_fences: u64,
    /// System calls.
    pub system_calls: u64,
    /// Entries into watched functions that allocate or free memory.
    pub heap_calls: u64,
    /// Entries into watched functions that acquire a lock.
    pub lock_calls: u64,
    /// Entries into watched functions that look up a physical address.
    pub address_calls: u64,
    /// Loads that touch a cache line which the device writes.
    pub device_loads: u64,
    /// Stores that touch a cache line which the device writes.
    pub device_stores: u64,
    /// Different cache lines that the device writes, touched in a stretch.
    pub device_lines: u64,
    /// Other loads that touch a cache line which the driver writes and the device reads.
    pub driver_loads: u64,
    /// Other stores that touch a cache line which the driver writes and the device reads.
    pub driver_stores: u64,
    /// Reads of device registers.
    pub register_reads: u64,
    /// Writes to device registers.
    pub register_writes: u64,
    /// Of the full fences, in calls of an image: locked instructions on memory that is not the stack. Those on the stack do
    /// nothing but fence.
    pub locked: u64,
    /// Of the full fences, in calls of an image: the others. A field of its own, as the most of both in one call cannot be told from
    /// the most of each.
    pub fences: u64,
    /// In calls of an image: bytes stored to memory that is neither the stack nor watched.
    pub bytes_written: u64,
    /// Of these, bytes of stores of nothing but zeros.
    pub bytes_zeroed: u64,
    /// Of these, bytes of runs of at least [`ZERO_RUN`], each store next to the one before: what clearing memory looks like. A number
    /// that happens to be zero is shorter.
    pub bytes_cleared: u64,
    /// In calls of an image: calls that leave it.
    pub calls_out: u64,
}

/// All stretches of one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// How many there were.
    pub stretches: u64,
    /// Sum over all of them.
    pub total: Counts,
    /// For each count the smallest of any stretch.
    pub least: Counts,
    /// For each count the largest of any stretch.
    pub most: Counts,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By the number that the markers gave.
    pub phases: BTreeMap<u8, Phase>,
    /// The instructions of the stretches that [`Limits::listing`] asked for, one a line.
    pub listing: Vec<String>,
}

impl Report {
    /// The phase with this number, if any stretch of it ran to its end.
    #[must_use]
    pub fn phase(&self, number: u8) -> Option<&Phase> {
        self.phases.get(&number)
    }
}

/// How far a count may go, and how much of it is written down.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The child is killed when it has not ended by then; rounded up to whole seconds.
    pub deadline: Duration,
    /// Steps in all stretches together; more is an error, as a stretch that never ends would take for ever.
    pub steps: u64,
    /// Phase and number (from 0) of a stretch whose instructions are listed.
    pub listing: Option<(u8, u64)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            steps: 50_000_000,
            listing: None,
        }
    }
}

/// Why nothing could be counted.
#[derive(Debug, Error)]
pub enum CountError {
    /// Another processor or operating system.
    #[error("counting needs Linux on x86-64")]
    Unsupported,
    /// The child could not be started.
    #[error("cannot start the program: {0}")]
    Start(std::io::Error),
    /// The kernel refused; in a container ptrace may be forbidden.
    #[error("{call} failed: {error} (is ptrace allowed here?)")]
    Trace {
        /// What was called.
        call: &'static str,
        /// What it said.
        error: std::io::Error,
    },
    /// The child ended with a code other than 0: its own complaint is on standard error.
    #[error("the program ended with code {code}")]
    Exit {
        /// Exit code.
        code: i32,
    },
    /// The child died.
    #[error("the program died of signal {signal} at {at:#x}")]
    Signal {
        /// Number of the signal.
        signal: i32,
        /// Last address known.
        at: u64,
    },
    /// The child was not done in time.
    #[error("the program had not ended after {seconds} s")]
    Deadline {
        /// How long it had.
        seconds: u32,
    },
    /// Stretches are too long, or one never ends.
    #[error("more than {limit} instructions in the marked stretches")]
    Steps {
        /// How many were allowed.
        limit: u64,
    },
    /// Markers make no sense: an end without a beginning, one stretch inside another, a breakpoint of somebody else.
    #[error("marker at {at:#x}: {problem}")]
    Marker {
        /// Address of the breakpoint.
        at: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An instruction whose bytes or addresses could not be made out.
    #[error("cannot follow the instruction at {at:#x}: {text}")]
    Instruction {
        /// Its address.
        at: u64,
        /// As far as it was read.
        text: String,
    },
}

/// Counts the marked stretches of `work`, which runs in a forked child.
///
/// # Errors
///
/// [`CountError::Unsupported`], always, on this platform.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn count(_limits: Limits, _work: impl FnOnce()) -> Result<Report, CountError> {
    Err(CountError::Unsupported)
}

/// Counts the marked stretches of a program.
///
/// # Errors
///
/// [`CountError::Unsupported`], always, on this platform.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn count_program(
    _limits: Limits,
    _program: &std::path::Path,
    _arguments: &[&str],
) -> Result<Report, CountError> {
    Err(CountError::Unsupported)
}
