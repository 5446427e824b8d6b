//! `verify`: the static rules, applied to any driver's .sys.

pub mod sys;

pub use sys::{Args, Row, check, mutations, run};
