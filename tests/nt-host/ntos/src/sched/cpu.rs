//! One virtual CPU: what is loaded on it and what is pending for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::region::Region;
use super::{DISPATCH, PASSIVE, ThreadId};
use crate::lock;

/// Work that the host does on a CPU.
pub(super) type Work = Box<dyn FnOnce()>;

/// Why the loaded thread does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Another CPU's turn.
    No,
    /// The lock is taken.
    Spin(usize),
    /// KeStallExecutionProcessor until then.
    Stall(Duration),
}

/// A queued DPC.
pub(super) struct Dpc {
    pub key: usize,
    pub run: Work,
}

/// An interrupt that its CPU has not taken yet.
pub(super) struct Interrupt {
    pub irql: u8,
    pub run: Work,
}

pub(super) struct Cpu {
    pub irql: u8,
    /// The thread whose stack is in use: it runs, or was pre-empted.
    pub loaded: Option<ThreadId>,
    pub ready: VecDeque<ThreadId>,
    /// Takes interrupts and DPCs while no other thread is loaded.
    pub idle: ThreadId,
    pub region: Region,
    pub dpcs: VecDeque<Dpc>,
    /// In order of arrival.
    pub interrupts: Vec<Interrupt>,
    pub pause: Pause,
    /// Turns of a loop that waits for another CPU, one behind the other.
    pub looks: u32,
    /// How long it has run.
    pub used: Duration,
    /// `used` when it last came to DISPATCH_LEVEL or above.
    pub raised: Option<Duration>,
}

impl Cpu {
    pub fn new(idle: ThreadId, region: Region) -> Cpu {
        Cpu {
            irql: PASSIVE,
            loaded: None,
            ready: VecDeque::new(),
            idle,
            region,
            dpcs: VecDeque::new(),
            interrupts: Vec::new(),
            pause: Pause::No,
            looks: 0,
            used: Duration::ZERO,
            raised: None,
        }
    }

    /// The pending interrupt that is to be taken now: the highest, of equals the first.
    pub fn next_interrupt(&self) -> Option<usize> {
        let (at, found) = self.interrupts.iter().enumerate().reduce(|best, next| {
            if next.1.irql > best.1.irql {
                next
            } else {
                best
            }
        })?;
        (found.irql > self.irql).then_some(at)
    }

    /// Whether an interrupt or a DPC can be taken now.
    pub fn deliverable(&self) -> bool {
        self.next_interrupt().is_some() || (self.irql < DISPATCH && !self.dpcs.is_empty())
    }

    /// Whether there is anything to do.
    pub fn runnable(&self, now: Duration) -> bool {
        self.deliverable()
            || match (self.loaded, self.pause) {
                (None, _) => !self.ready.is_empty(),
                (Some(_), Pause::No) => true,
                (Some(_), Pause::Spin(key)) => lock::is_free(key),
                (Some(_), Pause::Stall(until)) => until <= now,
            }
    }
}
