//! The functions that drivers import.

mod call;
mod table;

mod crt;
mod debug;
mod dpc;
mod etw;
mod format;
mod irql;
mod lookaside;
mod memory;
mod pool;
mod processor;
pub mod registry;
mod rtl;
mod slist;
mod spinlock;
mod string;
mod thread;
pub(crate) mod time;
mod timer;
mod wait;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::time::Duration;

use host_machine::fiber;

pub use call::Call;
pub use etw::registered_providers;
pub use format::{Arguments, format_narrow, format_wide};
pub use memory::{IoSpace, set_io_space};
pub(crate) use rtl::version;
pub use table::{
    Handler, address_of, note_curated, register, register_curated, register_data, resolve,
};

pub(crate) use debug::debug_output;
pub use debug::line as debug_line;
pub(crate) use table::usage;
pub(crate) use timer::set_within as timer_within;

use crate::context::{self, Frame};
use crate::{inject, kernel, rules, sched, trace};

/// What calling an import and touching a register cost on the virtual clock.
const CALL_COST: Duration = Duration::from_nanos(100);
const MMIO_COST: Duration = Duration::from_micros(1);
/// As a stall of a microsecond: nothing is known of how long the hint takes.
const HINT_COST: Duration = Duration::from_micros(1);

/// ntddk.h: KERNEL_STACK_SIZE, the whole stack of a thread. Interrupts and DPCs have stacks of their own, so each routine is measured by itself.
#[cfg(target_arch = "x86_64")]
pub const KERNEL_STACK: usize = 0x6000;
/// ntddk.h: KERNEL_STACK_SIZE, the whole stack of a thread. Interrupts and DPCs have stacks of their own, so each routine is measured by itself.
#[cfg(target_arch = "aarch64")]
pub const KERNEL_STACK: usize = 0x8000;

/// Registers what ntoskrnl and hal export, and forgets what an earlier run counted.
pub(crate) fn boot() {
    set_judge(None);
    table::boot();
    debug::boot();
    memory::boot();
    processor::boot();
    registry::boot();
    for add in [
        crt::register,
        debug::register,
        dpc::register,
        etw::register,
        irql::register,
        lookaside::register,
        memory::register,
        pool::register,
        processor::register,
        registry::register,
        rtl::register,
        slist::register,
        spinlock::register,
        string::register,
        thread::register,
        timer::register,
        wait::register,
    ] {
        add();
    }
}

thread_local! {
    static JUDGE: Cell<Option<Judge>> = const { Cell::new(None) };
}

/// Another judge of calls than their documented IRQL. True: it has judged this one.
pub type Judge = fn(name: &'static str) -> bool;

/// Appoints it until the next boot; there is one at most.
pub fn set_judge(judge: Option<Judge>) {
    JUDGE.set(judge);
}

fn judged(name: &'static str) -> bool {
    JUDGE.get().is_some_and(|judge| judge(name))
}

/// Every import call of the driver comes here.
pub(crate) fn dispatch(id: u32, args: *const u64, return_address: usize) -> u64 {
    let target = table::enter(id);
    context::push(Frame::Import {
        name: target.name,
        return_address,
    });
    let call = Call::new(args, return_address, target.name, target.widths);
    let result = if target.pure {
        (target.handler)(&call)
    } else {
        sched::tick(CALL_COST);
        trace::event(target.name, &[sched::cpu().into(), sched::irql().into()]);
        if let Some(range) = target.irql
            && !judged(target.name)
        {
            rules::check_irql(target.name, range);
        }
        check_stack();
        sched::preempt();
        let result = inject::result(target.name).unwrap_or_else(|| (target.handler)(&call));
        sched::preempt();
        result
    };
    context::pop();
    result
}

/// The driver touched a device register.
pub(crate) fn after_mmio() {
    sched::tick(MMIO_COST);
    kernel::count("mmio", 1);
    trace::event("mmio", &[sched::cpu().into()]);
    sched::preempt();
}

/// The driver waits for another processor by a loop of its own, and has looked once.
pub(crate) fn after_hint() {
    sched::tick(HINT_COST);
    kernel::count("hints", 1);
    sched::spun();
}

/// The driver wrote `cr8`.
pub(crate) fn write_irql_register(level: u8) {
    if level >= sched::irql() {
        sched::raise(level);
    } else {
        sched::lower(level);
    }
}

fn check_stack() {
    if !fiber::is_running() {
        return;
    }
    if let Some((name, left)) = context::callback() {
        let used = left.saturating_sub(fiber::stack_left());
        if used > KERNEL_STACK {
            rules::violate_once(
                rules::STACK_DEPTH,
                format!("{name} uses {used} bytes of the {KERNEL_STACK} that a kernel stack has"),
            );
        }
    }
}
