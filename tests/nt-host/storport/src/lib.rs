//! An emulated StorPort port driver: what storport.sys does for a physical miniport, from Microsoft's documentation.

mod request;

pub use request::{Address, Data, Function, Layout, Limits, Outcome, Request};
