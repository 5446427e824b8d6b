//! Calls between the driver and the host.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::arch;
use crate::context::{self, Context};
use crate::fault::Fault;
use crate::fiber;

/// Most arguments that [`call`] passes.
pub const MAX_ARGUMENTS: usize = 12;

/// Import ids that [`crate::image::Binding::Function`] may carry: `0..MAX_IMPORTS`.
pub const MAX_IMPORTS: u32 = 16384;

/// Receives every call of an imported function: its id, its arguments as 8-byte slots (those that came
/// in registers first, then those on the stack, so that variable argument lists look like any other)
/// and the address that it returns to. Floating-point arguments are not passed on: no kernel interface
/// has any.
pub type Dispatch = fn(id: u32, args: *const u64, return_address: usize) -> u64;

/// Who reads and who writes the IRQL.
type IrqlRegister = (fn() -> u8, fn(u8));

fn no_dispatch(id: u32, _: *const u64, return_address: usize) -> u64 {
    panic!("import {id} called from {return_address:#x} before set_dispatch");
}

fn no_fault(fault: &Fault) -> ! {
    eprintln!("{fault}, and nobody asked to be told");
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(134) }
}

thread_local! {
    static DISPATCH: Cell<Dispatch> = const { Cell::new(no_dispatch) };
    static FAULT: Cell<fn(&Fault) -> !> = const { Cell::new(no_fault) };
    static AFTER_MMIO: Cell<fn()> = const { Cell::new(|| ()) };
    static AFTER_HINT: Cell<fn()> = const { Cell::new(|| ()) };
    static CROSSINGS: Cell<u64> = const { Cell::new(0) };
    static IRQL: Cell<Option<IrqlRegister>> = const { Cell::new(None) };
}

/// Sets this thread's receiver of import calls. It runs on a host stack, not on the driver's.
///
/// A panic in it ends the fiber and comes out of [`fiber::Fiber::resume`].
pub fn set_dispatch(f: Dispatch) {
    DISPATCH.set(f);
}

/// Sets this thread's receiver of faults. It runs outside the signal handler on a stack that has room; it ends
/// the process or leaves with [`fiber::abandon`].
pub fn set_fault(f: fn(&Fault) -> !) {
    context::current();
    FAULT.set(f);
}

/// Sets the function called after each trapped device access of driver code: the place to pre-empt it.
pub fn set_after_mmio(f: fn()) {
    AFTER_MMIO.set(f);
}

/// Sets the function called after each hint of driver code that it waits for another processor (x64 `pause`): the place to let that run.
pub fn set_after_hint(f: fn()) {
    AFTER_HINT.set(f);
}

/// Sets who answers a driver that reads or writes the task priority register (x64 `cr8`), which holds its IRQL.
/// Without it such an instruction is a [`crate::fault::FaultKind::Privileged`] fault.
pub fn set_irql_register(read: fn() -> u8, write: fn(u8)) {
    IRQL.set(Some((read, write)));
}

/// Counts a change between driver and host code.
pub(crate) fn cross() {
    CROSSINGS.set(CROSSINGS.get() + 1);
}

/// How many there were.
pub(crate) fn crossings() -> u64 {
    CROSSINGS.get()
}

pub(crate) fn fault() -> fn(&Fault) -> ! {
    FAULT.get()
}

pub(crate) fn after_mmio() {
    AFTER_MMIO.get()();
}

pub(crate) fn after_hint() {
    AFTER_HINT.get()();
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn irql_register() -> Option<IrqlRegister> {
    IRQL.get()
}

/// Limits the processor time that driver code may take between two crossings into host code (calls, imports,
/// device accesses, hints that it waits). It ends as a [`crate::fault::FaultKind::Hang`] fault after one to two times the limit.
/// The limit is the process's, and counts for one thread that uses the machine.
///
/// # Panics
/// If the limit is zero.
pub fn set_time_limit(limit: Option<Duration>) {
    assert!(limit != Some(Duration::ZERO), "a limit of nothing");
    context::current();
    crate::trap::set_timer(limit.unwrap_or_default());
}

/// Sets what the driver finds in `gs` (x64) or `x18` (ARM64): its processor control region.
/// It belongs to the current fiber.
pub fn set_processor_region(address: usize) {
    context::current().region.set(address);
    context::load_region();
}

/// Calls driver code on the current fiber's driver stack. May be called from an import, a device access or the
/// functions of [`set_after_mmio`] and [`set_after_hint`]: the code then runs below what it interrupted.
///
/// # Panics
/// With more than [`MAX_ARGUMENTS`] arguments.
pub fn call(address: usize, args: &[u64]) -> u64 {
    let mut slots = [0; MAX_ARGUMENTS];
    slots[..args.len()].copy_from_slice(args);
    let context = context::current();
    assert!(
        !context.in_driver.get(),
        "host code runs while the driver is said to"
    );
    let (host_sp, driver_sp) = (context.host_sp.get(), context.driver_sp.get());
    cross();
    context.entered.set(true);
    context.in_driver.set(true);
    // SAFETY: the context is the running one and its driver stack is free below `driver_sp`. What the
    // code at `address` does is the driver's doing; faults in it are reported.
    let value = unsafe { arch::enter(context, address, &slots) };
    context.in_driver.set(false);
    context.host_sp.set(host_sp);
    context.driver_sp.set(driver_sp);
    value
}

/// The code that a driver must call to reach import `id`.
///
/// # Panics
/// If `id` is not below [`MAX_IMPORTS`].
pub fn import_stub(id: u32) -> usize {
    assert!(id < MAX_IMPORTS, "import id {id} is too large");
    arch::stubs::of(id)
}

/// Called by every import stub, on the driver's stack.
pub(crate) extern "efiapi" fn import(
    id: u64,
    args: *const u64,
    return_address: usize,
) -> arch::Returned {
    let context = context::current();
    let driver_sp = context.driver_sp.get();
    context.in_driver.set(false);
    // SAFETY: driver code of this context was running, so its host stack is free below `host_sp`.
    let value = unsafe { arch::on_host(context, id, args, return_address) };
    context.driver_sp.set(driver_sp);
    cross();
    context.in_driver.set(true);
    arch::returned(value, context)
}

/// Called by [`arch::on_host`], on the host's stack.
pub(crate) extern "C" fn dispatch(id: u64, args: *const u64, return_address: usize) -> u64 {
    guarded(|| DISPATCH.get()(id as u32, args, return_address))
}

/// Runs host code that driver code waits for. A panic must not unwind through the driver's frames.
pub(crate) fn guarded<T>(f: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| fiber::end_by_panic(panic))
}

/// Bytes of the driver stack below the code that waits in host code.
pub(crate) fn stack_left(context: &Context) -> usize {
    context.driver_sp.get().saturating_sub(context.driver.low())
}
