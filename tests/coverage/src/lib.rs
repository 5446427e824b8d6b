//! Which source lines of a driver were executed: of the shipped file itself, which is not instrumented.
//!
//! The steps are these. [`Code`] decodes the instructions of a .sys file, and takes from its PDB the source lines of each, also
//! those of functions that were inlined into others. [`Code::map`] makes the map in which nt-host (`--coverage`) marks the
//! instructions that it sees executed, by one-shot breakpoints. [`Code::lines`] turns the marks into lines, and [`Judgement`]
//! compares these with the list of lines that cannot be reached ([`Unreached`]).
//!
//! A line counts if the file has at least one instruction of it, and is executed if one of its instructions is, in whatever place
//! it was inlined. Lines that the compiler left out have nothing that could run, and do not count.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod code;
mod judge;
mod unreached;

#[cfg(test)]
mod tests;

pub use code::{Code, Lines};
pub use judge::{FileCoverage, Judgement};
pub use unreached::{Entry, Unreached};
