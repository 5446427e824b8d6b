//! The hostile table: every way in which a device can lie and every rule that binds the driver, each as a row with an id,
//! the section of the specification, and the verdict that has to come of it.
//!
//! A row returns what it saw; [`Row::check`] compares that with the verdict, in every mode that the row applies to. The
//! list is [README.md](../README.md), written by `cargo run -p hostile-table -- --write`.

mod must;
mod readme;
mod ring;
mod row;
mod transport;

pub use must::{MUSTS, Must};
pub use readme::readme;
pub use row::{Interface, Outcome, Row, Run, Verdict};

/// Every row, by id.
#[must_use]
pub fn rows() -> Vec<&'static Row> {
    let tables = [ring::ROWS, transport::ROWS];
    let mut rows: Vec<_> = tables.into_iter().flatten().copied().flatten().collect();
    rows.sort_by_key(|row| row.id);
    rows
}
