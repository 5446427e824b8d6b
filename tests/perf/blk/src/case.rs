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

impl Pace {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Single => "one by one",
            Self::Batch => "all at once",
        }
    }
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
    /// All that are measured.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for packed in [false, true] {
            for pace in [Pace::Single, Pace::Batch] {
                for depth in DEPTHS {
                    let cases = QUEUES.map(|queues| Self {
                        packed,
                        pace,
                        depth,
                        queues,
                    });
                    all.extend(cases.into_iter().filter(Self::says_something));
                }
            }
        }
        all
    }

    /// Of the batches a few: they take long, and what depends on the number of queues is seen with single requests.
    fn says_something(&self) -> bool {
        match self.pace {
            Pace::Single => true,
            Pace::Batch => matches!((self.depth, self.queues), (32, 1 | 4) | (256, 4)),
        }
    }

    /// Requests that are counted.
    pub fn requests(&self) -> u32 {
        match self.pace {
            Pace::Single => REQUESTS,
            Pace::Batch => REQUESTS.next_multiple_of(self.depth),
        }
    }

    /// The one whose start is recorded.
    pub fn largest() -> Self {
        Self {
            packed: false,
            pace: Pace::Single,
            depth: 1,
            queues: 64,
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
