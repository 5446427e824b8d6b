//! What is measured: the cases, their names, and the phases of their work.
//!
//! The programs beside this library do the work (features `ours` and `others`). They are built as the drivers are: profile
//! `driver`, that is fat link-time optimisation, one codegen unit, panic = abort. Alone they die at their first marker.

#[cfg(feature = "work")]
pub mod memory;
pub mod phase;
#[cfg(feature = "work")]
pub mod registers;
#[cfg(test)]
mod tests;
#[cfg(feature = "work")]
pub mod work;

use std::fmt;
use std::str::FromStr;

/// Descriptors of every ring.
pub const RING_SIZE: u16 = 128;
/// Requests that are counted: once round a split ring's rings, and one, two or three times round a packed ring.
pub const REQUESTS: u32 = 128;
/// The larger batch.
pub const BATCH: u32 = 32;

/// Whose ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Implementation {
    /// This project's `virtio-core`.
    VirtioCore,
    /// `virtio-drivers` from crates.io.
    VirtioDrivers,
    /// `virtio-driver` from crates.io.
    VirtioDriver,
    /// `hyperlight-common` from crates.io: its `virtq` module.
    Hyperlight,
    /// `virtio-queue` from crates.io: the mock of a driver in its test utilities.
    VirtioQueueMock,
}

impl Implementation {
    /// All, ours first.
    pub const ALL: [Self; 5] = [
        Self::VirtioCore,
        Self::VirtioDrivers,
        Self::VirtioDriver,
        Self::Hyperlight,
        Self::VirtioQueueMock,
    ];

    /// Name of the crate.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VirtioCore => "virtio-core",
            Self::VirtioDrivers => "virtio-drivers",
            Self::VirtioDriver => "virtio-driver",
            Self::Hyperlight => "hyperlight-common",
            Self::VirtioQueueMock => "virtio-queue",
        }
    }

    /// The version that is measured; empty for ours.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::VirtioCore => "",
            Self::VirtioDrivers => "0.13.0",
            Self::VirtioDriver => "0.6.1",
            Self::Hyperlight => "0.18.0",
            Self::VirtioQueueMock => "0.17.0",
        }
    }
}

/// How a queue is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode {
    /// Packed ring instead of split.
    pub packed: bool,
    /// Requests in indirect tables.
    pub indirect: bool,
    /// EVENT_IDX was negotiated.
    pub event_idx: bool,
    /// IN_ORDER was negotiated, and the device uses a batch with one used element.
    pub in_order: bool,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// Whose ring.
    pub implementation: Implementation,
    /// How it is set up.
    pub mode: Mode,
    /// Parts of a request: 2 (16 bytes that the device reads, 4096 that it writes) or 3 (and a byte that it writes).
    pub parts: u32,
    /// Requests between two publications.
    pub depth: u32,
}

impl Case {
    /// All, in the order of the table.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for implementation in Implementation::ALL {
            for mode in implementation.modes() {
                for (parts, depth) in [(2, 1), (2, BATCH), (3, BATCH)] {
                    cases.push(Self {
                        implementation,
                        mode,
                        parts,
                        depth,
                    });
                }
            }
        }
        cases
    }
}

impl Implementation {
    /// The set-ups that it has.
    #[must_use]
    pub fn modes(self) -> Vec<Mode> {
        let all = (0..16u8).map(|bits| Mode {
            packed: bits & 8 != 0,
            indirect: bits & 4 != 0,
            event_idx: bits & 2 != 0,
            in_order: bits & 1 != 0,
        });
        all.filter(|mode| match self {
            Self::VirtioCore => true,
            Self::VirtioDrivers => !mode.packed && !mode.in_order,
            Self::VirtioDriver => !mode.indirect && !mode.in_order,
            Self::Hyperlight => mode.packed && !mode.indirect && !mode.in_order,
            Self::VirtioQueueMock => {
                !mode.packed && !mode.indirect && !mode.event_idx && !mode.in_order
            }
        })
        .collect()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(if self.packed { "packed" } else { "split" })?;
        to.write_str(if self.indirect {
            " indirect"
        } else {
            " direct"
        })?;
        if self.event_idx {
            to.write_str(" event-idx")?;
        }
        if self.in_order {
            to.write_str(" in-order")?;
        }
        Ok(())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            implementation,
            mode,
            parts,
            depth,
        } = self;
        write!(
            to,
            "{} {mode} parts={parts} batch={depth}",
            implementation.name()
        )
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::all()
            .into_iter()
            .find(|case| case.to_string() == name)
            .ok_or_else(|| format!("no case is called {name:?}"))
    }
}
