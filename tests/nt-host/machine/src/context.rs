//! Where a fiber stands: its two stacks and which of them is running.

use std::cell::{Cell, OnceCell};

use crate::stack::Stack;

/// Driver stack of code that is called outside any fiber.
const ROOT_DRIVER_STACK: usize = 256 << 10;

/// Written by assembly too: the order of the first fields is fixed.
#[repr(C)]
pub struct Context {
    /// While driver code runs: where host code may go on below its own frames. Aligned to 16.
    pub host_sp: Cell<usize>,
    /// While host code runs: where driver code may go on. Aligned to 16.
    pub driver_sp: Cell<usize>,
    /// What the driver finds in its processor region register.
    pub region: Cell<usize>,
    /// Which of the two is running.
    pub in_driver: Cell<bool>,
    /// Whether driver code ever ran on its stack.
    pub entered: Cell<bool>,
    /// The driver's stack.
    pub driver: Stack,
    /// The host's; the root context runs on the thread's own.
    pub host: Option<Stack>,
}

impl Context {
    /// A context about to run host code.
    pub fn new(driver: Stack, host: Option<Stack>) -> Context {
        Context {
            host_sp: Cell::new(0),
            driver_sp: Cell::new(driver.high()),
            region: Cell::new(0),
            in_driver: Cell::new(false),
            entered: Cell::new(false),
            driver,
            host,
        }
    }
}

thread_local! {
    static ROOT: OnceCell<Context> = const { OnceCell::new() };
    static CURRENT: Cell<*const Context> = const { Cell::new(std::ptr::null()) };
    static LOADED_REGION: Cell<usize> = const { Cell::new(0) };
}

/// The running context, or null if this thread has not used the machine yet.
pub fn current_or_null() -> *const Context {
    CURRENT.get()
}

/// The running context. Makes this thread ready on first use.
pub fn current<'a>() -> &'a Context {
    if CURRENT.get().is_null() {
        crate::trap::install();
        let root = ROOT.with(|root| {
            let root = root.get_or_init(|| Context::new(Stack::painted(ROOT_DRIVER_STACK), None));
            std::ptr::from_ref(root)
        });
        CURRENT.set(root);
    }
    // SAFETY: it is the root, which lives as long as the thread runs code of ours, or that of the fiber
    // whose code is running: both outlive every caller's use of it.
    unsafe { &*CURRENT.get() }
}

/// Makes a context the running one and returns the previous one.
///
/// # Safety
/// The caller is about to switch to its stack, and it lives until another is made current.
pub unsafe fn set_current(context: *const Context) -> *const Context {
    let previous = CURRENT.replace(context);
    load_region();
    previous
}

/// Puts the running context's processor region where driver code finds it.
pub fn load_region() {
    let region = current().region.get();
    if LOADED_REGION.replace(region) != region {
        crate::arch::load_region(region);
    }
}
