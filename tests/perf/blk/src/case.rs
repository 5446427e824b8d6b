//! What is measured: ring format, who completes when, requests in flight, queues.

use std::fmt;
use std::str::FromStr;

/// Requests in flight.
const DEPTHS: [u32; 3] = [1, 32, 256];
/// Queues, and processors.
const QUEUES: [u16; 4] = [1, 2, 4, 64];
/// Requests that are counted, at least.
const REQUESTS: u32 = 16;

/// When the device completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// One request at a time, each with an interrupt; another is sent for each.
    Single,
    /// All that are in flight at once, with one interrupt a queue; then as many are sent.
    Batch,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    pub packed: bool,
    pub pace: Pace,
    pub depth: u32,
    pub queues: u16,
}

impl Case {
    /// All that are measured. Requests in a batch of one are single ones.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for packed in [false, true] {
            for pace in [Pace::Single, Pace::Batch] {
                for depth in DEPTHS {
                    if pace == Pace::Batch && depth == 1 {
                        continue;
                    }
                    all.extend(QUEUES.map(|queues| Self {
                        packed,
                        pace,
                        depth,
                        queues,
                    }));
                }
            }
        }
        all
    }

    /// Requests that are counted.
    pub fn requests(&self) -> u32 {
        match self.pace {
            Pace::Single => REQUESTS,
            Pace::Batch => REQUESTS.next_multiple_of(self.depth),
        }
    }

    /// The same with one request in flight on one queue.
    pub fn simplest(&self) -> Self {
        Self {
            packed: self.packed,
            pace: Pace::Single,
            depth: 1,
            queues: 1,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = if self.packed { "packed" } else { "split" };
        let pace = match self.pace {
            Pace::Single => "single",
            Pace::Batch => "batch",
        };
        write!(
            f,
            "{ring} {pace} depth={} queues={}",
            self.depth, self.queues
        )
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::all()
            .into_iter()
            .find(|case| case.to_string() == name);
        known.ok_or_else(|| format!("no case is called {name:?}"))
    }
}
