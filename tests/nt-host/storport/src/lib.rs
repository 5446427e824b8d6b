//! An emulated StorPort port driver: what storport.sys does for a physical miniport, from Microsoft's documentation.
//!
//! [`install`] registers its exports with a booted kernel, [`load`] maps a miniport, [`Driver::add_adapter`] puts it on a device and
//! [`Adapter`] starts, drives and removes it in Windows' order. Every SRB, extension, scatter/gather list and buffer is memory
//! that really goes away on completion, and every chain that the device is given is checked against what was mapped for it.
//!
//! Nothing here knows any particular miniport.

mod adapter;
mod codes;
mod complete;
mod config;
mod control;
mod counters;
mod driver;
mod dump;
mod events;
mod export;
pub mod fallible;
mod flow;
mod grants;
mod interrupt;
mod io;
mod memory;
mod options;
mod power;
mod request;
pub mod rules;
mod scan;
mod srb;
mod start;
mod state;
mod timeout;

pub use adapter::{Adapter, Failure, Routines, StartError};
pub use counters::Counters;
pub use driver::{Driver, LoadFailure, load};
pub use dump::{Dump, Mode as DumpMode, crash};
pub use events::{Event, Source, Trace};
pub use options::{AdapterOptions, DriverOptions, Registry, Value};
pub use power::{Asleep, Sleep};
pub use request::{Address, Data, Function, Layout, Limits, Outcome, Request};
pub use scan::{Capacity, Unit};
pub use state::Dev;
pub use timeout::RESET_EVENT;

/// Registers the exports of storport.sys and lets devices run when CPUs are idle. Once a boot, after [`host_ntos::boot`].
pub fn install() {
    state::reset(&host_ntos::ram());
    export::register();
    host_ntos::inject::register(fallible::FUNCTIONS);
    host_ntos::sched::set_poll(Box::new(interrupt::poll));
    host_ntos::sched::set_rest(interrupt::rest);
    host_ntos::rules::add_explainer(Box::new(explain));
}

/// Forgets the drivers and adapters of a run that has ended, with their handles of the machine's memory.
pub fn remove() {
    state::clear();
}

/// What a fault at an address means, if it lies in memory of a request that was completed.
fn explain(address: usize) -> Option<(host_ntos::rules::Rule, String)> {
    state::adapters().iter().find_map(|adapter| {
        let data = adapter
            .buffers
            .borrow()
            .was_mapped(address)
            .then_some("data buffer");
        let part = adapter.slots.borrow().find(address).or(data)?;
        let what = format!("{address:#x} lies in the {part} of a completed request");
        Some((rules::USE_AFTER_COMPLETION, what))
    })
}
