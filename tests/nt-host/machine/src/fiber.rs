//! Stackful coroutines: the virtual processors and threads of the host.
//!
//! A fiber has two stacks. Driver code runs on the one whose size the caller names, so that its depth
//! is measured and limited as in a kernel; host code (imports, device models) runs on the other.

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
    _private: (),
}

impl Fiber {
    /// A fiber that will run `f`; driver code called from it has `stack` bytes (rounded up to pages).
    pub fn new(stack: usize, f: Box<dyn FnOnce()>) -> Fiber {
        let _ = (stack, f);
        unimplemented!()
    }

    /// Runs it until it suspends or ends. A panic in it comes out of here.
    ///
    /// # Panics
    /// If it is done.
    pub fn resume(&mut self) -> State {
        unimplemented!()
    }

    /// The most bytes of the driver stack that were in use at once so far.
    pub fn stack_used(&self) -> usize {
        unimplemented!()
    }
}

/// Goes back to whoever resumed the current fiber, until it is resumed again.
///
/// # Panics
/// Outside a fiber.
pub fn suspend() {
    unimplemented!()
}

/// Ends the current fiber without unwinding: how to leave a fault.
///
/// # Panics
/// Outside a fiber.
pub fn abandon() -> ! {
    unimplemented!()
}

/// Whether a fiber is running.
pub fn is_running() -> bool {
    false
}

/// Bytes of the driver stack that are not in use by driver code that waits in an import.
pub fn stack_left() -> usize {
    unimplemented!()
}
