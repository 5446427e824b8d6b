//! Lies of the transport: capability lists, set-up, configuration space, queues and their registers, interrupts.

mod bench;
mod capabilities;
mod config;
mod device;
mod features;
mod interfaces;
mod live;
mod queues;
mod registers;
mod reset;
mod space;
mod status;

use crate::{Interface, Outcome, Row, Run, Verdict};

/// The tables of this folder.
pub const ROWS: &[&[Row]] = &[
    capabilities::ROWS,
    interfaces::ROWS,
    config::ROWS,
    queues::ROWS,
    reset::ROWS,
    live::ROWS,
    status::ROWS,
    features::ROWS,
];

const MODERN: &[Interface] = &[Interface::Modern];
const LEGACY: &[Interface] = &[Interface::Legacy];
const BOTH: &[Interface] = &[Interface::Modern, Interface::Legacy];

/// A row about these interfaces.
const fn row(
    id: &'static str,
    section: &'static str,
    lie: &'static str,
    verdict: Verdict,
    interfaces: &'static [Interface],
    run: fn(Interface) -> Outcome,
) -> Row {
    Row {
        id,
        section,
        lie,
        verdict,
        run: Run::Transport(interfaces, run),
    }
}
