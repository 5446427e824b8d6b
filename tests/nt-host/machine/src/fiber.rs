//! Stackful coroutines: the virtual processors and threads of the host.
//!
//! A fiber has two stacks. Driver code runs on the one whose size the caller names, so that its depth
//! is measured and limited as in a kernel; host code (imports, device models) runs on the other.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::arch;
use crate::context::{self, Context};
use crate::cpu;
use crate::stack::Stack;

/// Host stack of a fiber: room for a device model, a trap frame and a panic message. Pages are used on touch.
const HOST_STACK: usize = 512 << 10;

/// What [`Fiber::resume`] came back for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It called [`suspend`].
    Suspended,
    /// Its function returned, or it called [`abandon`].
    Done,
}

/// A coroutine. Dropping one that is suspended frees its stacks without dropping what lies on them.
pub struct Fiber {
    inner: Box<Inner>,
}

struct Inner {
    context: Option<Context>,
    /// Where it goes on.
    sp: Cell<usize>,
    /// Where its resumer goes on.
    resumer_sp: Cell<usize>,
    start: Cell<Option<Box<dyn FnOnce()>>>,
    state: Cell<State>,
    running: Cell<bool>,
    panic: Cell<Option<Box<dyn Any + Send>>>,
    used: Cell<usize>,
}

thread_local! {
    static RUNNING: Cell<*const Inner> = const { Cell::new(std::ptr::null()) };
}

impl Fiber {
    /// A fiber that will run `f`; driver code called from it has `stack` bytes (rounded up to pages).
    pub fn new(stack: usize, f: Box<dyn FnOnce()>) -> Fiber {
        context::current();
        let host = Stack::plain(HOST_STACK);
        // SAFETY: the stack is new, so nothing lies on it.
        let sp = unsafe { arch::first_sp(host.high(), start) };
        Fiber {
            inner: Box::new(Inner {
                context: Some(Context::new(Stack::painted(stack), Some(host))),
                sp: Cell::new(sp),
                resumer_sp: Cell::new(0),
                start: Cell::new(Some(f)),
                state: Cell::new(State::Suspended),
                running: Cell::new(false),
                panic: Cell::new(None),
                used: Cell::new(0),
            }),
        }
    }

    /// Runs it until it suspends or ends. A panic in it comes out of here.
    ///
    /// # Panics
    /// If it is done or running.
    pub fn resume(&mut self) -> State {
        let inner = &*self.inner;
        assert!(
            inner.state.get() == State::Suspended && !inner.running.get(),
            "a fiber that is done or running"
        );
        let own = inner
            .context
            .as_ref()
            .expect("a fiber that is not done has stacks");
        let resumer = RUNNING.replace(inner);
        inner.running.set(true);
        // SAFETY: `own` lives in a box that `self` keeps borrowed until the switch comes back.
        let resumer_context = unsafe { context::set_current(own) };
        // SAFETY: `sp` is a stack that `switch` or `first_sp` left, and nobody else has resumed it.
        unsafe { arch::switch(inner.resumer_sp.as_ptr(), inner.sp.get()) };
        // SAFETY: that context is the caller's own, on whose stack this runs again.
        unsafe { context::set_current(resumer_context) };
        inner.running.set(false);
        RUNNING.set(resumer);
        if inner.state.get() == State::Done {
            self.free();
        }
        if let Some(panic) = self.inner.panic.take() {
            resume_unwind(panic);
        }
        self.inner.state.get()
    }

    /// The most bytes of the driver stack that were in use at once so far.
    pub fn stack_used(&self) -> usize {
        match &self.inner.context {
            Some(context) => context.driver.used(),
            None => self.inner.used.get(),
        }
    }

    fn free(&mut self) {
        let Some(context) = self.inner.context.take() else {
            return;
        };
        // Most fibers of a machine with many processors are idle ones that never came to driver code.
        let used = if context.entered.get() {
            context.driver.used()
        } else {
            0
        };
        self.inner.used.set(used);
        context.driver.recycle(used);
        if let Some(host) = context.host {
            host.recycle(0);
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        assert!(!self.inner.running.get(), "a running fiber is dropped");
        self.free();
    }
}

fn running<'a>() -> &'a Inner {
    let inner = RUNNING.get();
    assert!(!inner.is_null(), "only a fiber can do this");
    // SAFETY: the fiber whose code runs is borrowed by its resumer for as long as it runs.
    unsafe { &*inner }
}

/// The first thing on a new host stack.
extern "C" fn start() -> ! {
    let inner = running();
    let f = inner.start.take().expect("a fiber starts once");
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        inner.panic.set(Some(panic));
    }
    abandon()
}

/// Ends the current fiber with a panic that its resumer gets. Outside a fiber there is nobody to get it.
pub(crate) fn end_by_panic(panic: Box<dyn Any + Send>) -> ! {
    if !is_running() {
        eprintln!("a panic below driver code outside any fiber: nothing can go on");
        std::process::abort();
    }
    running().panic.set(Some(panic));
    abandon()
}

/// Goes back to whoever resumed the current fiber, until it is resumed again.
///
/// # Panics
/// Outside a fiber.
pub fn suspend() {
    let inner = running();
    // SAFETY: the resumer waits in `resume` with its stack pointer left there.
    unsafe { arch::switch(inner.sp.as_ptr(), inner.resumer_sp.get()) };
}

/// Ends the current fiber without unwinding: how to leave a fault.
///
/// # Panics
/// Outside a fiber.
pub fn abandon() -> ! {
    let inner = running();
    crate::trap::left_fault();
    inner.state.set(State::Done);
    suspend();
    unreachable!("a fiber that is done was resumed");
}

/// Whether a fiber is running.
pub fn is_running() -> bool {
    !RUNNING.get().is_null()
}

/// Bytes of the current driver stack below the driver code that waits in an import or a device access.
pub fn stack_left() -> usize {
    cpu::stack_left(context::current())
}
