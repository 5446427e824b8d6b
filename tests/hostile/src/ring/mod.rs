//! Lies in rings, and the rules that bind the driver there.

mod events;
mod ids;
mod lie;
mod life;
mod memory;
mod packed;
mod refusals;
mod rules;
mod split;

use crate::Row;

/// The tables of this folder.
pub const ROWS: &[&[Row]] = &[
    ids::ROWS,
    memory::ROWS,
    events::ROWS,
    life::ROWS,
    refusals::ROWS,
    rules::ROWS,
    split::ROWS,
    packed::ROWS,
];
