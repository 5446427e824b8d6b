//! Lies in rings.

use crate::Row;

/// The tables of this folder.
pub const ROWS: &[&[Row]] = &[];
