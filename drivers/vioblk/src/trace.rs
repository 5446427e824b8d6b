//! What the driver tells event tracing: what a disk goes through, never a request. docs/vioblk-events.md has the same list; a test
//! compares them.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use storport::Adapter;
use storport::trace::{Kind, Level};
use storport::wide;

/// What happened, with the values that are recorded with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The device is live: the features agreed on, the queues.
    Started,
    /// The device was reset: how many times by now, whether it can be used.
    Reset,
    /// The device is gone.
    Gone,
    /// The disk has another size: its blocks, their bytes.
    CapacityChanged,
    /// Something of which the event log has an entry, if not one too many: its number.
    Reported,
}

/// Every kind, in the order of [`Happened`].
pub static KINDS: [Kind; 5] = [
    kind(
        1,
        Level::Information,
        wide!("disk started"),
        [wide!("features"), wide!("queues")],
    ),
    kind(
        2,
        Level::Warning,
        wide!("device reset"),
        [wide!("resets"), wide!("usable")],
    ),
    kind(3, Level::Warning, wide!("device gone"), [&[], &[]]),
    kind(
        4,
        Level::Information,
        wide!("capacity changed"),
        [wide!("blocks"), wide!("block size")],
    ),
    kind(
        5,
        Level::Warning,
        wide!("event reported"),
        [wide!("event"), &[]],
    ),
];

const fn kind(
    id: u32,
    level: Level,
    description: &'static [u16],
    names: [&'static [u16]; 2],
) -> Kind {
    Kind {
        id,
        level,
        description,
        names,
    }
}

/// Records it. IRQL <= DISPATCH_LEVEL; not in the dump stack.
#[cold]
#[inline(never)] // used twice or more
pub fn record(adapter: Adapter, happened: Happened, values: [u64; 2]) {
    if let Some(kind) = KINDS.get(happened as usize) {
        adapter.trace(kind, values);
    }
}
