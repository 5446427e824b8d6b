//! The StorPort port driver's interface for physical miniports.
//!
//! source: storport.h; since: Windows Server 2003 (StorPort on clients: Windows Vista)

mod address;
mod callback;
mod code;
mod config;
mod dump;
mod event;
mod import;
mod perf;
mod runtime;
mod srb;
mod srbex;

pub use address::*;
pub use callback::*;
pub use code::*;
pub use config::*;
pub use dump::*;
pub use event::*;
pub use import::*;
pub use perf::*;
pub use runtime::*;
pub use srb::*;
pub use srbex::*;
