//! Where the benchmarks put what they found: the generated parts of a page, and a line for each test.
#![forbid(unsafe_code)]

pub mod page;
mod test;

pub use test::{Test, print};
